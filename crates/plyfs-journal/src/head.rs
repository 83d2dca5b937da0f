//! The head: the small file that says which log and which runs are the journal.
//!
//! ```text
//!  0   8  "plyfsjnl"
//!  8   4  version
//! 12   4  bytes of this file
//! 16   8  compatible features           unknown ones are kept and ignored
//! 24   8  read-only compatible features unknown ones forbid writing
//! 32   8  incompatible features         unknown ones forbid reading
//! 40   8  generation of the log
//! 48   8  number of the last commit before this log
//! 56   8  number of the next run
//! 64   8  blocks the log was created with
//! 72   4  number of runs
//! 76   4  zero
//! 80   8  number of the next merge
//! 88      the runs, newest first, 32 bytes each
//!  +  4  CRC-32 of everything before
//!
//! a run:  0  8  number; the highest bit is set in those made by merges
//!         8  8  bytes of the file
//!        16  8  entries, deletions included
//!        24  4  CRC-32 that the file's own footer states
//!        28  4  zero
//! ```
//!
//! It is replaced as one: written aside, synced, renamed, the directory synced. Every version keeps the first
//! sixteen bytes and the checksum at the end, so that a newer head is told from a damaged one.

use std::sync::Arc;

use bitflags::bitflags;

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Error, ErrorKind, Named, Result};
use crate::layout::{
    HEAD, HEAD_FIXED, HEAD_MAGIC, HEAD_MAX, HEAD_NEW, HEAD_RUN, VERSION, narrow, u32_at, u64_at, wide,
};

bitflags! {
    /// What writers must know and readers may ignore.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReadOnlyCompatible: u64 {
        /// The `synced` file is kept up to date; a writer that does not know it would hide its commits.
        const SYNCED_MARK = 1;
    }
}

bitflags! {
    /// What everyone must know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Incompatible: u64 {
        /// Log blocks, run blocks and index pages are checked by CRC-32 (IEEE).
        const CRC32 = 1;
    }
}

/// One run as the head lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunRef {
    pub(crate) number: u64,
    pub(crate) length: u64,
    pub(crate) entries: u64,
    pub(crate) footer_crc: u32,
}

/// The decoded head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) compatible: u64,
    pub(crate) read_only_compatible: ReadOnlyCompatible,
    pub(crate) incompatible: Incompatible,
    pub(crate) generation: u64,
    pub(crate) commits: u64,
    pub(crate) next_run: u64,
    pub(crate) next_merge: u64,
    pub(crate) log_blocks: u64,
    pub(crate) runs: Vec<RunRef>,
}

impl Head {
    /// The head of an empty journal.
    pub(crate) fn first(log_blocks: u64) -> Self {
        Self {
            compatible: 0,
            read_only_compatible: ReadOnlyCompatible::SYNCED_MARK,
            incompatible: Incompatible::CRC32,
            generation: 1,
            commits: 0,
            next_run: 1,
            next_merge: 1,
            log_blocks,
            runs: Vec::new(),
        }
    }

