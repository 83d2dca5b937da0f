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

/// A random sequence that its seed repeats, so that a failure comes back.
#[derive(Clone, Debug)]
pub(crate) struct Random(fastrand::Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
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
