//! Opening what a mount is made of and where it goes.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plyfs_sys::{CallError, fs};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MoveMountFlags, move_mount};

use crate::{Error, Plan, Result};

/// Opens the mount point a caller named; nothing is read from it.
pub(crate) fn open(target: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(target, flags, Mode::empty())
        .map_err(|errno| Error::mounting("open the mount point", CallError::new("open", target, errno)))
}

/// Opens a directory of the stack, which no symbolic link may lead out of the home.
pub(crate) fn open_layer(plan: &Plan, name: &OsStr, access: OFlags) -> Result<OwnedFd> {
    fs::open_beneath(&plan.stack.home, name, access | OFlags::DIRECTORY, ResolveFlags::empty())
        .map_err(|call| Error::mounting(plan.subject(), call))
}

/// Gives a detached mount its place on the open directory `target`.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
        .map_err(|errno| Error::mounting("attach the mount", CallError::new("move_mount", "", errno)))
}
