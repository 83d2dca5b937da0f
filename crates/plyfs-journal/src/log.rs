//! The log: commits in blocks of 512 bytes, appended to space that was written with zeros and synced before.
//!
//! A block holds its checksum, the log's generation, the commit's sequence number, its own place in the commit,
//! how many blocks the commit has, and up to [`PAYLOAD`] bytes of it. A disk writes a sector whole or not at all,
//! so after a crash each block of the last commit is new or still zeros:
//!
//! | found where the next commit belongs | and behind it | it is |
//! |---|---|---|
//! | all blocks of a commit, sound | | the next commit |
//! | only zeros | only zeros | the end |
//! | some of its blocks, the others zeros | only zeros | a torn commit: dropped |
//! | a block neither zeros nor sound | | damage |
//! | zeros or a torn commit | a block that is not zeros | damage |
//!
//! Zeros are the only "old": a log's space was never used before, and a torn commit is overwritten with zeros and
//! synced before the next one is appended. So a flipped bit is damage wherever it is, in the last commit too.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{self, Table};
use crate::disk::{Access, Disk, DiskFile};
use crate::layout::{ALLOCATION, BLOCK, MAX_COMMIT};
use crate::{Error, ErrorKind, Result, layout};

/// Checksum 4, generation 8, sequence 8, index 4, count 4, length 2, unused 2.
const HEADER: usize = 32;
/// Bytes of a commit in one block.
pub(crate) const PAYLOAD: usize = BLOCK - HEADER;
/// How often what looks like damage is read again.
const RETRIES: u32 = 100;
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// An open log and how far it was read.
#[derive(Debug)]
pub(crate) struct Log {
    file: Box<dyn DiskFile>,
    name: String,
    generation: u64,
    /// The sequence number the next commit has.
    sequence: u64,
    /// Where the next commit begins.
    end: u64,
    /// How far the file holds zeros or commits for sure.
    allocated: u64,
    /// Where a torn commit ends that has to be overwritten before the next one.
    torn_until: u64,
    /// Says whether the space behind the end was looked through once.
    is_searched: bool,
    /// Says whether a write or sync failed so that the disk may hold something else than is known.
    is_broken: AtomicBool,
}

impl Log {
    /// Makes the log of a generation; its name is durable when the names are synced.
    pub(crate) fn create(disk: &dyn Disk, generation: u64, sequence: u64, is_durable: bool) -> Result<Self> {
        let mut log = Self::new(disk, generation, sequence, Access::Create)?;
        log.allocate(ALLOCATION, is_durable)?;
        Ok(log)
    }

    /// Opens the log of a generation, to be read from its beginning.
    pub(crate) fn open(disk: &dyn Disk, generation: u64, sequence: u64, access: Access) -> Result<Self> {
        Self::new(disk, generation, sequence, access)
    }

    fn new(disk: &dyn Disk, generation: u64, sequence: u64, access: Access) -> Result<Self> {
        let name = layout::log(generation);
        let file = disk.open(&name, access).map_err(|e| Error::io(format!("journal/{name}"), e))?;
        let allocated = file.size().map_err(|e| Error::io(format!("journal/{name}"), e))?;
        Ok(Self {
            file,
            name,
            generation,
            sequence,
            end: 0,
            allocated,
            torn_until: 0,
            is_searched: false,
            is_broken: AtomicBool::new(false),
        })
    }

    /// How many bytes the commits take.
    pub(crate) fn size(&self) -> u64 {
        self.end
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The sequence number the next commit has.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::io(format!("{doing} journal/{}", self.name), error)
    }

