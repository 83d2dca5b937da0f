//! Files in memory: the one file with `unsafe`.
//!
//! Runs are mapped, which never change any more, and the first 64 bytes of the one file that tells what is new. The log, which
//! is written to, is always read.

use std::fmt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use memmap2::{Mmap, MmapOptions, MmapRaw, UncheckedAdvice};
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

/// The first 64 bytes of a file that others write to meanwhile: looked at without a system call.
#[derive(Debug)]
pub struct Live(MmapRaw);

impl Live {
    /// How many bytes it shows.
    pub const LEN: usize = 64;

    // No wider: to load a wider number atomically some processors write, and the map is for reading alone.
    const WORDS: usize = Self::LEN / size_of::<usize>();

    /// The bytes as they are now. While somebody writes, some may be new and the others not yet: a checksum has to tell.
    ///
    /// What the writer had written elsewhere before it wrote here is there for who reads it afterwards.
    #[must_use]
    pub fn load(&self) -> [u8; Self::LEN] {
        let words = self.0.as_ptr().cast::<[AtomicUsize; Self::WORDS]>();
        // SAFETY: `live_file` has made the mapping at least 64 bytes long; it begins at a page, so it is aligned; and it is
        // there as long as `self`. Nobody in this process writes through it, and what others write through their
        // descriptors meets atomic loads. The gap: a file that a foreign program truncates and a medium that fails
        // are SIGBUS; no code of this crate truncates the file.
        #[allow(unsafe_code)]
        let words = unsafe { &*words };
        let loaded = words.each_ref().map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        fence(Ordering::Acquire);
        let mut bytes = [0; Self::LEN];
        bytes.as_chunks_mut().0.copy_from_slice(&loaded);
        bytes
    }
}

/// Maps the first 64 bytes of an open file that has as many and is never truncated.
pub(crate) fn live_file(fd: BorrowedFd<'_>) -> rustix::io::Result<Live> {
    if rustix::fs::fstat(fd)?.st_size < 64 {
        return Err(Errno::NODATA);
    }
    let map = MmapOptions::new().len(Live::LEN).map_raw_read_only(&fd);
    map.map(Live).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}