    /// Says whether this version may write to a journal with this head.
    pub(crate) fn require_writable(&self) -> Result<()> {
        let unknown = self.read_only_compatible.bits() & !ReadOnlyCompatible::all().bits();
        if unknown == 0 {
            return Ok(());
        }
        let message = format!("journal has features {unknown:#x} that this version can read but not write");
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = HEAD_FIXED + self.runs.len() * HEAD_RUN + 4;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(HEAD_MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(count(length).to_le_bytes());
        bytes.extend(self.compatible.to_le_bytes());
        bytes.extend(self.read_only_compatible.bits().to_le_bytes());
        bytes.extend(self.incompatible.bits().to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.commits.to_le_bytes());
        bytes.extend(self.next_run.to_le_bytes());
        bytes.extend(self.log_blocks.to_le_bytes());
        bytes.extend(count(self.runs.len()).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.next_merge.to_le_bytes());
        for run in &self.runs {
            bytes.extend(run.number.to_le_bytes());
            bytes.extend(run.length.to_le_bytes());
            bytes.extend(run.entries.to_le_bytes());
            bytes.extend(run.footer_crc.to_le_bytes());
            bytes.extend([0; 4]);
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damage = |at: usize, what: &str| Err(Error::damage(HEAD, wide(at), what));
        if bytes.len() < HEAD_FIXED + 4 || u32_at(bytes, 12) as usize != bytes.len() {
            return damage(12, "not as long as it says");
        }
        let (body, checksum) = bytes.split_at(bytes.len() - 4);
        if !body.starts_with(HEAD_MAGIC) {
            return damage(0, "not the head of a journal");
        }
        if crc32fast::hash(body) != u32_at(checksum, 0) {
            return damage(0, "the checksum does not match");
        }
        let version = u32_at(body, 8);
        if version != VERSION {
            let message = format!("journal has format version {version}, this program knows {VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let incompatible = Incompatible::from_bits_retain(u64_at(body, 32));
        if incompatible != Incompatible::all() {
            let bits = incompatible.symmetric_difference(Incompatible::all()).bits();
            let message = format!("journal differs in features {bits:#x} that this program must know");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let (runs, rest) = body[HEAD_FIXED..].as_chunks::<HEAD_RUN>();
        if runs.len() != u32_at(body, 72) as usize || !rest.is_empty() {
            return damage(72, "the number of runs is not the number listed");
        }
        let run = |bytes: &[u8; HEAD_RUN]| RunRef {
            number: u64_at(bytes, 0),
            length: u64_at(bytes, 8),
            entries: u64_at(bytes, 16),
            footer_crc: u32_at(bytes, 24),
        };
        Ok(Self {
            compatible: u64_at(body, 16),
            read_only_compatible: ReadOnlyCompatible::from_bits_retain(u64_at(body, 24)),
            incompatible,
            generation: u64_at(body, 40),
            commits: u64_at(body, 48),
            next_run: u64_at(body, 56),
            log_blocks: u64_at(body, 64),
            next_merge: u64_at(body, 80),
            runs: runs.iter().map(run).collect(),
        })
    }

    /// Writes the head aside and syncs it.
    pub(crate) fn stage(&self, disk: &Arc<dyn Disk>) -> Result<()> {
        remove_if_there(disk, HEAD_NEW)?;
        let file = disk.create(HEAD_NEW).named(HEAD_NEW)?;
        file.write_at(&self.encode(), 0).named(HEAD_NEW)?;
        file.sync().named(HEAD_NEW)
    }
}

/// Replaces the head by the one that was staged; durable on return, and either is there after a crash.
pub(crate) fn publish(disk: &Arc<dyn Disk>) -> Result<()> {
    disk.rename(HEAD_NEW, HEAD).named(HEAD)?;
    disk.sync().named(HEAD)
}

/// A head as it was read or written, and its file, kept open: no other can get its number meanwhile.
#[derive(Debug)]
pub(crate) struct HeadFile {
    pub(crate) bytes: Vec<u8>,
    file: Option<Box<dyn DiskFile>>,
}

impl HeadFile {
    /// The head as it is now; [`ErrorKind::NotFound`] where there is no journal.
    pub(crate) fn read(disk: &Arc<dyn Disk>) -> Result<Self> {
        let file = disk.open(HEAD, Access::Read).named(HEAD)?;
        Ok(Self { bytes: content(&*file)?, file: Some(file) })
    }

    /// The head that the caller, who holds the lock, has just published.
    pub(crate) fn published(disk: &Arc<dyn Disk>, head: &Head) -> Self {
        Self { bytes: head.encode(), file: disk.open(HEAD, Access::Read).ok() }
    }

    /// Says whether it is surely still the head; a file is never changed once it is that.
    pub(crate) fn is_current(&self) -> bool {
        self.file.as_ref().and_then(|file| file.has_its_name()) == Some(true)
    }
}

/// Reads the head as it is now; [`ErrorKind::NotFound`] where there is no journal.
pub(crate) fn read(disk: &Arc<dyn Disk>) -> Result<Vec<u8>> {
    content(&*disk.open(HEAD, Access::Read).named(HEAD)?)
}

fn content(file: &dyn DiskFile) -> Result<Vec<u8>> {
    // One byte more than fits, so that a head that is too long does not read as one that ends in time.
    let length = narrow(file.size().named(HEAD)?).min(HEAD_MAX + 1);
    let mut bytes = vec![0; length];
    let count = file.read_at(&mut bytes, 0).named(HEAD)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Removes what a crash may have left under a name.
pub(crate) fn remove_if_there(disk: &Arc<dyn Disk>, name: &str) -> Result<()> {
    match disk.remove(name) {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.named(name),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("merging keeps the list of runs short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let run = RunRef { number: 7, length: 4096, entries: 3, footer_crc: 9 };
        Head { compatible: 1 << 40, generation: 5, commits: 12, runs: vec![run, run], ..Head::first(16) }
    }

    #[test]
    fn a_head_reads_back_and_keeps_compatible_features_it_does_not_know() {
        assert_eq!(Head::decode(&head().encode()).expect("its own bytes"), head());
    }

    #[test]
    fn any_flipped_bit_of_a_head_is_damage() {
        let bytes = head().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Head::decode(&flipped).expect_err("accepted a flipped bit");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        }
    }

    #[test]
    fn a_newer_version_and_unknown_features_are_refused_by_their_own_kind() {
        let reseal = |at: usize| {
            let mut bytes = head().encode();
            bytes[at] |= 0x80;
            let end = bytes.len() - 4;
            let checksum = crc32fast::hash(&bytes[..end]);
            bytes[end..].copy_from_slice(&checksum.to_le_bytes());
            Head::decode(&bytes)
        };
        assert_eq!(reseal(8).expect_err("a newer version").kind(), ErrorKind::Unsupported);
        assert_eq!(reseal(32).expect_err("an incompatible feature").kind(), ErrorKind::Unsupported);
        let readable = reseal(24).expect("a read-only compatible feature");
        assert_eq!(readable.require_writable().expect_err("writable").kind(), ErrorKind::Unsupported);
    }
}
