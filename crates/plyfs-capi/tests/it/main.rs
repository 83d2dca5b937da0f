//! The C door as its callers see it: called through pointers, compiled as C and C++, linked by other languages.

// Its callers hold pointers.
#![allow(unsafe_code)]

mod abi;
mod call;
mod examples;
mod ground;
mod header;
mod layers;
mod life;
mod null;
mod options;
mod rebuild;
mod stage;
