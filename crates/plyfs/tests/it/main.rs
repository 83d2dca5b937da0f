//! The store held to other people's tools, to attackers and to crashes: what must hold before anything is released.
//!
//! | file | claim |
//! |---|---|
//! | [`trees`] | a loaded image is the tree podman and umoci make of it |
//! | [`build`] | a build with a cache makes only what changed, and what stands on it |
//! | [`bytes`] | what was loaded is saved byte for byte, and everyone reads what is saved |
//! | [`sharing`] | containers write into layers of their own and nowhere else |
//! | [`edits`] | what a container changed is what docker says, and what others make of its changeset |
//! | [`home`] | the driver home looks as dockerd's own |
//! | [`twice`] | nothing is stored twice, whoever loads it and when |
//! | [`refusals`] | bad input is named, and leaves no trace |
//! | [`killed`] | a load that is killed is whole or absent |
//! | [`views`] | what is read without a mount is what a mount shows |
//! | [`wall`] | nobody reaches into a layer, no id is a path, no garbage holds anything up |
//! | [`deep`] | hundreds of layers, through both engines |

mod build;
mod bytes;
mod deep;
mod edits;
mod home;
mod killed;
mod refusals;
mod sharing;
mod support;
mod trees;
mod twice;
mod views;
mod wall;
