//! Directory trees to OCI changesets and back: apply, changes, export, tar-split.

mod error;

pub use error::{Error, ErrorKind, Result};
