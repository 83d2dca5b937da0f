//! Many sorted sources as one: the newest word on each key.

use crate::error::Result;
use crate::slice::Item;

/// A sorted source.
pub(crate) type Source<'a> = Box<dyn Iterator<Item = Result<Item<'a>>> + 'a>;

/// The entries of several sources in order of their keys; of equal keys the one of the first source.
///
/// An error of any source is given in place of an entry and ends the whole.
pub(crate) struct Merge<'a> {
    sources: Vec<(Item<'a>, Source<'a>)>,
    error: Option<crate::error::Error>,
}

impl<'a> Merge<'a> {
    /// Merges `sources`, the newest first.
    pub(crate) fn new(sources: impl IntoIterator<Item = Source<'a>>) -> Self {
        let mut merge = Self { sources: Vec::new(), error: None };
        for mut source in sources {
            match source.next() {
                None => {}
                Some(Ok(item)) => merge.sources.push((item, source)),
                Some(Err(error)) => merge.error = merge.error.or(Some(error)),
            }
        }
        merge
    }

    /// Takes the entry a source is at, and moves it on.
    fn take(&mut self, number: usize) -> Item<'a> {
        let (item, source) = &mut self.sources[number];
        match source.next() {
            Some(Ok(next)) => std::mem::replace(item, next),
            end => {
                let (item, _) = self.sources.remove(number);
                self.error = self.error.take().or(end.and_then(Result::err));
                item
            }
        }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Result<Item<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            self.sources.clear();
            return Some(Err(error));
        }
        let mut least = 0;
        for number in 1..self.sources.len() {
            if *self.sources[number].0.key < *self.sources[least].0.key {
                least = number;
            }
        }
        if self.sources.is_empty() {
            return None;
        }
        // Older sources say of the same key what no longer holds; they come after the least one.
        let mut number = self.sources.len() - 1;
        while number > least {
            if *self.sources[number].0.key == *self.sources[least].0.key {
                self.take(number);
            }
            number -= 1;
        }
        Some(Ok(self.take(least)))
    }
}

impl std::fmt::Debug for Merge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Merge({} sources)", self.sources.len())
    }
}
