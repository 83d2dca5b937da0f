//! Whether two entries are the same to whoever looks at the tree.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_sys::buffer::Buffer;
use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};

use crate::layout::{BUFFER, CAPABILITY};
use crate::upper::Union;
use crate::{Dialect, Entry, Error, Merged, Result, chain, upper};

/// An entry of the upper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upper<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    pub(super) stat: &'a Stat,
    /// From the root, for messages.
    pub(super) path: &'a Path,
}

impl Upper<'_> {
    /// Says whether a directory differs from the one it covers; its length and time say nothing (rule 30).
    pub(super) fn differs_from_directory(&self, lower: &Merged) -> Result<bool> {
        let Some((_, dir)) = lower.parts().next() else { return Ok(true) };
        let Some(stat) = lower.stat()? else { return Ok(true) };
        if facts(self.stat) != facts(&stat) {
            return Ok(true);
        }
        let capability = OsStr::from_bytes(CAPABILITY);
        let below = xattr::get(dir, capability).map_err(|error| self.failed(error))?;
        Ok(self.capability()? != below)
    }

    /// Says whether anything but a directory differs from what it covers.
    pub(super) fn differs_from(&self, lower: &Entry, dialect: Dialect, union: &mut Union) -> Result<bool> {
        let below = lower.stat();
        if facts(self.stat) != facts(below)
            || self.stat.st_size != below.st_size
            || !is_same_time(self.stat, below)
            || self.capability()? != lower.xattr(OsStr::from_bytes(CAPABILITY))?
        {
            return Ok(true);
        }
        match FileType::from_raw_mode(self.stat.st_mode) {
            FileType::RegularFile => self.content_differs(lower, dialect, union),
            FileType::Symlink => {
                let target = fs::read_link_at(self.dir, self.name).map_err(|error| self.failed(error))?;
                Ok(target != lower.read_link()?)
            }
            _ => Ok(false),
        }
    }

    /// Compares the bytes of two files of one length.
    fn content_differs(&self, lower: &Entry, dialect: Dialect, union: &mut Union) -> Result<bool> {
        let upper = fs::open_to_read_at(self.dir, self.name);
        let mut upper = upper.map_err(|error| self.failed(error))?;
        if chain::is_metacopy(&upper, dialect).map_err(|error| self.failed(error))? {
            upper = union.content(self.path)?;
        }
        let below = lower.open()?;
        if is_same_inode(&upper, &below).map_err(|error| self.failed(error))? {
            return Ok(false);
        }
        let length = usize::try_from(self.stat.st_size).unwrap_or(BUFFER).clamp(1, BUFFER);
        let same = is_same_content(File::from(upper), File::from(below), length);
        same.map(|same| !same).map_err(|error| Error::io(format!("compare {:?}", self.path), error))
    }

    fn capability(&self) -> Result<Option<Vec<u8>>> {
        let value = xattr::get_at(self.dir.as_fd(), self.name, OsStr::from_bytes(CAPABILITY));
        value.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: CallError) -> Error {
        upper::failed(self.path, error)
    }
}

/// Says whether a directory shows other facts than the one it covers; its length and time say nothing (rule 30).
pub(super) fn is_other_directory(above: &Merged, lower: &Merged) -> Result<bool> {
    let capability = |dir: &Merged| {
        let value = dir.uppermost().map(|fd| xattr::get(fd, OsStr::from_bytes(CAPABILITY))).transpose();
        value.map_err(|error| upper::failed(dir.path(), error))
    };
    let (Some(stat), Some(below)) = (above.stat()?, lower.stat()?) else { return Ok(true) };
    Ok(facts(&stat) != facts(&below) || capability(above)? != capability(lower)?)
}

/// Says whether two open files are one.
fn is_same_inode(a: &OwnedFd, b: &OwnedFd) -> Result<bool, CallError> {
    let (a, b) = (fs::stat(a)?, fs::stat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// What of an inode shows whatever its type is.
pub(crate) fn facts(stat: &Stat) -> (u32, u32, u32, u64) {
    (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev)
}

/// Times are the same when either side was kept in whole seconds only and the seconds agree (rule 30).
fn is_same_time(a: &Stat, b: &Stat) -> bool {
    let is_coarse = a.st_mtime_nsec == 0 || b.st_mtime_nsec == 0;
    a.st_mtime == b.st_mtime && (is_coarse || a.st_mtime_nsec == b.st_mtime_nsec)
}

/// Compares two files in pieces of `length` bytes.
pub(crate) fn is_same_content(mut a: impl Read, mut b: impl Read, length: usize) -> io::Result<bool> {
    let (mut left, mut right) = (Buffer::new(length), Buffer::new(length));
    loop {
        left.clear();
        right.clear();
        left.fill_from(&mut a)?;
        right.fill_from(&mut b)?;
        if *left != *right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
