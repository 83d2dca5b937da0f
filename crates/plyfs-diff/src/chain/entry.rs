//! Anything but a directory, as the merged view shows it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};

use super::marks::is_metacopy;
use super::search::{Part, Place, Search};
use crate::{Error, ErrorKind, Result};

/// Anything but a directory, in the lower that shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) dir: Part,
    pub(super) name: OsString,
    pub(super) stat: Stat,
    /// The merged directory it was found in, where the search for content goes on.
    pub(super) place: Place,
    pub(super) path: PathBuf,
}

impl Entry {
    /// The directory of the lower that holds the entry.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.fd.as_fd()
    }

    /// The same, to be held on to.
    pub(crate) fn dir_shared(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.dir.fd)
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
        self.dir.lower
    }

    /// The path from the root, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The target of a symbolic link.
    pub fn read_link(&self) -> Result<OsString> {
        fs::read_link_at(self.dir(), &self.name).map_err(|error| self.failed("read the link", error))
    }

    /// The names of its extended attributes, sorted.
    pub fn xattrs(&self) -> Result<Vec<OsString>> {
        xattr::list_at(self.dir(), &self.name).map_err(|error| self.failed("list the attributes of", error))
    }

    /// The value of one extended attribute.
    pub fn xattr(&self, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
        xattr::get_at(self.dir(), &self.name, name).map_err(|error| self.failed("read an attribute of", error))
    }

    /// Opens a regular file for reading.
    ///
    /// One that was copied up without its content is opened in the lower that has it, wherever that lies (rule 25); where
    /// none has it is [`ErrorKind::Corrupt`].
    pub fn open(&self) -> Result<OwnedFd> {
        let file = self.open_shown()?;
        if !is_metacopy(&file, self.place.dialect).map_err(|error| self.failed("open", error))? {
            return Ok(file);
        }
        let redirect = xattr::get(&file, self.place.dialect.redirect());
        let redirect = redirect.map_err(|error| self.failed("open", error))?;
        self.place.content(&self.name, redirect, self.lower() + 1, &self.path)
    }

    /// Opens the regular file that shows its attributes; where it is a metacopy its content is elsewhere.
    pub(crate) fn open_shown(&self) -> Result<OwnedFd> {
        open_file(self.dir(), &self.name, &self.stat, &self.path)
    }

    fn failed(&self, what: &str, error: CallError) -> Error {
        Error::call(format!("{what} {:?}", self.path), error)
    }
}

impl Place {
    /// Opens the content of a file that was copied up without it, in the lowers from `first` on.
    pub(super) fn content(
        &self,
        name: &OsStr,
        redirect: Option<Vec<u8>>,
        first: usize,
        path: &Path,
    ) -> Result<OwnedFd> {
        let mut search = Search::new(self, name, path).below(FileType::RegularFile);
        search.follow(redirect)?;
        let (dir, name, stat) = search.content(first)?;
        open_file(dir.fd.as_fd(), &name, &stat, path)
    }
}

/// Opens the file that `stat` described, and nothing that took its place.
fn open_file(dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat, path: &Path) -> Result<OwnedFd> {
    let failed = |error| Error::call(format!("open {path:?}"), error);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{path:?} is no regular file")));
    }
    let file = fs::open_to_read_at(dir, name).map_err(failed)?;
    let now = fs::stat(&file).map_err(failed)?;
    if (now.st_dev, now.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Error::new(ErrorKind::Conflict, format!("{path:?} was replaced while it was read")));
    }
    Ok(file)
}
