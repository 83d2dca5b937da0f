//! What comes in from C: texts, paths, arrays, descriptors, flags.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs::ErrorKind;

use crate::guard::{Failure, Outcome, shield};

/// Text as C holds it: up to the first NUL it would have, without it.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.retain(|byte| *byte != 0);
    CString::new(bytes).expect("no NUL byte is left")
}

/// Reads text; `what` names it in messages.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated, and unchanged during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's promise is the one asked for.
    let bytes = unsafe { bytes(text, what) }?;
    std::str::from_utf8(bytes).map_err(|_| Failure::invalid(format!("the {what} is not UTF-8")))
}

/// Reads text that may be NULL.
///
/// # Safety
///
/// As for [`text()`].
pub(crate) unsafe fn optional<'a>(text: *const c_char, what: &str) -> Outcome<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise is the one asked for.
    unsafe { self::text(text, what) }.map(Some)
}

/// Reads a path, which may have any bytes.
///
/// # Safety
///
/// As for [`text()`].
pub(crate) unsafe fn path<'a>(path: *const c_char, what: &str) -> Outcome<&'a Path> {
    // SAFETY: the caller's promise is the one asked for.
    Ok(Path::new(OsStr::from_bytes(unsafe { bytes(path, what) }?)))
}

unsafe fn bytes<'a>(text: *const c_char, what: &str) -> Outcome<&'a [u8]> {
    if text.is_null() {
        return Err(Failure::invalid(format!("the {what} is NULL")));
    }
    // SAFETY: the caller promised a NUL-terminated string.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// Reads an array of texts; `what` names one of them.
///
/// # Safety
///
/// `texts` is NULL or points to `count` texts, each as for [`text()`].
pub(crate) unsafe fn texts<'a>(texts: *const *const c_char, count: usize, what: &str) -> Outcome<Vec<&'a str>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() {
        return Err(Failure::invalid(format!("the array of {count} {what}s is NULL")));
    }
    // SAFETY: the caller promised `count` pointers.
    let pointers = unsafe { std::slice::from_raw_parts(texts, count) };
    // SAFETY: the caller promised that each is NULL or NUL-terminated.
    pointers.iter().map(|pointer| unsafe { text(*pointer, what) }).collect()
}

/// Reads bytes that say their length; `what` names them.
///
/// # Safety
///
/// Behind `bytes` are `length` bytes, unchanged during `'a`; NULL will do for none.
pub(crate) unsafe fn blob<'a>(bytes: *const u8, length: usize, what: &str) -> Outcome<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(Failure::invalid(format!("the {what} of {length} bytes is NULL")));
    }
    // SAFETY: the caller promised `length` bytes.
    Ok(unsafe { std::slice::from_raw_parts(bytes, length) })
}

/// Gives a text to the caller, who frees it with plyfs_text_free().
///
/// # Safety
///
/// `place` is NULL or writable.
pub(crate) unsafe fn give_text(place: *mut *mut c_char, text: Option<CString>, what: &str) -> Outcome {
    if place.is_null() {
        return Err(Failure::invalid(format!("the place for the {what} is NULL")));
    }
    // SAFETY: the caller promised a writable place.
    unsafe { place.write(text.map_or(std::ptr::null_mut(), CString::into_raw)) };
    Ok(())
}

/// Frees a text that a call wrote to `char **`; NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_text_free(text: *mut c_char) {
    // SAFETY: the header demands NULL or a text that `give_text` made, of which the caller makes no more use.
    shield((), || drop((!text.is_null()).then(|| unsafe { CString::from_raw(text) })));
}

/// Duplicates a descriptor, so that the caller's is only borrowed.
pub(crate) fn descriptor(fd: i32) -> Outcome<File> {
    // SAFETY: fcntl(F_DUPFD_CLOEXEC) touches no memory, and a number that is no descriptor is its own error.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        let error = io::Error::last_os_error();
        let is_wrong = error.raw_os_error() == Some(libc::EBADF);
        let kind = if is_wrong { ErrorKind::InvalidInput } else { ErrorKind::Io };
        return Err(Failure::call(kind, &format!("descriptor {fd}"), &error));
    }
    // SAFETY: the kernel made this descriptor a moment ago, for nobody else.
    Ok(unsafe { File::from_raw_fd(copy) })
}

/// Refuses flags this version does not know.
pub(crate) fn only(flags: u64, known: u64, what: &str) -> Outcome {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(Failure::invalid(format!("{what}: unknown flags {unknown:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_number_that_is_no_descriptor_is_an_error_that_names_it() {
        for wrong in [-1, i32::MAX] {
            let failure = descriptor(wrong).expect_err("it is none");
            assert_eq!((failure.status, failure.errno), (crate::PLYFS_ERR_INVALID_INPUT, libc::EBADF));
            assert!(failure.message.starts_with(&format!("descriptor {wrong}: ")), "{}", failure.message);
        }
    }

    #[test]
    fn a_descriptor_is_borrowed_and_stays_open() {
        let mut file = tempfile::tempfile().expect("a file");
        drop(descriptor(file.as_raw_fd()).expect("it is one"));
        file.write_all(b"still open").expect("it was not closed");
    }

    #[test]
    fn an_unknown_flag_is_refused_and_shown() {
        assert!(only(0b11, 0b11, "mount").is_ok());
        let failure = only(0b1001, 0b11, "mount").expect_err("8 is unknown");
        assert_eq!(failure.message, "mount: unknown flags 0x8");
    }

    #[test]
    fn text_is_utf_8_and_a_path_is_any_bytes() {
        let odd = c"a\xff";
        // SAFETY: the literal is NUL-terminated and static.
        let (text, path) = unsafe { (text(odd.as_ptr(), "name"), path(odd.as_ptr(), "path")) };
        assert_eq!(text.expect_err("it is not UTF-8").message, "the name is not UTF-8");
        assert_eq!(path.expect("any bytes are a path").as_os_str().as_bytes(), b"a\xff");
    }
}
