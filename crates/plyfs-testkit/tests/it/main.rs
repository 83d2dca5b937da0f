//! Proves the kit: a comparison that misses nothing, peers that run, guards that leave nothing.

mod peers;
mod process;
mod temp;
mod tree;
