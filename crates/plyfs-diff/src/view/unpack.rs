//! A view, or a part of it, written out as plain files: no mount, any file system that can hold them.
//!
//! Directories are made with a mode that lets their maker work in them; owner, attributes, mode and times they get when
//! everything in them is there, since each thing made in them would change their time (rule 49).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plyfs_sys::fs::{self, FileType, Gid, Timespec, Timestamps, Uid};
use plyfs_sys::{CallError, xattr};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::{FileKind, Metadata, View, ViewEntry, Walk};
use crate::layout::CAPABILITY;
use crate::names::ensure_name;
use crate::remembered::{Remember, Remembered};
use crate::stop::Stop;
use crate::{Dialect, Error, ErrorKind, Losses, Result, SkipReason, Skipped, beneath};

/// How many directories are held open on the way down; further out they are opened again when needed.
const HELD_MOST: usize = 64;

/// Bytes of a file between two looks at whether to go on.
const STEP: u64 = 64 << 20;

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpacked {
    /// Files, directories, links and nodes, the root not counted.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Whether everything belongs to who the view says. The kernel lets only the privileged give files away; what is
    /// the caller's instead has no set-id bits, which would mean another owner.
    pub has_owners: bool,
    /// What the view has and the directory has not; at most [`Unpacked::SKIPPED_MOST`] are listed, with a megabyte of paths and
    /// names.
    pub skipped: Vec<Skipped>,
    /// How much more was left out than is listed.
    pub skipped_more: u64,
}

impl Unpacked {
    /// How many losses are listed one by one.
    pub const SKIPPED_MOST: usize = Skipped::LISTED_MOST;
}

/// How [`View::copy_to`] and [`View::unpack_with`] write.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    owner: Option<(u32, u32)>,
    stop: Stop,
}

impl CopyOptions {
    /// Everything keeps its owner.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives everything to this user and group instead.
    ///
    /// What had another owner loses its set-id bits and capabilities: they were meant for that one.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some((uid, gid));
        self
    }

    /// Asks this before each file and every 64 MiB of one; `true` ends the work, which is then [`ErrorKind::Cancelled`].
    #[must_use]
    pub fn stop_when(mut self, is_asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.stop = Stop::when(is_asked);
        self
    }
}

impl View {
    /// Writes everything into `target`, an empty directory.
    ///
    /// Names of one inode stay names of one inode. Device nodes that may not be made, and attributes that the file system
    /// or a lack of privilege refuses, are reported in [`Unpacked::skipped`]; security labels belong to a machine and marks
    /// of OverlayFS to a layer, and neither is written (rules 19, 23).
    ///
    /// Nothing is synced. A directory that is not empty is [`ErrorKind::Exists`]; after another error it holds part of the
    /// tree and is to be removed.
    pub fn unpack(&self, target: impl AsFd) -> Result<Unpacked> {
        self.unpack_with(target, &CopyOptions::new())
    }

    /// The same in another way.
    pub fn unpack_with(&self, target: impl AsFd, options: &CopyOptions) -> Result<Unpacked> {
        let root = fs::open_dir_at(target, ".").map_err(|error| Error::call("open the directory", error))?;
        if !fs::read_dir(&root).map_err(|error| Error::call("list the directory", error))?.is_empty() {
            return Err(Error::new(ErrorKind::Exists, "the directory to unpack into is not empty"));
        }
        Unpack::new(root, None, options).all(self.walk("/")?)
    }

    /// Writes what is at and below `path` into the directory `target`: as `name` in it, or without a name what is in
    /// the directory at `path`.
    ///
    /// What is there already is replaced, but a directory merges with a directory and keeps its own attributes; a
    /// directory in the place of anything else, and the other way round, is [`ErrorKind::Exists`]. No link of `target` is
    /// followed. Losses are reported as for [`View::unpack`]; nothing is synced. After an error what was copied is there, and
    /// no file that was not copied whole.
    pub fn copy_to(
        &self,
        path: impl AsRef<Path>,
        target: impl AsFd,
        name: Option<&OsStr>,
        options: &CopyOptions,
    ) -> Result<Unpacked> {
        if let Some(name) = name {
            ensure_name(name)?;
        }
        let root = fs::open_dir_at(target, ".").map_err(|error| Error::call("open the directory", error))?;
        let start = self.entry(path)?;
        if name.is_none() {
            start.directory()?;
        }
        let mut unpack = Unpack::new(root, name, options);
        unpack.start = start.relative().to_owned();
        unpack.merges = true;
        unpack.all(Walk::new(self.chain.clone(), start))
    }
}

