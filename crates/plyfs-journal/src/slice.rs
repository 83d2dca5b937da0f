//! Bytes of a run or a table, borrowed where they are mapped and shared where they were read.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::entry::Entry;

/// Bytes that live as long as the run they are of, or as long as they are kept.
#[derive(Clone, Debug)]
pub(crate) enum Slice<'a> {
    Borrowed(&'a [u8]),
    Shared(Arc<[u8]>, Range<usize>),
}

impl<'a> Slice<'a> {
    /// A part of these bytes.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Borrowed(bytes) => Self::Borrowed(&bytes[range]),
            Self::Shared(bytes, whole) => {
                Self::Shared(Arc::clone(bytes), whole.start + range.start..whole.start + range.end)
            }
        }
    }
}

impl Deref for Slice<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes, range) => &bytes[range.clone()],
        }
    }
}

/// An entry as it is found; no value means the key was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) key: Slice<'a>,
    pub(crate) value: Option<Slice<'a>>,
}

impl Item<'_> {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry { key: &self.key, value: self.value.as_deref() }
    }
}

/// All entries of a block; `None` is given once, in place of what is malformed.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    pub(crate) block: Slice<'a>,
    pub(crate) at: usize,
}

impl<'a> Items<'a> {
    /// Passes over entries while `is_before` holds of their keys; the key that ended it.
    pub(crate) fn skip_keys(&mut self, mut is_before: impl FnMut(&[u8]) -> bool) {
        while let Some((entry, rest)) = Entry::split(&self.block[self.at..]) {
            if !is_before(entry.key) {
                return;
            }
            self.at = self.block.len() - rest.len();
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Option<Item<'a>>;

    fn next(&mut self) -> Option<Option<Item<'a>>> {
        if self.at == self.block.len() {
            return None;
        }
        let Some((entry, rest)) = Entry::split(&self.block[self.at..]) else {
            self.at = self.block.len();
            return Some(None);
        };
        let (end, value) = (self.block.len() - rest.len(), entry.value.map(<[u8]>::len));
        let middle = end - value.unwrap_or_default();
        let key = self.block.part(middle - entry.key.len()..middle);
        let value = value.map(|_| self.block.part(middle..end));
        self.at = end;
        Some(Some(Item { key, value }))
    }
}
