//! The `synced` file: how far the log is durable, for those who did not write it.
//!
//! ```text
//!  0   8  "plyfssyn"
//!  8   8  generation of the log
//! 16   8  blocks of it that are published
//! 24   4  marks: 1 a sync failed, 2 published without a sync
//! 28   4  zero
//! 32   8  number of the next merge, so that readers let go of runs that were merged
//! 40  20  zero
//! 60   4  CRC-32 of everything before
//! ```
//!
//! A writer overwrites it after each sync, so it is never ahead of the truth; it is not synced itself, so after
//! a power cut it may be behind. Whoever finds it behind, absent, torn or damaged is thrown back on the log; a medium
//! that fails under its map is `SIGBUS`.
//!
//! Readers ask it before each look, so it is mapped where the options allow maps: asking is then a few loads. It is never
//! truncated, and never replaced but by who makes the journal anew; where somebody removed it, the next writer makes it.

use crate::Live;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Named, Result};
use crate::generation::Reading;
use crate::layout::{SYNCED, SYNCED_LEN, SYNCED_MAGIC, u32_at, u64_at};

use bitflags::bitflags;

bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Marks: u32 {
        /// A sync of this log failed: what lies beyond must not be believed on the word of a later sync.
        const FAILED = 1;
        /// The blocks were published without a sync, so that missing ones are no damage.
        const RELAXED = 2;
    }
}

/// The content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) generation: u64,
    pub(crate) blocks: u64,
    pub(crate) marks: Marks,
    pub(crate) merges: u64,
}

impl Synced {
    pub(crate) fn encode(&self) -> [u8; SYNCED_LEN] {
        let mut bytes = [0; SYNCED_LEN];
        bytes[..8].copy_from_slice(SYNCED_MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.marks.bits().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.merges.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..SYNCED_LEN - 4]);
        bytes[SYNCED_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SYNCED_LEN]) -> Option<Self> {
        let (body, checksum) = bytes.split_at(SYNCED_LEN - 4);
        let sound = body.starts_with(SYNCED_MAGIC) && crc32fast::hash(body) == u32_at(checksum, 0);
        sound.then(|| Self {
            generation: u64_at(body, 8),
            blocks: u64_at(body, 16),
            marks: Marks::from_bits_retain(u32_at(body, 24)),
            merges: u64_at(body, 32),
        })
    }
}

const _: () = assert!(Live::LEN == SYNCED_LEN);

/// How often what is neither the old content nor the new is looked at again before the next way is tried.
const ATTEMPTS: usize = 4;

/// The open file.
#[derive(Debug)]
pub(crate) struct SyncedFile {
    file: Box<dyn DiskFile>,
    live: Option<Live>,
}

impl SyncedFile {
    /// Opens the file, which is only missing where someone removed it: readers do without, and a writer makes it anew.
    pub(crate) fn open(disk: &dyn Disk, access: Access, reading: Reading) -> Result<Option<Self>> {
        match disk.open(SYNCED, access) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error).named(SYNCED),
            Ok(file) => Ok(Some(Self::of(file, reading))),
        }
    }

    /// Makes the file, all zeros, which nobody believes; durable on return, so that a map of it never outlives its length.
    pub(crate) fn create(disk: &dyn Disk, reading: Reading) -> Result<Self> {
        let file = disk.create(SYNCED).named(SYNCED)?;
        file.write_at(&[0; SYNCED_LEN], 0).and_then(|()| file.sync()).and_then(|()| disk.sync()).named(SYNCED)?;
        Ok(Self::of(file, reading))
    }

    fn of(file: Box<dyn DiskFile>, reading: Reading) -> Self {
        let live = if reading == Reading::Mapped { file.live() } else { None };
        Self { file, live }
    }

    /// Says whether the file still holds exactly these bytes, where that costs no system call to tell.
    pub(crate) fn still_holds(&self, bytes: &[u8; SYNCED_LEN]) -> bool {
        self.live.as_ref().is_some_and(|live| live.load() == *bytes)
    }

    /// What the file says; `None` when it is nothing that can be believed.
    ///
    /// It is written while it is read, and 64 bytes are not one load: a mixture fails its checksum and is read
    /// again a few times.
    pub(crate) fn read(&self) -> Option<Synced> {
        let look = || self.live.as_ref().and_then(|live| Synced::decode(&live.load()));
        let read = || {
            let mut bytes = [0; SYNCED_LEN];
            let count = self.file.read_at(&mut bytes, 0).ok()?;
            if count == SYNCED_LEN { Synced::decode(&bytes) } else { None }
        };
        (0..ATTEMPTS).find_map(|_| look()).or_else(|| (0..ATTEMPTS).find_map(|_| read()))
    }

    /// Overwrites it; visible on return, durable never.
    pub(crate) fn write(&self, synced: &Synced) -> Result<()> {
        self.file.write_at(&synced.encode(), 0).named(SYNCED)
    }
}
