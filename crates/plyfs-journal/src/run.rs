//! A run: sorted entries in a file that never changes, mapped and searched in place.
//!
//! ```text
//! file      0   8  "plyfsrun"
//!           8   8  number of the run
//!          16      data blocks, one after another; entries in ascending order of their keys
//!                  zeros up to a multiple of 4096
//!                  index pages of 4096 bytes
//!                  table pages of 4096 bytes
//!                  footer, the last 64 bytes
//!
//! index     0      up to 127 index entries of 32 bytes, the rest zero
//! page   4064   2  how many bytes the first keys of all its blocks share, up to 26
//!        4066  26  the first bytes of its first key, filled up with zeros
//!        4092   4  CRC-32 of everything before
//!
//! index     0   8  offset of the data block
//! entry     8   4  bytes of it
//!          12   4  CRC-32 of it
//!          16  16  the first bytes of its first key behind the shared ones, filled up with zeros
//!
//! table     0      63 buckets of 64 bytes: sixteen slots of four bytes, each a block and a key's fingerprint
//! page   4032      zero
//!        4092   4  CRC-32 of everything before
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
//! A data block is closed once it holds 1024 bytes; a large entry makes a large block. One key is found by the table,
//! and what follows a key by the index, which also stands in where the table does not know. Opening reads the footer
//! alone. Each page and block is checked before its first use by this process, or each time it is read, so a flipped
//! bit is [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), never a wrong answer, and what is sound beside it stays readable.

mod index;
mod table;
mod verify;
mod writer;

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, OnceLock};

use index::{IndexEntry, Page};
use table::{Candidates, Layout};
pub(crate) use writer::write;

use crate::Map;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Error, Named, Result};
use crate::fingerprint::{Fingerprint, GROUP};
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
    index_pages: usize,
    table_pages: usize,
    table: Option<Layout>,
}

#[derive(Debug)]
enum Content {
    /// With one bit for each data block, then one for each page: checked since it was opened.
    Mapped(Map, Box<[AtomicU64]>),
    /// With the pages of index and table that were read and checked.
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
        let index_pages = blocks.div_ceil(INDEX_ENTRIES);
        let index_end = index_pages.checked_mul(INDEX_PAGE).and_then(|length| length.checked_add(index));
        let table = index_end.and_then(|end| start.checked_sub(end)).filter(|length| length % INDEX_PAGE == 0);
        let Some(table) = table else { return damage(start, "the index does not fit the file") };
        let table_pages = table / INDEX_PAGE;
        let pages = index_pages + table_pages;
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
        let table = Layout::new(table_pages, blocks);
        Ok(Self { name, reference, commits, content, blocks, index, index_pages, table_pages, table })
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
    pub(crate) fn get(&self, key: &[u8], fingerprint: Fingerprint) -> Result<Option<Item<'_>>> {
        let Some(candidates) = self.candidates(fingerprint) else {
            let block = self.block_of(key)?;
            return block.map_or(Ok(None), |block| self.get_in(block, key));
        };
        for block in candidates {
            if let Some(item) = self.get_in(block, key)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    fn get_in(&self, block: usize, key: &[u8]) -> Result<Option<Item<'_>>> {
        let mut items = self.items(block)?;
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

    /// The blocks that may hold a key or begin a group, as the table says; `None` when it does not know.
    #[inline]
    fn candidates(&self, fingerprint: Fingerprint) -> Option<impl Iterator<Item = usize> + use<'_>> {
        let layout = self.table?;
        let (page, bucket) = layout.place(fingerprint);
        // A damaged page costs time alone: the index finds everything.
        let page = self.page(self.index_pages + page).ok()?;
        let candidates = Candidates::new(layout, page.bucket(bucket), fingerprint)?;
        Some(candidates.filter(|block| *block < self.blocks))
    }

    /// All entries from `key` on, in order; an error ends them. `None` when none can be of the key's group.
    pub(crate) fn from<'a>(
        &'a self,
        key: &[u8],
        group: Option<Fingerprint>,
    ) -> Option<impl Iterator<Item = Result<Item<'a>>> + use<'a>> {
        let (mut at, mut items, mut error) = match self.start(key, group) {
            Ok(None) => return None,
            Ok(Some((block, items))) => (block, Some(items), None),
            Err(error) => (self.blocks, None, Some(error)),
        };
        let mut passed = at;
        Some(std::iter::from_fn(move || {
            loop {
                if let Some(error) = error.take() {
                    at = self.blocks;
                    items = None;
                    return Some(Err(error));
                }
                match items.as_mut().and_then(Iterator::next) {
                    Some(Some(item)) => return Some(Ok(item)),
                    Some(None) => error = Some(self.malformed(at)),
                    None if at + 1 >= self.blocks => return None,
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
        }))
    }

    /// The block where the entries from `key` on begin, and what of it they are; `None` when none is of the key's group.
    fn start(&self, key: &[u8], group: Option<Fingerprint>) -> Result<Option<(usize, Items<'_>)>> {
        let from = |block| {
            let mut items = self.items(block)?;
            items.skip_keys(|other| other < key);
            Ok((block, items))
        };
        let Some(mut candidates) = group.and_then(|group| self.candidates(group)) else {
            return self.block_of(key)?.or(Some(0)).filter(|block| *block < self.blocks).map(from).transpose();
        };
        if key.len() > GROUP {
            // The table knows where the group begins, which may be blocks before the key.
            return if candidates.next().is_some() { self.start(key, None) } else { Ok(None) };
        }
        for block in candidates {
            let (block, items) = from(block)?;
            match items.clone().next() {
                Some(Some(item)) if item.key.starts_with(key) => return Ok(Some((block, items))),
                Some(None) => return Err(self.malformed(block)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Lets go of the pages that hold these blocks; whoever still looks at them reads them again.
    fn let_go(&self, first: usize, end: usize) {
        let Content::Mapped(map, _) = &self.content else { return };
        let offset = |block: usize| self.index_entry(block).map(|entry| entry.at.start);
        if let (Ok(first), Ok(end)) = (offset(first), offset(end)) {
            map.let_go(first..end);
        }
    }

    /// Says which pages of the table are damaged; each costs time and nothing else.
    pub(crate) fn table_damage(&self) -> impl Iterator<Item = Error> {
        (0..self.table_pages).filter_map(|page| self.page(self.index_pages + page).err())
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

    /// An entry of the index.
    #[inline]
    fn index_entry(&self, block: usize) -> Result<IndexEntry> {
        Ok(self.page(block / INDEX_ENTRIES)?.entry(block % INDEX_ENTRIES))
    }

    /// A checked page of the index or, behind it, of the table.
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
