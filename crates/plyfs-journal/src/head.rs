//! The head: which log and which runs are the journal. Replaced whole by a rename.

use std::io;

use bitflags::bitflags;

use crate::disk::{Access, Disk};
use crate::{Error, ErrorKind, Result, layout};

/// The first eight bytes of a head.
const MAGIC: [u8; 8] = *b"plyfsjnl";
/// Everything before the list of runs.
const FIXED: usize = 48;
/// The largest head that is read: a list of runs grows with the logarithm of the journal.
const MAX: usize = 64 * 1024;

bitflags! {
    /// Features a reader must know; none yet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Incompatible: u32 {}

    /// Features a writer must know; none yet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReadOnlyCompatible: u32 {}
}

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) incompatible: Incompatible,
    pub(crate) read_only_compatible: ReadOnlyCompatible,
    /// The log commits go to; it rises with every new log.
    pub(crate) generation: u64,
    /// The sequence number of the log's first commit.
    pub(crate) sequence: u64,
    /// The number the next run gets.
    pub(crate) next_run: u64,
    /// The runs, oldest first; a later one overrules an earlier.
    pub(crate) runs: Vec<u64>,
}

impl Head {
    /// The head of an empty journal.
    pub(crate) fn first() -> Self {
        Self {
            incompatible: Incompatible::empty(),
            read_only_compatible: ReadOnlyCompatible::empty(),
            generation: 1,
            sequence: 1,
            next_run: 1,
            runs: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.runs.len()).expect("the list is bounded by merging");
        let mut bytes = Vec::with_capacity(FIXED + 8 * self.runs.len() + 4);
        bytes.extend(MAGIC);
        bytes.extend(layout::VERSION.to_le_bytes());
        bytes.extend(self.incompatible.bits().to_le_bytes());
        bytes.extend(self.read_only_compatible.bits().to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.next_run.to_le_bytes());
        bytes.extend(self.runs.iter().flat_map(|run| run.to_le_bytes()));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let damage = |offset: usize, what: &str| Error::damage(layout::HEAD, offset as u64, what);
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).expect("eight bytes");
        if bytes.len() < FIXED + 4 || bytes[..8] != MAGIC {
            return Err(damage(0, "not a journal"));
        }
        let end = bytes.len() - 4;
        let is_sound = crc32fast::hash(&bytes[..end]) == u32_at(end);
        // A later version may checksum otherwise; its number is believed before the checksum, which a flipped bit
        // turns into a refusal too.
        if u32_at(8) != layout::VERSION {
            let what = format!("journal/{}: version {} is not {}", layout::HEAD, u32_at(8), layout::VERSION);
            return Err(Error::new(if is_sound { ErrorKind::Unsupported } else { ErrorKind::Corrupt }, what));
        }
        if !is_sound {
            return Err(damage(end, "wrong checksum"));
        }
        let count = u32_at(20) as usize;
        if end != FIXED + 8 * count {
            return Err(damage(20, "wrong number of runs"));
        }
        let incompatible = Incompatible::from_bits(u32_at(12)).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("journal/{}: unknown features {:#x}", layout::HEAD, u32_at(12)))
        })?;
        Ok(Self {
            incompatible,
            read_only_compatible: ReadOnlyCompatible::from_bits_retain(u32_at(16)),
            generation: u64_at(24),
            sequence: u64_at(32),
            next_run: u64_at(40),
            runs: (0..count).map(|index| u64_at(FIXED + 8 * index)).collect(),
        })
    }

    /// Says whether this version may write.
    pub(crate) fn is_writable(&self) -> bool {
        self.read_only_compatible.is_empty()
    }

    /// Reads the head; `NotFound` when there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Self> {
        let failed = |e: io::Error| Error::io("journal/head", e);
        let file = disk.open(layout::HEAD, Access::Read).map_err(failed)?;
        let mut bytes = vec![0; 512];
        let length = file.read_at(&mut bytes, 0).map_err(failed)?;
        if length == bytes.len() {
            bytes.resize(MAX, 0);
            let more = file.read_at(&mut bytes[512..], 512).map_err(failed)?;
            bytes.truncate(512 + more);
        } else {
            bytes.truncate(length);
        }
        Self::decode(&bytes)
    }

    /// Replaces the head: write aside, sync, rename, sync the names. Durable on return.
    pub(crate) fn publish(&self, disk: &dyn Disk, is_durable: bool) -> Result<()> {
        let written = || {
            let file = disk.open(layout::NEW_HEAD, Access::Create)?;
            file.write_at(&self.encode(), 0)?;
            if is_durable {
                file.sync()?;
            }
            disk.rename(layout::NEW_HEAD, layout::HEAD)?;
            if is_durable { disk.sync_names() } else { Ok(()) }
        };
        written().map_err(|e| Error::io("replace journal/head", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_head_is_refused() {
        let head = Head { runs: vec![3, 9], next_run: 10, ..Head::first() };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes).expect("its own bytes"), head);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            Head::decode(&flipped).expect_err("a flipped bit");
        }
        for cut in 0..bytes.len() {
            Head::decode(&bytes[..cut]).expect_err("a cut head");
        }
    }

    #[test]
    fn a_newer_version_and_unknown_features_are_told_from_damage() {
        for at in [8, 12] {
            let mut bytes = Head::first().encode();
            bytes[at] = 2;
            let end = bytes.len() - 4;
            let crc = crc32fast::hash(&bytes[..end]);
            bytes[end..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(Head::decode(&bytes).expect_err("unknown").kind(), ErrorKind::Unsupported);
        }
    }
}
