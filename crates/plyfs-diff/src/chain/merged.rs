//! One directory of the merged view of a chain.
//!
//! It holds the directories that contribute to it, uppermost first: those of the lowers that have it, under whatever name,
//! down to the first that is opaque, hidden by a whiteout, or not a directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_sys::fs::{self, FileType, Listing, Stat};
use plyfs_sys::{CallError, xattr};

use super::Entry;
use super::marks::{DirMarks, is_whiteout};
use super::names::Names;
use super::search::{Hit, Part, Place, Search};
use crate::layout::CAPABILITY;
use crate::{Dialect, Error, Result, upper};

/// A directory as the lowers of a chain show it together.
///
/// Cloning shares the descriptors.
#[derive(Clone, Debug)]
pub struct Merged {
    place: Place,
    path: PathBuf,
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

impl Merged {
    pub(super) fn root(lowers: &[Arc<OwnedFd>], dialect: Dialect) -> Result<Self> {
        let part = |(lower, fd): (usize, &Arc<OwnedFd>)| {
            let marks = DirMarks::read(fd, dialect)?;
            Ok(Part { fd: Arc::clone(fd), lower, marks })
        };
        let roots: Result<Arc<[Part]>, _> = lowers.iter().enumerate().map(part).collect();
        let roots = roots.map_err(|error| Error::call("look at the root of the chain", error))?;
        Ok(Self { place: Place { parts: Arc::clone(&roots), roots, dialect }, path: PathBuf::new() })
    }

    /// The path from the root, for messages; empty for the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory whose owner, mode, attributes and times the merged view shows; `None` when no lower has it.
    #[must_use]
    pub fn uppermost(&self) -> Option<BorrowedFd<'_>> {
        self.place.parts.first().map(|part| part.fd.as_fd())
    }

    /// The directories that contribute, uppermost first, with the index of their lower.
    pub fn parts(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.place.parts.iter().map(|part| (part.lower, part.fd.as_fd()))
    }

