//! The log: commits in blocks, one after another, in a file of zeros.
//!
//! A log is created whole: zeros are written and synced before the head names it, so a block that was never
//! written reads as zeros and a commit changes no metadata. A generation's log is only appended to. After a
//! torn tail nothing is appended any more: the next writer starts a new generation.
//!
//! # What the end of a log can look like
//!
//! Blocks reach the disk whole, in any order, until a sync returns; so after a crash each block written since
//! the last sync is *blank* or *written*. [`scan`] takes commits while they are complete, each following the one
//! before in place and number. Where the first incomplete one begins, one of these holds:
//!
//! 1. Blank to the end of the file: the log ends here.
//! 2. Some blocks are written, none of them says that this place was durable when it was written: a torn tail.
//!    None of its commits was acknowledged, since a commit is acknowledged by a sync that covers all before it.
//! 3. A written block says that this place was durable (its `durable` field is beyond it): what is missing here
//!    was on the disk once. Damage.
//! 4. Any block from here on is neither blank nor written: no tear of whole blocks makes that. Damage, in
//!    the last commit and in the space behind it too.
//! 5. A written block belongs to a commit that would begin before this place, or has a number that was
//!    already given: no writer makes that. Damage.
//!
//! And whatever the blocks say, the log must reach as far as the `synced` file says (unless it was published
//! without a sync): this tells a last commit that the disk lost from one that was never written.

use crate::block::{Block, Header};
use crate::disk::{Disk, DiskFile};
use crate::entry::{Entry, entries};
use crate::error::{Error, Named, Result};
use crate::head::remove_if_there;
use crate::layout::{BLOCK, BLOCK_PAYLOAD, log_name, narrow, wide};

use std::sync::Arc;

/// Zeros are written in pieces of this size.
const ZEROS: usize = 64 << 10;

/// So many bytes are read without a look at how many there are.
const FEW: usize = 16 << 10;

/// What lies between a place in the log and its end.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The payloads of the complete commits, oldest first.
    pub(crate) commits: Vec<Vec<u8>>,
    /// Where the last of them ends, in blocks.
    pub(crate) end: u64,
    /// Whether written blocks follow that make no complete commit.
    pub(crate) is_torn: bool,
    /// The offset of what is neither, and why.
    pub(crate) damage: Option<(u64, &'static str)>,
}

/// Where a scan begins: the log and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) generation: u64,
    /// Blocks before this place.
    pub(crate) end: u64,
    /// Number of the last commit before this place.
    pub(crate) commits: u64,
}

/// What is wrong with a block that no writer and no tear makes.
pub(crate) const BROKEN: &str = "a block that is neither blank nor whole";

/// What is wrong where blocks lack that others say were on the disk.
pub(crate) const GONE: &str = "a block that was synced is gone";

/// What each block of `bytes`, which were read at `place`, is.
pub(crate) fn judge(bytes: &[u8], place: Place) -> Vec<Block> {
    let blocks = bytes.chunks(BLOCK).zip(place.end..);
    blocks.map(|(block, position)| Block::judge(block, place.generation, position)).collect()
}

/// Takes the complete commits of `bytes`, which were read at `place`, and judges what follows them.
pub(crate) fn scan(bytes: &[u8], place: Place) -> Found {
    let blocks = judge(bytes, place);
    let mut found = Found { end: place.end, ..Found::default() };
    let mut next = 0;
    while let Some(count) = complete(&blocks[next..], place.commits + wide(found.commits.len()) + 1) {
        found.commits.push(payload(&bytes[next * BLOCK..(next + count) * BLOCK], &blocks[next]));
        next += count;
    }
    found.end += wide(next);
    let last = place.commits + wide(found.commits.len());
    for (block, position) in blocks[next..].iter().zip(found.end..) {
        let at = |position: u64| position * wide(BLOCK);
        let damage = match block {
            Block::Blank => continue,
            Block::Damaged => (at(position), BROKEN),
            Block::Written(header) if header.durable > found.end => (at(found.end), GONE),
            Block::Written(header) if position < found.end + u64::from(header.index) || header.commit <= last => {
                (at(position), "a block of an earlier commit")
            }
            Block::Written(_) => {
                found.is_torn = true;
                continue;
            }
        };
        found.damage.get_or_insert(damage);
    }
    found
}

