//! An archive made into a layer's directory.

mod acl;
mod applier;
mod cursor;
mod deferred;
mod filler;
mod holes;
mod links;
mod metadata;
mod owners;
mod record;
mod scratch;
mod settle;
mod tally;
mod whiteouts;
mod writeback;

use std::io::{Read, Write};
use std::os::fd::AsFd;

use plyfs_sys::fs;

pub use deferred::Deferred;
pub use filler::Filler;
pub use owners::{IdRange, Owners};
pub use settle::{Settled, settle};

pub(crate) use metadata::may_carry;
pub(crate) use record::{Key, key};
pub(crate) use whiteouts::Name;

use crate::archive::Limits;
use crate::{Chain, Digest, Digested, Error, Result, Skipped, Usage, digested};

/// How to apply an archive; the default is to lose nothing or to fail.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ApplyOptions {
    limits: Limits,
    tolerates_attributes: bool,
    punches_holes: bool,
    starts_writing: bool,
    filler: Option<Filler>,
    names_once: bool,
    vouched_by_nobody: bool,
    owners: Owners,
}

impl ApplyOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses archives that exceed other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reports attributes that the file system or a lack of privilege refuses, instead of failing (rule 21).
    #[must_use]
    pub fn tolerate_attributes(mut self, tolerate: bool) -> Self {
        self.tolerates_attributes = tolerate;
        self
    }

    /// Leaves holes where the content of files is zero for whole blocks of 4 KiB (rule 42); what is read is the same.
    #[must_use]
    pub fn punch_holes(mut self, punch: bool) -> Self {
        self.punches_holes = punch;
        self
    }

    /// Lets the disk begin to write large files while the rest is still applied, so that a sync afterwards waits for less.
    ///
    /// Nothing is durable by it.
    #[must_use]
    pub fn start_writing(mut self, start: bool) -> Self {
        self.starts_writing = start;
        self
    }

    /// Lets whoever has this filler write small files that were created, while the next are.
    #[must_use]
    pub fn share_filling(mut self, filler: &Filler) -> Self {
        self.filler = Some(filler.clone());
        self
    }

    /// Says that the archive names each path once, as [`export`](crate::export()) writes it: its record is written while it is
    /// applied, and kept nowhere until then.
    ///
    /// Where a record is asked for, a path that comes twice, or a directory behind what lies in it, is
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). A whiteout that comes twice is not noticed, and has two lines in
    /// the record.
    #[must_use]
    pub fn names_once(mut self, once: bool) -> Self {
        self.names_once = once;
        self
    }

    /// Says that nobody knows the archive's digest: one that stops within the last block of a file, as one does whose sender
    /// went away, is [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    #[must_use]
    pub fn vouched_by_nobody(mut self, by_nobody: bool) -> Self {
        self.vouched_by_nobody = by_nobody;
        self
    }

    /// Shifts the owners and groups of all entries by a map (rule 55).
    ///
    /// An entry of an owner that the map has not is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). Copies
    /// from lowers keep the owners they have there, and whiteouts belong to nobody.
    #[must_use]
    pub fn owners(mut self, owners: Owners) -> Self {
        self.owners = owners;
        self
    }
}

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The digest of the uncompressed archive, of every byte to the end of the stream.
    pub diff_id: Digest,
    /// How many bytes that were.
    pub archive_size: u64,
    /// What the layer costs.
    pub usage: Usage,
    /// What the archive has and the layer has not; at most [`Applied::SKIPPED_MOST`] are listed, with
    /// [`Applied::SKIPPED_BYTES`] of paths and names.
    pub skipped: Vec<Skipped>,
    /// How much more was left out than is listed.
    pub skipped_more: u64,
    /// What waits for the parent; empty unless the chain [is unknown](Chain::unknown).
    pub deferred: Deferred,
}

impl Applied {
    /// How many losses are listed one by one.
    pub const SKIPPED_MOST: usize = Skipped::LISTED_MOST;
    /// How many bytes the paths and the names of attributes have that are listed.
    pub const SKIPPED_BYTES: usize = Skipped::LISTED_BYTES;

