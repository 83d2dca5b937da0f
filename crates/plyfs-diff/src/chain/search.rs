//! Looking for one name through the lowers, as the kernel does.
//!
//! A directory merges with the directories of the same name below it, until one is opaque, hidden by a whiteout, or not a
//! directory. One that was renamed says in its redirect what it was called below: another name in the same directory, or a
//! path from the root of every lower that follows. A file that was copied up without its content goes on the same way,
//! to the file that has it (rule 25).
//!
//! A redirect never leads out of the lowers: its components are names, resolved one by one, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};
use rustix::io::Errno;

use super::marks::{DirMarks, is_whiteout};
use crate::{Dialect, Error, ErrorKind, Result};

/// A directory of one lower.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) lower: usize,
    pub(super) marks: DirMarks,
}

/// The same directory in all lowers that have it, uppermost first, and the roots, which redirects begin at.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parts: Arc<[Part]>,
    pub(super) roots: Arc<[Part]>,
    pub(super) dialect: Dialect,
}

/// What one lower has under the name.
#[derive(Debug)]
pub(super) enum Hit {
    Directory(Part),
    /// Anything else: the directory it lies in, its name there, and what it is.
    Other(Part, OsString, Stat),
}

/// A search under way: what is looked for in the next lower, and what those so far said.
pub(super) struct Search<'a> {
    place: &'a Place,
    /// One name in the directory the search began in, or a path from the root.
    components: Vec<OsString>,
    is_from_root: bool,
    /// Only directories merge with what was found, or only a file can be its content.
    wanted: Option<FileType>,
    is_redirected: bool,
    is_over: bool,
    /// From the root, for messages.
    path: &'a Path,
}

impl Part {
    fn open(parent: &Part, name: &OsStr, dialect: Dialect) -> Result<Self, CallError> {
        let fd = fs::open_dir_at(&parent.fd, name)?;
        let marks = DirMarks::read(&fd, dialect)?;
        Ok(Self { fd: Arc::new(fd), lower: parent.lower, marks })
    }
}

impl<'a> Search<'a> {
    /// Begins to look for `name`, which the merged view shows as `path`.
    pub(super) fn new(place: &'a Place, name: &OsStr, path: &'a Path) -> Self {
        let components = vec![name.to_owned()];
        Self { place, components, is_from_root: false, wanted: None, is_redirected: false, is_over: false, path }
    }

    /// Restricts the search to what can lie below an inode of this type.
    pub(super) fn below(mut self, kind: FileType) -> Self {
        self.wanted = Some(kind);
        self
    }

