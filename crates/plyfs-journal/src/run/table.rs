//! The table of a run: in which block a key is, if it is in the run at all, found by one look at 64 bytes.
//!
//! A bucket is sixteen *slots* of four bytes. Each key has a slot in the bucket its fingerprint chooses, and so has each group
//! of keys, for the first block that holds one of it. A slot is the number of the block plus one in as many low bits as the
//! number of blocks needs, and bits of the fingerprint above. A bucket with more than sixteen says so in its first slot;
//! its keys are searched in order. So what the table says not to be there is not, and the rest is compared.

use crate::fingerprint::{Fingerprint, GROUP};
use crate::layout::{ENTRY_HEADER, INDEX_PAGE, RUN_BLOCK, TABLE_BUCKET, TABLE_BUCKETS, u32_at, wide};

const SLOTS: usize = TABLE_BUCKET / size_of::<u32>();

/// Slots that are meant to be used in a bucket; one in 80 of them is too full by chance.
const FILL: usize = 9;

/// The first slot of a bucket that is too full.
const TOO_MANY: u32 = u32::MAX;

/// Runs of more blocks have no table: what would be left of the fingerprint tells too little.
const MOST_BLOCKS: usize = 1 << 24;

// A key and its group for each entry of a block that is closed as soon as it can be: what `Table::blocks` counts.
const _: () = assert!(2 * (RUN_BLOCK / ENTRY_HEADER + 1) <= u16::MAX as usize);

/// How the slots of a run's table are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pages: usize,
    /// Low bits of a slot that hold the block.
    bits: u32,
}

impl Layout {
    /// The layout of a table that has `pages` pages, in a run of `blocks` blocks; `None` where there is no table.
    pub(super) fn new(pages: usize, blocks: usize) -> Option<Self> {
        (pages > 0 && blocks <= MOST_BLOCKS).then(|| Self { pages, bits: usize::BITS - blocks.leading_zeros() })
    }

    /// The page of a fingerprint's bucket, and where in it the bucket begins.
    #[inline]
    pub(super) fn place(self, Fingerprint(number): Fingerprint) -> (usize, usize) {
        let buckets = wide(self.pages * TABLE_BUCKETS);
        // The upper half of the number as a fraction of all buckets.
        let bucket = (((number >> 32) * buckets) >> 32) as usize;
        (bucket / TABLE_BUCKETS, bucket % TABLE_BUCKETS * TABLE_BUCKET)
    }

    /// What a slot holds of a fingerprint, in its place above the block.
    #[inline]
    fn tag(self, Fingerprint(number): Fingerprint) -> u32 {
        (number as u32) & self.above()
    }

    /// The bits of a slot above the block.
    #[inline]
    fn above(self) -> u32 {
        u32::MAX << self.bits
    }
}

/// The blocks that a bucket names for a fingerprint, ascending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates<'a> {
    bucket: &'a [u8; TABLE_BUCKET],
    /// One bit for each slot that is left.
    slots: u16,
    block: u32,
}

impl<'a> Candidates<'a> {
    /// `None` when the bucket does not know.
    #[inline]
    pub(super) fn new(layout: Layout, bucket: &'a [u8; TABLE_BUCKET], fingerprint: Fingerprint) -> Option<Self> {
        if u32_at(bucket, 0) == TOO_MANY {
            return None;
        }
        let (above, tag) = (layout.above(), layout.tag(fingerprint));
        let words = bucket.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let mut slots = 0;
        // Most runs do not have the key, and without the place of each slot the processor compares several at once.
        if words.clone().fold(false, |any, slot| any | (slot & above == tag)) {
            for (slot, at) in words.zip(0..) {
                let is_it = slot & above == tag && slot & !above != 0;
                slots |= u16::from(is_it) << at;
            }
        }
        Some(Self { bucket, slots, block: !above })
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.slots == 0 {
            return None;
        }
        let slot = self.slots.trailing_zeros() as usize;
        self.slots &= self.slots - 1;
        Some((u32_at(self.bucket, slot * size_of::<u32>()) & self.block) as usize - 1)
    }
}

/// A table as it grows: eight bytes of memory for each key and group, and nearly as much again while pages are made of it.
#[derive(Default)]
pub(super) struct Table {
    /// The fingerprint of each key and group, in the order of their keys.
    fingerprints: Vec<Fingerprint>,
    /// How many of them each block has.
    blocks: Vec<u16>,
    /// How many of them are in the block that is being filled.
    open: u16,
    group: Vec<u8>,
}

