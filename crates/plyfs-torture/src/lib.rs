//! A store under fire: processes that are killed, system calls that fail, and what must be true all the same.
//!
//! | module | holds |
//! |---|---|
//! | [`dice`] | random choices that a seed repeats |
//! | [`recipe`] | images of known content |
//! | [`inventory`] | what lies in a store's directories and no record names |
//! | [`state`] | what a store holds, in lines that two stores can be compared by |
//! | [`model`] | what one worker's part of a store must hold |
//! | [`worker`] | a process that works at random, and can be killed at any instant |
//! | [`faults`] | every system call of every operation fails once |
//! | [`turn`] | who may start a program when |
//! | [`verb`] | single verbs, for racing two of them |
//! | [`torture`] | who starts, kills, watches and judges the workers |
//!
//! The program `plyfs-torture` of this crate is what `cargo xtask torture` and `cargo xtask faults` run.

pub mod dice;
pub mod faults;
pub mod inventory;
pub mod model;
pub mod recipe;
pub mod state;
pub mod torture;
pub mod turn;
pub mod verb;
pub mod worker;