    /// Reads the commits that were appended since the last time, in order.
    ///
    /// What is read may not be durable yet; see [`Self::sync`]. The answer says whether there was any.
    ///
    /// Without the writers' lock another process may be in the middle of its write: what looks like damage is read
    /// again, and only what stays so is damage. A block never crosses a page, so it is half copied for an instant.
    pub(crate) fn catch_up(&mut self, mut take: impl FnMut(Table)) -> Result<bool> {
        let mut found = false;
        let mut patience = RETRIES;
        loop {
            match Blocks::new(self).next_commit() {
                Ok(None) => return Ok(found),
                Ok(Some((table, end))) => {
                    take(table);
                    (found, patience) = (true, RETRIES);
                    self.sequence += 1;
                    self.end = end;
                    self.torn_until = 0;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt && patience > 0 => {
                    patience -= 1;
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says whether a write or sync failed; then the log is not to be written again.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|e| {
            self.is_broken.store(true, Ordering::Relaxed);
            self.failed("sync", e)
        })
    }

    /// Makes everything that was read durable; on a read-only medium it is.
    pub(crate) fn sync_for_reading(&self, is_read_only: bool) -> Result<()> {
        match self.file.sync() {
            Err(error) if is_read_only && error.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error()) => {
                Ok(())
            }
            Err(error) => {
                self.is_broken.store(true, Ordering::Relaxed);
                Err(self.failed("sync", error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Appends one commit: one write, and one sync when it is to be durable.
    ///
    /// The caller holds the writers' lock and has caught up. After an error the log is not to be written again.
    pub(crate) fn append(&mut self, payload: &[u8], is_durable: bool) -> Result<()> {
        self.wipe_torn()?;
        let blocks = self.blocks(payload);
        let end = self.end + blocks.len() as u64;
        self.allocate(end, is_durable)?;
        self.file.write_at(&blocks, self.end).map_err(|e| {
            self.is_broken.store(true, Ordering::Relaxed);
            self.failed("append to", e)
        })?;
        if is_durable {
            self.sync()?;
        }
        self.end = end;
        self.sequence += 1;
        Ok(())
    }

    /// Overwrites a torn commit with zeros and syncs: two torn commits on one place could look like a whole one.
    fn wipe_torn(&mut self) -> Result<()> {
        if self.torn_until <= self.end {
            return Ok(());
        }
        let length = usize::try_from(self.torn_until - self.end).expect("a commit fits in memory");
        self.file.write_at(&vec![0; length], self.end).map_err(|e| self.failed("clear", e))?;
        self.sync()?;
        self.torn_until = 0;
        Ok(())
    }

    /// Writes zeros up to `end` and some more, and syncs, so that an append changes no metadata.
    fn allocate(&mut self, end: u64, is_durable: bool) -> Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        let until = end.next_multiple_of(ALLOCATION);
        let zeros = vec![0; usize::try_from(until - self.allocated).expect("a commit fits in memory")];
        self.file.write_at(&zeros, self.allocated).map_err(|e| self.failed("extend", e))?;
        if is_durable {
            self.sync()?;
        }
        self.allocated = until;
        Ok(())
    }

    fn blocks(&self, payload: &[u8]) -> Vec<u8> {
        let count = payload.len().div_ceil(PAYLOAD).max(1);
        let mut blocks = Vec::with_capacity(count * BLOCK);
        for index in 0..count {
            let part = &payload[index * PAYLOAD..payload.len().min((index + 1) * PAYLOAD)];
            let start = blocks.len();
            blocks.extend([0; 4]);
            blocks.extend(self.generation.to_le_bytes());
            blocks.extend(self.sequence.to_le_bytes());
            blocks.extend(u32::try_from(index).expect("commits are bounded").to_le_bytes());
            blocks.extend(u32::try_from(count).expect("commits are bounded").to_le_bytes());
            blocks.extend(u16::try_from(part.len()).expect("fits a block").to_le_bytes());
            blocks.extend([0; 2]);
            blocks.extend(part);
            blocks.resize(start + BLOCK, 0);
            let crc = crc32fast::hash(&blocks[start + 4..]);
            blocks[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        }
        blocks
    }
}

/// What a sound block says.
struct Block<'a> {
    sequence: u64,
    index: u32,
    count: u32,
    part: &'a [u8],
}

/// Reads blocks forward from the log's end.
struct Blocks<'a> {
    log: &'a mut Log,
    buffer: Vec<u8>,
    /// The file offset of the buffer.
    start: u64,
}

impl<'a> Blocks<'a> {
    fn new(log: &'a mut Log) -> Self {
        Self { log, buffer: Vec::new(), start: 0 }
    }

    /// The block at `offset`; `None` at the file's end. A file that ends within a block ends before it.
    fn read(&mut self, offset: u64) -> Result<Option<&[u8]>> {
        let is_buffered = offset >= self.start && offset + BLOCK as u64 <= self.start + self.buffer.len() as u64;
        if !is_buffered {
            // A first look is for a single block: mostly there is nothing new.
            let length = if self.buffer.is_empty() { BLOCK } else { CHUNK };
            self.buffer.resize(length, 0);
            let count = self.log.file.read_at(&mut self.buffer, offset).map_err(|e| self.log.failed("read", e))?;
            self.buffer.truncate(count - count % BLOCK);
            self.start = offset;
        }
        let at = usize::try_from(offset - self.start).expect("within the buffer");
        Ok(self.buffer.get(at..at + BLOCK))
    }

    /// The next commit and where it ends; `None` at the end of the log.
    fn next_commit(&mut self) -> Result<Option<(Table, u64)>> {
        let begin = self.log.end;
        let expected = self.log.sequence;
        let mut parts: Vec<u8> = Vec::new();
        let mut count = None;
        let mut index = 0;
        loop {
            let offset = begin + u64::from(index) * BLOCK as u64;
            if count.is_some_and(|count| index == count) {
                let table = batch::decode(&parts).ok_or_else(|| self.damage(begin, "a commit that reads as none"))?;
                return Ok(Some((table, offset)));
            }
            let generation = self.log.generation;
            let Some(bytes) = self.read(offset)? else { return self.end_at(begin, begin, index > 0) };
            if is_zero(bytes) {
                return self.end_at(begin, offset, index > 0);
            }
            let Some(block) = parse(bytes, generation) else { return Err(self.damage(offset, "wrong checksum")) };
            let fits = block.sequence == expected
                && block.index == index
                && count.is_none_or(|count| count == block.count)
                && block.count as usize <= MAX_COMMIT.div_ceil(PAYLOAD)
                && (block.index + 1 == block.count || block.part.len() == PAYLOAD);
            if !fits {
                return Err(self.damage(offset, "a block that does not follow"));
            }
            parts.extend(block.part);
            count = Some(block.count);
            index += 1;
        }
    }

    /// The log ends at `begin`, or with a torn commit there, unless something stands behind.
    fn end_at(&mut self, begin: u64, zeros_from: u64, has_parts: bool) -> Result<Option<(Table, u64)>> {
        let (generation, expected) = (self.log.generation, self.log.sequence);
        // Once the space behind was found empty, only a writer who knows every commit puts something there.
        if self.log.is_searched && !has_parts {
            return Ok(None);
        }
        let mut torn_until = if has_parts { zeros_from } else { begin };
        let mut offset = zeros_from;
        while let Some(bytes) = self.read(offset)? {
            if !is_zero(bytes) {
                let block = parse(bytes, generation).map(|block| (block.sequence, block.index, block.count));
                let Some((sequence, index, count)) = block else { return Err(self.damage(offset, "wrong checksum")) };
                let place = begin + u64::from(index) * BLOCK as u64;
                if sequence != expected || place != offset || index >= count {
                    return Err(self.damage(begin, "commits stand behind one that is missing"));
                }
                torn_until = offset + BLOCK as u64;
            }
            offset += BLOCK as u64;
        }
        self.log.torn_until = torn_until;
        self.log.is_searched = true;
        Ok(None)
    }

    fn damage(&self, offset: u64, what: &str) -> Error {
        Error::damage(&self.log.name, offset, what)
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

fn parse(block: &[u8], generation: u64) -> Option<Block<'_>> {
    let u32_at = |at: usize| block[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
    let u64_at = |at: usize| block[at..at + 8].try_into().map(u64::from_le_bytes).expect("eight bytes");
    let length = usize::from(u16::from_le_bytes(block[28..30].try_into().expect("two bytes")));
    let is_sound = crc32fast::hash(&block[4..]) == u32_at(0) && u64_at(4) == generation && length <= PAYLOAD;
    is_sound.then(|| Block {
        sequence: u64_at(12),
        index: u32_at(20),
        count: u32_at(24),
        part: &block[HEADER..HEADER + length],
    })
}
