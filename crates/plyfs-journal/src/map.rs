//! Runs in memory: the one file with `unsafe`.
//!
//! Only files that never change any more are mapped. The log, which is written to, is always read.

use std::fmt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;

use memmap2::Mmap;
use rustix::io::Errno;

/// The unchanging bytes of a file, mapped or owned.
pub struct Map(Bytes);

enum Bytes {
    Mapped(Mmap),
    Owned(Box<[u8]>),
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
