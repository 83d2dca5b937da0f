//! Walks a directory into a [`Tree`], by descriptor, following nothing.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Entry, Kind, Mtime, Tree};

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// Records `dir` and all beneath it.
pub(super) fn walk(dir: &Path) -> io::Result<Tree> {
    let mut walk = Walk { entries: BTreeMap::new(), inodes: HashMap::new(), buffer: vec![0; 256 * 1024] };
    // The root alone may be reached through a link: `/var/tmp` is one on some machines.
    let flags = OPEN.difference(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);
    let root = openat(CWD, dir, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&root)?;
    let entry = walk.record(root.as_fd(), c".", b"", &stat)?;
    walk.entries.insert(Vec::new(), entry);
    walk.descend(root, b"")?;
    Ok(walk.finish())
}

struct Walk {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Every path of an inode with more than one name.
    inodes: HashMap<(u64, u64), Vec<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Walk {
    fn descend(&mut self, dir: OwnedFd, path: &[u8]) -> io::Result<()> {
        for item in Dir::read_from(&dir)? {
            let item = item?;
            let name = item.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = if path.is_empty() { name.to_bytes().to_vec() } else { [path, b"/", name.to_bytes()].concat() };
            let below = self.visit(dir.as_fd(), name, &path).map_err(|e| {
                io::Error::new(e.kind(), format!("{}: {e}", PathBuf::from(OsString::from_vec(path.clone())).display()))
            })?;
            if let Some(below) = below {
                self.descend(below, &path)?;
            }
        }
        Ok(())
    }

    /// Records one entry; a directory comes back open.
    fn visit(&mut self, dir: impl AsFd, name: &std::ffi::CStr, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let entry = self.record(dir.as_fd(), name, path, &stat)?;
        let is_directory = entry.kind == Kind::Directory;
        self.entries.insert(path.to_vec(), entry);
        Ok(is_directory.then(|| openat(&dir, name, OPEN.union(OFlags::DIRECTORY), Mode::empty())).transpose()?)
    }

    fn record(&mut self, dir: impl AsFd, name: &std::ffi::CStr, path: &[u8], stat: &Stat) -> io::Result<Entry> {
        let kind = kind_of(stat)?;
        let sized = matches!(kind, Kind::File | Kind::Symlink);
        if kind != Kind::Directory && stat.st_nlink > 1 {
            self.inodes.entry((stat.st_dev, stat.st_ino)).or_default().push(path.to_vec());
        }
        Ok(Entry {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: if sized { u64::try_from(stat.st_size).map_err(io::Error::other)? } else { 0 },
            mtime: Mtime { sec: stat.st_mtime, nsec: u32::try_from(stat.st_mtime_nsec).map_err(io::Error::other)? },
            xattrs: xattrs(&dir, name)?,
            links: None,
            device: matches!(kind, Kind::CharDevice | Kind::BlockDevice)
                .then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))),
            target: match kind {
                Kind::Symlink => Some(readlinkat(&dir, name, Vec::new())?.into_bytes()),
                _ => None,
            },
            content: match kind {
                Kind::File => Some(self.digest(openat(&dir, name, OPEN, Mode::empty())?)?),
                _ => None,
            },
        })
    }

    fn digest(&mut self, file: OwnedFd) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(&file, self.buffer.as_mut_slice()))? {
                0 => return Ok(hash.finalize().into()),
                n => hash.update(&self.buffer[..n]),
            }
        }
    }

    /// Gives every inode with several names in this tree its smallest one.
    fn finish(mut self) -> Tree {
        for paths in self.inodes.values().filter(|paths| paths.len() > 1) {
            let first = paths.iter().min();
            for path in paths {
                self.entries.get_mut(path).expect("every recorded path has its entry").links = first.cloned();
            }
        }
        Tree { entries: self.entries }
    }
}

fn kind_of(stat: &Stat) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return Err(io::Error::other("a file type the kernel does not name")),
    })
}

/// Reads every extended attribute without opening the entry: a fifo would wait, a device might act.
fn xattrs(dir: &impl AsFd, name: &std::ffi::CStr) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    // There is no listxattrat(2) to count on; the directory's descriptor in procfs is the same place.
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).expect("neither part holds a NUL");
    let list = match grown(|buffer| rustix::fs::llistxattr(&path, buffer)) {
        Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        list => list?,
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = std::ffi::OsStr::from_bytes(name);
            Ok((name.to_owned(), grown(|buffer| rustix::fs::lgetxattr(&path, name, buffer))?))
        })
        .collect()
}

/// Calls with a buffer that grows until the answer fits.
fn grown(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 512];
    loop {
        match call(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            Err(e) => return Err(e),
        }
    }
}
