//! Images in and out of real stores, judged by other people's tools.

mod at_once;
mod containers;
mod keep;
mod known;
mod peers;
mod refused;
mod round_trip;
mod support;
