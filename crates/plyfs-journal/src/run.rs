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
//!        4064   2  how many bytes the first keys of all its blocks share, up to 26
//!        4066  26  the first bytes of its first key, filled up with zeros
//!        4092   4  CRC-32 of everything before
//!
//! index     0   8  offset of the data block
//! entry     8   4  bytes of it
//!          12   4  CRC-32 of it
//!          16  16  the first bytes of its first key behind the shared ones, filled up with zeros
//!
//! footer    0   8  "plyfsrun"
//!           8   8  number of the run
//!          16   8  entries, deletions included
//!          24   8  data blocks
//!          32   8  offset of the index
//!          40   8  bytes of the file
//!          48   8  number of the last commit in it
//!          56   4  how many commits it covers; ff ff ff ff: that many or more
//!          60   4  CRC-32 of everything before
//! ```
//!
//! A data block is closed once it holds 1024 bytes; a large entry makes a large block. Opening reads the footer
//! alone. Each page and block is checked before its first use by this process, or each time it is read, so a flipped
//! bit is [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), never a wrong answer, and what is sound beside it stays readable.

mod index;
mod writer;

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, OnceLock};

use index::{IndexEntry, Page};
pub(crate) use writer::write;

use crate::Map;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Error, Named, Result};
use crate::generation::Reading;
use crate::head::RunRef;
use crate::layout::{
    INDEX_ENTRIES, INDEX_HEAD, INDEX_PAGE, RUN_FOOTER, RUN_HEADER, RUN_MAGIC, narrow, run_name, u32_at, u64_at, wide,
};
use crate::slice::{Item, Items, Slice};

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    name: String,
    reference: RunRef,
    commits: RangeInclusive<u64>,
    content: Content,
    blocks: usize,
    index: usize,
}

#[derive(Debug)]
enum Content {
    /// With one bit for each data block, then one for each index page: checked since it was opened.
    Mapped(Map, Box<[AtomicU64]>),
    /// With the pages of the index that were read and checked.
    Copied(Box<dyn DiskFile>, Box<[OnceLock<Box<[u8]>>]>),
}

/// Blocks a scan reads before it lets go of them: one over everything must not hold everything in memory.
const LET_GO: usize = 256;

impl Run {
    /// Opens the run that the head lists, which must be the very file that was written for it.
    pub(crate) fn open(disk: &dyn Disk, reference: RunRef, reading: Reading) -> Result<Self> {
        let name = run_name(reference.number);
        let file = disk.open(&name, Access::Read).named(&name)?;
        let damage = |at: usize, what: &str| Err(Error::damage(&name, wide(at), what));
        let length = narrow(file.size().named(&name)?);
        if wide(length) != reference.length || length < RUN_HEADER + RUN_FOOTER {
            return damage(length.min(narrow(reference.length)), "not as long as the head says");
        }
        let start = length - RUN_FOOTER;
        let (mut header, mut footer) = ([0; RUN_HEADER], [0; RUN_FOOTER]);
        file.read_at(&mut header, 0).named(&name)?;
        file.read_at(&mut footer, wide(start)).named(&name)?;
        let checksum = u32_at(&footer, RUN_FOOTER - 4);
        let sound = footer.starts_with(RUN_MAGIC)
            && crc32fast::hash(&footer[..RUN_FOOTER - 4]) == checksum
            && checksum == reference.footer_crc
            && u64_at(&footer, 8) == reference.number
            && u64_at(&footer, 16) == reference.entries
            && u64_at(&footer, 40) == reference.length;
        if !sound {
            return damage(start, "the footer is not the one the head knows");
        }
        let (blocks, index) = (narrow(u64_at(&footer, 24)), narrow(u64_at(&footer, 32)));
        let pages = blocks.div_ceil(INDEX_ENTRIES);
        if pages.checked_mul(INDEX_PAGE).and_then(|length| length.checked_add(index)) != Some(start) {
            return damage(start, "the index does not fit the file");
        }
        if !header.starts_with(RUN_MAGIC) || u64_at(&header, 8) != reference.number {
            return damage(0, "not the run of its name");
        }
        let last = u64_at(&footer, 48);
        let commits = last.saturating_sub(u64::from(u32_at(&footer, 56))).saturating_add(1)..=last;
        let content = match reading {
            Reading::Mapped => {
                let checked = (0..(blocks + pages).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
                Content::Mapped(file.map().named(&name)?, checked)
            }
            Reading::Copied => Content::Copied(file, (0..pages).map(|_| OnceLock::new()).collect()),
        };
        Ok(Self { name, reference, commits, content, blocks, index })
    }

    /// Opens the run of a number that no head is there to describe, by what its own footer says.
    pub(crate) fn open_unnamed(disk: &dyn Disk, number: u64) -> Result<Self> {
        let name = run_name(number);
        let file = disk.open(&name, Access::Read).named(&name)?;
        let length = file.size().named(&name)?;
        let mut footer = [0; RUN_FOOTER];
        let start = length.saturating_sub(wide(RUN_FOOTER));
        if file.read_at(&mut footer, start).named(&name)? < RUN_FOOTER {
            return Err(Error::damage(&name, length, "shorter than a footer"));
        }
        let footer_crc = u32_at(&footer, RUN_FOOTER - 4);
        Self::open(disk, RunRef { number, length, entries: u64_at(&footer, 16), footer_crc }, Reading::Copied)
    }

    /// The numbers of the commits that it holds what is left of.
    pub(crate) fn commits(&self) -> &RangeInclusive<u64> {
        &self.commits
    }

    pub(crate) fn reference(&self) -> RunRef {
        self.reference
    }

    /// What the run says of a key: nothing, a value, or its deletion.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Item<'_>>> {
        let Some(block) = self.block_of(key)? else { return Ok(None) };
        let mut items = Items { block: self.block(block)?, at: 0 };
        let mut is_equal = false;
        items.skip_keys(|other| {
            let order = other.cmp(key);
            is_equal = order == Ordering::Equal;
            order == Ordering::Less
        });
        match items.next() {
            Some(Some(item)) if is_equal => Ok(Some(item)),
            Some(None) => Err(self.malformed(block)),
            _ => Ok(None),
        }
    }

