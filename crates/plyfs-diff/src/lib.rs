//! Directory trees to OCI changesets and back, exact where tools disagree and safe against hostile archives.
//!
//! A layer is two things: a *changeset*, the archive that registries carry, and a directory that OverlayFS mounts over
//! the directories of the layers below. This crate turns one into the other and tells what changed. It knows trees and
//! archives; it knows no store, mounts nothing, starts no program, and holds on to no path.
//!
//! - A [`Chain`] is the lowers of a layer, uppermost first, as open directories. What it shows together is [`Merged`].
//! - A [`View`] reads what an upper and its lowers show together, as a mount would, without one.
//! - [`apply()`] makes a layer's directory out of an archive, over its chain: digest, size, cost and the record that gives
//!   the archive back come out of the same pass.
//!   Applied before its chain is known, a layer is finished by [`settle()`]: so layers can be unpacked at once.
//! - [`export()`] makes the archive out of an upper directory; with [`Chain::empty`] it archives a plain directory.
//! - [`changes()`] lists what an upper adds, modifies and deletes, as `docker diff` does.
//! - [`compare()`] lists and [`export_between()`] archives what turns any tree into any other.
//! - [`tar_split`] gives a received archive back, byte for byte, from its record and the layer.
//! - [`verify()`] holds a layer's directory to the archive in every inode, not its contents alone.
//! - [`archive`] reads archives without touching a file system.
//!
//! ```
//! use plyfs_diff::{ApplyOptions, Chain, ExportOptions, Usage, apply, export, tar_split};
//!
//! let temp = tempfile::tempdir()?;
//! let (tree, layer) = (temp.path().join("tree"), temp.path().join("layer"));
//! std::fs::create_dir_all(tree.join("etc"))?;
//! std::fs::create_dir(&layer)?;
//! std::fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n")?;
//!
//! let mut archive = Vec::new();
//! let tree = std::fs::File::open(tree)?;
//! let exported = export(&tree, &Chain::empty(), &mut archive, &ExportOptions::new())?;
//!
//! let mut record = Vec::new();
//! let dir = std::fs::File::open(&layer)?;
//! let applied = apply(&archive[..], &dir, &Chain::empty(), &ApplyOptions::new(), Some(&mut record))?;
//! assert_eq!(applied.diff_id, exported.diff_id);
//! assert_eq!(applied.usage, Usage::measure(&dir)?);
//! assert_eq!(std::fs::read_to_string(layer.join("etc/hosts"))?, "127.0.0.1 localhost\n");
//!
//! let mut again = Vec::new();
//! tar_split::rebuild(&record[..], &dir, &mut again)?;
//! assert_eq!(again, archive);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - No name in an archive reaches outside the layer: each is resolved beneath held descriptors, component by component,
//!   and an absolute symbolic link means the root of the merged chain.
//! - Memory is bounded whatever an archive claims; the bounds are [`archive::Limits`], and a refusal names the one it met.
//!   Of the entries that went by, only those that others replace are remembered where a record is kept, and as many marks, 32
//!   bytes each; [`verify()`] alone remembers every entry.
//! - One tree has one archive: no clock, no user data base, no order of a directory enters.
//! - What is lost is listed, or beyond what fits in memory counted, never silent: [`Applied::skipped`],
//!   [`Exported::skipped`].
//!
//! # Limits
//!
//! - Owners, device nodes and `trusted.*` attributes take the privilege the kernel demands for them.
//! - Nothing is synced. A directory that an error left half made is the caller's to remove.
//! - The caller alone writes to a layer while it is applied, and nobody to an upper while it is exported.

mod apply;
pub mod archive;
mod beneath;
mod chain;
mod changes;
mod compare;
mod dialect;
mod digest;
mod error;
mod export;
mod layout;
mod names;
mod remembered;
mod skipped;
mod stop;
pub mod tar_split;
mod upper;
mod usage;
mod verify;
mod view;

pub use apply::{Applied, ApplyOptions, Deferred, Filler, IdRange, Owners, Settled, apply, apply_digested, settle};
pub use chain::{Chain, Entry, Found, Merged};
pub use changes::{Change, ChangeKind, Changes, changes};
pub use compare::{CompareOptions, compare, export_between};
pub use dialect::Dialect;
pub use digest::{Digest, DigestReader, DigestWriter, Digested, digested};
pub use error::{Error, ErrorKind, Result};
pub use export::{BufferSink, ExportOptions, Exported, Style, export, export_buffers};
pub use plyfs_sys::buffer::Buffer;
use skipped::Losses;
pub use skipped::{SkipReason, Skipped};
pub use usage::Usage;
pub use verify::{Difference, Verified, verify};
pub use view::{CopyOptions, FileKind, Metadata, Unpacked, View, ViewEntry, Walk};
