//! The map a journal must be equal to, histories of commits, and how they are run.

use std::collections::BTreeMap;
use std::sync::Arc;

use plyfs_journal::{Disk, Error, Journal, Options, Result, Snapshot, Transaction};

/// What a journal holds.
pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The changes of one commit: keys with values, or without for deletions.
pub(crate) type Commit = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub(crate) fn apply(model: &mut Model, commit: &Commit) {
    for (key, value) in commit {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

/// Writes one commit.
pub(crate) fn write(journal: &Journal, commit: &Commit) -> Result<()> {
    journal.write(|changes: &mut Transaction<'_>| {
        for (key, value) in commit {
            match value {
                Some(value) => changes.put(key, value),
                None => changes.delete(key),
            }
        }
        Ok::<_, Error>(())
    })
}

/// All that a snapshot holds, read both ways.
pub(crate) fn contents(snapshot: &Snapshot) -> Result<Model> {
    let all: Model = snapshot.scan(b"").collect::<Result<_>>()?;
    for (key, value) in &all {
        assert_eq!(snapshot.get(key)?.as_ref(), Some(value), "get and scan differ on {key:?}");
    }
    Ok(all)
}

/// Opens the journal of a disk and reads all of it.
pub(crate) fn read(disk: &Arc<dyn Disk>, options: Options) -> Result<Model> {
    contents(&Journal::open(Arc::clone(disk), options)?.snapshot()?)
}

/// A pseudo-random sequence (SplitMix64), so that a failure comes back.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A commit of one to four changes to sixteen keys, some of several blocks.
    pub(crate) fn commit(&mut self) -> Commit {
        let count = 1 + self.below(4);
        let change = |_| {
            let key = format!("key-{:02}", self.below(16)).into_bytes();
            let length = if self.below(3) == 0 { 600 } else { 20 };
            let byte = u8::try_from(self.below(256)).expect("below 256");
            (key, (self.below(4) != 0).then(|| vec![byte; length]))
        };
        (0..count).map(change).collect()
    }
}
