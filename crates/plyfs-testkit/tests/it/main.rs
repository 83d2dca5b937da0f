//! Proves the kit: a comparison that misses nothing, peers that run, guards that leave nothing.

mod images;
mod peers;
mod process;
mod require;
mod temp;
mod tree;
