//! Test support shared by the crates: peers, real images, comparing trees
