//! Images in and out of real stores, judged by other people's tools.

mod alone;
mod at_once;
mod build;
mod containers;
mod edits;
mod forms;
mod keep;
mod known;
mod labels;
mod peers;
mod refused;
mod resources;
mod round_trip;
mod senders;
mod support;
