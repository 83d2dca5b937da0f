//! Extended attributes of open files and of names below a directory descriptor.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
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
    let (path, name) = (entry_path(&dir, entry), name.as_ref());
    value(name, |buffer| rustix::fs::lgetxattr(&path, name, buffer))
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
    fn a_directory_given_by_value_stays_open_for_the_call() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("file"), "").expect("a file");
        let open = || fs::open_dir(temp.path()).expect("open");

        set_at(open(), "file", "user.name", b"value").expect("set");

        assert_eq!(get_at(open(), "file", "user.name").expect("get").as_deref(), Some(&b"value"[..]));
        assert_eq!(list_at(open(), "file").expect("list"), ["user.name"]);
    }
}
