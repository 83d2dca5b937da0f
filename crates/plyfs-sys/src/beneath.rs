//! Opening a path that may not lead out of a directory, with `openat2(2)` or without it.
//!
//! Seccomp filters older than the call (Linux 5.6) answer it with `ENOSYS` or `EPERM`. Then the path is walked here, one
//! component after the other, by descriptor: each is pinned before it is looked at, a link's target is walked as the path
//! was, and `..` goes back to a directory that is still held. What a race swaps is at worst another thing inside.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::{CallError, Result};

/// How many symbolic links one path may lead through, as for the kernel.
const MAX_LINKS: usize = 40;

/// How often a race with a rename is tried again.
const TRIES: usize = 64;

/// Opens a relative path of several components that may not leave `dir`; close-on-exec is added.
///
/// A symbolic link or `..` that leads out is `EXDEV`. A race with a rename is retried a bounded number of times.
pub fn open_beneath(dir: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    open(dir.as_fd(), path.as_ref(), flags, resolve | ResolveFlags::BENEATH)
}

/// Opens a path as a process whose root is `dir` would; close-on-exec is added.
///
/// Absolute links begin at `dir`, and its parent is itself. A race with a rename is retried a bounded number of times.
pub fn open_in_root(dir: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd> {
    open(dir.as_fd(), path.as_ref(), flags, ResolveFlags::IN_ROOT)
}

fn open(dir: BorrowedFd<'_>, path: &OsStr, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    let (flags, resolve) = (flags | OFlags::CLOEXEC, resolve | ResolveFlags::NO_MAGICLINKS);
    for _ in 0..TRIES {
        let opened = match fs::openat2(dir, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => Walk::new(dir, resolve).and_then(|walk| walk.open(path, flags)),
            result => result,
        };
        match opened {
            Err(Errno::AGAIN) => {}
            result => return result.map_err(|errno| CallError::new("openat2", path, errno)),
        }
    }
    Err(CallError::new("openat2", path, Errno::AGAIN))
}

/// A path being walked.
struct Walk {
    resolve: ResolveFlags,
    /// The directories from the root to where the walk is.
    dirs: Vec<OwnedFd>,
    /// The mount of the root, where the path may not lead to another.
    mount: Option<Mount>,
    ahead: VecDeque<OsString>,
    links: usize,
}

/// Device, and the mount's id where the kernel tells it (Linux 5.8).
type Mount = ((u32, u32), Option<u64>);

impl Walk {
    fn new(dir: BorrowedFd<'_>, resolve: ResolveFlags) -> rustix::io::Result<Self> {
        let root = fs::openat(dir, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mount = resolve.contains(ResolveFlags::NO_XDEV).then(|| mount(&root)).transpose()?;
        Ok(Self { resolve, dirs: vec![root], mount, ahead: VecDeque::new(), links: 0 })
    }

    fn open(mut self, path: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        self.push(path)?;
        while let Some(name) = self.ahead.pop_front() {
            if name == ".." {
                self.go_back()?;
                continue;
            }
            let pinned =
                fs::openat(self.dir(), &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            if self.mount.is_some() && self.mount != Some(mount(&pinned)?) {
                return Err(Errno::XDEV);
            }
            let is_last = self.ahead.is_empty();
            match FileType::from_raw_mode(fs::fstat(&pinned)?.st_mode) {
                FileType::Symlink if is_last && flags.contains(OFlags::NOFOLLOW) => {
                    return self.open_last(&name, flags);
                }
                FileType::Symlink => self.follow(&pinned)?,
                _ if is_last => return self.open_last(&name, flags),
                FileType::Directory => self.dirs.push(pinned),
                _ => return Err(Errno::NOTDIR),
            }
        }
        fs::openat(self.dir(), ".", flags, Mode::empty())
    }

    /// Opens the last component, which was no link a moment ago: one that a race put there is tried again.
    fn open_last(&self, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match fs::openat(self.dir(), name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::LOOP) if !flags.contains(OFlags::NOFOLLOW) => Err(Errno::AGAIN),
            result => result,
        }
    }

    fn follow(&mut self, link: &OwnedFd) -> rustix::io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS || self.resolve.contains(ResolveFlags::NO_SYMLINKS) {
            return Err(Errno::LOOP);
        }
        let target = fs::readlinkat(link, "", Vec::new())?;
        self.push(OsStr::from_bytes(target.as_bytes()))
    }

    /// Puts a path in front of what is still to be walked.
    fn push(&mut self, path: &OsStr) -> rustix::io::Result<()> {
        if path.as_bytes().starts_with(b"/") {
            if self.resolve.contains(ResolveFlags::BENEATH) {
                return Err(Errno::XDEV);
            }
            self.dirs.truncate(1);
        }
        let names = path.as_bytes().split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.']));
        names.rev().for_each(|name| self.ahead.push_front(OsStr::from_bytes(name).to_owned()));
        Ok(())
    }

    fn go_back(&mut self) -> rustix::io::Result<()> {
        if self.dirs.len() > 1 {
            self.dirs.pop();
        } else if self.resolve.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV);
        }
        Ok(())
    }

    fn dir(&self) -> &OwnedFd {
        self.dirs.last().expect("the root is never left")
    }
}

