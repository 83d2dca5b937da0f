//! Opening what lies below a directory, by a path of any length, never through anything that leads out.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::{CallError, fs};
use rustix::fs::{OFlags, ResolveFlags};

/// What one call resolves at most: `PATH_MAX` less the NUL.
const PATH_MOST: usize = 4095;

/// Opens the directory `path` below `root`; a symbolic link on the way is `ELOOP`.
pub(crate) fn open_dir(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, CallError> {
    let mut dir = fs::open_dir_at(&root, ".")?;
    let mut rest = path;
    while !rest.is_empty() {
        let (piece, after) = split_piece(rest);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        dir = fs::open_beneath(&dir, OsStr::from_bytes(piece), flags, ResolveFlags::NO_SYMLINKS)?;
        rest = after;
    }
    Ok(dir)
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
    use rustix::io::Errno;

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

        let inode = |fd: &OwnedFd| fs::stat(fd).expect("stat").st_ino;
        assert_eq!(inode(&found), inode(&dir));
    }

    #[test]
    fn a_link_on_the_way_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::symlink("/", temp.path().join("out")).expect("a link");
        let root = fs::open_dir(temp.path()).expect("open");
        assert_eq!(open_dir(&root, b"out/etc").expect_err("a link").errno(), Errno::LOOP);
    }
}
