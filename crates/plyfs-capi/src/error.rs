//! The error of one failed call, which the caller owns.

use std::ffi::{CString, c_char};
use std::ptr::null;

use crate::guard::{Failure, shield};
use crate::handle::{Handle, free, look};
use crate::input::c_text;
use crate::status::PLYFS_OK;

/// What went wrong in one call.
#[derive(Debug)]
pub struct plyfs_error {
    status: i32,
    errno: i32,
    message: CString,
}

impl Handle for plyfs_error {
    const NAME: &'static str = "error";
}

impl plyfs_error {
    pub(crate) fn new(failure: Failure) -> Self {
        Self { status: failure.status, errno: failure.errno, message: c_text(failure.message) }
    }
}

/// The status of the call that failed; PLYFS_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_error_kind(error: *const plyfs_error) -> i32 {
    // SAFETY: the header demands NULL or a live error.
    shield(PLYFS_OK, || unsafe { look(error) }.map_or(PLYFS_OK, |error| error.status))
}

/// The errno of the system call that failed, or the one that stands for the kind; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_error_errno(error: *const plyfs_error) -> i32 {
    // SAFETY: the header demands NULL or a live error.
    shield(0, || unsafe { look(error) }.map_or(0, |error| error.errno))
}

/// What failed and why, outermost first, on one line of UTF-8 that lives as long as the error; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_error_message(error: *const plyfs_error) -> *const c_char {
    // SAFETY: the header demands NULL or a live error.
    shield(null(), || unsafe { look(error) }.map_or(null(), |error| error.message.as_ptr()))
}

/// Frees an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_error_free(error: *mut plyfs_error) {
    // SAFETY: the header demands NULL or an error that the caller owns.
    unsafe { free(error) }
}