/// The number of blocks of the commit `number`, when all of them are at the front of `blocks`.
pub(crate) fn complete(blocks: &[Block], number: u64) -> Option<usize> {
    let Some(Block::Written(first)) = blocks.first() else { return None };
    let commit = blocks.get(..first.blocks as usize)?;
    let whole = commit.iter().zip(0..).all(|(block, index)| {
        matches!(block, Block::Written(header) if header.index == index && header.commit == number
            && header.blocks == first.blocks && header.payload == first.payload)
    });
    whole.then_some(commit.len())
}

fn payload(bytes: &[u8], first: &Block) -> Vec<u8> {
    let mut payload: Vec<u8> = bytes.chunks(BLOCK).flat_map(|block| &block[BLOCK - BLOCK_PAYLOAD..]).copied().collect();
    if let Block::Written(header) = first {
        payload.truncate(header.payload as usize);
    }
    payload
}

/// The entries of one commit's payload; `place` names it in the error.
pub(crate) fn decode(payload: &[u8], place: Place) -> Result<Vec<Entry<'_>>> {
    let malformed = || Error::damage(&log_name(place.generation), place.end * wide(BLOCK), "a malformed entry");
    entries(payload).map(|entry| entry.ok_or_else(malformed)).collect()
}

/// A commit as it will be written, in memory whose pages end where blocks end.
///
/// A `write(2)` that a signal kills stops at a page of the file or at a page of the memory it copies from. With
/// both aligned to blocks it stops between blocks.
#[derive(Debug)]
pub(crate) struct Commit {
    buffer: Vec<u8>,
    start: usize,
}

impl Commit {
    /// Lays out the entries as the next commit after `place`, of whose log `durable` blocks are synced.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = Entry<'a>>, place: Place, durable: u64) -> Self {
        let mut payload = Vec::new();
        entries.for_each(|entry| entry.encode(&mut payload));
        let count = payload.len().div_ceil(BLOCK_PAYLOAD);
        let bounded = |count: usize| u32::try_from(count).expect("a commit is far below four gigabytes");
        let mut buffer = vec![0; (count + 1) * BLOCK];
        let start = buffer.as_ptr().align_offset(BLOCK).min(BLOCK);
        for ((part, block), index) in payload.chunks(BLOCK_PAYLOAD).zip(buffer[start..].chunks_mut(BLOCK)).zip(0..) {
            let header = Header {
                index,
                generation: place.generation,
                position: place.end + u64::from(index),
                commit: place.commits + 1,
                blocks: bounded(count),
                payload: bounded(payload.len()),
                durable,
            };
            header.encode(part, block);
        }
        buffer.truncate(start + count * BLOCK);
        Self { buffer, start }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Its length in blocks.
    pub(crate) fn blocks(&self) -> u64 {
        wide(self.bytes().len() / BLOCK)
    }
}

/// Creates the log of a generation, filled with zeros and synced; its name is durable after the directory's sync.
pub(crate) fn create(disk: &Arc<dyn Disk>, generation: u64, blocks: u64) -> Result<Box<dyn DiskFile>> {
    let name = log_name(generation);
    // What a crash left of an earlier attempt must not become part of this one.
    remove_if_there(disk, &name)?;
    let file = disk.create(&name).named(&name)?;
    write_zeros(&*file, 0, blocks * wide(BLOCK)).named(&name)?;
    file.sync().named(&name)?;
    Ok(file)
}

/// Writes zeros from `from` to `to`.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> plyfs_sys::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut offset = from;
    while offset < to {
        let length = narrow(to - offset).min(ZEROS);
        file.write_at(&zeros[..length], offset)?;
        offset += wide(length);
    }
    Ok(())
}

/// Reads the log from a block on; to `until` blocks, or to its end.
pub(crate) fn read(file: &dyn DiskFile, from: u64, until: Option<u64>) -> plyfs_sys::Result<Vec<u8>> {
    let from = from * wide(BLOCK);
    let wanted = until.map(|blocks| blocks.saturating_mul(wide(BLOCK)).saturating_sub(from));
    let length = match wanted {
        Some(wanted) if wanted <= wide(FEW) => wanted,
        // Room for no more than there is, whatever a file says of another.
        _ => wanted.unwrap_or(u64::MAX).min(file.size()?.saturating_sub(from)),
    };
    let mut bytes = vec![0; narrow(length)];
    let count = file.read_at(&mut bytes, from)?;
    bytes.truncate(count);
    Ok(bytes)
}
