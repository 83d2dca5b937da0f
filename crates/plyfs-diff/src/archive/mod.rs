//! Reading a tar archive: its entries, the raw bytes around them, and nothing that could be read in two ways.
//!
//! [`Reader`] walks an archive once, in bounded memory, and decides nothing about file systems. v7, ustar, PAX, GNU and
//! star headers are understood, GNU sparse files in all four encodings too. Names, link targets and attributes are bytes.
//!
//! Where readers of this world disagree about where the next header lies, or which name an entry has, the archive is
//! refused: two tools that see different entries in one file are how content is smuggled past a scanner. Malformed
//! extension records are an error and never skipped, for the same reason.
//!
//! ```
//! use plyfs_diff::archive::{Kind, Limits, Reader};
//!
//! let empty_layer = [0; 1024];
//! let mut reader = Reader::new(&empty_layer[..], Limits::default());
//! while let Some(entry) = reader.next_entry()? {
//!     assert_ne!(entry.kind, Kind::Directory);
//! }
//! # Ok::<(), plyfs_diff::Error>(())
//! ```

mod entry;
mod header;
mod input;
mod pax;
mod reader;
mod sparse;

pub use entry::{Entry, Extent, Kind, Limits, Time};
pub use reader::Reader;
pub(crate) use reader::truncated;
