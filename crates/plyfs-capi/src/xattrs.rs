//! The extended attributes of what a view shows.

use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use crate::error::plyfs_error;
use crate::guard::{guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::input::{self, c_text};
use crate::view::{entry, plyfs_view};

/// Extended attributes by name, sorted bytewise.
#[derive(Debug)]
pub struct plyfs_xattrs(Vec<(CString, Vec<u8>)>);

impl Handle for plyfs_xattrs {
    const NAME: &'static str = "list of attributes";
}

/// Lists the extended attributes of what is at `path`, as a mount shows them, with their values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_xattrs(
    view: *const plyfs_view,
    path: *const c_char,
    flags: u64,
    xattrs: *mut *mut plyfs_xattrs,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live view, a NUL-terminated path and a writable place.
        let (view, path, place) = unsafe { (borrow(view)?, input::path(path, "path in the view")?, output(xattrs)?) };
        let xattrs = entry(view, path, flags)?.xattrs()?;
        place.give(plyfs_xattrs(xattrs.into_iter().map(|(name, value)| (c_text(name.as_bytes()), value)).collect()))
    })
}

/// The name of the attribute at `index`, such as "user.comment"; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_xattrs_name(xattrs: *const plyfs_xattrs, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    let one = || unsafe { look(xattrs) }.and_then(|xattrs| xattrs.0.get(index));
    shield(null(), || one().map_or(null(), |(name, _)| name.as_ptr()))
}

/// The value of the attribute at `index`, any bytes, and in `length`, which may be NULL, how many; NULL after the last. It
/// belongs to the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_xattrs_value(
    xattrs: *const plyfs_xattrs,
    index: usize,
    length: *mut usize,
) -> *const c_void {
    // SAFETY: the header demands NULL or a live list.
    let one = || unsafe { look(xattrs) }.and_then(|xattrs| xattrs.0.get(index));
    // SAFETY: the header demands NULL or a writable number.
    let length = unsafe { length.as_mut() };
    shield(null(), || {
        let value = one().map(|(_, value)| value);
        length.into_iter().for_each(|length| *length = value.map_or(0, Vec::len));
        value.map_or(null(), |value| value.as_ptr().cast())
    })
}

/// Frees a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_xattrs_free(xattrs: *mut plyfs_xattrs) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(xattrs) }
}
