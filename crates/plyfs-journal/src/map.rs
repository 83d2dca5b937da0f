//! Runs in memory: the one file with `unsafe`.
//!
//! Only files that never change any more are mapped. The log, which is written to, is always read.

use std::fmt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;

use memmap2::{Mmap, UncheckedAdvice};
use rustix::io::Errno;

/// What ranges are rounded to; on a machine with larger pages the kernel refuses what does not fit.
const PAGE: usize = 4096;

/// The unchanging bytes of a file, mapped or owned.
pub struct Map(Bytes);

enum Bytes {
    Mapped(Mmap),
    Owned(Box<[u8]>),
}

impl Map {
    /// Lets the memory of a range go; what is looked at again is read again.
    pub(crate) fn let_go(&self, range: std::ops::Range<usize>) {
        let Bytes::Mapped(map) = &self.0 else { return };
        // Whole pages alone: the ones at the ends are shared with what is still in use.
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end.min(map.len()) / PAGE * PAGE;
        if start < end {
            // SAFETY: the mapping is shared, of a file, and nobody writes through it: MADV_DONTNEED drops page table
            // entries, and the next access finds the same bytes in the file, which by the argument of `map_file`
            // never change.
            #[allow(unsafe_code)]
            let advised = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
            // A kernel that refuses keeps the pages, which is no loss.
            drop(advised);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Map {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(bytes.into()))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.0 {
            Bytes::Mapped(_) => "mapped",
            Bytes::Owned(_) => "owned",
        };
        write!(f, "Map({} bytes {how})", self.len())
    }
}

/// Maps the whole of an open run for reading.
#[allow(unsafe_code)]
pub(crate) fn map_file(fd: BorrowedFd<'_>) -> rustix::io::Result<Map> {
    // SAFETY: memmap2 demands that nobody changes or truncates the file while it is mapped. The callers are
    // `Run::open`, which maps `*.run` files that the head names, and nothing else: `run::write` creates each under
    // a name that is not in use, writes and syncs it before the head names it, and no code of this crate opens
    // a run for writing again or truncates it; removing the name leaves the mapping whole. The gap: a foreign
    // program that writes to the file breaks this, and a medium that fails under a page is SIGBUS.
    let map = unsafe { Mmap::map(&fd) };
    map.map(|map| Map(Bytes::Mapped(map))).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}