fn mount(fd: &OwnedFd) -> rustix::io::Result<Mount> {
    let status = fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let id = (status.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(status.stx_mnt_id);
    Ok(((status.stx_dev_major, status.stx_dev_minor), id))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn inode(opened: rustix::io::Result<OwnedFd>) -> rustix::io::Result<u64> {
        fs::fstat(opened?).map(|stat| stat.st_ino)
    }

    fn tree() -> tempfile::TempDir {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("d/e/f")).expect("directories");
        std::fs::write(at("d/file"), "").expect("a file");
        let links = [
            ("in", "d/e"),
            ("d/up", ".."),
            ("out", "../.."),
            ("absolute", "/d/e"),
            ("loop", "loop"),
            ("d/e/far", "../../../../d/file"),
            ("dangling", "none"),
            ("magic", "/proc/self/root"),
            ("slash", "d/e/"),
        ];
        links.iter().for_each(|(name, target)| symlink(Path::new(target), at(name)).expect("a link"));
        temp
    }

    #[test]
    fn the_walk_answers_as_the_kernel_does() {
        let temp = tree();
        let root = crate::fs::open_dir(temp.path()).expect("open");
        let paths = [
            "d",
            "d/e/f",
            "d//e/./f/",
            "d/file",
            "d/file/x",
            "d/..",
            "..",
            "../x",
            "d/../..",
            "d/../d/file",
            "in",
            "in/f",
            "in/..",
            "d/up",
            "d/up/d/up/d/file",
            "out",
            "out/x",
            "absolute",
            "absolute/f",
            "/d",
            "loop",
            "loop/x",
            "d/e/far",
            "dangling",
            "none",
            "none/x",
            "magic",
            "magic/etc",
            "slash",
            "slash/f",
            "",
            ".",
            "/",
            "/..",
        ];
        let flags = [
            OFlags::RDONLY,
            OFlags::PATH,
            OFlags::PATH | OFlags::NOFOLLOW,
            OFlags::RDONLY | OFlags::DIRECTORY,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY,
            OFlags::RDONLY | OFlags::NOFOLLOW,
        ];
        let ways = [
            ResolveFlags::BENEATH,
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            ResolveFlags::BENEATH | ResolveFlags::NO_XDEV,
            ResolveFlags::IN_ROOT,
        ];
        for (path, way) in paths.iter().flat_map(|path| ways.map(|way| (path, way | ResolveFlags::NO_MAGICLINKS))) {
            for flags in flags.map(|flags| flags | OFlags::CLOEXEC) {
                let kernel = inode(fs::openat2(&root, *path, flags, Mode::empty(), way));
                let walked = inode(Walk::new(root.as_fd(), way).and_then(|walk| walk.open(OsStr::new(path), flags)));
                assert_eq!(walked, kernel, "{path:?} {flags:?} {way:?}");
            }
        }
    }

    #[test]
    fn root_the_walk_stops_at_a_mount_of_the_same_file_system() {
        plyfs_testkit::require_root!();
        let temp = tree();
        let (inner, root) = (temp.path().join("d/e"), crate::fs::open_dir(temp.path()).expect("open"));
        rustix::mount::mount_bind(temp.path().join("d"), &inner).expect("a bind mount");
        let way = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
        let walk = Walk::new(root.as_fd(), way).expect("a walk");
        let walked = walk.open(OsStr::new("d/e"), OFlags::RDONLY).map(drop);
        rustix::mount::unmount(&inner, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
        assert_eq!(walked, Err(Errno::XDEV));
    }
}
