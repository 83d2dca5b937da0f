//! Extended attributes of open files and of names below a directory descriptor.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::{CallError, Result, fs};

/// The kernel's limits: `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`.
const MAX: usize = 65536;

/// The value of `name` on an open file or directory, or `None` when it has none.
pub fn get(fd: impl AsFd, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
    let (fd, name) = (fd.as_fd(), name.as_ref());
    value(name, |buffer| rustix::fs::fgetxattr(fd, name, buffer))
}

/// The value of `name` on `entry` below `dir`, never through a symbolic link.
pub fn get_at(dir: impl AsFd, entry: impl AsRef<OsStr>, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
    let (dir, entry, name) = (dir.as_fd(), entry.as_ref(), name.as_ref());
    value(name, |buffer| match getxattrat(dir, entry, name, buffer) {
        // Before Linux 6.13, and where a filter knows the older calls alone.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::lgetxattr(entry_path(&dir, entry), name, buffer),
        result => result,
    })
}

/// What `getxattrat(2)` takes its buffer in.
#[repr(C)]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
}

/// Calls `getxattrat(2)` with `AT_SYMLINK_NOFOLLOW`; neither std, nix nor rustix has it.
#[allow(unsafe_code)]
fn getxattrat(dir: BorrowedFd<'_>, entry: &OsStr, name: &OsStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    /// One number on every architecture.
    const NUMBER: libc::c_long = 464;
    let terminated = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| Errno::INVAL);
    let (entry, name) = (terminated(entry)?, terminated(name)?);
    let size = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    let args = Args { value: buffer.as_mut_ptr().expose_provenance() as u64, size, flags: 0 };
    // SAFETY: `dir` is open for the call's duration, both strings are NUL-terminated and outlive it, and the kernel
    // writes at most `size` bytes to the buffer, which is borrowed for as long.
    let result = unsafe {
        libc::syscall(
            NUMBER,
            dir.as_raw_fd(),
            entry.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            name.as_ptr(),
            &raw const args,
            size_of::<Args>(),
        )
    };
    usize::try_from(result).map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// The attribute names of an open file or directory, sorted; none where the file system has no attributes.
pub fn list(fd: impl AsFd) -> Result<Vec<OsString>> {
    let fd = fd.as_fd();
    names(|buffer| rustix::fs::flistxattr(fd, buffer))
}

/// The attribute names of `entry` below `dir`, sorted, never through a symbolic link.
pub fn list_at(dir: impl AsFd, entry: impl AsRef<OsStr>) -> Result<Vec<OsString>> {
    let path = entry_path(&dir, entry);
    names(|buffer| rustix::fs::llistxattr(&path, buffer))
}

/// Sets `name` on an open file or directory.
pub fn set(fd: impl AsFd, name: impl AsRef<OsStr>, value: &[u8]) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        .map_err(|errno| CallError::new("fsetxattr", name, errno))
}

/// Sets `name` on `entry` below `dir`, never through a symbolic link.
pub fn set_at(dir: impl AsFd, entry: impl AsRef<OsStr>, name: impl AsRef<OsStr>, value: &[u8]) -> Result<()> {
    let (path, name) = (entry_path(&dir, entry), name.as_ref());
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .map_err(|errno| CallError::new("lsetxattr", name, errno))
}

/// Removes `name` from an open file or directory; a missing one is fine.
pub fn remove(fd: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    match rustix::fs::fremovexattr(fd, name) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(CallError::new("fremovexattr", name, errno)),
    }
}

/// Says whether the calling thread sees `trusted.*` attributes; to others the kernel answers that there are none.
///
/// It takes `CAP_SYS_ADMIN` in the initial user namespace. Where the namespace cannot be told, the answer is no.
#[must_use]
pub fn sees_trusted() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let has_capability = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    has_capability && std::fs::read_link("/proc/self/ns/user").is_ok_and(|name| name.as_os_str() == INITIAL_USERS)
}

/// The initial user namespace: its number is fixed (`PROC_USER_INIT_INO`).
const INITIAL_USERS: &str = "user:[4026531837]";

/// A path whose every component but the last is a held descriptor: `/proc/self/fd/N/entry`.
///
/// The descriptor is borrowed: one taken by value would be closed before the path is used.
fn entry_path(dir: &impl AsFd, entry: impl AsRef<OsStr>) -> PathBuf {
    fs::proc_path(dir).join(entry.as_ref())
}

fn value(name: &OsStr, read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) if buffer.len() < MAX => buffer.resize(MAX, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(CallError::new("getxattr", name, errno)),
        }
    }
}

fn names(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Vec<OsString>> {
    let mut buffer = vec![0; 1024];
    let length = loop {
        match read(&mut buffer) {
            Ok(length) => break length,
            Err(Errno::RANGE) if buffer.len() < MAX => buffer.resize(MAX, 0),
            Err(Errno::OPNOTSUPP) => break 0,
            Err(errno) => return Err(CallError::new("listxattr", "", errno)),
        }
    };
    let mut names: Vec<_> = buffer[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(OsStr::from_bytes(name).as_bytes().to_vec()))
        .collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_and_a_missing_one_are_read() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("file"), "").expect("a file");
        let dir = fs::open_dir(temp.path()).expect("open");
        let long = vec![7; 2000];

        set_at(&dir, "file", "user.long", &long).expect("set");

        assert_eq!(get_at(&dir, "file", "user.long").expect("get"), Some(long));
        assert_eq!(get_at(&dir, "file", "user.none").expect("get"), None);
        assert_eq!(list_at(&dir, "file").expect("list"), ["user.long"]);
    }

    #[test]
    fn an_attribute_is_the_links_own_and_reads_the_same_by_the_older_call() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("file"), "").expect("a file");
        std::os::unix::fs::symlink("file", temp.path().join("link")).expect("a link");
        let dir = fs::open_dir(temp.path()).expect("open");
        set_at(&dir, "file", "user.name", b"value").expect("set");

        assert_eq!(get_at(&dir, "link", "user.name").expect("get"), None, "the link is not followed");
        let older = |entry: &str| {
            let path = entry_path(&dir, entry);
            value(OsStr::new("user.name"), |buffer| rustix::fs::lgetxattr(&path, "user.name", buffer)).expect("get")
        };
        for entry in ["file", "link"] {
            assert_eq!(get_at(&dir, entry, "user.name").expect("get"), older(entry), "{entry}");
        }
        assert!(get_at(&dir, "missing", "user.name").is_err());
    }

    #[test]
    fn a_directory_given_by_value_stays_open_for_the_call() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("file"), "").expect("a file");
        let open = || fs::open_dir(temp.path()).expect("open");

        set_at(open(), "file", "user.name", b"value").expect("set");

        assert_eq!(get_at(open(), "file", "user.name").expect("get").as_deref(), Some(&b"value"[..]));
        assert_eq!(list_at(open(), "file").expect("list"), ["user.name"]);
    }
}
