//! An upper directory as an OCI changeset.
//!
//! The same tree gives the same bytes: the walk is lexical, names compare bytewise, and nothing of the machine, the
//! moment or the file system enters. The archive is complete or the export is an error: what changes under the reader
//! is [`ErrorKind::Conflict`], what no archive can hold is in [`Exported::skipped`], and what a
//! mount with `redirect_dir` or `metacopy` left in the chain is read from there.

pub(crate) mod attributes;
mod flat;
pub(crate) mod header;
mod links;
pub(crate) mod sink;
mod walk;
pub(crate) mod writer;

use std::io::Write;
use std::os::fd::AsFd;

use header::{Header, Kind};
use plyfs_sys::fs::{self, Stat};
pub use sink::BufferSink;

use crate::compare::between;
use crate::{Chain, CompareOptions, Digest, DigestWriter, Error, ErrorKind, Losses, Result, Skipped};

/// How to export; the default is the tree as it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    clamp_mtime: Option<i64>,
    pub(crate) style: Style,
    pub(crate) compare: CompareOptions,
}

/// Whose changesets an export looks like; every reader of OCI layers understands both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// Opaque markers where they hide something, `user.*` attributes and capabilities, the root where it changed.
    #[default]
    Native,
    /// The very bytes that the differ of containerd 2.4 writes for mounts of the two trees: explicit whiteouts,
    /// capabilities alone, no root, nothing of what was copied up and is as it was. Whatever containerd leaves out
    /// silently, sockets and attributes, is left out and not reported.
    Containerd,
}

impl ExportOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes times later than this many seconds after the epoch as this, as `SOURCE_DATE_EPOCH` asks for.
    #[must_use]
    pub fn clamp_mtime(mut self, seconds: i64) -> Self {
        self.clamp_mtime = Some(seconds);
        self
    }
}

impl ExportOptions {
    /// Writes changesets of another style than [`Style::Native`].
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Says how trees are compared, where two are: by [`export_between()`](crate::export_between()), and with
    /// [`Style::Containerd`].
    #[must_use]
    pub fn compare(mut self, options: CompareOptions) -> Self {
        self.compare = options;
        self
    }

    /// The header of an entry, with what every kind takes from its inode (rule 35).
    pub(crate) fn header(&self, kind: Kind, name: Vec<u8>, stat: &Stat) -> Header {
        let mut header = Header::new(kind, name);
        header.mode = stat.st_mode & 0o7777;
        (header.uid, header.gid) = (stat.st_uid, stat.st_gid);
        header.is_short = self.style == Style::Containerd;
        header.mtime = self.clamp_mtime.map_or(stat.st_mtime, |latest| stat.st_mtime.min(latest));
        header
    }
}

/// What an archive that was written is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The digest of the archive, which is uncompressed.
    pub diff_id: Digest,
    /// The length of the archive in bytes.
    pub size: u64,
    /// What is in the tree and not in the archive; at most [`Exported::SKIPPED_MOST`] are listed, with a megabyte of paths and
    /// names.
    pub skipped: Vec<Skipped>,
    /// How much more that is than is listed.
    pub skipped_more: u64,
}

impl Exported {
    /// How many losses are listed one by one.
    pub const SKIPPED_MOST: usize = Skipped::LISTED_MOST;

    pub(crate) fn new(diff_id: Digest, size: u64, losses: Losses) -> Self {
        let (skipped, skipped_more) = losses.into_parts();
        Self { diff_id, size, skipped, skipped_more }
    }
}

/// Writes the changeset that turns `chain` into what a mount of `upper` over it shows.
///
/// With [`Chain::empty`] this archives a plain directory. Parents come before what is in them, siblings are sorted
/// bytewise. The entry `./` is written only where owner, mode or attributes of the root differ from those of the chain's
/// root, 0755 root:root where there is none (rule 53).
///
/// - Whiteouts become empty files named `.wh.<name>`, with no mode, no owner and no time (rules 12, 15); those that hide
///   nothing, because their directory is opaque, are left out (rule 11).
/// - An opaque directory is followed by its marker where it hides something of the chain, and always when the chain
///   [is unknown](Chain::unknown) (rules 13, 14).
/// - A directory that was renamed without its content, or a file that was copied up without it, is archived with what the
///   chain has for it (rule 25); where the chain cannot be looked at, it is
///   [`ErrorKind::Unsupported`] and named.
/// - `user.*` attributes and file capabilities are kept byte for byte, OverlayFS' own and security labels never leave
///   (rules 19, 22, 23); other attributes, names that begin with `.wh.`, and sockets are reported as skipped.
///
/// With [`Style::Containerd`] the whole of both trees is walked, and the rules above give way to that differ's.
///
/// Nothing is synced; `out` is flushed. The upper must not be written to meanwhile: what changes under the reader is
/// [`ErrorKind::Conflict`], naming the path (rule 28).
#[doc(alias = "Diff")]
pub fn export(upper: impl AsFd, chain: &Chain, out: impl Write, options: &ExportOptions) -> Result<Exported> {
    export_buffers(upper, chain, DigestWriter::new(out), options)
}

/// Writes what [`export`] writes into buffers that are handed on whole.
pub fn export_buffers(
    upper: impl AsFd,
    chain: &Chain,
    out: impl BufferSink,
    options: &ExportOptions,
) -> Result<Exported> {
    if options.style == Style::Containerd {
        if !chain.is_known() {
            return Err(Error::new(ErrorKind::InvalidInput, "this style takes lowers that are known"));
        }
        let upper = fs::open_dir_at(upper, ".").map_err(|error| Error::call("open the upper", error))?;
        return between(chain, &chain.with_upper(upper), out, options);
    }
    let mut walk = walk::Walk::new(upper.as_fd(), chain, out, options)?;
    walk.tree(upper.as_fd())?;
    walk.finish()
}