    /// Says whether `other` is made of the same directories, not counting the uppermost lower of this one's chain.
    pub(crate) fn is_same_below_uppermost(&self, other: Option<&Self>) -> Result<bool> {
        let failed = |error| Error::call(format!("look at {:?}", self.path), error);
        let inode = |part: &Part| fs::stat(&part.fd).map(|stat| (stat.st_dev, stat.st_ino)).map_err(failed);
        let own: Vec<_> = self.place.parts.iter().filter(|part| part.lower > 0).collect();
        let others: Vec<_> = other.iter().flat_map(|other| other.place.parts.iter()).collect();
        if own.len() != others.len() {
            return Ok(false);
        }
        for (own, other) in own.into_iter().zip(others) {
            if own.lower != other.lower + 1 || inode(own)? != inode(other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The status the merged view shows; `None` when no lower has the directory.
    pub fn stat(&self) -> Result<Option<Stat>> {
        let stat = self.uppermost().map(fs::stat).transpose();
        stat.map_err(|error| Error::call(format!("look at {:?}", self.path), error))
    }

    /// Finds what the merged view shows for one `name`, or `None` when no lower has it or a whiteout hides it.
    pub fn lookup(&self, name: impl AsRef<OsStr>) -> Result<Option<Found>> {
        self.lookup_from(name.as_ref(), 0)
    }

    /// The same where no lower above `first` has the name.
    pub(crate) fn lookup_from(&self, name: &OsStr, first: usize) -> Result<Option<Found>> {
        if self.place.parts.is_empty() {
            return Ok(None);
        }
        let path = self.path.join(name);
        let hits = Search::new(&self.place, name, &path).merged(first)?;
        self.found(hits, path)
    }

    /// Finds what lies below the directory `name` of an upper over this chain, which carries `redirect` (rule 25).
    ///
    /// `None` when no lower has a directory there. The upper's own marks are the caller's: an opaque directory of it has
    /// nothing below it.
    pub fn lookup_below(&self, name: &OsStr, redirect: Option<Vec<u8>>) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let mut search = Search::new(&self.place, name, &path).below(FileType::Directory);
        search.follow(redirect)?;
        match self.found(search.merged(0)?, path)? {
            Some(Found::Directory(merged)) => Ok(Some(merged)),
            _ => Ok(None),
        }
    }

    /// Opens the content of the file `name` of an upper over this chain, which was copied up without it and carries
    /// `redirect` (rule 25).
    pub fn content_below(&self, name: &OsStr, redirect: Option<Vec<u8>>) -> Result<OwnedFd> {
        self.place.content(name, redirect, 0, &self.path.join(name))
    }

    /// The names the merged view shows, sorted bytewise.
    pub fn read_dir(&self) -> Result<Vec<OsString>> {
        Ok(self.listed()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The names the merged view shows, each with the uppermost lower that has it.
    pub(crate) fn listed(&self) -> Result<Vec<(OsString, usize)>> {
        let failed = |error| Error::call(format!("list {:?}", self.path), error);
        let mut names = BTreeMap::new();
        for part in self.place.parts.iter() {
            for entry in fs::read_dir(&part.fd).map_err(failed)? {
                let is_shown = !self.hides(part, &entry.name, entry.kind).map_err(failed)?;
                names.entry(entry.name).or_insert(is_shown.then_some(part.lower));
            }
        }
        Ok(names.into_iter().filter_map(|(name, lower)| Some((name, lower?))).collect())
    }

    /// The names the merged view shows, with what the uppermost directory that has each says it is.
    pub(crate) fn names(&self) -> Result<Names> {
        self.names_by(|fd| Listing::read_own(fs::open_dir_at(fd, ".")?))
    }

    /// The same of a directory that nobody else reads by these descriptors, so that none has to be opened anew.
    pub(crate) fn own_names(&self) -> Result<Names> {
        self.names_by(|fd| Listing::read_own(fd))
    }

    fn names_by(&self, read: impl Fn(&OwnedFd) -> Result<Listing, CallError>) -> Result<Names> {
        let read = || {
            let listings: Result<Vec<_>, _> = self.place.parts.iter().map(|part| read(&part.fd)).collect();
            Names::merge(listings?, |part, name, kind| self.hides(&self.place.parts[part], name, kind))
        };
        read().map_err(|error| upper::failed(&self.path, error))
    }

    /// Finds the directory `name`, which the part of index `first` is the uppermost to have.
    pub(crate) fn subdirectory(&self, name: &OsStr, first: usize) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let first = self.place.parts[first].lower;
        let hits = Search::new(&self.place, name, &path).below(FileType::Directory).merged(first)?;
        match self.found(hits, path)? {
            Some(Found::Directory(merged)) => Ok(Some(merged)),
            _ => Ok(None),
        }
    }

    /// The directory of index `part` that contributes.
    pub(crate) fn part(&self, part: usize) -> &Arc<OwnedFd> {
        &self.place.parts[part].fd
    }

    /// The directory that [`Merged::uppermost`] borrows, to be held on to.
    pub(crate) fn uppermost_shared(&self) -> Option<Arc<OwnedFd>> {
        self.place.parts.first().map(|part| Arc::clone(&part.fd))
    }

    /// The file capabilities that the merged view shows.
    pub(crate) fn capability(&self) -> Result<Option<Vec<u8>>, CallError> {
        let Some(part) = self.place.parts.first().filter(|part| part.marks.has_capability) else { return Ok(None) };
        xattr::get(&part.fd, OsStr::from_bytes(CAPABILITY))
    }

    /// Says whether both are made of the very same directories; where that cannot be told, they are not.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let inodes = |merged: &Self| -> Result<Vec<_>, CallError> {
            merged.place.parts.iter().map(|part| fs::stat(&part.fd).map(|stat| (stat.st_dev, stat.st_ino))).collect()
        };
        matches!((inodes(self), inodes(other)), (Ok(own), Ok(others)) if own == others)
    }

    /// Says whether a name is a whiteout, looking at its inode only where its type leaves that open.
    fn hides(&self, part: &Part, name: &OsStr, kind: FileType) -> Result<bool, CallError> {
        let may_hide = match kind {
            FileType::CharacterDevice | FileType::Unknown => true,
            FileType::RegularFile => part.marks.has_xwhiteouts,
            _ => false,
        };
        if !may_hide {
            return Ok(false);
        }
        let stat = fs::stat_at(&part.fd, name)?;
        is_whiteout(&part.fd, name, &stat, part.marks, self.place.dialect)
    }

    fn found(&self, hits: Vec<Hit>, path: PathBuf) -> Result<Option<Found>> {
        let mut parts = Vec::new();
        for hit in hits {
            match hit {
                Hit::Directory(part) => parts.push(part),
                Hit::Other(dir, name, stat) => {
                    let entry = Entry { dir, name, stat, place: self.place.clone(), path };
                    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
                    return Ok(Some(if is_link { Found::Symlink(entry) } else { Found::Other(entry) }));
                }
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let place = Place { parts: parts.into(), ..self.place.clone() };
        Ok(Some(Found::Directory(Self { place, path })))
    }
}
