//! The way every call takes through the door: no panic leaves, a failure becomes a status and an error.

use std::any::Any;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plyfs::ErrorKind;

use crate::error::plyfs_error;
use crate::status::{PLYFS_ERR_PANIC, PLYFS_OK, status};

/// A failure on its way to C.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: i32,
    pub(crate) errno: i32,
    pub(crate) message: String,
}

/// What the inside of a call returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure that the door itself found.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { status: status(kind), errno: kind.errno().raw_os_error(), message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// A system call of the door that failed.
    pub(crate) fn call(kind: ErrorKind, what: &str, error: &io::Error) -> Self {
        let failure = Self::new(kind, format!("{what}: {error}"));
        Self { errno: error.raw_os_error().unwrap_or(failure.errno), ..failure }
    }

    /// A copy that failed: by the library's own doing, or by a system call.
    pub(crate) fn copying(what: &str, error: &io::Error) -> Self {
        match plyfs::kind_of(error) {
            Some(kind) => Self::new(kind, format!("{what}: {}", plyfs::report(error))),
            None => Self::call(ErrorKind::Io, what, error),
        }
    }

    fn panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Self {
            status: PLYFS_ERR_PANIC,
            errno: libc::ENOTRECOVERABLE,
            message: format!("a defect of the library: {text}"),
        }
    }
}

impl<E> From<E> for Failure
where
    plyfs::Error: From<E>,
{
    fn from(error: E) -> Self {
        let error = plyfs::Error::from(error);
        let failure = Self::new(error.kind(), plyfs::report(&error));
        Self { errno: errno(&error).unwrap_or(failure.errno), ..failure }
    }
}

/// The errno of the system call that started it all.
fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = match error.downcast_ref::<io::Error>() {
            Some(io) if io.raw_os_error().is_some() => return io.raw_os_error(),
            // `io::Error::source` skips the error it wraps.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

/// Runs a call; its failure becomes the returned status, and an error at `err` unless that is NULL.
pub(crate) fn guard(err: *mut *mut plyfs_error, call: impl FnOnce() -> Outcome) -> i32 {
    guard_status(err, || call().map(|()| PLYFS_OK))
}

/// As [`guard`], for a call that has more than one way to go well.
pub(crate) fn guard_status(err: *mut *mut plyfs_error, call: impl FnOnce() -> Outcome<i32>) -> i32 {
    // What a panicking call leaves half changed is only handles, and the contract says not to use them again.
    let caught = catch_unwind(AssertUnwindSafe(call));
    let failure = match caught {
        Ok(Ok(status)) => return status,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::panic(&*panic),
    };
    let status = failure.status;
    if !err.is_null() {
        // SAFETY: the header demands that `err` is NULL or points to a writable pointer.
        unsafe { err.write(Box::into_raw(Box::new(plyfs_error::new(failure)))) };
    }
    status
}

/// Runs a call that has no status to return; a panic gives `otherwise`.
pub(crate) fn shield<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr::null_mut;

    use super::*;
    use crate::status::{PLYFS_ERR_INVALID_INPUT, PLYFS_ERR_NOT_FOUND};
    use crate::{plyfs_error_errno, plyfs_error_free, plyfs_error_kind, plyfs_error_message};

    /// Runs a call and takes its error apart: status, kind, errno, message.
    fn outcome(call: impl FnOnce() -> Outcome) -> (i32, i32, i32, String) {
        let mut error = null_mut();
        let status = guard(&mut error, call);
        assert!(!error.is_null(), "a failure leaves an error");
        // SAFETY: the error was made just now and is freed once, after its last use.
        unsafe {
            let text = CStr::from_ptr(plyfs_error_message(error)).to_str().expect("messages are UTF-8").to_owned();
            let outcome = (status, plyfs_error_kind(error), plyfs_error_errno(error), text);
            plyfs_error_free(error);
            outcome
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_an_error_with_its_message() {
        let (status, kind, _, text) = outcome(|| panic!("seven {}", "ways"));
        assert_eq!((status, kind), (PLYFS_ERR_PANIC, PLYFS_ERR_PANIC));
        assert_eq!(text, "a defect of the library: seven ways");
        assert_eq!(shield(7, || panic!("without a status")), 7);
    }

    #[test]
    fn a_failure_without_a_place_for_the_error_is_a_status_alone() {
        assert_eq!(guard(null_mut(), || Err(Failure::invalid("wrong"))), PLYFS_ERR_INVALID_INPUT);
    }

    #[test]
    fn the_errno_of_the_first_failed_call_reaches_c() {
        let (status, kind, errno, text) = outcome(|| Ok(plyfs::Store::open("/proc/self/no-such").map(drop)?));
        assert_eq!((status, kind, errno), (PLYFS_ERR_NOT_FOUND, PLYFS_ERR_NOT_FOUND, libc::ENOENT), "{text}");
        assert!(text.contains("/proc/self/no-such"), "{text}");
    }

    #[test]
    fn a_message_with_a_nul_byte_loses_it_and_not_the_rest() {
        assert_eq!(outcome(|| Err(Failure::invalid("a\0b"))).3, "ab");
    }
}
