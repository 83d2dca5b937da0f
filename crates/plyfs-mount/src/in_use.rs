//! Whether a directory is the upper of some mount: the kernel alone knows of those in every mount namespace.

use std::ffi::OsString;
use std::os::fd::AsFd;

use nix::mount::{MntFlags, MsFlags};
use plyfs_sys::CallError;
use rustix::io::Errno;

use crate::aside::magic_path;
use crate::error::from_nix;
use crate::layout::OVERLAY;
use crate::{Error, Result};

/// Says whether a mount, in whatever namespace and seen by whomever, has `upper` as its upper directory.
///
/// The kernel is asked for a mount that it can only refuse, before it writes anything: one with an index, which an upper
/// directory that is in use is first of all refused (`EBUSY`, since Linux 4.13), and whose work directory is its upper
/// directory, which is refused next (`EINVAL`). It says so in its log, so this is for the rare case where nothing else
/// tells. Needs `CAP_SYS_ADMIN` and `/proc`.
pub fn is_upper_in_use(upper: impl AsFd) -> Result<bool> {
    let path = magic_path(&upper);
    let mut options = OsString::from("index=on");
    for key in [",lowerdir=", ",upperdir=", ",workdir="] {
        options.push(key);
        options.push(&path);
    }
    let mounted = nix::mount::mount(Some(OVERLAY), &path, Some(OVERLAY), MsFlags::MS_RDONLY, Some(options.as_os_str()));
    match mounted.map_err(from_nix) {
        Err(Errno::BUSY) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(errno) => Err(Error::mounting("an upper directory", CallError::new("mount", options, errno))),
        Ok(()) => {
            // No kernel does so; one that did has nothing else over it.
            let _ = nix::mount::umount2(&path, MntFlags::MNT_DETACH);
            Ok(false)
        }
    }
}
