//! A crash-safe key/value log shared by many processes.
//!
//! A [`Journal`] is a directory of a few files that together are one sorted map from bytes to bytes. A **commit**
//! is one [`Transaction`], or those of threads that come at once: all of it or nothing. A [`Snapshot`] is one state,
//! unchanged for as long as it is kept. A [`Record`] is a value of tagged fields of which unknown ones survive.
//!
//! ```text
//! head                     which log and which runs; replaced by a rename
//! 0000000000000007.log     the newest commits, in blocks of 512 bytes; appended to
//! 0000000000000003.run     sorted entries, newest run first, and a table to find them; mapped, never changed
//! 0000000000000001.run
//! synced                   how far the log is durable
//! lock                     held by the one who appends
//! merging                  held by the one who merges runs
//! ```
//!
//! A commit is one write under the lock and one `fdatasync(2)` without it, into space that was filled with zeros before.
//! What threads do that wait for each other is one commit, and commits that wait at once share one sync. When the log is
//! full its content becomes a run and a new log starts: a new *generation*. Runs that have grown are merged outside the
//! lock. The bytes of each file, and what every crash leaves of them, are in the chapter *The journal* of
//! `ARCHITECTURE.md`.
//!
//! ```
//! use std::sync::Arc;
//! use plyfs_journal::{DirDisk, Error, Journal, Options};
//!
//! # let temp = tempfile::tempdir().expect("a temporary directory");
//! # let path = temp.path();
//! let disk = || plyfs_sys::fs::open_dir(path).map(|dir| Arc::new(DirDisk::new(dir)));
//! let journal = Journal::create(disk()?, Options::default())?;
//! journal.write(|changes| {
//!     changes.put(b"layer/base", b"");
//!     changes.put(b"layer/app", b"on base");
//!     Ok::<_, Error>(())
//! })?; // both are durable now
//!
//! let before = journal.snapshot()?;
//! let elsewhere = Journal::open(disk()?, Options::default())?;
//! elsewhere.write(|changes| {
//!     assert!(changes.contains(b"layer/base")?);
//!     changes.delete(b"layer/app");
//!     Ok::<_, Error>(())
//! })?;
//!
//! assert_eq!(journal.snapshot()?.scan(b"layer/").count(), 1);
//! assert_eq!(before.get(b"layer/app")?.as_deref(), Some(&b"on base"[..]), "a snapshot does not change");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - When [`Journal::write`] returns `Ok`, the commit is on the disk, and every later snapshot of any process has
//!   it. After a crash all such commits are there, and of the others each is whole or absent.
//! - Readers take no lock, never wait for a writer, and never see what a power cut could take back.
//! - A torn tail is told from damage. A flipped bit is [`ErrorKind::Corrupt`] with file and offset, or changes no
//!   answer; so is a file that is missing or too short. Blocks of a run fail alone, and [`Salvage`] reads what is sound.
//! - After a failed sync the handle writes nothing more, and nothing that was in doubt is appended to.
//! - Opening reads the head, the log, which is bounded, and the footers of the runs, however much they hold.
//! - All input and output goes through [`Disk`], so that a test can pull the plug.
//!
//! # Limits
//!
//! - Linux. The directory is on one local file system whose `fdatasync` means it and whose device writes 512
//!   bytes whole or not at all; on one that copies on write (btrfs) a commit also writes metadata.
//! - Writers wait for each other while they append, never for each other's syncs. Now and then one writes the full log
//!   as a run meanwhile, which is five syncs and at most the limit of the log. The one that then finds runs to
//!   merge does so before its `write` returns, which takes as long as they are large; nobody waits for that.
//! - A failed write must be reported to every descriptor that is open, as Linux does since 4.13.
//! - A key has at most 64 KiB, a commit 64 MiB. Values are read as a whole.
//! - A medium that fails under a mapped run, or under the mapped file that tells what is new, is `SIGBUS`;
//!   [`Options::mapped`] turns mapping off.
//! - Writing a run takes about 15 bytes of memory for each of its entries, and at most 16 more for one with a long key.
//! - A last commit that the disk replaced by zeros is noticed through `synced` alone; if a power cut took the
//!   newest state of that file as well, it is taken for one that was never written.
//! - A commit whose write has not returned, or whose process was killed, is seen by a handle that is opened then and
//!   syncs it itself, and by those already open from the next write on.
//! - A reader that opens the journal between a failed sync and the mark the writer leaves of it, or after the writer
//!   was killed right there, sees a commit that a power cut before the next write can take.

mod batch;
mod block;
mod checkpoint;
mod dir_disk;
mod disk;
mod entry;
mod error;
mod fingerprint;
mod generation;
mod group;
mod head;
mod journal;
mod layout;
mod log;
mod map;
mod merge;
mod merging;
mod options;
mod record;
mod run;
mod salvage;
mod slice;
mod snapshot;
mod survey;
mod synced;
mod tail;
mod transaction;
mod view;
mod writer;

pub use dir_disk::DirDisk;
pub use disk::{Access, Disk, DiskFile, DiskLock};
pub use error::{Error, ErrorKind, Result};
pub use journal::Journal;
pub use layout::PLAIN_FILES;
pub use map::{Live, Map};
pub use options::Options;
pub use plyfs_sys::CallError;
pub use record::Record;
pub use salvage::Salvage;
pub use snapshot::{Scan, Snapshot};
pub use transaction::Transaction;

/// Locks a mutex; what it guards is whole after a panic elsewhere, since each change is one assignment.
fn guard<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
