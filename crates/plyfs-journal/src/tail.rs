//! What the log holds, in memory, and a filter before it: most look-ups are of keys that are not in it.

use std::sync::Arc;

use crate::fingerprint::{Fingerprint, GROUP};
use crate::snapshot::Table;

/// Numbers of 64 bits in a filter: eight kilobytes, of which a full log of small commits sets one bit in ten.
const WORDS: usize = 1024;

/// Keys and their values or deletions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    table: Table,
    filter: Filter,
}

impl Tail {
    /// The entries in order.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn insert(&mut self, key: Arc<[u8]>, value: Option<Arc<[u8]>>) {
        self.filter.add(&key);
        self.table.insert(key, value);
    }

    /// What the tail says of a key: nothing, a value, or its deletion.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], fingerprint: Fingerprint) -> Option<&Option<Arc<[u8]>>> {
        if self.filter.may_have(fingerprint) { self.table.get(key) } else { None }
    }

    /// Says whether there may be keys of a group; of all keys when no group is asked for.
    pub(crate) fn may_have(&self, group: Option<Fingerprint>) -> bool {
        group.is_none_or(|group| self.filter.may_have(group))
    }
}

impl FromIterator<(Arc<[u8]>, Option<Arc<[u8]>>)> for Tail {
    fn from_iter<T: IntoIterator<Item = (Arc<[u8]>, Option<Arc<[u8]>>)>>(entries: T) -> Self {
        let mut tail = Self::default();
        entries.into_iter().for_each(|(key, value)| tail.insert(key, value));
        tail
    }
}

impl Extend<(Arc<[u8]>, Option<Arc<[u8]>>)> for Tail {
    fn extend<T: IntoIterator<Item = (Arc<[u8]>, Option<Arc<[u8]>>)>>(&mut self, entries: T) {
        entries.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
}

/// Two bits for each key and each group, in one number: what is not there is told by one load.
#[derive(Clone)]
struct Filter(Box<[u64; WORDS]>);

impl Filter {
    fn add(&mut self, key: &[u8]) {
        self.set(Fingerprint::of(key));
        if key.len() > GROUP {
            Fingerprint::of_group(key).into_iter().for_each(|group| self.set(group));
        }
    }

    fn set(&mut self, fingerprint: Fingerprint) {
        let (word, bits) = place(fingerprint);
        self.0[word] |= bits;
    }

    #[inline]
    fn may_have(&self, fingerprint: Fingerprint) -> bool {
        let (word, bits) = place(fingerprint);
        self.0[word] & bits == bits
    }
}

#[inline]
fn place(Fingerprint(number): Fingerprint) -> (usize, u64) {
    let [low, high, word @ ..] = number.to_le_bytes();
    let word = usize::from(u16::from_le_bytes([word[0], word[1]])) % WORDS;
    (word, 1 << (low % 64) | 1 << (high % 64))
}

impl Default for Filter {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        write!(f, "Filter({set} bits)")
    }
}
