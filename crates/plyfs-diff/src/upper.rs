//! Reading an upper directory so that a change under the reader is noticed (rule 28).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use plyfs_sys::CallError;
use plyfs_sys::fs::{self, Stat};

use crate::chain::{self, DirMarks};
use crate::{Chain, Dialect, Error, ErrorKind, Found, Merged, Result};

/// The failure of a call on `path`; what was listed a moment ago and is gone has changed under the reader.
pub(crate) fn failed(path: &Path, error: CallError) -> Error {
    if error.is_not_found() {
        return changed(path).because(error);
    }
    Error::call(format!("read {path:?}"), error)
}

/// The refusal to answer with half of one state and half of another.
pub(crate) fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, format!("{path:?} changed while it was read"))
}

/// Opens what was a directory or a regular file a moment ago; whether it is what took its place is for
/// [`ensure_unchanged`] to say, once it was read.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let name = path.file_name().expect("only entries below the root are opened by name");
    fs::open_to_read_at(dir, name).map_err(|error| failed(path, error))
}

/// Fails when an open file is not what `stat` said, or no longer.
///
/// Reading moves the access time at most; every other change moves the change time, whatever it does to the others.
pub(crate) fn ensure_unchanged(fd: impl AsFd, path: &Path, stat: &Stat) -> Result<()> {
    let now = fs::stat(fd).map_err(|error| failed(path, error))?;
    let facts = |stat: &Stat| {
        let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_size, times)
    };
    if facts(&now) == facts(stat) { Ok(()) } else { Err(changed(path)) }
}

/// An open directory of an upper.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) fd: OwnedFd,
    /// Relative to the root, without a slash at the end; empty for the root.
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
    pub(crate) marks: DirMarks,
}

impl Directory {
    /// Opens the root of an upper.
    pub(crate) fn root(upper: impl AsFd, dialect: Dialect) -> Result<Self> {
        let dot = Path::new(".");
        let fd = fs::open_dir_at(upper, dot).map_err(|error| failed(dot, error))?;
        let stat = fs::stat(&fd).map_err(|error| failed(dot, error))?;
        let marks = DirMarks::read(&fd, dialect).map_err(|error| failed(dot, error))?;
        // The kernel merges the roots of all layers whatever marks they carry.
        let marks = DirMarks { is_opaque: false, is_redirected: false, ..marks };
        Ok(Self { fd, path: PathBuf::new(), stat, marks })
    }

    /// Opens the subdirectory that `stat` described.
    pub(crate) fn subdirectory(&self, name: &OsStr, stat: Stat, dialect: Dialect) -> Result<Self> {
        let path = self.path.join(name);
        let fd = open(self.fd.as_fd(), &path)?;
        ensure_unchanged(&fd, &path, &stat)?;
        let marks = DirMarks::read(&fd, dialect).map_err(|error| failed(&path, error))?;
        Ok(Self { fd, path, stat, marks })
    }

    /// Says whether what lies below it is under another name in the lowers (rule 25).
    pub(crate) fn is_redirected(&self) -> bool {
        self.marks.is_redirected && !self.marks.is_opaque
    }

    /// The names in it, sorted bytewise.
    pub(crate) fn read_dir(&self) -> Result<fs::Listing> {
        fs::Listing::read_own(&self.fd).map_err(|error| failed(&self.path, error))
    }

    /// The status of one name in it.
    pub(crate) fn stat_at(&self, name: &OsStr) -> Result<Stat> {
        fs::stat_at(&self.fd, name).map_err(|error| failed(&self.path.join(name), error))
    }

    /// Says whether a name in it is a whiteout, in either form.
    pub(crate) fn is_whiteout(&self, name: &OsStr, stat: &Stat, dialect: Dialect) -> Result<bool> {
        let answer = chain::is_whiteout(&self.fd, name, stat, self.marks, dialect);
        answer.map_err(|error| failed(&self.path.join(name), error))
    }

    /// Fails when something was made or removed in it, or it was changed itself, since it was opened.
    pub(crate) fn ensure_unchanged(&self) -> Result<()> {
        ensure_unchanged(&self.fd, &self.path, &self.stat)
    }
}

/// An upper seen together with the chain below it, for the paths whose content lies elsewhere in the chain (rule 25).
#[derive(Debug)]
pub(crate) struct Union {
    chain: Option<Chain>,
    /// The directory that was asked for last, since the next path is mostly in it too.
    last: Option<(PathBuf, Merged)>,
}

impl Union {
    /// The union of `upper` and `chain`; where nobody can look below the upper, whatever is asked for is refused.
    pub(crate) fn new(upper: BorrowedFd<'_>, chain: &Chain) -> Result<Self> {
        let upper = fs::open_dir_at(upper, ".").map_err(|error| failed(Path::new("."), error))?;
        let can_look = chain.is_known() && !chain.is_empty();
        Ok(Self { chain: can_look.then(|| chain.with_upper(upper)), last: None })
    }

    /// What a mount shows for the directory `path`.
    pub(crate) fn directory(&self, path: &Path) -> Result<Merged> {
        let chain = self.chain.as_ref().ok_or_else(|| no_content(path))?;
        match chain.lookup(path)? {
            Some(Found::Directory(merged)) => Ok(merged),
            _ => Err(changed(path)),
        }
    }

    /// Opens the content that a mount shows for the file `path`.
    pub(crate) fn content(&mut self, path: &Path) -> Result<OwnedFd> {
        let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        let known = self.last.take_if(|(known, _)| known == parent);
        let (_, dir) = self.last.insert(match known {
            Some(known) => known,
            None if self.chain.is_none() => return Err(no_content(path)),
            None => (parent.to_owned(), self.directory(parent)?),
        });
        match dir.lookup(name)? {
            Some(Found::Other(entry)) => entry.open(),
            _ => Err(changed(path)),
        }
    }
}

/// The refusal to lose what lies in a layer that is not at hand.
fn no_content(path: &Path) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the content of {path:?} lies in a layer that is not in the chain"))
}
