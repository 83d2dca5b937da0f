//! Every file name of a store, in one place.
//!
//! ```text
//! <root>/                  0700
//!   plyfs.toml             format version and feature sets
//!   overlay2/              0710; names inside it are `plyfs_link`'s
//!     empty/               the lower the kernel asks for where a stack has one too few (rule 66)
//!   journal/               the truth
//!   blobs/sha256/<hex>     configs and manifests as received
//!   tarsplit/<layer id>    what rebuilds a layer's archive, zstd
//!   staging/<operation>/   what an operation will publish
//!   staging/<id>.lease     locked by the holder of a lease
//!   trash/                 what was retracted
//!   kernel                 what the kernel was found to be able to do, for this boot
//!   aside/                 what a repair found and no record speaks of
//! ```

use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs::{DirEntry, FileType};

use crate::LeaseId;

pub(crate) const FORMAT_FILE: &str = "plyfs.toml";
pub(crate) const HOME: &str = "overlay2";
pub(crate) const JOURNAL: &str = "journal";
/// A journal that a rebuild has not finished.
pub(crate) const NEW_JOURNAL: &str = "journal.new";
/// The file in the journal that writers lock; `plyfs-journal` names it so.
pub(crate) const JOURNAL_LOCK: &str = "lock";
pub(crate) const BLOBS: &str = "blobs";
pub(crate) const SHA256: &str = "sha256";
pub(crate) const TAR_SPLIT: &str = "tarsplit";
pub(crate) const STAGING: &str = "staging";
pub(crate) const TRASH: &str = "trash";
/// What the kernel was found to be able to do; safe to lose.
pub(crate) const KERNEL: &str = "kernel";
/// Made by the first repair that needs it; nothing else looks into it.
pub(crate) const ASIDE: &str = "aside";
/// Below the home, made when it is first needed.
pub(crate) const EMPTY: &str = "empty";

/// The empty file that says another layer stands on this one, as Docker leaves it.
pub(crate) const COMMITTED: &str = "committed";

/// A container's `diff` until it has its owner and mode.
pub(crate) const NEW_DIFF: &str = "diff.new";

/// Says where a container is mounted; on its layer directory, removed by the unmount.
pub(crate) const MOUNT_MARK: &str = "trusted.plyfs.mount";

/// The file whose bytes are locked for the chains that operations build.
pub(crate) const CLAIMS: &str = "claims";

/// A directory of an operation for what it must keep for a while.
pub(crate) const SPOOL: &str = "spool";

const STAGED_TAR_SPLIT: &str = ".tarsplit";
const NEW: &str = ".new";
const BLOB: &str = ".blob";
const USES: &str = ".uses";
const LEASE: &str = ".lease";

/// The empty file that names a layer an operation may have put into place.
///
/// The ids are in the name, not in the content: names are metadata, which file systems keep in order with the
/// renames that follow, while content written and not synced may be gone after a power cut.
pub(crate) fn staged_marker(layer: LayerId, link: LinkId) -> String {
    format!("{layer}.{link}")
}

pub(crate) fn parse_staged_marker(name: &str) -> Option<(LayerId, LinkId)> {
    let (layer, link) = name.split_once('.')?;
    Some((layer.parse().ok()?, link.parse().ok()?))
}

pub(crate) fn staged_tar_split(layer: LayerId) -> String {
    format!("{layer}{STAGED_TAR_SPLIT}")
}

/// The record of a layer that was applied anew, until it takes the other's place.
pub(crate) fn settled_tar_split(layer: LayerId) -> String {
    format!("{layer}{STAGED_TAR_SPLIT}{NEW}")
}

/// The empty file that names a published layer an operation builds on.
pub(crate) fn uses_marker(layer: LayerId) -> String {
    format!("{layer}{USES}")
}

pub(crate) fn parse_uses_marker(name: &str) -> Option<LayerId> {
    name.strip_suffix(USES)?.parse().ok()
}

/// The staged content of a blob; its name says which blob the operation may have put into place.
pub(crate) fn staged_blob(hex: &str) -> String {
    format!("{hex}{BLOB}")
}

pub(crate) fn parse_staged_blob(name: &str) -> Option<&str> {
    name.strip_suffix(BLOB)
}

/// The empty file that the holder of a lease keeps locked.
pub(crate) fn lease_lock(lease: LeaseId) -> String {
    format!("{lease}{LEASE}")
}

/// What an entry of `staging` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InStaging {
    /// The file of claims.
    Claims,
    /// The file that the holder of a lease keeps locked.
    Lease,
    /// The directory of an operation.
    Operation,
}

impl InStaging {
    /// Tells by name and type; nothing for what no operation makes.
    pub(crate) fn of(entry: &DirEntry) -> Option<Self> {
        let name = entry.name.to_str()?;
        let (found, kind) = match name.strip_suffix(LEASE) {
            _ if name == CLAIMS => (Self::Claims, FileType::RegularFile),
            Some(lease) => lease.parse::<LeaseId>().ok().map(|_| (Self::Lease, FileType::RegularFile))?,
            None => name.parse::<LinkId>().ok().map(|_| (Self::Operation, FileType::Directory))?,
        };
        [kind, FileType::Unknown].contains(&entry.kind).then_some(found)
    }
}
