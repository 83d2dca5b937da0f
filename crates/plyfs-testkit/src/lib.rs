//! Test support shared by the crates: peers, real images, comparing trees.
//!
//! Nothing here ships. Each crate's tests depend on it to ask other people's tools what is right, instead of asking
//! plyfs itself.

pub mod require;
