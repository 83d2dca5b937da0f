//! The whole store against a model, and against itself from many threads and processes.

mod machine;
mod races;
mod sketch;
mod threads;
