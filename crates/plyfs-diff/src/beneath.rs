//! Opening what lies below a directory, by a path of any length, never through anything that leads out.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::{CallError, fs};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

/// What one call resolves at most: `PATH_MAX` less the NUL.
const PATH_MOST: usize = 4095;

/// Opens the directory `path` below `root`; a symbolic link on the way is `ELOOP`.
///
/// Where `openat2(2)` is missing or forbidden, as seccomp filters older than it do, each component is opened on its own.
pub(crate) fn open_dir(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, CallError> {
    let mut dir = fs::open_dir_at(&root, ".")?;
    let mut rest = path;
    while !rest.is_empty() {
        let (piece, after) = split_piece(rest);
        dir = open_piece(dir.as_fd(), piece)?;
        rest = after;
    }
    Ok(dir)
}

fn open_piece(dir: BorrowedFd<'_>, piece: &[u8]) -> Result<OwnedFd, CallError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY;
    match fs::open_beneath(dir, OsStr::from_bytes(piece), flags, ResolveFlags::NO_SYMLINKS) {
        Err(error) if matches!(error.errno(), Errno::NOSYS | Errno::PERM) => open_each(dir, piece),
        result => result,
    }
}

/// Opens one component after the other; none of them may be a link.
pub(crate) fn open_each(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, CallError> {
    let start = fs::open_dir_at(dir, ".")?;
    path.split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .try_fold(start, |dir, component| fs::open_dir_at(&dir, OsStr::from_bytes(component)))
}

/// Cuts as many whole components off the front as one call takes.
fn split_piece(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PATH_MOST {
        return (path, &[]);
    }
    // A component longer than a name may be is left whole, for the kernel to refuse.
    let first = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    let end = path[..PATH_MOST].iter().rposition(|&byte| byte == b'/').unwrap_or(first);
    (&path[..end], path.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_a_call_takes_is_opened_in_pieces() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let root = fs::open_dir(temp.path()).expect("open");
        let name = "n".repeat(200);
        let mut dir = fs::open_dir_at(&root, ".").expect("open");
        for _ in 0..50 {
            fs::make_dir_at(&dir, &name, rustix::fs::Mode::RWXU).expect("a directory");
            dir = fs::open_dir_at(&dir, &name).expect("open");
        }
        let path = vec![name; 50].join("/");

        let found = open_dir(&root, path.as_bytes()).expect("opened");
        let each = open_each(root.as_fd(), path.as_bytes()).expect("opened");

        let inode = |fd: &OwnedFd| fs::stat(fd).expect("stat").st_ino;
        assert_eq!(inode(&found), inode(&dir));
        assert_eq!(inode(&each), inode(&dir));
    }

    #[test]
    fn a_link_on_the_way_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::symlink("/", temp.path().join("out")).expect("a link");
        let root = fs::open_dir(temp.path()).expect("open");
        assert_eq!(open_dir(&root, b"out/etc").expect_err("a link").errno(), Errno::LOOP);
        assert_eq!(open_each(root.as_fd(), b"out/etc").expect_err("a link").errno(), Errno::NOTDIR);
    }
}
