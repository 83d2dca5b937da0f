//! A run: sorted entries in a file that never changes, mapped and searched in place.
//!
//! ```text
//! file      0   8  "plyfsrun"
//!           8   8  number of the run
//!          16      data blocks, one after another; entries in ascending order of their keys
//!                  zeros up to a multiple of 4096
//!                  index pages of 4096 bytes
//!                  footer, the last 64 bytes
//!
//! page      0      up to 127 index entries of 32 bytes, the rest zero
//!        4092   4  CRC-32 of everything before
//!
//! index     0   8  offset of the data block
//! entry     8   4  bytes of it
//!          12   4  CRC-32 of it
//!          16  16  the first bytes of its first key, filled up with zeros
//!
//! footer    0   8  "plyfsrun"
//!           8   8  number of the run
//!          16   8  entries, deletions included
//!          24   8  data blocks
//!          32   8  offset of the index
//!          40   8  bytes of the file
//!          48  12  zero
//!          60   4  CRC-32 of everything before
//! ```
//!
//! A data block is closed once it holds 4096 bytes; a large entry makes a large block. Opening reads the footer
//! alone. Each page and block is checked before its first use by this process, so a flipped bit is
//! [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), never a wrong answer, and what is sound beside it stays readable.

mod writer;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::atomic::{self, AtomicU64};

pub(crate) use writer::write;

use crate::Map;
use crate::disk::{Access, Disk};
use crate::entry::{Entry, entries};
use crate::error::{Error, Named, Result};
use crate::head::RunRef;
use crate::layout::{
    INDEX_ENTRIES, INDEX_ENTRY, INDEX_PAGE, INDEX_PREFIX, RUN_FOOTER, RUN_HEADER, RUN_MAGIC, narrow, run_name, u32_at,
    u64_at, wide,
};

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    name: String,
    reference: RunRef,
    map: Map,
    blocks: usize,
    index: usize,
    /// One bit for each data block, then one for each index page: checked since it was opened.
    checked: Box<[AtomicU64]>,
}

/// One entry of the index.
struct IndexEntry<'a> {
    at: Range<usize>,
    checksum: u32,
    prefix: &'a [u8],
}

impl Run {
    /// Opens the run that the head lists, which must be the very file that was written for it.
    pub(crate) fn open(disk: &dyn Disk, reference: RunRef) -> Result<Self> {
        let name = run_name(reference.number);
        let map = disk.open(&name, Access::Read).named(&name)?.map().named(&name)?;
        let damage = |at: usize, what: &str| Err(Error::damage(&name, wide(at), what));
        if wide(map.len()) != reference.length || map.len() < RUN_HEADER + RUN_FOOTER {
            return damage(map.len().min(narrow(reference.length)), "not as long as the head says");
        }
        let start = map.len() - RUN_FOOTER;
        let footer = &map[start..];
        let checksum = u32_at(footer, RUN_FOOTER - 4);
        let sound = footer.starts_with(RUN_MAGIC)
            && crc32fast::hash(&footer[..RUN_FOOTER - 4]) == checksum
            && checksum == reference.footer_crc
            && u64_at(footer, 8) == reference.number
            && u64_at(footer, 16) == reference.entries
            && u64_at(footer, 40) == reference.length;
        if !sound {
            return damage(start, "the footer is not the one the head knows");
        }
        let (blocks, index) = (narrow(u64_at(footer, 24)), narrow(u64_at(footer, 32)));
        let pages = blocks.div_ceil(INDEX_ENTRIES);
        if pages.checked_mul(INDEX_PAGE).and_then(|length| length.checked_add(index)) != Some(start) {
            return damage(start, "the index does not fit the file");
        }
        if !map.starts_with(RUN_MAGIC) || u64_at(&map, 8) != reference.number {
            return damage(0, "not the run of its name");
        }
        let checked = (0..(blocks + pages).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { name, reference, map, blocks, index, checked })
    }

    pub(crate) fn reference(&self) -> RunRef {
        self.reference
    }