    /// About how many bytes of memory take what is listed and what waits for the parent.
    #[must_use]
    pub fn weight(&self) -> usize {
        let listed = self.skipped.iter().map(Skipped::weight).sum::<usize>();
        size_of_val(&*self.skipped) + listed + self.deferred.weight()
    }

    /// Lets go of what [weighs](Self::weight): losses are counted and listed no more, and where anything waits for the parent
    /// [`settle`](crate::settle()) applies the layer anew.
    ///
    /// For whoever holds many at once: each is bounded, and all of them are not.
    pub fn lighten(&mut self) {
        self.skipped_more += self.skipped.len() as u64;
        self.skipped = Vec::new();
        if !self.deferred.is_empty() {
            self.deferred.rebuild();
        }
    }
}

/// Applies an uncompressed layer archive to `layer`, an empty directory over `chain`.
///
/// One pass: the stream is read to its end in bounded memory, and its digest, its tar-split record and what the layer costs
/// come out of it. `tar_split` gets the lines of the record, uncompressed; from them and the layer
/// [`tar_split::rebuild`](crate::tar_split::rebuild) gives the archive back byte for byte.
///
/// - A name is resolved as inside the root of the merged chain, through the symbolic links of the layer and of its lowers;
///   parents the archive does not describe are copied from the chain, else 0755 root:root (rules 51, 52). `..` that leaves
///   the root is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
/// - Whiteouts are told by name before type and hide what lower layers have, never what this archive brings, in whatever
///   order they come (rules 1 to 10). One that hides nothing in a chain that is known leaves no trace (rule 11).
/// - Of entries with one path the last wins (rule 46). A hard link adds a name and changes nothing else; a target that
///   only a lower has is copied up (rule 39).
/// - The root is what an entry `./` says, else what it is in the chain, else 0755 root:root (rule 53).
/// - Device nodes that may not be made, OverlayFS' own attributes and security labels are reported in
///   [`Applied::skipped`].
///
/// What the layer costs is counted on the way, as the file system says it then: one that lays files out when it writes them
/// may take a block more for a sparse one. Only where an entry replaced what an earlier one had made, and it was more
/// than a whiteout, the layer is walked once more at the end, as [`Usage::measure`] does.
///
/// Over [`Chain::unknown`] what the parent decides waits in [`Applied::deferred`], and [`settle`](crate::settle()) finishes
/// it: so the layers of an image can be unpacked at once.
///
/// Nothing is synced. After an error the directory holds part of the layer and is to be removed (rule 56).
#[doc(alias = "ApplyDiff")]
pub fn apply(
    archive: impl Read,
    layer: impl AsFd,
    chain: &Chain,
    options: &ApplyOptions,
    tar_split: Option<&mut dyn Write>,
) -> Result<Applied> {
    // One copy of the applier serves every kind of reader.
    let mut archive = archive;
    apply_digested(&mut digested(&mut archive as &mut dyn Read), layer, chain, options, tar_split)
}

/// Applies an archive that is digested by whoever makes it, as [`apply`] does.
///
/// [`Applied::diff_id`] and [`Applied::archive_size`] are what `archive` says once its end was read.
pub fn apply_digested(
    archive: &mut dyn Digested,
    layer: impl AsFd,
    chain: &Chain,
    options: &ApplyOptions,
    tar_split: Option<&mut dyn Write>,
) -> Result<Applied> {
    let root = fs::open_dir_at(layer, ".").map_err(|error| Error::call("open the layer", error))?;
    // What it writes to need not live as long as all else that is borrowed here.
    let tar_split = tar_split.map(|out| out as &mut dyn Write);
    let (applied, usage) = applier::apply(archive, &root, chain, options, tar_split)?;
    let usage = usage.map_or_else(|| Usage::measure(&root), Ok)?;
    Ok(Applied { usage, ..applied })
}
