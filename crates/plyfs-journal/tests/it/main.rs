//! The journal from outside: as a map, on a disk that loses power, damaged, and shared.

mod real;