/// An unpacking under way.
struct Unpack<'a> {
    root: OwnedFd,
    /// What of the view is written, and what it is called in the root; without a name it is the root.
    start: PathBuf,
    name: Option<&'a OsStr>,
    options: &'a CopyOptions,
    merges: bool,
    /// The directories being filled, outermost first.
    dirs: Vec<Dir>,
    /// Where inodes with several names were written first, and how many names may come.
    names: HashMap<(u64, u64), (Remembered, u64)>,
    remember: Remember,
    losses: Losses,
    done: Unpacked,
}

/// A directory being filled.
struct Dir {
    /// `None` once given up; relative to the root it is opened again.
    fd: Option<OwnedFd>,
    path: PathBuf,
    /// What it is given when it is full; a directory that was there keeps what it has.
    attributes: Option<Attributes>,
}

struct Attributes {
    metadata: Metadata,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

impl<'a> Unpack<'a> {
    fn new(root: OwnedFd, name: Option<&'a OsStr>, options: &'a CopyOptions) -> Self {
        let done = Unpacked { has_owners: true, ..Unpacked::default() };
        let (start, dirs, names) = (PathBuf::new(), Vec::new(), HashMap::new());
        Self {
            root,
            start,
            name,
            options,
            merges: false,
            dirs,
            names,
            remember: Remember::default(),
            losses: Losses::default(),
            done,
        }
    }

    fn all(mut self, mut walk: Walk) -> Result<Unpacked> {
        while let Some(entry) = walk.next() {
            self.entry(&entry?, walk.depth())?;
        }
        self.leave(0)?;
        let (skipped, skipped_more) = self.losses.into_parts();
        Ok(Unpacked { skipped, skipped_more, ..self.done })
    }

    /// Where an entry is written, relative to the root.
    fn target(&self, entry: &ViewEntry) -> PathBuf {
        let rest = entry.relative().strip_prefix(&self.start).expect("a walk stays below its start");
        // Components, since joining an empty path would add a slash.
        self.name.map(Path::new).into_iter().flat_map(Path::components).chain(rest.components()).collect()
    }

    /// Writes one entry that lies in the `depth`th directory on the way down.
    fn entry(&mut self, entry: &ViewEntry, depth: usize) -> Result<()> {
        self.leave(depth)?;
        self.options.stop.check()?;
        let (metadata, path) = (entry.metadata()?, self.target(entry));
        let parent = self.parent()?;
        let Some(name) = path.file_name() else {
            let attributes =
                if self.merges { None } else { Some(Attributes { metadata, xattrs: self.xattrs(entry)? }) };
            self.enter(parent, path, attributes);
            return Ok(());
        };
        let is_directory = metadata.kind == FileKind::Directory;
        let is_there = self.merges && self.make_way(&parent, name, &path, is_directory)?;
        self.done.entries += 1;
        if is_there {
            let fd = fs::open_dir_at(&parent, name).map_err(|error| failed(&path, error))?;
            self.enter(fd, path, None);
        } else if is_directory {
            let made = fs::make_dir_at(&parent, name, Mode::RWXU).and_then(|()| fs::open_dir_at(&parent, name));
            let fd = made.map_err(|error| failed(&path, error))?;
            let xattrs = self.xattrs(entry)?;
            self.enter(fd, path, Some(Attributes { metadata, xattrs }));
        } else if !self.link(parent.as_fd(), name, &path, &metadata)? {
            self.leaf(parent.as_fd(), name, entry, &metadata)?;
        }
        Ok(())
    }

