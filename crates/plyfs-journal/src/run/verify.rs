//! Whether a run is right beyond its checksums: each key lies in its order, and is found where it lies.
//!
//! Checksums tell what the disk changed. A table or an index that was written wrong has right ones, and a key that it does
//! not find is a wrong answer: the key's value in an older run, or none.

use super::Run;
use crate::error::Error;
use crate::fingerprint::{Fingerprint, GROUP};
use crate::layout::{INDEX_ENTRIES, INDEX_PAGE, wide};

/// Keys that something of a run does not find.
#[derive(Default)]
struct Unfound {
    /// Where that which should find it lies, and the first of them.
    first: Option<(usize, Vec<u8>)>,
    more: u64,
}

impl Unfound {
    fn note(&mut self, at: usize, key: &[u8]) {
        match self.first {
            None => self.first = Some((at, key.to_vec())),
            Some(_) => self.more += 1,
        }
    }

    fn into_error(self, name: &str, what: &str) -> Option<Error> {
        let (at, key) = self.first?;
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        Some(Error::damage(name, wide(at), &format!("{what} key {}{more}", key.escape_ascii())))
    }
}

impl Run {
    /// What of the run is wrong though its checksums are right, an error for each kind of thing; none of a sound one.
    ///
    /// All of it is read and every key looked up. Blocks and pages with a wrong checksum are passed over.
    pub(crate) fn misleading(&self) -> impl Iterator<Item = Error> {
        let [mut disordered, mut unindexed, mut untabled, mut ungrouped] = <[Unfound; 4]>::default();
        let mut last: Option<Vec<u8>> = None;
        for block in 0..self.blocks {
            let Ok(items) = self.items(block) else { continue };
            for item in items.flatten() {
                let key: &[u8] = &item.key;
                if last.as_deref().is_some_and(|last| last >= key) {
                    disordered.note(self.index_entry(block).map_or(self.index, |entry| entry.at.start), key);
                }
                if self.block_of(key).is_ok_and(|found| found != Some(block)) {
                    unindexed.note(self.index + block / INDEX_ENTRIES * INDEX_PAGE, key);
                }
                let is_first =
                    key.len() >= GROUP && !last.as_deref().is_some_and(|last| last.starts_with(&key[..GROUP]));
                let checks = [(&mut untabled, Some(key)), (&mut ungrouped, key.get(..GROUP).filter(|_| is_first))];
                for (unfound, sought) in checks {
                    if let Some(sought) = sought
                        && !self.is_tabled(sought, block)
                    {
                        unfound.note(self.table_page(sought), key);
                    }
                }
                last = Some(key.to_vec());
            }
        }
        let name = &self.name;
        [
            disordered.into_error(name, "out of order:"),
            unindexed.into_error(name, "the index does not find"),
            untabled.into_error(name, "the table does not find"),
            ungrouped.into_error(name, "the table does not find the group of"),
        ]
        .into_iter()
        .flatten()
    }

    /// Says whether the table names this block for a key or a group; where it does not know, the index is asked instead.
    fn is_tabled(&self, sought: &[u8], block: usize) -> bool {
        self.candidates(Fingerprint::of(sought)).is_none_or(|mut candidates| candidates.any(|named| named == block))
    }

