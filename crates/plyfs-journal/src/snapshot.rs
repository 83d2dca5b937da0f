//! One state of the journal, and reading in it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::merge::{Merge, Source};
use crate::run::Run;
use crate::slice::{Item, Slice};
use crate::tail::Tail;

/// Keys and their values or deletions, in memory. Of what is about to be written the state and the commit share them.
pub(crate) type Table = BTreeMap<Arc<[u8]>, Option<Arc<[u8]>>>;

/// One consistent, durable state of a journal, for as long as it is kept.
///
/// It holds no lock and hinders nobody; what it reads stays mapped and in memory. A clone is the same state.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) runs: Arc<[Arc<Run>]>,
    pub(crate) tail: Arc<Tail>,
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.find(key)?.map(|value| value.to_vec()))
    }

    /// What `use_it` makes of the value of a key, where it lies: nothing is copied.
    pub fn read<T>(&self, key: &[u8], use_it: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        Ok(self.find(key)?.map(|value| use_it(&value)))
    }

    /// Says whether the key has a value.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.find(key)?.is_some())
    }

    /// The keys that start with `prefix` and their values, sorted bytewise; an error ends them.
    pub fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        Scan::new(self.sources(prefix), prefix)
    }

    /// Shows the keys that start with `prefix` and their values, sorted bytewise, where they lie; the first error ends it.
    pub fn each<E: From<Error>>(
        &self,
        prefix: &[u8],
        show: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let group = Fingerprint::of_group(prefix);
        let mut runs = self.runs.iter().filter_map(|run| run.from(prefix, group));
        if !self.tail.may_have(group) {
            // What belongs to one id is mostly in one place.
            let Some(first) = runs.next() else { return Ok(()) };
            return match runs.next() {
                None => show_all(first, prefix, show),
                Some(second) => show_all(Merge::new([first, second].into_iter().chain(runs).map(boxed)), prefix, show),
            };
        }
        let tail = std::iter::once(table_source(self.tail.table(), prefix));
        show_all(Merge::new(tail.chain(runs.map(boxed))), prefix, show)
    }

    /// What of the runs it is made of is wrong though it can be read; none of sound ones.
    ///
    /// A table that was written wrong has right checksums and gives wrong answers. So each run is read from end to end
    /// and asked for each key it holds; nothing else does that. [`Journal::rewrite_runs`](crate::Journal::rewrite_runs)
    /// is the cure.
    #[must_use]
    pub fn misleading(&self) -> Vec<Error> {
        self.runs.iter().flat_map(|run| run.misleading()).collect()
    }

    fn find(&self, key: &[u8]) -> Result<Option<Slice<'_>>> {
        let fingerprint = Fingerprint::of(key);
        if let Some(value) = self.tail.get(key, fingerprint) {
            return Ok(value.as_deref().map(Slice::Borrowed));
        }
        for run in &*self.runs {
            if let Some(item) = run.get(key, fingerprint)? {
                return Ok(item.value);
            }
        }
        Ok(None)
    }

    /// All that is known of the keys that start with `prefix`, the newest first, and of what follows them.
    pub(crate) fn sources<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Source<'a>> {
        let group = Fingerprint::of_group(prefix);
        let tail = self.tail.may_have(group).then(|| table_source(self.tail.table(), prefix));
        let runs = self.runs.iter().filter_map(move |run| run.from(prefix, group));
        tail.into_iter().chain(runs.map(boxed))
    }
}

fn boxed<'a>(entries: impl Iterator<Item = Result<Item<'a>>> + 'a) -> Source<'a> {
    Box::new(entries)
}

/// Shows the entries that start with `prefix` and have a value.
fn show_all<'a, E: From<Error>>(
    items: impl Iterator<Item = Result<Item<'a>>>,
    prefix: &[u8],
    mut show: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for item in items {
        match item? {
            item if !item.key.starts_with(prefix) => break,
            Item { value: None, .. } => {}
            Item { key, value: Some(value) } => show(&key, &value)?,
        }
    }
    Ok(())
}

/// The entries of a table from `key` on.
pub(crate) fn table_source<'a>(table: &'a Table, key: &[u8]) -> Source<'a> {
    let entries = table.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
    Box::new(
        entries
            .map(|(key, value)| Ok(Item { key: Slice::Borrowed(key), value: value.as_deref().map(Slice::Borrowed) })),
    )
}

/// The keys of one prefix with their values, sorted bytewise.
#[derive(Debug)]
pub struct Scan<'a> {
    merge: Merge<'a>,
    prefix: Box<[u8]>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(sources: impl IntoIterator<Item = Source<'a>>, prefix: &[u8]) -> Self {
        Self { merge: Merge::new(sources), prefix: prefix.into() }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.merge.next()? {
                Err(error) => return Some(Err(error)),
                Ok(item) if !item.key.starts_with(&self.prefix) => {
                    self.merge = Merge::new([]);
                    return None;
                }
                Ok(Item { value: None, .. }) => {}
                Ok(Item { key, value: Some(value) }) => return Some(Ok((key.to_vec(), value.to_vec()))),
            }
        }
    }
}
