//! The index of a run: where each data block begins and with what key, in pages that are searched in place.
//!
//! Keys of one kind often begin alike (`tdocker.io/library/…`), so a page states how many bytes all its keys share, and
//! its entries hold what comes after those. The page itself holds the beginning of its first key; nearly every search
//! ends without a look into the data.

use std::ops::Range;

use crate::layout::{
    INDEX_ENTRIES, INDEX_ENTRY, INDEX_HEAD, INDEX_PAGE, INDEX_PREFIX, TABLE_BUCKET, narrow, u32_at, u64_at, wide,
};

/// Where the number of shared bytes stands in a page.
const SHARED: usize = INDEX_ENTRIES * INDEX_ENTRY;
/// Where the beginning of the first key stands.
const HEAD: usize = SHARED + 2;

const _: () = assert!(HEAD + INDEX_HEAD + 4 == INDEX_PAGE);

/// One entry of a page.
pub(super) struct IndexEntry {
    pub(super) at: Range<usize>,
    pub(super) checksum: u32,
}

/// A page whose checksum was found right.
#[derive(Clone, Copy)]
pub(super) struct Page<'a>(pub(super) &'a [u8]);

impl<'a> Page<'a> {
    #[inline]
    pub(super) fn entry(self, number: usize) -> IndexEntry {
        let entry = self.bytes(number);
        let offset = narrow(u64_at(entry, 0));
        IndexEntry { at: offset..offset.saturating_add(u32_at(entry, 8) as usize), checksum: u32_at(entry, 12) }
    }

    /// The beginning of the page's first key.
    #[inline]
    pub(super) fn head(self) -> &'a [u8] {
        &self.0[HEAD..HEAD + INDEX_HEAD]
    }

    /// What a key has beyond the bytes that all keys of the page share; `None` for one that does not share them.
    #[inline]
    pub(super) fn rest(self, key: &[u8]) -> Option<&[u8]> {
        let shared = usize::from(u16::from_le_bytes([self.0[SHARED], self.0[SHARED + 1]])).min(INDEX_HEAD);
        key.strip_prefix(&self.head()[..shared])
    }

    /// The first bytes of an entry's key beyond the shared ones.
    #[inline]
    pub(super) fn prefix(self, number: usize) -> u128 {
        prefix(&self.bytes(number)[INDEX_ENTRY - INDEX_PREFIX..])
    }

    /// The bucket of a page of the table that begins there.
    #[inline]
    pub(super) fn bucket(self, start: usize) -> &'a [u8; TABLE_BUCKET] {
        self.0[start..].first_chunk().expect("a bucket ends within its page")
    }

    #[inline]
    fn bytes(self, number: usize) -> &'a [u8] {
        &self.0[number * INDEX_ENTRY..][..INDEX_ENTRY]
    }
}

/// The first bytes of a key, filled up with zeros, as one number: one comparison orders two.
///
/// Zero is the least byte, so numbers that differ are ordered as their keys are.
#[inline]
pub(super) fn prefix(key: &[u8]) -> u128 {
    u128::from_be_bytes(filled(key))
}

/// The first bytes of a key, filled up with zeros.
#[inline]
pub(super) fn filled<const LENGTH: usize>(key: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let length = key.len().min(LENGTH);
    bytes[..length].copy_from_slice(&key[..length]);
    bytes
}

/// An index as it grows: its pages as they will be written, and the blocks of the last one.
#[derive(Default)]
pub(super) struct Index {
    pages: Vec<[u8; INDEX_PAGE]>,
    blocks: Vec<Block>,
}

struct Block {
    offset: u64,
    length: u32,
    checksum: u32,
    /// As much of the first key as a page may need, and how much of it is the key's.
    key: [u8; INDEX_HEAD + INDEX_PREFIX],
    known: usize,
}

impl Block {
    fn key(&self) -> &[u8] {
        &self.key[..self.known]
    }
}

impl Index {
    /// Adds a data block that begins with `key`.
    pub(super) fn push(&mut self, offset: u64, block: &[u8], key: &[u8]) {
        if self.blocks.len() == INDEX_ENTRIES {
            self.pages.push(page(&self.blocks));
            self.blocks.clear();
        }
        let length = u32::try_from(block.len()).expect("a block is one bounded entry beyond 1024 bytes at most");
        let known = key.len().min(INDEX_HEAD + INDEX_PREFIX);
        self.blocks.push(Block { offset, length, checksum: crc32fast::hash(block), key: filled(key), known });
    }

    /// The number of data blocks.
    pub(super) fn blocks(&self) -> u64 {
        wide(self.pages.len() * INDEX_ENTRIES + self.blocks.len())
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = [u8; INDEX_PAGE]> {
        let last = (!self.blocks.is_empty()).then(|| page(&self.blocks));
        self.pages.iter().copied().chain(last)
    }
}

fn page(blocks: &[Block]) -> [u8; INDEX_PAGE] {
    let mut page = [0; INDEX_PAGE];
    let [first, ..] = blocks else { return page };
    // They ascend: what the first and the last share, all share. One alone shares nothing.
    let last = blocks[1..].last().map_or(&[][..], Block::key);
    let shared = first.key().iter().zip(last).take(INDEX_HEAD).take_while(|(a, b)| a == b).count();
    for (block, entry) in blocks.iter().zip(page.chunks_exact_mut(INDEX_ENTRY)) {
        entry[..8].copy_from_slice(&block.offset.to_le_bytes());
        entry[8..12].copy_from_slice(&block.length.to_le_bytes());
        entry[12..16].copy_from_slice(&block.checksum.to_le_bytes());
        entry[16..].copy_from_slice(&block.key[shared..shared + INDEX_PREFIX]);
    }
    page[SHARED..HEAD].copy_from_slice(&u16::try_from(shared).expect("a few bytes").to_le_bytes());
    page[HEAD..HEAD + INDEX_HEAD].copy_from_slice(&first.key[..INDEX_HEAD]);
    seal(&mut page);
    page
}

/// Ends a page with the checksum of all before.
pub(super) fn seal(page: &mut [u8; INDEX_PAGE]) {
    let checksum = crc32fast::hash(&page[..INDEX_PAGE - 4]);
    page[INDEX_PAGE - 4..].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_what_its_keys_share_and_no_more() {
        let index = |keys: &[&[u8]]| {
            let mut index = Index::default();
            keys.iter().for_each(|key| index.push(0, b"block", key));
            index.pages().next().expect("a page")
        };
        let page = index(&[b"tdocker.io/library/a", b"tdocker.io/library/b", b"tdocker.io/zero"]);
        assert_eq!(Page(&page).rest(b"tdocker.io/x"), Some(&b"x"[..]));
        assert_eq!(Page(&page).rest(b"tdocker"), None);
        assert_eq!(Page(&page).prefix(2), prefix(b"zero"));
        // What fills up a short key is no part of it.
        let page = index(&[b"\0\0", b"\0\0\0\0", b"\0\0\0\0\0"]);
        assert_eq!(Page(&page).rest(b"\0\0\0"), Some(&b"\0"[..]));
        let page = index(&[b"alone"]);
        assert_eq!(Page(&page).rest(b"other"), Some(&b"other"[..]));
    }
}
