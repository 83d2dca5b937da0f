//! Whole-file advisory locks that end with their holder.
//!
//! `flock(2)` belongs to the open file description: it ends when the last duplicate of the descriptor is
//! closed, so a forked child that inherited it keeps it. That is wanted: what the child may still write is
//! still protected.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{CallError, Result, fs};

/// Shared locks live together, an exclusive one lives alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Others may hold it shared as well.
    Shared,
    /// Nobody else holds it.
    Exclusive,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
#[must_use = "dropping the lock releases it"]
pub struct Lock {
    fd: OwnedFd,
}

impl Lock {
    /// The locked file or directory.
    #[must_use]
    pub fn as_file(&self) -> &OwnedFd {
        &self.fd
    }

    /// The locked file or directory, which stays locked until the last duplicate of the descriptor is closed.
    #[must_use]
    pub fn into_file(self) -> OwnedFd {
        self.fd
    }

    /// Releases it at once, also where a fork of this process that is on its way to become another program still has the
    /// descriptor.
    pub fn release(self) {
        // It ends with the descriptors at the latest.
        let _ = rustix::fs::flock(&self.fd, FlockOperation::Unlock);
    }

    /// Takes the lock on an open file or directory, waiting for others.
    pub fn take(fd: OwnedFd, sharing: Sharing) -> Result<Self> {
        flock(&fd, sharing, true)?;
        Ok(Self { fd })
    }

    /// Takes the lock on an open file or directory, or gives `None` when someone holds it.
    pub fn try_take(fd: OwnedFd, sharing: Sharing) -> Result<Option<Self>> {
        match flock(&fd, sharing, false) {
            Err(error) if error.errno() == Errno::WOULDBLOCK => Ok(None),
            result => result.map(|()| Some(Self { fd })),
        }
    }

    /// Creates `name` below `dir` if need be and locks it, waiting for others.
    ///
    /// A lock file counts only while it is linked: when the holder before removed the file, a new one is
    /// made and locked instead.
    pub fn take_file(dir: impl AsFd, name: impl AsRef<OsStr>, sharing: Sharing) -> Result<Self> {
        let (dir, name) = (dir.as_fd(), name.as_ref());
        loop {
            let fd = fs::open_at(dir, name, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o600))?;
            let lock = Self::take(fd, sharing)?;
            if lock.is_linked_as(dir, name)? {
                return Ok(lock);
            }
        }
    }

    /// Says whether `name` below `dir` is still the locked file.
    pub fn is_linked_as(&self, dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
        fs::is_named(&self.fd, dir, name)
    }

    /// Turns the lock into the other kind without waiting; `false` when someone else holds it.
    ///
    /// The change is not atomic: for an instant the lock may be free.
    pub fn try_convert(&self, sharing: Sharing) -> Result<bool> {
        match flock(&self.fd, sharing, false) {
            Err(error) if error.errno() == Errno::WOULDBLOCK => Ok(false),
            result => result.map(|()| true),
        }
    }
}

fn flock(fd: &OwnedFd, sharing: Sharing, wait: bool) -> Result<()> {
    let operation = match (sharing, wait) {
        (Sharing::Shared, true) => FlockOperation::LockShared,
        (Sharing::Shared, false) => FlockOperation::NonBlockingLockShared,
        (Sharing::Exclusive, true) => FlockOperation::LockExclusive,
        (Sharing::Exclusive, false) => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match rustix::fs::flock(fd, operation) {
            Err(Errno::INTR) => {}
            result => return result.map_err(|errno| CallError::new("flock", "lock", errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_was_removed_does_not_count() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = fs::open_dir(temp.path()).expect("open");
        let first = Lock::take_file(&dir, "lock", Sharing::Exclusive).expect("locked");
        fs::unlink_at(&dir, "lock").expect("removed");

        let second = Lock::take_file(&dir, "lock", Sharing::Exclusive).expect("a new file is not locked");

        assert!(!first.is_linked_as(&dir, "lock").expect("stat"));
        assert!(second.is_linked_as(&dir, "lock").expect("stat"));
    }

    #[test]
    fn a_held_lock_is_refused_without_waiting() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let open = || fs::open_dir(temp.path()).expect("open");
        let held = Lock::take(open(), Sharing::Shared).expect("locked");
        assert!(Lock::try_take(open(), Sharing::Shared).expect("shared").is_some());
        assert!(Lock::try_take(open(), Sharing::Exclusive).expect("refused").is_none());
        drop(held);
        assert!(Lock::try_take(open(), Sharing::Exclusive).expect("free").is_some());
    }
}
