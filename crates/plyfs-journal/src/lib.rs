//! A crash-safe key/value log shared by many processes.
//!
//! A [`Journal`] is one directory: a log that commits are appended to, sorted runs that hold what older logs held,
//! and a head that says which of them count. Readers take a [`Snapshot`]: one consistent, durable state, for as
//! long as it is held, without a lock. Writers run a function upon the newest state, a [`Transaction`], alone in
//! all processes; what it puts and deletes is one commit: one append, one sync.
//!
//! ```
//! use std::sync::Arc;
//! use plyfs_journal::{DirDisk, Error, Journal, Options};
//!
//! let directory = tempfile::tempdir().expect("a temporary directory");
//! let disk = Arc::new(DirDisk::new(plyfs_sys::fs::open_dir(directory.path()).expect("open")));
//! let journal = Journal::create(disk, Options::default())?;
//!
//! let before = journal.snapshot()?;
//! journal.write(|records| {
//!     records.put(b"layer/1", b"base");
//!     Ok::<_, Error>(())
//! })?;
//!
//! assert_eq!(journal.snapshot()?.get(b"layer/1")?, Some(b"base".to_vec()));
//! assert_eq!(before.get(b"layer/1")?, None, "a snapshot does not move");
//! # Ok::<(), Error>(())
//! ```
//!
//! A value is bytes; [`Record`] is a way to put tagged fields there so that later versions may add some. All I/O
//! goes through [`Disk`]. The bytes of every file, and the argument why no crash can lose or half do a commit, stand
//! in `FORMAT.md` beside this crate.
//!
//! # Guarantees
//!
//! - A commit whose `write` returned is there after a power cut; one that did not return is there whole or not at all.
//! - A flipped bit is an error that names file and offset, never a wrong answer.
//! - A reader sees nothing that is not durable, and waits for no writer of another process.
//! - After a failed sync nothing more is written through that handle.
//!
//! # Limits
//!
//! A commit is at most 16 MiB, a key or value 1 MiB. A medium that fails under a mapped run raises SIGBUS.

mod batch;
mod disk;
mod error;
mod head;
mod journal;
mod layout;
mod log;
mod map;
mod record;
mod run;
mod view;

pub use disk::{Access, Bytes, DirDisk, Disk, DiskFile};
pub use error::{Error, ErrorKind, Result};
pub use journal::{Journal, Options, Snapshot, Transaction};
pub use record::Record;
pub use view::{Item, Scan};
