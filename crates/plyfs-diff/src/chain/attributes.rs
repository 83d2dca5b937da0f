//! Giving a new directory what the merged view shows for it (rule 51).

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::fs::{self, Gid, Stat, Timespec, Timestamps, Uid};
use plyfs_sys::{CallError, xattr};
use rustix::fs::Mode;

use crate::Dialect;

/// Copies owner, attributes and mode of one open directory to another, and returns the times still to be set.
///
/// The order is that of rule 48: chown clears set-id bits, so the mode follows it. The times are left to the caller,
/// since whatever is made in the directory changes them again (rule 49). Marks of OverlayFS stay where they are, and so
/// do security labels, which belong to a machine and not to a layer (rule 23).
pub(crate) fn copy_directory_attributes(from: impl AsFd, to: impl AsFd) -> Result<Timestamps, CallError> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let named = |call, errno| CallError::new(call, format!("[{}]", to.as_raw_fd()), errno);
    let stat = fs::stat(from)?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(to, Some(owner), Some(group)).map_err(|errno| named("fchown", errno))?;
    for name in xattr::list(from)? {
        let bytes = name.as_bytes();
        if Dialect::owns(bytes) || bytes.starts_with(b"security.") {
            continue;
        }
        if let Some(value) = xattr::get(from, &name)? {
            xattr::set(to, &name, &value)?;
        }
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)).map_err(|errno| named("fchmod", errno))?;
    Ok(times_of(&stat))
}

/// The access and modification times of an inode, as `utimensat(2)` takes them.
#[allow(clippy::useless_conversion, reason = "the widths differ between architectures")]
pub(crate) fn times_of(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().expect("the kernel keeps nanoseconds below 1e9"),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec.into()),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec.into()),
    }
}
