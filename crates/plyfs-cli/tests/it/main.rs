//! The built `plyfs` binary, run as a person would run it.

mod bench;
mod copy;
mod epoch;
mod filters;
mod help;
mod images;
mod inspect;
mod instructions;
mod interrupt;
mod json;
mod leases;
mod life;
mod limits;
mod look;
mod progress;
mod refusals;
mod streams;
mod unprivileged;
mod upkeep;
mod whole;
