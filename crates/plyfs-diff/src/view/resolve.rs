//! Paths as a process inside would mean them: links are followed, and nothing leads out.
//!
//! Each step looks up one name in a merged directory that is held by its descriptors, so a directory that becomes a link
//! meanwhile changes where a path leads inside the view and never leads outside (CVE-2018-15664).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::ViewEntry;
use crate::{Chain, Error, ErrorKind, Found, Merged, Result};

/// As many links as the kernel follows on one path.
const LINKS_MOST: usize = 40;

/// A path being followed.
struct Follow<'a> {
    asked: &'a Path,
    /// The directories from the root to the current one, for `..`.
    dirs: Vec<Merged>,
    /// The names still to come.
    rest: VecDeque<OsString>,
    links_left: usize,
}

/// Finds what is at `path`; a link there is followed when `follows_last` or the path ends in a slash.
pub(super) fn entry(chain: &Chain, path: &Path, follows_last: bool) -> Result<ViewEntry> {
    let wants_directory = path.as_os_str().as_bytes().ends_with(b"/");
    let mut follow = Follow { asked: path, dirs: vec![chain.root()?], rest: VecDeque::new(), links_left: LINKS_MOST };
    follow.push(path.as_os_str());
    let found = follow.run(follows_last || wants_directory)?;
    let entry = ViewEntry::new(found, chain.dialect());
    if wants_directory {
        entry.directory()?;
    }
    Ok(entry)
}

impl Follow<'_> {
    /// Puts the names of a path or of a link's target before those still to come.
    fn push(&mut self, path: &OsStr) {
        if path.as_bytes().starts_with(b"/") {
            self.dirs.truncate(1);
        }
        let names = path.as_bytes().split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.']));
        for name in names.rev() {
            self.rest.push_front(OsStr::from_bytes(name).to_owned());
        }
    }

    fn run(mut self, follows_last: bool) -> Result<Found> {
        while let Some(name) = self.rest.pop_front() {
            if name == ".." {
                // Above the root is the root.
                self.dirs.truncate(self.dirs.len().saturating_sub(1).max(1));
                continue;
            }
            let dir = self.dirs.last().expect("the root stays");
            match dir.lookup(&name)? {
                None => return Err(Error::new(ErrorKind::NotFound, format!("{:?}: no such file", self.asked))),
                Some(Found::Directory(inner)) => self.dirs.push(inner),
                Some(Found::Symlink(entry)) if follows_last || !self.rest.is_empty() => {
                    self.links_left = self.links_left.checked_sub(1).ok_or_else(|| {
                        let message = format!("{:?} leads through more than {LINKS_MOST} links", self.asked);
                        Error::new(ErrorKind::InvalidInput, message)
                    })?;
                    self.push(&entry.read_link()?);
                }
                Some(found) if self.rest.is_empty() => return Ok(found),
                Some(_) => {
                    let message = format!("{:?}: {:?} is not a directory", self.asked, dir.path().join(&name));
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
            }
        }
        Ok(Found::Directory(self.dirs.pop().expect("the root stays")))
    }
}