    /// All entries from `key` on, in order; an error ends them.
    pub(crate) fn from<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = Result<Item<'a>>> + use<'a> {
        let (first, mut error) = match self.block_of(key) {
            Ok(block) => (block.unwrap_or(0), None),
            Err(error) => (self.blocks, Some(error)),
        };
        let mut items = None;
        if first < self.blocks {
            match self.items(first) {
                Ok(mut first) => {
                    first.skip_keys(|other| other < key);
                    items = Some(first);
                }
                Err(failed) => error = Some(failed),
            }
        }
        let (mut at, end) = (first, if error.is_some() { first } else { self.blocks });
        let mut passed = first;
        std::iter::from_fn(move || {
            loop {
                if let Some(error) = error.take() {
                    at = end;
                    items = None;
                    return Some(Err(error));
                }
                match items.as_mut().and_then(Iterator::next) {
                    Some(Some(item)) => return Some(Ok(item)),
                    Some(None) => error = Some(self.malformed(at)),
                    None if at + 1 >= end => return None,
                    None => {
                        at += 1;
                        if at - passed > LET_GO {
                            self.let_go(passed, at - 1);
                            passed = at - 1;
                        }
                        match self.items(at) {
                            Ok(next) => items = Some(next),
                            Err(failed) => error = Some(failed),
                        }
                    }
                }
            }
        })
    }

    /// Lets go of the pages that hold these blocks; whoever still looks at them reads them again.
    fn let_go(&self, first: usize, end: usize) {
        let Content::Mapped(map, _) = &self.content else { return };
        let offset = |block: usize| self.index_entry(block).map(|entry| entry.at.start);
        if let (Ok(first), Ok(end)) = (offset(first), offset(end)) {
            map.let_go(first..end);
        }
    }