    /// Where the page of the table lies that should name a key or a group.
    fn table_page(&self, sought: &[u8]) -> usize {
        let page = self.table.map_or(0, |layout| layout.place(Fingerprint::of(sought)).0);
        self.index + (self.index_pages + page) * INDEX_PAGE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::DirDisk;
    use crate::disk::Disk;
    use crate::entry::Entry;
    use crate::error::Result;
    use crate::generation::Reading;
    use crate::layout::{INDEX_ENTRY, RUN_HEADER, TABLE_BUCKET};
    use crate::run::{index, write};
    use crate::slice::{Item, Slice};

    /// A key of one of three groups; 60 of them make about four blocks.
    fn key(number: usize) -> Vec<u8> {
        let mut key = vec![b'a' + u8::try_from(number / 20).expect("three groups"); GROUP];
        key.extend(format!("{number:04}").bytes());
        key
    }

    /// Writes a run, lets `spoil` change its bytes, and opens it.
    fn spoiled(spoil: impl FnOnce(&Run, &mut [u8])) -> Run {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let directory = plyfs_sys::fs::open_dir(temp.path()).expect("it is there");
        let disk: Arc<dyn Disk> = Arc::new(DirDisk::new(directory));
        let keys: Vec<_> = (0..60).map(key).collect();
        let item = |key| Ok(Item { key: Slice::Borrowed(key), value: Some(Slice::Borrowed(&[7; 20])) });
        let written: Result<_> = write(&disk, 1, &(1..=1), keys.iter().map(|key| item(key)));
        let reference = written.expect("written").expect("there are entries");
        let run = Run::open(&*disk, reference, Reading::Copied).expect("opened");
        let name = temp.path().join(&run.name);
        let mut bytes = std::fs::read(&name).expect("read");
        spoil(&run, &mut bytes);
        let pages = run.index..run.index + (run.index_pages + run.table_pages) * INDEX_PAGE;
        for page in bytes[pages].as_chunks_mut::<INDEX_PAGE>().0 {
            index::seal(page);
        }
        std::fs::write(&name, bytes).expect("written");
        Run::open(&*disk, reference, Reading::Copied).expect("its checksums are right")
    }

    fn told(run: &Run) -> Vec<String> {
        run.misleading().map(|error| error.to_string()).collect()
    }

    fn expected(run: &Run, offset: usize, what: &str) -> String {
        format!("journal file {}, offset {offset}: {what}", run.name)
    }

    /// Takes the slot of a key or group out of the table.
    fn forget(run: &Run, bytes: &mut [u8], sought: &[u8]) {
        let (layout, fingerprint) = (run.table.expect("it has a table"), Fingerprint::of(sought));
        let (page, bucket) = layout.place(fingerprint);
        let start = run.index + (run.index_pages + page) * INDEX_PAGE + bucket;
        let slots = bytes[start..start + TABLE_BUCKET].as_chunks_mut::<4>().0;
        let is_it = |slot: &&mut [u8; 4]| {
            let above = u32::MAX << (usize::BITS - run.blocks.leading_zeros());
            let number = u32::from_le_bytes(**slot);
            number != 0 && number & above == u32::try_from(fingerprint.0 & 0xffff_ffff).expect("32 bits") & above
        };
        slots.iter_mut().find(is_it).expect("it has a slot").fill(0);
    }

    #[test]
    fn a_sound_run_misleads_nobody() {
        let run = spoiled(|_, _| {});
        assert!(run.blocks > 2, "{} blocks", run.blocks);
        assert_eq!(told(&run), [""; 0]);
    }

    #[test]
    fn a_key_that_the_table_does_not_find_is_told_with_the_place_that_should_name_it() {
        let run = spoiled(|run, bytes| forget(run, bytes, &key(30)));
        assert!(run.get(&key(30), Fingerprint::of(&key(30))).expect("read").is_none(), "a wrong answer");
        let text = String::from_utf8(key(30)).expect("letters");
        let place = run.table_page(&key(30));
        assert_eq!(told(&run), [expected(&run, place, &format!("the table does not find key {text}"))]);
    }

    #[test]
    fn a_group_that_the_table_does_not_find_is_told_by_its_first_key() {
        let group = key(20)[..GROUP].to_vec();
        let run = spoiled(|run, bytes| forget(run, bytes, &group));
        assert!(run.from(&group, Some(Fingerprint::of(&group))).is_none(), "a wrong answer");
        let text = String::from_utf8(key(20)).expect("letters");
        let place = run.table_page(&group);
        assert_eq!(told(&run), [expected(&run, place, &format!("the table does not find the group of key {text}"))]);
    }

    #[test]
    fn a_table_of_nothing_is_told_once_for_each_kind() {
        let run = spoiled(|run, bytes| {
            let start = run.index + run.index_pages * INDEX_PAGE;
            bytes[start..start + run.table_pages * INDEX_PAGE].fill(0);
        });
        let told = told(&run);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].ends_with("0000 and 59 more") && told[1].ends_with("0000 and 2 more"), "{told:?}");
    }

    #[test]
    fn an_index_and_an_order_that_are_wrong_are_told() {
        // The second block's first key is said to be greater than all there is.
        let run = spoiled(|run, bytes| bytes[run.index + INDEX_ENTRY + 16..run.index + 2 * INDEX_ENTRY].fill(0xff));
        let found = told(&run);
        let place = expected(&run, run.index, "the index does not find key ");
        assert!(found.len() == 1 && found[0].starts_with(&place), "{found:?}");

        let run = spoiled(|run, bytes| {
            let block = run.index_entry(0).expect("read").at;
            let length = Entry { key: &key(0), value: Some(&[7; 20]) }.encoded_len();
            let (first, second) = bytes[RUN_HEADER..RUN_HEADER + 2 * length].split_at_mut(length);
            first.swap_with_slice(second);
            let checksum = crc32fast::hash(&bytes[block]);
            bytes[run.index + 12..run.index + 16].copy_from_slice(&checksum.to_le_bytes());
        });
        let found = told(&run);
        assert!(found[0].starts_with(&expected(&run, RUN_HEADER, "out of order: key ")), "{found:?}");
    }
}
