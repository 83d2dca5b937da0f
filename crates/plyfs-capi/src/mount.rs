//! Mounts: containers made visible, as guards.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use plyfs::{Mount, MountOptions, Unmount};

use crate::container::plyfs_container;
use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard, shield};
use crate::handle::{Handle, borrow, free, look, output, take};
use crate::input::{self, c_text, only};
use crate::sized::{self, growing};

/// Mount read-only, whatever the container was created with.
pub const PLYFS_MOUNT_READ_ONLY: u64 = 1;
/// Mount writable, whatever the container was created with.
pub const PLYFS_MOUNT_READ_WRITE: u64 = 2;
/// Ignore setuid bits and file capabilities inside.
pub const PLYFS_MOUNT_NOSUID: u64 = 4;
/// Refuse device nodes inside.
pub const PLYFS_MOUNT_NODEV: u64 = 8;
/// Refuse to run programs inside.
pub const PLYFS_MOUNT_NOEXEC: u64 = 16;

/// Detach the mount: it ends in every mount namespace, and programs inside keep what they have open.
pub const PLYFS_UNMOUNT_DETACH: u64 = 1;

/// A container or a layer made visible.
///
/// A container has at most one mount; each handle of it is a guard. What ends one is plyfs_mount_unmount(),
/// plyfs_mount_keep() or plyfs_mount_free().
#[derive(Debug)]
pub struct plyfs_mount {
    mount: Mount,
    path: CString,
}

impl Handle for plyfs_mount {
    const NAME: &'static str = "mount";
}

impl From<Mount> for plyfs_mount {
    fn from(mount: Mount) -> Self {
        Self { path: c_text(mount.path().as_os_str().as_bytes()), mount }
    }
}

/// How to mount; begin with PLYFS_MOUNT_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_mount_options {
    /// sizeof(plyfs_mount_options), set by the caller.
    pub size: usize,
    /// PLYFS_MOUNT_*.
    pub flags: u64,
    /// An existing directory to mount at; NULL for the container's own.
    pub at: *const c_char,
}
growing!(plyfs_mount_options, "mount options", at: *const c_char);

impl plyfs_mount_options {
    /// # Safety
    ///
    /// `at` is NULL or NUL-terminated.
    unsafe fn convert(&self) -> Outcome<MountOptions> {
        let has = |flag| self.flags & flag != 0;
        let access = PLYFS_MOUNT_READ_ONLY | PLYFS_MOUNT_READ_WRITE;
        only(self.flags, access | PLYFS_MOUNT_NOSUID | PLYFS_MOUNT_NODEV | PLYFS_MOUNT_NOEXEC, "mount options")?;
        if self.flags & access == access {
            return Err(Failure::invalid("mount options: read-only and writable at once"));
        }
        let mut options = MountOptions::new()
            .nosuid(has(PLYFS_MOUNT_NOSUID))
            .nodev(has(PLYFS_MOUNT_NODEV))
            .noexec(has(PLYFS_MOUNT_NOEXEC));
        if has(access) {
            options = options.read_only(has(PLYFS_MOUNT_READ_ONLY));
        }
        if !self.at.is_null() {
            // SAFETY: the caller promised a path.
            options = options.at(unsafe { input::path(self.at, "directory to mount at") }?);
        }
        Ok(options)
    }
}

/// Mounts a container; `options` may be NULL. Where it is mounted already, `mount` is one more guard of that mount;
/// PLYFS_ERR_IN_USE when that is at another place or in another mount namespace.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_mount(
    container: *const plyfs_container,
    options: *const plyfs_mount_options,
    mount: *mut *mut plyfs_mount,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container, NULL or a structure of its stated size, a writable place.
        let (container, options, place) = unsafe { (borrow(container)?, sized::read(options)?, output(mount)?) };
        let options = match options {
            // SAFETY: the header demands of the structure what `convert` asks for.
            Some(options) => unsafe { options.convert() }?,
            None => MountOptions::new(),
        };
        place.give(container.container.mount(&options)?.into())
    })
}

/// Ends a container's mount as the flags PLYFS_UNMOUNT_* say; fine when it is not mounted. PLYFS_ERR_IN_USE while a
/// guard of it lives in any process, PLYFS_ERR_BUSY while programs work inside.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_unmount(
    container: *const plyfs_container,
    flags: u64,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        only(flags, PLYFS_UNMOUNT_DETACH, "unmounting")?;
        let how = if flags & PLYFS_UNMOUNT_DETACH == 0 { Unmount::Plain } else { Unmount::Detach };
        // SAFETY: the header demands a live container.
        Ok(unsafe { borrow(container) }?.container.unmount(how)?)
    })
}

/// Where a mount is visible, which lives as long as the handle; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_path(mount: *const plyfs_mount) -> *const c_char {
    // SAFETY: the header demands NULL or a live mount.
    shield(null(), || unsafe { look(mount) }.map_or(null(), |mount| mount.path.as_ptr()))
}

/// Says whether this handle made the mount, and so ends it when freed; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_is_maker(mount: *const plyfs_mount) -> bool {
    // SAFETY: the header demands NULL or a live mount.
    shield(false, || unsafe { look(mount) }.is_some_and(|mount| mount.mount.is_maker()))
}

/// Unmounts and frees the handle, whatever the answer: the honest way out. PLYFS_ERR_IN_USE while another guard of the
/// mount lives, PLYFS_ERR_BUSY while programs work inside; then it stays mounted and plyfs_container_unmount() ends it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_unmount(mount: *mut plyfs_mount, err: *mut *mut plyfs_error) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a mount that the caller owns and uses no more.
        Ok(unsafe { take(mount) }?.mount.unmount()?)
    })
}

/// Frees a mount's handle and leaves it mounted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_keep(mount: *mut plyfs_mount) {
    shield((), || {
        // SAFETY: the header demands NULL or a mount that the caller owns and uses no more.
        if let Ok(mount) = unsafe { take(mount) } {
            mount.mount.keep();
        }
    });
}

/// Frees a mount's handle. It unmounts, best effort, when this handle made the mount and no other guard of it lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_free(mount: *mut plyfs_mount) {
    // SAFETY: the header demands NULL or a mount that the caller owns.
    unsafe { free(mount) }
}
