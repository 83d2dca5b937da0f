//! What a runtime needs to make a container's mount itself.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use plyfs::MountSpec;

use crate::container::plyfs_container;
use crate::error::plyfs_error;
use crate::guard::{guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::input::c_text;

/// The directories and options of a container's mount. Whoever mounts it so keeps the rule of one mount for one
/// container.
#[derive(Debug)]
pub struct plyfs_mount_spec {
    lower: Vec<CString>,
    upper: CString,
    work: CString,
    target: CString,
    options: CString,
}

impl Handle for plyfs_mount_spec {
    const NAME: &'static str = "mount spec";
}

impl From<MountSpec> for plyfs_mount_spec {
    fn from(spec: MountSpec) -> Self {
        let text = |path: &Path| c_text(path.as_os_str().as_bytes());
        Self {
            lower: spec.lower.iter().map(|lower| text(lower)).collect(),
            upper: text(&spec.upper),
            work: text(&spec.work),
            target: text(&spec.target),
            options: c_text(spec.options.as_bytes()),
        }
    }
}

/// Says how a container would be mounted; nothing is mounted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_mount_spec(
    container: *const plyfs_container,
    spec: *mut *mut plyfs_mount_spec,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container and a writable place.
        let (container, place) = unsafe { (borrow(container)?, output(spec)?) };
        place.give(container.container.mount_spec()?.into())
    })
}

/// A text of a spec, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(spec: *const plyfs_mount_spec, of: impl FnOnce(&plyfs_mount_spec) -> Option<&CString>) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(spec) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// The lower directory at `index`, uppermost first; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_lower(spec: *const plyfs_mount_spec, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live spec.
    unsafe { text(spec, |spec| spec.lower.get(index)) }
}

/// The writable directory; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_upper(spec: *const plyfs_mount_spec) -> *const c_char {
    // SAFETY: the header demands NULL or a live spec.
    unsafe { text(spec, |spec| Some(&spec.upper)) }
}

/// The work directory; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_work(spec: *const plyfs_mount_spec) -> *const c_char {
    // SAFETY: the header demands NULL or a live spec.
    unsafe { text(spec, |spec| Some(&spec.work)) }
}

/// The container's own mount point, which is there only while it is mounted; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_target(spec: *const plyfs_mount_spec) -> *const c_char {
    // SAFETY: the header demands NULL or a live spec.
    unsafe { text(spec, |spec| Some(&spec.target)) }
}

/// The options as `mount -t overlay -o` takes them; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_options(spec: *const plyfs_mount_spec) -> *const c_char {
    // SAFETY: the header demands NULL or a live spec.
    unsafe { text(spec, |spec| Some(&spec.options)) }
}

/// Frees a mount spec.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_mount_spec_free(spec: *mut plyfs_mount_spec) {
    // SAFETY: the header demands NULL or a spec that the caller owns.
    unsafe { free(spec) }
}
