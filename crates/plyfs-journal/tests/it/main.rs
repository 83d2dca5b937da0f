//! The journal from outside: as a map, on a disk that loses power, damaged, and shared.

mod batches;
mod btrfs;
mod damage;
mod fault_disk;
mod faults;
mod format;
mod groups;
mod interleaved;
mod live;
mod long_scan;
mod merging;
mod misleading;
mod model;
mod moved;
mod panics;
mod power;
mod random;
mod real;
mod salvage;
mod schedule;
mod shared;
mod threads;
mod turns;
mod watched;
