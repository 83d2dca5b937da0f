//! Directory trees to OCI changesets and back: apply, changes, export, tar-split.

mod chain;
mod dialect;
mod digest;
mod error;
mod layout;
mod skipped;
mod usage;

pub use chain::{Chain, Entry, Found, Merged};
pub use dialect::Dialect;
pub use digest::{Digest, DigestReader, DigestWriter};
pub use error::{Error, ErrorKind, Result};
pub use skipped::{SkipReason, Skipped};
pub use usage::Usage;
