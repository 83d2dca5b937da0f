//! Locks of numbers: any count of them in one file, by one descriptor.
//!
//! Each is a lock of one byte of the file, at the offset that the number says; the file stays empty. They belong to the open
//! file description as those of flock(2) do (F_OFD_SETLK, Linux 3.15), and end when its last duplicate is closed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{CallError, Result, fs};

/// The largest offset whose byte can be locked.
const LAST: u64 = (1 << 62) - 1;

/// Locked numbers of one file; dropping it releases them.
#[derive(Debug)]
#[must_use = "dropping it releases the locks"]
pub struct NumberLocks {
    fd: OwnedFd,
}

impl NumberLocks {
    /// Opens the file `name` below `dir`, made if need be; nothing is locked yet.
    pub fn open(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<Self> {
        let fd = fs::open_at(dir, name, OFlags::RDWR | OFlags::CREATE, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { fd })
    }

    /// Locks a number, of which the lower 62 bits count; `false` when someone else holds it.
    pub fn try_take(&self, number: u64) -> Result<bool> {
        self.set(libc::F_WRLCK, number & LAST, 1)
    }

    /// Says whether the locked file is still `name` below `dir`.
    pub fn is_linked_as(&self, dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
        fs::is_named(&self.fd, dir, name)
    }

    /// Releases every number at once, also where a fork of this process still has the descriptor, and removes the file unless
    /// someone else holds a number of it; says whether it is gone.
    ///
    /// Of several that do so at once the last finds nobody.
    pub fn release(self, dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
        let (dir, name) = (dir.as_fd(), name.as_ref());
        self.set(libc::F_UNLCK, 0, 0)?;
        if !self.set(libc::F_WRLCK, 0, 0)? {
            return Ok(false);
        }
        // Another file of this name is somebody else's.
        let removed = match self.is_linked_as(dir, name) {
            Ok(true) => fs::unlink_at(dir, name),
            other => other.map(drop),
        };
        self.set(libc::F_UNLCK, 0, 0)?;
        removed.map(|()| true)
    }

    fn set(&self, kind: libc::c_int, start: u64, count: libc::off_t) -> Result<bool> {
        match set(self.fd.as_fd(), kind, start, count) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(CallError::new("fcntl", "lock", errno)),
        }
    }
}

/// Calls `fcntl(2)` with `F_OFD_SETLK` on so many bytes, 0 for all that follow; rustix does not have it.
#[allow(unsafe_code)]
fn set(fd: BorrowedFd<'_>, kind: libc::c_int, start: u64, count: libc::off_t) -> rustix::io::Result<()> {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::try_from(start).unwrap_or(libc::off_t::MAX),
        l_len: count,
        l_pid: 0,
    };
    // SAFETY: `fd` is open for the call's duration, and the kernel reads one `flock`, which outlives it.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_by_one_until_it_is_released_and_the_last_to_release_removes_the_file() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = fs::open_dir(temp.path()).expect("open");
        let open = || NumberLocks::open(&dir, "numbers").expect("opened");
        let (one, other) = (open(), open());
        for number in [0, 7, u64::MAX] {
            assert!(one.try_take(number).expect("asked"), "{number} is free");
            assert!(one.try_take(number).expect("asked"), "{number} is its own");
            assert!(!other.try_take(number).expect("asked"), "{number} is held");
        }
        assert!(other.try_take(8).expect("asked"), "the one beside is free");

        assert!(!one.release(&dir, "numbers").expect("released"), "the other one holds a number");
        assert!(other.try_take(7).expect("asked"));
        assert!(other.is_linked_as(&dir, "numbers").expect("asked"));
        assert!(other.release(&dir, "numbers").expect("released"));
        assert!(!temp.path().join("numbers").exists());
    }

    #[test]
    fn a_file_that_was_removed_is_told_and_one_made_after_it_is_left_alone() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = fs::open_dir(temp.path()).expect("open");
        let first = NumberLocks::open(&dir, "numbers").expect("opened");
        fs::unlink_at(&dir, "numbers").expect("removed");
        let second = NumberLocks::open(&dir, "numbers").expect("opened");

        assert!(!first.is_linked_as(&dir, "numbers").expect("asked"));
        assert!(first.release(&dir, "numbers").expect("released"));
        assert!(second.is_linked_as(&dir, "numbers").expect("asked"));
    }
}
