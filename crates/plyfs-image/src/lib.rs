//! Container images in and out of a store: docker-archive, OCI archive, OCI layout.

mod archive;
mod compression;
mod config;
mod create;
mod digest;
mod error;
mod flow;
mod incoming;
mod layout;
mod load;
mod manifest;
mod members;
mod publish;
mod save;
mod source;
mod unpack;

pub use archive::{Archive, Format};
pub use compression::Compression;
pub use error::{Error, ErrorKind, Result};
pub use load::{Loaded, load};
pub use save::save;
pub use source::Source;
