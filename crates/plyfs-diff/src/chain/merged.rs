//! One directory of the merged view of a chain.
//!
//! It holds the directories that contribute to it, uppermost first: those of the lowers that have it, down to the first
//! that is opaque, hidden by a whiteout, or not a directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};
use rustix::fs::{Mode, OFlags};

use super::marks::{DirMarks, is_metacopy, is_whiteout};
use crate::{Dialect, Error, ErrorKind, Result};

/// A directory as the lowers of a chain show it together.
#[derive(Clone, Debug)]
pub struct Merged {
    dirs: Vec<Part>,
    /// How many lowers the chain has, contributing or not.
    depth: usize,
    dialect: Dialect,
    path: PathBuf,
}

/// The same directory in one lower.
#[derive(Clone, Debug)]
struct Part {
    fd: Arc<OwnedFd>,
    lower: usize,
    marks: DirMarks,
}

/// What a name in a merged directory is.
#[derive(Debug)]
pub enum Found {
    /// A directory; [`Merged::lookup`] goes on from it.
    Directory(Merged),
    /// A symbolic link; [`Entry::read_link`] says where it points, nothing has followed it.
    Symlink(Entry),
    /// Anything else: a regular file, a device, a FIFO, a socket.
    Other(Entry),
}

/// Anything but a directory, in the lower that shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    dir: Arc<OwnedFd>,
    name: OsString,
    stat: Stat,
    lower: usize,
    dialect: Dialect,
    path: PathBuf,
}

impl Merged {
    pub(super) fn root(lowers: &[Arc<OwnedFd>], dialect: Dialect) -> Result<Self> {
        let part = |(lower, fd): (usize, &Arc<OwnedFd>)| {
            let marks = DirMarks::read(fd, dialect)?;
            Ok(Part { fd: Arc::clone(fd), lower, marks })
        };
        let dirs = lowers.iter().enumerate().map(part).collect::<Result<_, _>>();
        let dirs = dirs.map_err(|error| Error::call("look at the root of the chain", error))?;
        Ok(Self { dirs, depth: lowers.len(), dialect, path: PathBuf::new() })
    }

