//! Changes that become one commit.

use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{MAX_COMMIT, MAX_KEY};
use crate::snapshot::{Scan, Snapshot, Table, table_source};

/// The newest state of a journal under its lock, and what is to change in it.
///
/// Reads see what was put and deleted here. Nothing is written before the function that was given to
/// [`Journal::write`](crate::Journal::write) returns `Ok`.
#[derive(Debug)]
pub struct Transaction<'a> {
    base: &'a Snapshot,
    changes: Table,
}

/// What a transaction has done.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) table: Table,
    /// Bytes they take in a commit.
    pub(crate) size: usize,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(base: &'a Snapshot) -> Self {
        Self { base, changes: Table::new() }
    }

    /// Gives a key a value, in place of the one it has.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Takes a key away; one that has no value is fine.
    pub fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.into(), None);
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.changes.get(key) {
            Some(value) => Ok(value.as_deref().map(<[u8]>::to_vec)),
            None => self.base.get(key),
        }
    }

    /// Says whether the key has a value.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        match self.changes.get(key) {
            Some(value) => Ok(value.is_some()),
            None => self.base.contains(key),
        }
    }

    /// The keys that start with `prefix` and their values, sorted bytewise; an error ends them.
    pub fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        let sources = std::iter::once(table_source(&self.changes, prefix)).chain(self.base.sources(prefix));
        Scan::new(sources, prefix)
    }

    /// The changes, when they are within the bounds of one commit.
    pub(crate) fn into_changes(self) -> Result<Changes> {
        let entries = self.changes.iter().map(|(key, value)| Entry { key, value: value.as_deref() });
        let size: usize = entries.map(|entry| entry.encoded_len()).sum();
        if size > MAX_COMMIT {
            let message = format!("commit of {size} bytes; the most is {MAX_COMMIT}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if let Some(key) = self.changes.keys().find(|key| key.len() > MAX_KEY) {
            let message = format!("key of {} bytes; the longest is {MAX_KEY}", key.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Changes { table: self.changes, size })
    }
}
