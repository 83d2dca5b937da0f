//! Removing a tree whatever it is made of: any depth, attributes that forbid it, mounts in other namespaces.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::descent::Descent;
use crate::{CallError, Result, fs};

/// Removes `name` and, when it is a directory, everything below it; a missing name is fine.
///
/// A bounded number of descriptors serves any depth. Immutable and append-only attributes are taken off what
/// is to go. Symbolic links are removed, never followed. What is mounted inside in the caller's mount namespace
/// stops it with `EBUSY` before anything of it is touched; a mount in another namespace ends with its mount point.
pub fn remove_tree(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    remove_tree_while(dir, name, || true).map(drop)
}

/// The same as long as `go_on` says so, which is asked before each name; `false` when it stopped with something left.
pub fn remove_tree_while(dir: impl AsFd, name: impl AsRef<OsStr>, mut go_on: impl FnMut() -> bool) -> Result<bool> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    if !go_on() {
        return Ok(false);
    }
    if remove_name(dir, name)? == Found::Directory {
        if !empty(dir, name, &mut go_on)? {
            return Ok(false);
        }
        gone(insist(|| fs::remove_dir_at(dir, name), || thaw(dir, name)))?;
    }
    Ok(true)
}

/// Renames `from` to `to`, a free name in another directory of the same file system, whatever it is and whatever
/// attributes forbid it; a missing one is fine.
///
/// A rename within one file system costs the same for any tree. Mounts below `from` move along.
pub fn move_tree(from_dir: impl AsFd, from: impl AsRef<OsStr>, to_dir: impl AsFd, to: impl AsRef<OsStr>) -> Result<()> {
    let (from_dir, from, to_dir, to) = (from_dir.as_fd(), from.as_ref(), to_dir.as_fd(), to.as_ref());
    gone(insist(|| fs::rename_at(from_dir, from, to_dir, to), || thaw(from_dir, from)))
}

#[derive(PartialEq)]
enum Found {
    Gone,
    Directory,
}

/// Removes the name of anything but a directory.
fn remove_name(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Found> {
    match insist(|| fs::unlink_at(dir, name), || thaw(dir, name)) {
        Err(error) if error.errno() == Errno::ISDIR => Ok(Found::Directory),
        result => gone(result).map(|()| Found::Gone),
    }
}

/// Removes everything below the directory `name`, unless it is stopped.
fn empty(dir: BorrowedFd<'_>, name: &OsStr, go_on: &mut dyn FnMut() -> bool) -> Result<bool> {
    // Entered from its parent, so that a mount on the name itself is seen; the parent is never left upwards.
    let mut descent = Descent::new(fs::open_dir_at(dir, ".")?)?;
    let mut open = Vec::new();
    enter(&mut descent, name.to_owned(), &mut open)?;
    while let Some((name, names)) = open.last_mut() {
        if !go_on() {
            return Ok(false);
        }
        if let Some(next) = names.pop() {
            if remove_inside(&descent, &next)? == Found::Directory {
                enter(&mut descent, next, &mut open)?;
            }
            continue;
        }
        let done = std::mem::take(name);
        open.pop();
        descent.leave()?;
        if !open.is_empty() {
            let here = descent.dir();
            gone(insist(|| fs::remove_dir_at(here, &done), || thaw(here, &done) | thaw_open(here)))?;
        }
    }
    Ok(true)
}

/// A directory that is being emptied, and those of its names that are left.
type Open = (OsString, Vec<OsString>);

fn enter(descent: &mut Descent, name: OsString, open: &mut Vec<Open>) -> Result<()> {
    match descent.enter(&name) {
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) if error.errno() == Errno::XDEV => return Err(CallError::new("rmdir", &name, Errno::BUSY)),
        result => result?,
    }
    let names = fs::read_dir(descent.dir())?.into_iter().map(|entry| entry.name).collect();
    open.push((name, names));
    Ok(())
}

/// Removes a name in a directory that goes itself, whose attributes may be in the way too.
fn remove_inside(descent: &Descent, name: &OsStr) -> Result<Found> {
    let dir = descent.dir();
    match insist(|| fs::unlink_at(dir, name), || thaw(dir, name) | thaw_open(dir)) {
        Err(error) if error.errno() == Errno::ISDIR => Ok(Found::Directory),
        result => gone(result).map(|()| Found::Gone),
    }
}

fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

/// Calls again when the call was forbidden and an attribute that forbids it was taken off.
fn insist(call: impl Fn() -> Result<()>, thaw: impl FnOnce() -> bool) -> Result<()> {
    match call() {
        Err(error) if error.errno() == Errno::PERM && thaw() => call(),
        result => result,
    }
}

/// Takes the attributes immutable and append-only off a file or directory; says whether one was there.
fn thaw(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    // Only these two are opened: opening a device may do something.
    let has_attributes = fs::stat_at(dir, name)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    has_attributes && fs::open_at(dir, name, flags, Mode::empty()).is_ok_and(thaw_open)
}

fn thaw_open(fd: impl AsFd) -> bool {
    let fd = fd.as_fd();
    let frozen = IFlags::IMMUTABLE | IFlags::APPEND;
    rustix::fs::ioctl_getflags(fd)
        .is_ok_and(|flags| flags.intersects(frozen) && rustix::fs::ioctl_setflags(fd, flags - frozen).is_ok())
}