    /// Removes what a new entry replaces; `true` when a directory is there that merges with the new one.
    fn make_way(&self, parent: &OwnedFd, name: &OsStr, path: &Path, is_directory: bool) -> Result<bool> {
        let there = fs::try_stat_at(parent, name).map_err(|error| failed(path, error))?;
        let Some(there) = there else { return Ok(false) };
        let is_directory_there = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        if is_directory != is_directory_there {
            let (old, new) = if is_directory { ("no directory", "a directory") } else { ("a directory", "none") };
            let message = format!("{path:?} is {old} and would be replaced by {new}");
            return Err(Error::new(ErrorKind::Exists, message));
        }
        if !is_directory {
            fs::unlink_at(parent, name).map_err(|error| failed(path, error))?;
        }
        Ok(is_directory)
    }

    /// Makes anything but a directory.
    fn leaf(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &ViewEntry, metadata: &Metadata) -> Result<()> {
        let path = entry.relative();
        let call = |error| failed(path, error);
        if metadata.kind == FileKind::File {
            let file = fs::create_file_at(parent, name, Mode::RUSR | Mode::WUSR).map_err(call)?;
            let copied = entry.open().and_then(|from| self.content(from, file.into(), path));
            self.done.bytes += copied.inspect_err(|_| drop(fs::unlink_at(parent, name)))?;
        } else if metadata.kind == FileKind::Symlink {
            fs::symlink_at(entry.read_link()?, parent, name).map_err(call)?;
        } else if !self.node(parent, name, path, metadata)? {
            return Ok(());
        }
        let xattrs = self.xattrs(entry)?;
        let mode = self.own(parent, name, metadata).map_err(call)?;
        for (attribute, value) in xattrs {
            let set = xattr::set_at(parent, name, &attribute, &value);
            self.keep_or_report(path, attribute, set)?;
        }
        if metadata.kind != FileKind::Symlink {
            fs::chmod_at(parent, name, Mode::from_raw_mode(mode)).map_err(call)?;
        }
        fs::set_times_at(parent, name, &times(metadata)).map_err(call)
    }

    /// Copies the content of a file; its length.
    fn content(&self, mut from: File, mut to: File, path: &Path) -> Result<u64> {
        let mut total = 0;
        loop {
            self.options.stop.check()?;
            let copied = io::copy(&mut (&mut from).take(STEP), &mut to);
            match copied.map_err(|error| Error::io(format!("write {path:?}"), error))? {
                0 => return Ok(total),
                copied => total += copied,
            }
        }
    }

    /// Makes a device, a FIFO or a socket; `false` when the caller may not.
    fn node(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path, metadata: &Metadata) -> Result<bool> {
        let kind = match metadata.kind {
            FileKind::CharacterDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::Fifo => FileType::Fifo,
            _ => FileType::Socket,
        };
        let device = metadata.device.map_or(0, |(major, minor)| rustix::fs::makedev(major, minor));
        match fs::make_node_at(parent, name, kind, Mode::RUSR | Mode::WUSR, device) {
            Err(error) if metadata.device.is_some() && error.errno() == Errno::PERM => {
                self.done.entries -= 1;
                self.report(path, SkipReason::Device);
                Ok(false)
            }
            result => result.map(|()| true).map_err(|error| failed(path, error)),
        }
    }

    /// Gives an inode that was written before another name; `false` when it is the first, or has as many as fit.
    fn link(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path, metadata: &Metadata) -> Result<bool> {
        if metadata.links < 2 {
            return Ok(false);
        }
        let inode = (metadata.filesystem, metadata.inode);
        let Some((first, left)) = self.names.get_mut(&inode) else {
            let first = self.remember.path(path.as_os_str().as_bytes());
            self.names.insert(inode, (first, metadata.links - 1));
            return Ok(false);
        };
        let dir = beneath::open_dir(&self.root, first.dir()).map_err(|error| failed(path, error))?;
        let from = OsStr::from_bytes(first.name());
        match fs::link_at(dir, from, parent, name) {
            // What was left out has no second name either. Full, or behind a mode that keeps its maker out: a copy.
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::MLINK | Errno::ACCESS) => return Ok(false),
            result => result.map_err(|error| failed(path, error))?,
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.names.remove(&inode);
        }
        Ok(true)
    }

