//! One block of the log: 512 bytes that say what they are, where they belong and to which commit.
//!
//! ```text
//!  0    4  CRC-32 of the 508 bytes that follow
//!  4    4  number of this block within its commit, from 0
//!  8    8  generation of the log
//! 16    8  position of this block in the log, in blocks
//! 24    8  number of the commit, counted over all generations
//! 32    4  blocks of the commit
//! 36    4  bytes of the commit's payload, over all its blocks
//! 40    8  blocks of the log known to be durable when this one was written
//! 48  464  payload, filled up with zeros
//! ```

use crate::layout::{BLOCK, BLOCK_HEADER, BLOCK_PAYLOAD, u32_at, u64_at};

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) index: u32,
    pub(crate) generation: u64,
    pub(crate) position: u64,
    pub(crate) commit: u64,
    pub(crate) blocks: u32,
    pub(crate) payload: u32,
    pub(crate) durable: u64,
}

/// What 512 bytes of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Zeros: space that was never written.
    Blank,
    /// Written whole, and for this place of this log.
    Written(Header),
    /// Neither; no torn write of whole sectors leaves this.
    Damaged,
}

static BLANK: [u8; BLOCK] = [0; BLOCK];

impl Block {
    /// Judges the bytes found at `position` of the log of `generation`.
    pub(crate) fn judge(bytes: &[u8], generation: u64, position: u64) -> Self {
        if bytes == &BLANK[..bytes.len().min(BLOCK)] {
            return Self::Blank;
        }
        if bytes.len() != BLOCK || crc32fast::hash(&bytes[4..]) != u32_at(bytes, 0) {
            return Self::Damaged;
        }
        let header = Header {
            index: u32_at(bytes, 4),
            generation: u64_at(bytes, 8),
            position: u64_at(bytes, 16),
            commit: u64_at(bytes, 24),
            blocks: u32_at(bytes, 32),
            payload: u32_at(bytes, 36),
            durable: u64_at(bytes, 40),
        };
        let belongs = header.generation == generation && header.position == position;
        let counted = (header.payload as usize).div_ceil(BLOCK_PAYLOAD) == header.blocks as usize;
        if belongs && counted && header.index < header.blocks { Self::Written(header) } else { Self::Damaged }
    }
}

impl Header {
    /// Fills a zeroed block with this header and its part of the payload.
    pub(crate) fn encode(&self, payload: &[u8], block: &mut [u8]) {
        block[4..8].copy_from_slice(&self.index.to_le_bytes());
        block[8..16].copy_from_slice(&self.generation.to_le_bytes());
        block[16..24].copy_from_slice(&self.position.to_le_bytes());
        block[24..32].copy_from_slice(&self.commit.to_le_bytes());
        block[32..36].copy_from_slice(&self.blocks.to_le_bytes());
        block[36..40].copy_from_slice(&self.payload.to_le_bytes());
        block[40..48].copy_from_slice(&self.durable.to_le_bytes());
        block[BLOCK_HEADER..BLOCK_HEADER + payload.len()].copy_from_slice(payload);
        let checksum = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
    }
}
