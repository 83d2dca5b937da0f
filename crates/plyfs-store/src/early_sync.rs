//! Syncs that run beside the unpacking, so that the one at its end has less left to write.
//!
//! Where files lie on the disk is decided when they are written back, by one thread of the kernel's that a sync wakes. At the
//! end every processor but that one would rest meanwhile. So, every so many bytes that are unpacked, a thread of the store asks
//! for a sync. The kernel's thread then waits where the disk takes no more; to hand long files to the disk one by one
//! (`sync_file_range(2)`) makes whoever unpacks wait instead. Nothing is durable by it and nobody waits for it: who cancels an
//! operation gets the answer at once. Only the last handle of the store waits for the thread, so that nothing of the store is
//! left once that is gone.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;

use plyfs_diff::{Digest, Digested};
use plyfs_sys::fs;

use crate::{Durability, Store};

/// How much of archives is unpacked between the beginnings of two syncs, at least.
const STEP: u64 = 64 << 20;
/// How much must be left to write when an archive ends, so that a sync is begun before what else is to be done with it.
const REST: u64 = 16 << 20;
/// How much is unpacked until it is counted.
const PIECE: u64 = 1 << 20;

/// What was unpacked since the last sync began, and the thread that waits for that.
#[derive(Debug)]
pub(crate) struct EarlySync {
    is_wanted: bool,
    unpacked: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EarlySync {
    /// Syncs where the whole file system is synced in the end, and where the store may have `threads` of its own.
    pub(crate) fn new(durability: Durability, threads: Option<usize>) -> Self {
        let is_wanted = durability == Durability::FileSystem && threads != Some(0);
        Self { is_wanted, unpacked: AtomicU64::new(0), thread: Mutex::new(None) }
    }

    /// Says whether there are any.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Counts `length` bytes more; says whether there are `enough` to sync.
    fn is_due(&self, length: u64, enough: u64) -> bool {
        self.is_wanted && self.unpacked.fetch_add(length, Ordering::Relaxed) + length >= enough
    }

    /// Begins to `sync`, unless that goes on already.
    fn begin(&self, sync: impl FnOnce() + Send + 'static) {
        let mut thread = match self.thread.try_lock() {
            Ok(thread) => thread,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return, // another begins one
        };
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.unpacked.store(0, Ordering::Relaxed);
        // Without a thread the sync at the end has more to do.
        *thread = std::thread::Builder::new().name("plyfs-sync".into()).spawn(sync).ok();
    }
}

impl Drop for EarlySync {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        thread.map(JoinHandle::join);
    }
}

impl Store {
    /// Counts what was unpacked, and begins a sync when there is `enough`.
    fn unpacked(&self, length: u64, enough: u64) {
        if !self.0.early_sync.is_due(length, enough) {
            return;
        }
        // This sync has a descriptor of its own, so that the one which counts is told of a failed write as well.
        let Ok(root) = fs::open_dir_at(&self.0.root, ".") else { return };
        self.0.early_sync.begin(move || drop(fs::sync_filesystem(root)));
    }
}

/// An archive that is counted while it is unpacked.
pub(crate) struct Counted<'a> {
    archive: &'a mut dyn Digested,
    store: &'a Store,
    unpacked: u64,
    has_ended: bool,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(archive: &'a mut dyn Digested, store: &'a Store) -> Self {
        Self { archive, store, unpacked: 0, has_ended: false }
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.archive.fill_buf()?;
        if piece.is_empty() && !self.has_ended {
            self.has_ended = true;
            // While the record is written out.
            self.store.unpacked(std::mem::take(&mut self.unpacked), REST);
        }
        Ok(piece)
    }

    fn consume(&mut self, length: usize) {
        self.archive.consume(length);
        self.unpacked += length as u64;
        if self.unpacked >= PIECE {
            self.store.unpacked(std::mem::take(&mut self.unpacked), STEP);
        }
    }
}

impl Digested for Counted<'_> {
    fn digest(&mut self) -> io::Result<(Digest, u64)> {
        self.archive.digest()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn one_sync_runs_at_a_time_nobody_waits_for_it_and_the_last_handle_does() {
        let early = EarlySync::new(Durability::FileSystem, None);
        let begun = Arc::new(AtomicUsize::new(0));
        let (go, gone) = channel();
        let count = |early: &EarlySync, length| {
            let begun = Arc::clone(&begun);
            if early.is_due(length, STEP) {
                early.begin(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                });
            }
        };
        count(&early, STEP - 1);
        assert!(early.thread.lock().expect("sound").is_none(), "not enough yet");

        let first = Arc::clone(&begun);
        assert!(early.is_due(1, STEP));
        early.begin(move || {
            gone.recv().expect("told to end");
            first.fetch_add(1, Ordering::Relaxed);
        });
        // Returns although the first sync goes on, and begins none.
        count(&early, 3 * STEP);
        assert_eq!(begun.load(Ordering::Relaxed), 0);
        go.send(()).expect("it waits");
        while !early.thread.lock().expect("sound").as_ref().expect("begun").is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        // What was unpacked meanwhile counts for the next.
        count(&early, 1);
        assert!(!early.is_due(STEP - 1, STEP), "counting began anew");
        drop(early);
        assert_eq!(begun.load(Ordering::Relaxed), 2, "dropped before its sync has ended");
    }

    #[test]
    fn nothing_is_synced_early_where_files_are_or_nothing_is_or_no_thread_may_be() {
        let none = [(Durability::Files, None), (Durability::None, None), (Durability::FileSystem, Some(0))];
        for (durability, threads) in none {
            let early = EarlySync::new(durability, threads);
            assert!(!early.is_due(2 * STEP, STEP), "{durability:?}, {threads:?}");
        }
    }
}
