//! The digest of what goes from one thread to another, computed by whichever of the two would wait.
//!
//! A digest takes the bytes in their order, so only one thread at a time can compute it, but it need not always be the same.
//! To read and digest a long file takes whoever makes an archive twice as long as the other takes to write it, and short
//! files are the other way round. So the maker puts off what is to be digested, up to a bound, and the taker digests some of it
//! instead of waiting for more.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use plyfs_diff::{Digest, DigestWriter};
use plyfs_sys::buffer::Buffer;

/// How many chunks may wait to be digested: 4 MiB, which a processor's cache still holds.
const MOST: usize = 16;

/// Chunks that wait to be digested. It is shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Digesting(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<VecDeque<Arc<Buffer>>>,
    /// Who has it digests, and takes the next chunk while having it: so they come in their order.
    digest: Mutex<DigestWriter<io::Sink>>,
    /// Where a chunk goes that was also taken.
    empty: Sender<Buffer>,
}

impl Digesting {
    /// Nothing is to be digested yet; chunks nobody needs any more go to `empty`.
    pub(crate) fn new(empty: Sender<Buffer>) -> Self {
        let (waiting, digest) = (Mutex::default(), Mutex::new(DigestWriter::new(io::sink())));
        Self(Arc::new(Shared { waiting, digest, empty }))
    }

    /// Puts off a chunk behind those before it.
    pub(crate) fn add(&self, chunk: Arc<Buffer>) {
        locked(&self.0.waiting).push_back(chunk);
    }

    /// Digests a chunk; `false` when none waits, or another thread digests one.
    pub(crate) fn digest_some(&self) -> bool {
        match self.0.digest.try_lock() {
            Ok(digest) => self.0.next(digest),
            Err(TryLockError::Poisoned(poisoned)) => self.0.next(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// Comes back once no more chunks wait than may.
    pub(crate) fn catch_up(&self) {
        while locked(&self.0.waiting).len() > MOST && self.0.next(locked(&self.0.digest)) {}
    }

    /// Digests what is left: the digest and the number of all bytes.
    pub(crate) fn finish(&self) -> (Digest, u64) {
        while self.0.next(locked(&self.0.digest)) {}
        locked(&self.0.digest).tally()
    }
}

impl Shared {
    /// Digests the chunk that has waited longest; `false` when none waits.
    fn next(&self, mut digest: MutexGuard<'_, DigestWriter<io::Sink>>) -> bool {
        let Some(chunk) = locked(&self.waiting).pop_front() else { return false };
        digest.write_all(&chunk).expect("what is dropped takes all");
        drop(digest);
        give_back(chunk, &self.empty);
        true
    }
}

/// Gives a chunk back that was taken and is digested, whichever came last.
pub(crate) fn give_back(chunk: Arc<Buffer>, empty: &Sender<Buffer>) {
    if let Some(chunk) = Arc::into_inner(chunk).filter(|chunk| chunk.size() > 0) {
        empty.send(chunk).ok(); // a maker that is gone needs no chunks
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn buffer(bytes: &[u8]) -> Arc<Buffer> {
        let mut buffer = Buffer::new(bytes.len());
        buffer.fill_from(bytes).expect("memory");
        Arc::new(buffer)
    }

    #[test]
    fn chunks_are_digested_in_their_order_whoever_does_it() {
        let (empty, returned) = channel();
        let digesting = Digesting::new(empty);
        let chunks: Vec<Vec<u8>> = (0..200_u32).map(|number| number.to_be_bytes().repeat(1000)).collect();
        std::thread::scope(|scope| {
            let other = digesting.clone();
            let (end, ended) = channel::<()>();
            scope.spawn(move || {
                while ended.try_recv().is_err() {
                    other.digest_some();
                }
            });
            for chunk in &chunks {
                digesting.add(buffer(chunk));
                digesting.catch_up();
                assert!(locked(&digesting.0.waiting).len() <= MOST);
            }
            assert_eq!(digesting.finish(), (Digest::of(chunks.concat()), 800_000));
            end.send(()).expect("it waits for that");
        });
        assert_eq!(returned.try_iter().count(), chunks.len(), "each comes back");
    }

    #[test]
    fn a_chunk_comes_back_once_it_is_taken_and_digested() {
        let (empty, returned) = channel();
        let digesting = Digesting::new(empty.clone());
        let (first, second) = (buffer(&[1]), buffer(&[2]));
        digesting.add(Arc::clone(&first));
        digesting.add(Arc::clone(&second));
        give_back(first, &empty);
        assert!(returned.try_recv().is_err(), "not digested yet");
        assert!(digesting.digest_some());
        assert_eq!(*returned.try_recv().expect("taken and digested"), [1]);
        assert!(digesting.digest_some());
        assert!(returned.try_recv().is_err(), "not taken yet");
        give_back(second, &empty);
        assert_eq!(*returned.try_recv().expect("digested and taken"), [2]);
        assert!(!digesting.digest_some(), "none waits");
        assert_eq!(digesting.finish(), (Digest::of([1, 2]), 2));
    }
}
