//! Calling the door from tests: a status and an error become a result.

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use plyfs_capi::*;

/// What a failed call said: its status, and the message of its error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) status: i32,
    pub(crate) message: String,
}

/// Makes a call; holds its error to its status.
#[track_caller]
pub(crate) fn call(call: impl FnOnce(*mut *mut plyfs_error) -> i32) -> Result<i32, Failed> {
    let mut error = null_mut();
    let status = call(&mut error);
    if matches!(status, PLYFS_OK | PLYFS_DONE) {
        assert!(error.is_null(), "an error without a failure");
        return Ok(status);
    }
    assert!(!error.is_null(), "a failure without an error: {status}");
    // SAFETY: the error came from the call just made, and is freed once behind its last use.
    unsafe {
        assert_eq!(plyfs_error_kind(error), status);
        assert_ne!(plyfs_error_errno(error), 0);
        let message = text(plyfs_error_message(error)).expect("every error has a message");
        plyfs_error_free(error);
        Err(Failed { status, message })
    }
}

/// Makes a call that goes well.
#[track_caller]
pub(crate) fn ok(made: impl FnOnce(*mut *mut plyfs_error) -> i32) {
    assert_eq!(call(made), Ok(PLYFS_OK));
}

/// Makes a call that fails so; returns its message.
#[track_caller]
pub(crate) fn fails(status: i32, made: impl FnOnce(*mut *mut plyfs_error) -> i32) -> String {
    let failed = call(made).expect_err("it fails");
    assert_eq!(failed.status, status, "{}", failed.message);
    failed.message
}

/// Makes a call that hands out a handle.
#[track_caller]
pub(crate) fn given<T>(made: impl FnOnce(*mut *mut T, *mut *mut plyfs_error) -> i32) -> *mut T {
    let mut handle = null_mut();
    ok(|err| made(&mut handle, err));
    assert!(!handle.is_null(), "success without a handle");
    handle
}

/// A copy of a text that the door lent.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated.
pub(crate) unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise is the one asked for.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?;
    Some(text.to_str().expect("texts are UTF-8").to_owned())
}

/// A path as C passes it.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("paths have no NUL")
}