    /// What the run says of a key: nothing, a value, or its deletion.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let Some(block) = self.block_of(key)? else { return Ok(None) };
        for entry in self.entries(block)? {
            let entry = entry?;
            match entry.key.cmp(key) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// All entries from `key` on, in order; an error ends them.
    pub(crate) fn from<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = Result<Entry<'a>>> + use<'a> {
        let (first, error) = match self.block_of(key) {
            Ok(block) => (block.unwrap_or(0), None),
            Err(error) => (self.blocks, Some(Err(error))),
        };
        let key = key.to_vec();
        let blocks = (first..self.blocks).flat_map(|block| {
            let (entries, error) = match self.entries(block) {
                Ok(entries) => (Some(entries), None),
                Err(error) => (None, Some(Err(error))),
            };
            error.into_iter().chain(entries.into_iter().flatten())
        });
        let before = move |entry: &Result<Entry<'_>>| entry.as_ref().is_ok_and(|entry| entry.key < key.as_slice());
        error.into_iter().chain(blocks.skip_while(before))
    }

    fn entries(&self, block: usize) -> Result<impl Iterator<Item = Result<Entry<'_>>>> {
        let at = self.index_entry(block)?.at.start;
        let malformed = move || Error::damage(&self.name, wide(at), "a malformed entry");
        Ok(entries(self.block(block)?).map(move |entry| entry.ok_or_else(malformed)))
    }

    /// The last block whose first key is not greater than `key`; only it can hold the key.
    fn block_of(&self, key: &[u8]) -> Result<Option<usize>> {
        let mut prefix = [0; INDEX_PREFIX];
        let length = key.len().min(INDEX_PREFIX);
        prefix[..length].copy_from_slice(&key[..length]);
        let (mut low, mut high) = (0, self.blocks);
        while low < high {
            let middle = low.midpoint(high);
            // Zero is the least byte, so filled-up prefixes that differ are ordered as the keys are.
            let order = match self.index_entry(middle)?.prefix.cmp(&prefix) {
                Ordering::Equal => self.first_key(middle)?.cmp(key),
                order => order,
            };
            match order {
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(middle)),
                Ordering::Less => low = middle + 1,
            }
        }
        Ok(low.checked_sub(1))
    }

    fn first_key(&self, block: usize) -> Result<&[u8]> {
        match Entry::split(self.block(block)?) {
            Some((entry, _)) => Ok(entry.key),
            None => Err(Error::damage(&self.name, wide(self.index_entry(block)?.at.start), "a block without an entry")),
        }
    }

    /// A checked data block.
    fn block(&self, block: usize) -> Result<&[u8]> {
        let IndexEntry { at, checksum, .. } = self.index_entry(block)?;
        let bytes = self.map.get(at.clone()).filter(|_| at.start >= RUN_HEADER && at.end <= self.index);
        let Some(bytes) = bytes else {
            return Err(Error::damage(&self.name, wide(self.index), "the index points outside the data"));
        };
        self.check(block, at.start, || crc32fast::hash(bytes) == checksum)?;
        Ok(bytes)
    }

    /// An entry of a checked index page.
    fn index_entry(&self, block: usize) -> Result<IndexEntry<'_>> {
        let number = block / INDEX_ENTRIES;
        let start = self.index + number * INDEX_PAGE;
        let page = &self.map[start..start + INDEX_PAGE];
        let sound = || crc32fast::hash(&page[..INDEX_PAGE - 4]) == u32_at(page, INDEX_PAGE - 4);
        self.check(self.blocks + number, start, sound)?;
        let entry = &page[block % INDEX_ENTRIES * INDEX_ENTRY..][..INDEX_ENTRY];
        let offset = narrow(u64_at(entry, 0));
        Ok(IndexEntry {
            at: offset..offset.saturating_add(u32_at(entry, 8) as usize),
            checksum: u32_at(entry, 12),
            prefix: &entry[INDEX_ENTRY - INDEX_PREFIX..],
        })
    }

    /// Runs the check of a part unless it has passed before.
    fn check(&self, part: usize, offset: usize, sound: impl FnOnce() -> bool) -> Result<()> {
        let (word, bit) = (&self.checked[part / 64], 1 << (part % 64));
        // The bytes never change, so the order between threads does not matter: at worst one checks again.
        if word.load(atomic::Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        if !sound() {
            return Err(Error::damage(&self.name, wide(offset), "the checksum does not match"));
        }
        word.fetch_or(bit, atomic::Ordering::Relaxed);
        Ok(())
    }
}
