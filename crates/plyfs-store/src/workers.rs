//! How many threads the operations of one open store may have beside those of their callers.
//!
//! Whoever can use more threads asks for [`Workers`]: it gets as many as are free, at once, perhaps none, and starts no
//! more. So the work of one store is bounded by one number, whatever its callers do at the same time, and nothing waits
//! for threads: who gets none does the work on the thread it has.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Store;

/// Threads that nobody has taken.
#[derive(Debug)]
pub(crate) struct FreeWorkers(AtomicUsize);

impl FreeWorkers {
    /// `count`, or one for each core this process may use.
    pub(crate) fn new(count: Option<usize>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(AtomicUsize::new(count.unwrap_or_else(cores)))
    }

    fn take(&self, most: usize) -> usize {
        let take = |free: usize| free.saturating_sub(most);
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| Some(take(free)));
        before.unwrap_or_default().min(most)
    }
}

/// Threads that may be started until this is dropped.
#[derive(Debug)]
#[must_use = "the threads may be started while this is held"]
pub struct Workers {
    store: Store,
    count: usize,
}

impl Workers {
    /// How many threads may be started; may be none.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.store.0.workers.0.fetch_add(self.count, Ordering::AcqRel);
    }
}

impl Store {
    /// Takes as many of the store's threads as are free, at most `most`; does not wait.
    ///
    /// [`StoreOptions::threads`](crate::StoreOptions::threads) says how many there are in all.
    pub fn workers(&self, most: usize) -> Workers {
        Workers { store: self.clone(), count: self.0.workers.take(most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_what_another_has() {
        let free = FreeWorkers::new(Some(3));
        assert_eq!(free.take(2), 2);
        assert_eq!(free.take(usize::MAX), 1);
        assert_eq!(free.take(1), 0);
        free.0.fetch_add(2, Ordering::AcqRel);
        assert_eq!(free.take(5), 2);
    }
}