    /// What the lowers from `first` on have under the name, uppermost first.
    ///
    /// There is more than one only where all are directories.
    pub(super) fn merged(mut self, first: usize) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        let mut next = first;
        while let Some(part) = self.next_part(&mut next) {
            let Some(hit) = self.in_lower(&part)? else { continue };
            self.refuse_unfollowed()?;
            self.is_over |= matches!(hit, Hit::Other(..));
            hits.push(hit);
        }
        Ok(hits)
    }

    /// The file in the lowers from `first` on that has the content of one that was copied up without it.
    pub(super) fn content(mut self, first: usize) -> Result<(Part, OsString, Stat)> {
        if self.dialect() == Dialect::User {
            return Err(self.refused("its content lies in another layer, which no mount with user attributes reads"));
        }
        let mut next = first;
        while let Some(part) = self.next_part(&mut next) {
            let Some(Hit::Other(dir, name, stat)) = self.in_lower(&part)? else { continue };
            let mark = |mark| xattr::get_at(&dir.fd, &name, mark).map_err(|e| self.failed(e));
            if mark(self.dialect().metacopy())?.is_none() {
                return Ok((dir, name, stat));
            }
            let redirect = mark(self.dialect().redirect())?;
            self.follow(redirect)?;
        }
        Err(Error::new(ErrorKind::Corrupt, format!("no layer has the content of {:?}", self.path)))
    }

    /// Goes on under the name that the redirect of what was found states, if there is one.
    pub(super) fn follow(&mut self, redirect: Option<Vec<u8>>) -> Result<()> {
        self.follow_from(self.components.len() - 1, redirect)
    }

    /// The same where a directory on the way carries the redirect.
    fn follow_from(&mut self, index: usize, redirect: Option<Vec<u8>>) -> Result<()> {
        let Some(redirect) = redirect else { return Ok(()) };
        let (is_from_root, names) = parse(&redirect).ok_or_else(|| {
            let shown = redirect.escape_ascii();
            Error::new(ErrorKind::Corrupt, format!("{:?} is redirected to \"{shown}\", which is no path", self.path))
        })?;
        if is_from_root {
            // What was opaque on the way here says nothing of the place the redirect leads to.
            (self.is_from_root, self.is_over) = (true, false);
            self.components.splice(..=index, names);
        } else {
            self.components.splice(index..=index, names);
        }
        self.is_redirected = true;
        if self.components.len() > fs::MAX_DEPTH {
            return Err(self.refused("redirects make its path too long"));
        }
        Ok(())
    }

    /// The directory to look in next, unless the search is over.
    fn next_part(&self, next: &mut usize) -> Option<Part> {
        if self.is_over {
            return None;
        }
        let parts = if self.is_from_root { &self.place.roots } else { &self.place.parts };
        let part = parts.iter().find(|part| part.lower >= *next)?;
        *next = part.lower + 1;
        Some(part.clone())
    }

    /// What one lower has under the name; the search is over where it hides the lowers that follow.
    fn in_lower(&mut self, start: &Part) -> Result<Option<Hit>> {
        let mut dir = start.clone();
        // Counted from the end, since a redirect on the way exchanges what is before.
        let mut left = self.components.len();
        loop {
            let hit = self.component(&dir, self.components.len() - left)?;
            left -= 1;
            match hit {
                Some(Hit::Directory(inner)) if left > 0 => dir = inner,
                hit => return Ok(hit),
            }
        }
    }

    fn component(&mut self, dir: &Part, index: usize) -> Result<Option<Hit>> {
        let name = self.components[index].clone();
        let is_last = index + 1 == self.components.len();
        if !is_last || self.wanted == Some(FileType::Directory) {
            return self.directory(dir, &name, index);
        }
        let Some(stat) = fs::try_stat_at(&dir.fd, &name).map_err(|e| self.failed(e))? else { return Ok(None) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let fits = self.wanted.is_none_or(|wanted| wanted == kind);
        if !fits || is_whiteout(&dir.fd, &name, &stat, dir.marks, self.dialect()).map_err(|e| self.failed(e))? {
            self.is_over = true;
            return Ok(None);
        }
        if kind != FileType::Directory {
            return Ok(Some(Hit::Other(dir.clone(), name, stat)));
        }
        self.wanted = Some(FileType::Directory);
        self.directory(dir, &name, index)
    }

    /// Opens what has to be a directory, without looking first: whatever else is there hides the lowers that follow.
    fn directory(&mut self, dir: &Part, name: &OsStr, index: usize) -> Result<Option<Hit>> {
        let part = match Part::open(dir, name, self.dialect()) {
            Ok(part) => part,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if matches!(error.errno(), Errno::NOTDIR | Errno::LOOP) => {
                self.is_over = true;
                return Ok(None);
            }
            Err(error) => return Err(self.failed(error)),
        };
        if part.marks.is_opaque {
            self.is_over = true;
        } else if part.marks.is_redirected && part.lower + 1 < self.place.roots.len() {
            let redirect = xattr::get(&part.fd, self.dialect().redirect()).map_err(|e| self.failed(e))?;
            self.follow_from(index, redirect)?;
        }
        Ok(Some(Hit::Directory(part)))
    }

    /// Refuses what was found under another name where the kernel would.
    ///
    /// Anyone who may write to a file may set its `user.*` attributes, so a mount that uses them follows none.
    fn refuse_unfollowed(&self) -> Result<()> {
        if self.is_redirected && self.dialect() == Dialect::User {
            return Err(
                self.refused("its content lies under another name, which no mount with user attributes follows")
            );
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("{:?}: {why}", self.path))
    }

    fn failed(&self, error: CallError) -> Error {
        Error::call(format!("look up {:?}", self.path), error)
    }

    fn dialect(&self) -> Dialect {
        self.place.dialect
    }
}

/// The names in a redirect, and whether they begin at the root; `None` for what the kernel never writes and never follows.
fn parse(redirect: &[u8]) -> Option<(bool, Vec<OsString>)> {
    let is_name = |name: &&[u8]| !matches!(*name, b"" | b"." | b"..") && !name.contains(&0);
    let path = redirect.strip_prefix(b"/");
    let names: Vec<_> = path.unwrap_or(redirect).split(|&byte| byte == b'/').collect();
    if !names.iter().all(is_name) || (path.is_none() && names.len() > 1) {
        return None;
    }
    Some((path.is_some(), names.into_iter().map(|name| OsString::from_vec(name.to_vec())).collect()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_redirect_is_one_name_or_a_path_of_names_from_the_root() {
        let parsed = |text: &[u8]| {
            let (is_from_root, names) = parse(text)?;
            Some(format!("{is_from_root} {}", names.join(OsStr::from_bytes(b"|")).display()))
        };
        for (redirect, expected) in [
            (&b"old"[..], Some("false old")),
            (b"/old", Some("true old")),
            (b"/a/old", Some("true a|old")),
            (b"", None),
            (b"/", None),
            (b"a/old", None),
            (b"..", None),
            (b"/a/../../etc", None),
            (b"/a//old", None),
            (b"/a/", None),
            (b"/a/.", None),
            (b"a\0b", None),
        ] {
            assert_eq!(parsed(redirect).as_deref(), expected, "{}", redirect.escape_ascii());
        }
    }
}
