//! What went wrong in an archive or in a tree.
//!
//! Malformed archives and names that leave the root are [`ErrorKind::InvalidInput`], archives that end too early or whose
//! checksums do not hold are [`ErrorKind::Corrupt`]; every other kind is what the kernel answered. An
//! [`std::io::Error`] of the caller's own reader or writer is kept as the source, so that a caller finds its own error again.

use std::io;

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// What went wrong in an archive or in a tree; the message names the path.
    ///
    /// The cause, a failed system call or the error of the caller's own reader, is reached by `source()`.
}

impl Error {
    /// Wraps what the caller's own reader or writer answered.
    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Self {
        let kind = match (source.raw_os_error(), source.kind()) {
            (Some(errno), _) => ErrorKind::from_errno(rustix::io::Errno::from_raw_os_error(errno)),
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => ErrorKind::Corrupt,
            (None, io::ErrorKind::TimedOut) => ErrorKind::TimedOut,
            _ => ErrorKind::Io,
        };
        Self::new(kind, message).because(source)
    }
}
