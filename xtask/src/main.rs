//! Chores of the plyfs workspace.
fn main() {}