    /// The path from the root, for messages; empty for the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory whose owner, mode, attributes and times the merged view shows; `None` when no lower has it.
    #[must_use]
    pub fn uppermost(&self) -> Option<BorrowedFd<'_>> {
        self.dirs.first().map(|part| part.fd.as_fd())
    }

    /// The directories that contribute, uppermost first, with the index of their lower.
    pub fn parts(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.dirs.iter().map(|part| (part.lower, part.fd.as_fd()))
    }

    /// The status the merged view shows; `None` when no lower has the directory.
    pub fn stat(&self) -> Result<Option<Stat>> {
        let stat = self.uppermost().map(fs::stat).transpose();
        stat.map_err(|error| Error::call(format!("look at {:?}", self.path), error))
    }

    /// Finds what the merged view shows for one `name`, or `None` when no lower has it or a whiteout hides it.
    pub fn lookup(&self, name: impl AsRef<OsStr>) -> Result<Option<Found>> {
        let name = name.as_ref();
        let failed = |error| Error::call(format!("look up {:?}", self.path.join(name)), error);
        let mut dirs = Vec::new();
        for part in &self.dirs {
            let Some(stat) = fs::try_stat_at(&part.fd, name).map_err(failed)? else { continue };
            if is_whiteout(&part.fd, name, &stat, part.marks, self.dialect).map_err(failed)? {
                break;
            }
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind != FileType::Directory {
                if dirs.is_empty() {
                    return Ok(Some(self.entry(part, name, stat, kind)));
                }
                break;
            }
            let inner = self.open_part(part, name).map_err(failed)?;
            let marks = inner.marks;
            if marks.is_redirected && inner.lower + 1 < self.depth {
                return Err(redirected(&self.path.join(name)));
            }
            dirs.push(inner);
            if marks.is_opaque {
                break;
            }
        }
        if dirs.is_empty() {
            return Ok(None);
        }
        let (depth, dialect) = (self.depth, self.dialect);
        Ok(Some(Found::Directory(Self { dirs, depth, dialect, path: self.path.join(name) })))
    }

    /// The names the merged view shows, sorted bytewise.
    pub fn read_dir(&self) -> Result<Vec<OsString>> {
        let failed = |error| Error::call(format!("list {:?}", self.path), error);
        let mut names = BTreeMap::new();
        for part in &self.dirs {
            for entry in fs::read_dir(&part.fd).map_err(failed)? {
                let is_shown = !self.hides(part, &entry).map_err(failed)?;
                names.entry(entry.name).or_insert(is_shown);
            }
        }
        Ok(names.into_iter().filter_map(|(name, is_shown)| is_shown.then_some(name)).collect())
    }

    /// Says whether an entry is a whiteout, looking at its inode only where its type leaves that open.
    fn hides(&self, part: &Part, entry: &fs::DirEntry) -> Result<bool, CallError> {
        let may_hide = match entry.kind {
            FileType::CharacterDevice | FileType::Unknown => true,
            FileType::RegularFile => part.marks.has_xwhiteouts,
            _ => false,
        };
        if !may_hide {
            return Ok(false);
        }
        let stat = fs::stat_at(&part.fd, &entry.name)?;
        is_whiteout(&part.fd, &entry.name, &stat, part.marks, self.dialect)
    }

    fn open_part(&self, parent: &Part, name: &OsStr) -> Result<Part, CallError> {
        let fd = fs::open_dir_at(&parent.fd, name)?;
        let marks = DirMarks::read(&fd, self.dialect)?;
        Ok(Part { fd: Arc::new(fd), lower: parent.lower, marks })
    }

    fn entry(&self, part: &Part, name: &OsStr, stat: Stat, kind: FileType) -> Found {
        let entry = Entry {
            dir: Arc::clone(&part.fd),
            name: name.to_owned(),
            stat,
            lower: part.lower,
            dialect: self.dialect,
            path: self.path.join(name),
        };
        if kind == FileType::Symlink { Found::Symlink(entry) } else { Found::Other(entry) }
    }
}

impl Entry {
    /// The directory of the lower that holds the entry.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The name in [`Entry::dir`].
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Its status when it was found.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Which lower shows it, counted from the uppermost.
    #[must_use]
    pub fn lower(&self) -> usize {
        self.lower
    }

    /// The path from the root, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The target of a symbolic link.
    pub fn read_link(&self) -> Result<OsString> {
        fs::read_link_at(&self.dir, &self.name).map_err(|error| self.failed("read the link", error))
    }

    /// The names of its extended attributes, sorted.
    pub fn xattrs(&self) -> Result<Vec<OsString>> {
        xattr::list_at(&self.dir, &self.name).map_err(|error| self.failed("list the attributes of", error))
    }

    /// The value of one extended attribute.
    pub fn xattr(&self, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
        xattr::get_at(&self.dir, &self.name, name).map_err(|error| self.failed("read an attribute of", error))
    }

    /// Opens a regular file for reading.
    ///
    /// A file whose content lies in a lower below it is [`ErrorKind::Unsupported`] rather than zeros (rule 25).
    pub fn open(&self) -> Result<OwnedFd> {
        // A FIFO put there since would block the open without O_NONBLOCK.
        let file = fs::open_at(&self.dir, &self.name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let file = file.map_err(|error| self.failed("open", error))?;
        let stat = fs::stat(&file).map_err(|error| self.failed("open", error))?;
        if (stat.st_dev, stat.st_ino) != (self.stat.st_dev, self.stat.st_ino) {
            return Err(Error::new(ErrorKind::Conflict, format!("{:?} was replaced while it was read", self.path)));
        }
        if is_metacopy(&file, self.dialect).map_err(|error| self.failed("open", error))? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the content of {:?} lies in another layer", self.path),
            ));
        }
        Ok(file)
    }

    fn failed(&self, what: &str, error: CallError) -> Error {
        Error::call(format!("{what} {:?}", self.path), error)
    }
}

/// The refusal to follow a redirect, which would otherwise lose what lies below it.
pub(crate) fn redirected(path: &Path) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the content of {path:?} lies under another name in the lower layers"))
}
