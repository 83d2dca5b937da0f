//! Many sorted sources as one: the newest word on each key.

use std::iter::Peekable;

use crate::entry::Entry;
use crate::error::Result;

/// A sorted source.
pub(crate) type Source<'a> = Box<dyn Iterator<Item = Result<Entry<'a>>> + 'a>;

/// The entries of several sources in order of their keys; of equal keys the one of the first source.
///
/// An error of any source is given in place of an entry and ends the whole.
pub(crate) struct Merge<'a> {
    sources: Vec<Peekable<Source<'a>>>,
}

impl<'a> Merge<'a> {
    /// Merges `sources`, the newest first.
    pub(crate) fn new(sources: impl IntoIterator<Item = Source<'a>>) -> Self {
        Self { sources: sources.into_iter().map(Iterator::peekable).collect() }
    }

    /// The least key any source is at, or the error one is at.
    fn least(&mut self) -> Option<Result<&'a [u8], usize>> {
        let mut least: Option<&'a [u8]> = None;
        for (number, source) in self.sources.iter_mut().enumerate() {
            match source.peek() {
                None => {}
                Some(Err(_)) => return Some(Err(number)),
                Some(Ok(entry)) => least = Some(least.map_or(entry.key, |least| least.min(entry.key))),
            }
        }
        least.map(Ok)
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.least()? {
            Err(number) => {
                let error = self.sources.swap_remove(number).next();
                self.sources.clear();
                error
            }
            Ok(least) => {
                let at_least = |next: &Result<Entry<'a>>| next.as_ref().is_ok_and(|entry| entry.key == least);
                let mut newest = None;
                for source in &mut self.sources {
                    let entry = source.next_if(at_least);
                    newest = newest.or(entry);
                }
                newest
            }
        }
    }
}

impl std::fmt::Debug for Merge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Merge({} sources)", self.sources.len())
    }
}