    fn enter(&mut self, fd: OwnedFd, path: PathBuf, attributes: Option<Attributes>) {
        self.dirs.push(Dir { fd: Some(fd), path, attributes });
        if let Some(index) = self.dirs.len().checked_sub(HELD_MOST + 1) {
            self.dirs[index].fd = None;
        }
    }

    /// Ends the directories that are deeper than the first `depth`, innermost first.
    fn leave(&mut self, depth: usize) -> Result<()> {
        while self.dirs.len() > depth {
            let fd = self.parent()?;
            let dir = self.dirs.pop().expect("there is one");
            let Some(Attributes { metadata, xattrs }) = dir.attributes else { continue };
            let call = |error| failed(&dir.path, error);
            let mode = self.own(fd.as_fd(), OsStr::new("."), &metadata).map_err(call)?;
            for (attribute, value) in xattrs {
                let set = xattr::set(&fd, &attribute, &value);
                self.keep_or_report(&dir.path, attribute, set)?;
            }
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))
                .map_err(|errno| call(CallError::new("fchmod", &dir.path, errno)))?;
            fs::set_times_at(&fd, ".", &times(&metadata)).map_err(call)?;
        }
        Ok(())
    }

    /// The innermost directory being filled; the root before any.
    fn parent(&self) -> Result<OwnedFd> {
        let (held, path) =
            self.dirs.last().map_or((Some(&self.root), Path::new("")), |dir| (dir.fd.as_ref(), &dir.path));
        match held {
            Some(fd) => fd.try_clone().map_err(|error| Error::io(format!("open {path:?}"), error)),
            None => beneath::open_dir(&self.root, path.as_os_str().as_bytes()).map_err(|error| failed(path, error)),
        }
    }

    /// Gives an inode to its owner, where the caller may; returns the mode that fits who has it now.
    fn own(&mut self, parent: BorrowedFd<'_>, name: &OsStr, metadata: &Metadata) -> Result<u32, CallError> {
        let (uid, gid) = self.options.owner.unwrap_or((metadata.uid, metadata.gid));
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let own = rustix::fs::chownat(parent, name, Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        match own {
            Ok(()) if self.keeps_owner(metadata) => Ok(metadata.mode),
            Ok(()) => Ok(metadata.mode & 0o1777),
            // EINVAL: the user namespace has no such id.
            Err(Errno::PERM | Errno::INVAL) => {
                self.done.has_owners = false;
                Ok(metadata.mode & 0o1777)
            }
            Err(errno) => Err(CallError::new("fchownat", name, errno)),
        }
    }

    fn keeps_owner(&self, metadata: &Metadata) -> bool {
        self.options.owner.is_none_or(|owner| owner == (metadata.uid, metadata.gid))
    }

    /// The attributes to write; what is left out on purpose is no loss but for escaped marks.
    fn xattrs(&mut self, entry: &ViewEntry) -> Result<Vec<(OsString, Vec<u8>)>> {
        let mut kept = Vec::new();
        let keeps_capability = self.keeps_owner(&entry.metadata()?);
        for (name, value) in entry.xattrs()? {
            let bytes = name.as_bytes();
            if Dialect::owns(bytes) {
                self.report(entry.relative(), SkipReason::Attribute(name));
            } else if !bytes.starts_with(b"security.") || (bytes == CAPABILITY && keeps_capability) {
                kept.push((name, value));
            }
        }
        Ok(kept)
    }

    fn keep_or_report(&mut self, path: &Path, name: OsString, set: Result<(), CallError>) -> Result<()> {
        match set {
            Err(error) if matches!(error.errno(), Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {
                self.report(path, SkipReason::Attribute(name));
                Ok(())
            }
            result => result.map_err(|error| failed(path, error)),
        }
    }

    fn report(&mut self, path: &Path, reason: SkipReason) {
        self.losses.report(path, reason);
    }
}

fn failed(path: &Path, error: CallError) -> Error {
    Error::call(format!("write {path:?}"), error)
}

fn times(metadata: &Metadata) -> Timestamps {
    let time = |(seconds, nanoseconds): (i64, u32)| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time(metadata.accessed), last_modification: time(metadata.modified) }
}