    /// The entries of each block, or why it cannot be read; for finding all that is sound.
    pub(crate) fn each_block(&self) -> impl Iterator<Item = Result<Items<'_>>> {
        (0..self.blocks).map(|block| self.items(block))
    }

    fn items(&self, block: usize) -> Result<Items<'_>> {
        Ok(Items { block: self.block(block)?, at: 0 })
    }

    fn malformed(&self, block: usize) -> Error {
        let at = self.index_entry(block).map_or(self.index, |entry| entry.at.start);
        Error::damage(&self.name, wide(at), "a malformed entry")
    }

    /// The last block whose first key is not greater than `key`; only it can hold the key.
    fn block_of(&self, key: &[u8]) -> Result<Option<usize>> {
        let Some(number) = self.page_of(key)? else { return Ok(None) };
        let page = self.page(number)?;
        let first = number * INDEX_ENTRIES;
        let end = (first + INDEX_ENTRIES).min(self.blocks);
        // The page's first key is not greater, so one that begins otherwise is greater than all of the page.
        let Some(rest) = page.rest(key) else { return Ok(Some(end - 1)) };
        let prefix = index::prefix(rest);
        let block = partition(first + 1, end, |block| match page.prefix(block - first).cmp(&prefix) {
            Ordering::Equal => Ok((*self.first_key(block)?).cmp(key)),
            order => Ok(order),
        })?;
        Ok(Some(block - 1))
    }

    /// The last index page whose first key is not greater than `key`.
    fn page_of(&self, key: &[u8]) -> Result<Option<usize>> {
        let head: [u8; INDEX_HEAD] = index::filled(key);
        let page =
            partition(0, self.blocks.div_ceil(INDEX_ENTRIES), |number| match self.page(number)?.head().cmp(&head) {
                Ordering::Equal => Ok((*self.first_key(number * INDEX_ENTRIES)?).cmp(key)),
                order => Ok(order),
            })?;
        Ok(page.checked_sub(1))
    }

    fn first_key(&self, block: usize) -> Result<Slice<'_>> {
        match self.items(block)?.next() {
            Some(Some(item)) => Ok(item.key),
            _ => Err(Error::damage(&self.name, wide(self.index_entry(block)?.at.start), "a block without an entry")),
        }
    }

    /// A checked data block.
    fn block(&self, block: usize) -> Result<Slice<'_>> {
        let IndexEntry { at, checksum, .. } = self.index_entry(block)?;
        if at.start < RUN_HEADER || at.end > self.index {
            return Err(Error::damage(&self.name, wide(self.index), "the index points outside the data"));
        }
        match &self.content {
            Content::Mapped(map, checked) => {
                let bytes = &map[at.clone()];
                self.check(checked, block, at.start, || crc32fast::hash(bytes) == checksum)?;
                Ok(Slice::Borrowed(bytes))
            }
            Content::Copied(file, _) => {
                let bytes: Arc<[u8]> = self.read(&**file, at.clone())?.into();
                let range = 0..bytes.len();
                if crc32fast::hash(&bytes) == checksum { Ok(Slice::Shared(bytes, range)) } else { self.wrong(at.start) }
            }
        }
    }

    /// An entry of a checked index page.
    #[inline]
    fn index_entry(&self, block: usize) -> Result<IndexEntry> {
        Ok(self.page(block / INDEX_ENTRIES)?.entry(block % INDEX_ENTRIES))
    }

    #[inline]
    fn page(&self, number: usize) -> Result<Page<'_>> {
        let start = self.index + number * INDEX_PAGE;
        let sound = |page: &[u8]| crc32fast::hash(&page[..INDEX_PAGE - 4]) == u32_at(page, INDEX_PAGE - 4);
        match &self.content {
            Content::Mapped(map, checked) => {
                let page = &map[start..start + INDEX_PAGE];
                self.check(checked, self.blocks + number, start, || sound(page))?;
                Ok(Page(page))
            }
            Content::Copied(file, pages) => {
                if let Some(page) = pages[number].get() {
                    return Ok(Page(page));
                }
                let page = self.read(&**file, start..start + INDEX_PAGE)?;
                if sound(&page) { Ok(Page(pages[number].get_or_init(|| page.into()))) } else { self.wrong(start) }
            }
        }
    }

    fn read(&self, file: &dyn DiskFile, at: Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; at.len()];
        let count = file.read_at(&mut bytes, wide(at.start)).named(&self.name)?;
        if count == bytes.len() { Ok(bytes) } else { self.wrong(at.start + count) }
    }

    /// Runs the check of a part unless it has passed before.
    #[inline]
    fn check(&self, checked: &[AtomicU64], part: usize, offset: usize, sound: impl FnOnce() -> bool) -> Result<()> {
        let (word, bit) = (&checked[part / 64], 1 << (part % 64));
        // The bytes never change, so the order between threads does not matter: at worst one checks again.
        if word.load(atomic::Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        if !sound() {
            return self.wrong(offset);
        }
        word.fetch_or(bit, atomic::Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn wrong<T>(&self, offset: usize) -> Result<T> {
        Err(Error::damage(&self.name, wide(offset), "the checksum does not match"))
    }
}

/// The first of `low..high` that is greater than what is searched for, as `order` says of each; they ascend.
#[inline]
fn partition(mut low: usize, mut high: usize, order: impl Fn(usize) -> Result<Ordering>) -> Result<usize> {
    while low < high {
        let middle = low.midpoint(high);
        match order(middle)? {
            Ordering::Greater => high = middle,
            Ordering::Less | Ordering::Equal => low = middle + 1,
        }
    }
    Ok(low)
}
