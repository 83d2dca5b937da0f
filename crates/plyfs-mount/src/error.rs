//! What went wrong around a mount, and the two errnos that need a word of their own.
//!
//! The kernel explains little: `EPERM` does not say which privilege, `ENODEV` not which device. Every failed call of this
//! crate passes through [`Error::mounting`], which adds what a person needs to act.

use std::path::Path;

use plyfs_sys::CallError;
use rustix::io::Errno;

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// What went wrong in probing, planning, mounting, unmounting or reading the mount table; the message names the path.
    ///
    /// The failed system call, with what the kernel logged for it, is reached by `source()`.
}

impl Error {
    /// Wraps a failed call and explains the errnos whose text would leave the reader guessing.
    pub(crate) fn mounting(message: impl Into<String>, call: CallError) -> Self {
        let mut message = message.into();
        if let Some(explained) = explain(call.errno()) {
            message = format!("{message}: {explained}");
        }
        Self::call(message, call)
    }

    /// The same failure, seen from the path it happened at.
    pub(crate) fn at(self, path: &Path) -> Self {
        Self::new(self.kind(), format!("{:?}", path)).because(self)
    }
}

fn explain(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::PERM => Some("mounting needs CAP_SYS_ADMIN"),
        Errno::NODEV => Some("this kernel has no overlay file system"),
        _ => None,
    }
}

/// Takes nix's errno for the one all our errors carry.
pub(crate) fn from_nix(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}
