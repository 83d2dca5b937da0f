//! What functions return, as explicit numbers that are never reused; a gap stays a gap.
//!
//! The numbers are `ErrorKind::code()`, which are also the exit codes of the command; a test compares all of them.

use std::ffi::c_char;

use plyfs::ErrorKind;

use crate::guard::shield;

/// It went well; outputs are written.
pub const PLYFS_OK: i32 = 0;
/// A failure that has no kind.
pub const PLYFS_ERR_OTHER: i32 = 1;
/// No such store, image, container, layer or file.
pub const PLYFS_ERR_NOT_FOUND: i32 = 3;
/// The name or id is taken.
pub const PLYFS_ERR_EXISTS: i32 = 4;
/// An argument or an archive is malformed, or a pointer is NULL; the message names it.
pub const PLYFS_ERR_INVALID_INPUT: i32 = 5;
/// Something still refers to it: a child layer, an image, a container, a mount.
pub const PLYFS_ERR_IN_USE: i32 = 6;
/// Held by the kernel or by another process for now.
pub const PLYFS_ERR_BUSY: i32 = 7;
/// Stored or received bytes are not what their checksum or format says.
pub const PLYFS_ERR_CORRUPT: i32 = 8;
/// The kernel, the file system or this version cannot do it.
pub const PLYFS_ERR_UNSUPPORTED: i32 = 9;
/// No bytes left on the file system.
pub const PLYFS_ERR_NO_SPACE: i32 = 10;
/// No inodes left on the file system.
pub const PLYFS_ERR_NO_INODES: i32 = 11;
/// A quota is used up.
pub const PLYFS_ERR_QUOTA_EXCEEDED: i32 = 12;
/// The caller may not do this.
pub const PLYFS_ERR_PERMISSION: i32 = 13;
/// The progress callback asked to stop.
pub const PLYFS_ERR_CANCELLED: i32 = 14;
/// A bounded wait ended.
pub const PLYFS_ERR_TIMED_OUT: i32 = 15;
/// The thing changed while it was read.
pub const PLYFS_ERR_CONFLICT: i32 = 16;
/// The store or the medium is read-only.
pub const PLYFS_ERR_READ_ONLY: i32 = 17;
/// A sync failed earlier; nothing is written until the store is opened again.
pub const PLYFS_ERR_POISONED: i32 = 18;
/// Any other failure of a system call; plyfs_error_errno() tells which.
pub const PLYFS_ERR_IO: i32 = 19;
/// A defect of the library; the operation stopped, the handles it was given are to be freed and not used again.
pub const PLYFS_ERR_PANIC: i32 = 101;
/// Of plyfs_changes_next() alone, and no error: there are no more.
pub const PLYFS_DONE: i32 = -1;

/// The name of a status as all doors spell it, such as "NotFound"; "Other" for one this version does not know.
/// It belongs to the library.
#[unsafe(no_mangle)]
pub extern "C" fn plyfs_status_name(status: i32) -> *const c_char {
    shield(c"Other".as_ptr(), || name(status).as_ptr())
}

fn name(status: i32) -> &'static std::ffi::CStr {
    match status {
        PLYFS_OK => c"Ok",
        PLYFS_DONE => c"Done",
        PLYFS_ERR_NOT_FOUND => c"NotFound",
        PLYFS_ERR_EXISTS => c"Exists",
        PLYFS_ERR_INVALID_INPUT => c"InvalidInput",
        PLYFS_ERR_IN_USE => c"InUse",
        PLYFS_ERR_BUSY => c"Busy",
        PLYFS_ERR_CORRUPT => c"Corrupt",
        PLYFS_ERR_UNSUPPORTED => c"Unsupported",
        PLYFS_ERR_NO_SPACE => c"NoSpace",
        PLYFS_ERR_NO_INODES => c"NoInodes",
        PLYFS_ERR_QUOTA_EXCEEDED => c"QuotaExceeded",
        PLYFS_ERR_PERMISSION => c"Permission",
        PLYFS_ERR_CANCELLED => c"Cancelled",
        PLYFS_ERR_TIMED_OUT => c"TimedOut",
        PLYFS_ERR_CONFLICT => c"Conflict",
        PLYFS_ERR_READ_ONLY => c"ReadOnly",
        PLYFS_ERR_POISONED => c"Poisoned",
        PLYFS_ERR_IO => c"Io",
        PLYFS_ERR_PANIC => c"Panic",
        _ => c"Other",
    }
}

/// The status of a kind; a kind without a constant above is [`PLYFS_ERR_OTHER`].
pub(crate) fn status(kind: ErrorKind) -> i32 {
    let code = kind.code();
    if name(code) == c"Other" { PLYFS_ERR_OTHER } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_constant_with_its_number_and_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(status(kind), kind.code(), "{kind:?}");
            assert_eq!(name(kind.code()).to_str(), Ok(kind.name()), "{kind:?}");
        }
        assert_eq!(name(2), c"Other", "2 is a wrong command line and no status");
    }
}
