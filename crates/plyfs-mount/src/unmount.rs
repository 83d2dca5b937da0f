//! Ending a mount: here, or in every mount namespace that got a copy of it.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use nix::mount::MntFlags;
use plyfs_sys::{CallError, fs};
use rustix::io::Errno;

use crate::aside::magic_path;
use crate::error::from_nix;
use crate::{Error, ErrorKind, Result};

/// What becomes of files that are still open inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unmount {
    /// They keep it: [`ErrorKind::Busy`].
    Plain,
    /// The mount leaves the tree at once and ends with the last of them (`MNT_DETACH`).
    Detach,
}

/// Unmounts the topmost mount at `target`; a symbolic link there is not followed.
///
/// Nothing mounted, or nothing there at all, is [`ErrorKind::NotFound`].
pub fn unmount(target: impl AsRef<Path>, how: Unmount) -> Result<()> {
    let target = target.as_ref();
    end(target, target, how)
}

/// Unmounts what is mounted at `name` below the open directory `parent`; see [`unmount`].
pub fn unmount_at(parent: impl AsFd, name: impl AsRef<OsStr>, how: Unmount) -> Result<()> {
    let name = Path::new(name.as_ref());
    end(&magic_path(parent).join(name), name, how)
}

/// Unmounts `path`; errors call it `shown`.
fn end(path: &Path, shown: &Path, how: Unmount) -> Result<()> {
    let flags = match how {
        Unmount::Plain => MntFlags::UMOUNT_NOFOLLOW,
        Unmount::Detach => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    let result = nix::mount::umount2(path, flags).map_err(|errno| CallError::new("umount2", shown, from_nix(errno)));
    result.map_err(|call| match call.errno() {
        // umount2(2): EINVAL is "not a mount point"; the flags above are always valid.
        Errno::INVAL => Error::new(ErrorKind::NotFound, format!("nothing is mounted at {shown:?}")).because(call),
        Errno::NOENT => Error::new(ErrorKind::NotFound, format!("no mount point {shown:?}")).because(call),
        Errno::BUSY => Error::new(ErrorKind::Busy, format!("{shown:?} is in use")).because(call),
        _ => Error::mounting(format!("unmount {shown:?}"), call),
    })
}

/// Removes the mount point `name` below `parent`, and with it the mounts on it in every mount namespace (rule 69).
///
/// The cure for a mount that another container's namespace holds: files still open inside go on working until they are
/// closed. The directory under the mounts must be empty; it is gone afterwards. A missing one is fine.
pub fn detach_everywhere(parent: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let (parent, name) = (parent.as_fd(), name.as_ref());
    // rmdir(2) refuses a mount point of the caller's own namespace, and only of that one.
    loop {
        match unmount_at(parent, name, Unmount::Detach) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    match fs::remove_dir_at(parent, name) {
        Err(call) if call.is_not_found() => Ok(()),
        result => result.map_err(|call| Error::mounting(format!("remove the mount point {name:?}"), call)),
    }
}
