//! Container images in and out of a store: docker-archive, OCI archive, OCI layout.

mod compression;
mod digest;
mod error;
mod flow;
mod layout;

pub use error::{Error, ErrorKind, Result};
pub use compression::Compression;