impl Table {
    /// Adds a key of the block that is being filled.
    pub(super) fn push(&mut self, key: &[u8]) {
        if let Some(group) = key.get(..GROUP)
            && *group != *self.group
        {
            self.group.clear();
            self.group.extend(group);
            self.add(Fingerprint::of(group));
        }
        // A key that is its group is there by now: it is the least of it.
        if key.len() != GROUP {
            self.add(Fingerprint::of(key));
        }
    }

    fn add(&mut self, fingerprint: Fingerprint) {
        self.fingerprints.push(fingerprint);
        self.open += 1;
    }

    /// Begins the next block.
    pub(super) fn end_block(&mut self) {
        self.blocks.push(std::mem::take(&mut self.open));
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = [u8; INDEX_PAGE]> {
        let pages = self.fingerprints.len().div_ceil(FILL * TABLE_BUCKETS);
        let layout = Layout::new(pages, self.blocks.len());
        let slots = layout.map_or_else(Vec::new, |layout| self.slots(layout));
        (0..slots.len() / SLOTS / TABLE_BUCKETS).map(move |number| {
            let mut page = [0; INDEX_PAGE];
            let slots = &slots[number * TABLE_BUCKETS * SLOTS..][..TABLE_BUCKETS * SLOTS];
            let (words, _) = page.as_chunks_mut::<4>();
            words.iter_mut().zip(slots).for_each(|(word, slot)| *word = slot.to_le_bytes());
            super::index::seal(&mut page);
            page
        })
    }

    fn slots(&self, layout: Layout) -> Vec<u32> {
        let mut slots = vec![0; layout.pages * TABLE_BUCKETS * SLOTS];
        let mut fingerprints = self.fingerprints.iter();
        for (block, count) in (1_u32..).zip(&self.blocks) {
            for fingerprint in fingerprints.by_ref().take(usize::from(*count)) {
                let (page, start) = layout.place(*fingerprint);
                let bucket = &mut slots[page * TABLE_BUCKETS * SLOTS + start / size_of::<u32>()..][..SLOTS];
                let slot = layout.tag(*fingerprint) | block;
                if bucket[0] == TOO_MANY || bucket.contains(&slot) {
                    continue;
                }
                match bucket.iter_mut().find(|slot| **slot == 0) {
                    Some(free) => *free = slot,
                    None => bucket[0] = TOO_MANY,
                }
            }
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of `count` names, ten to a block, and its pages.
    fn table(count: usize) -> (Layout, Vec<[u8; INDEX_PAGE]>) {
        let mut table = Table::default();
        for number in 0..count {
            table.push(name(number).as_bytes());
            if number % 10 == 9 {
                table.end_block();
            }
        }
        let pages: Vec<_> = table.pages().collect();
        (Layout::new(pages.len(), count / 10).expect("a table"), pages)
    }

    fn name(number: usize) -> String {
        format!("t{number}")
    }

    fn blocks(layout: Layout, pages: &[[u8; INDEX_PAGE]], key: &str) -> Option<Vec<usize>> {
        let fingerprint = Fingerprint::of(key.as_bytes());
        let (page, bucket) = layout.place(fingerprint);
        let bucket = pages[page][bucket..].first_chunk().expect("a bucket");
        Candidates::new(layout, bucket, fingerprint).map(Iterator::collect)
    }

    #[test]
    fn the_table_names_the_block_of_every_key_and_hardly_ever_another() {
        let count = 100_000;
        let (layout, pages) = table(count);
        let (mut unknown, mut wrong) = (0, 0);
        for number in 0..count {
            match blocks(layout, &pages, &name(number)) {
                Some(found) => {
                    assert!(found.contains(&(number / 10)), "{number} is in {found:?}");
                    wrong += found.len() - 1;
                }
                None => unknown += 1,
            }
            wrong += blocks(layout, &pages, &format!("absent-{number}")).map_or(0, |found| found.len());
        }
        // Names that count up must not crowd: by chance one key in 45 meets a full bucket, one in 1000 a wrong block.
        assert!(unknown < count / 30, "{unknown} keys are in buckets that are too full");
        assert!(wrong < count / 300, "{wrong} wrong blocks are named");
    }
}
