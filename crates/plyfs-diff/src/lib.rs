//! Directory trees to OCI changesets and back: apply, changes, export, tar-split.

mod apply;
pub mod archive;
mod beneath;
mod chain;
mod changes;
mod dialect;
mod digest;
mod error;
mod export;
mod layout;
mod names;
mod skipped;
pub mod tar_split;
mod upper;
mod usage;

pub use apply::{Applied, ApplyOptions, apply};
pub use chain::{Chain, Entry, Found, Merged};
pub use changes::{Change, ChangeKind, Changes, changes};
pub use dialect::Dialect;
pub use digest::{Digest, DigestReader, DigestWriter};
pub use error::{Error, ErrorKind, Result};
pub use export::{ExportOptions, Exported, export};
pub use skipped::{SkipReason, Skipped};
pub use usage::Usage;
