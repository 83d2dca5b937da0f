//! System calls as plyfs uses them: one function each, errors that read like strace.
//!
//! Every function works relative to a directory descriptor and takes a name, never a joined path, so a
//! caller decides once which tree it is in and cannot leave it by accident. Every descriptor returned is
//! close-on-exec. A failure is a [`CallError`]: the call, what it was called on, and the errno, so that the
//! layers above add only what they know.
//!
//! ```
//! use plyfs_sys::{ErrorKind, fs};
//!
//! let root = fs::open_dir("/")?;
//! let error = fs::open_dir_at(&root, "no-such-directory").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//! assert_eq!(error.to_string(), r#"openat("no-such-directory")"#);
//! # Ok::<(), plyfs_sys::CallError>(())
//! ```
//!
//! [`ErrorKind`] is the vocabulary that all plyfs crates share: each has an opaque `Error` of its own, made
//! by [`define_error!`], and every one of them answers `kind()` in these words.
//!
//! # Guarantees
//!
//! - Nothing here follows a symbolic link in the last component unless its name says so.
//! - `EINTR` is retried where the call may be repeated without changing its meaning.
//! - This crate, the C door and the journal's map file are the only places with `unsafe`.
//!
//! # Limits
//!
//! Linux only. Features newer than Linux 5.6 are probed at run time, never by version.

mod beneath;
pub mod buffer;
mod call;
pub mod descent;
mod error;
pub mod fs;
mod listing;
pub mod lock;
pub mod mount;
pub mod numbers;
mod remove;
pub mod xattr;

pub use call::{CallError, Result, plain, report};
pub use error::ErrorKind;
#[doc(hidden)]
pub use thiserror;
