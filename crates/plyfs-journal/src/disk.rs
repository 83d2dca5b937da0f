//! What a journal asks of the directory it lives in: every read, write, sync, rename and lock it makes.
//!
//! The trait exists so that a test can put a disk under a journal that loses and tears what was not synced.

use std::fmt::Debug;

use plyfs_sys::Result;

use crate::{Live, Map};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; enough for a store one may not write.
    Read,
    /// Reading and writing in place.
    Write,
}

/// One directory of plain files.
///
/// Names are short, ASCII and without a slash. Nothing is durable before the file, and for a new, renamed or
/// removed name the directory, is synced.
pub trait Disk: Send + Sync + Debug {
    /// Opens the file `name`, which exists.
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>>;

    /// Creates the empty file `name`, which does not exist, for reading and writing.
    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>>;

    /// Renames a file, replacing what is at `to` in one step.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes the name of a file; whoever has it open or mapped keeps it.
    fn remove(&self, name: &str) -> Result<()>;

    /// The names in the directory, in any order.
    fn list(&self) -> Result<Vec<String>>;

    /// Makes creations, renames and removals durable.
    fn sync(&self) -> Result<()>;

    /// Waits for the exclusive lock on the file `name`, which is created if need be; dropping the value
    /// releases it, and so does the death of the process.
    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>>;

    /// Takes the same lock, or gives `None` when someone holds it.
    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync + Debug {
    /// The length in bytes.
    fn size(&self) -> Result<u64>;

    /// Reads from `offset` until `buffer` is full or the file ends; says how many bytes there were.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `bytes` at `offset`, growing the file if need be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Makes what was written to this file by anyone durable, its length included: `fdatasync(2)`.
    fn sync(&self) -> Result<()>;

    /// The whole content of a file that never changes any more.
    fn map(&self) -> Result<Map>;

    /// Says whether the name it was opened by is still this file's; `None` where that cannot be told without reading.
    fn has_its_name(&self) -> Option<bool> {
        None
    }

    /// The first bytes of a file that is written to and never truncated, where they can be had without a system call for
    /// each look at them.
    fn live(&self) -> Option<Live> {
        None
    }
}

/// A held lock of a [`Disk`]; dropping it releases it.
pub trait DiskLock: Send + Debug {
    /// Says whether the lock still keeps others out: its file is still the one of its name.
    fn counts(&self) -> Result<bool>;
}
