//! The walk over a view, in one order everywhere: a directory, then what is in it, names sorted bytewise.

use std::ffi::OsString;
use std::iter::FusedIterator;
use std::path::{Path, PathBuf};
use std::vec;

use plyfs_sys::fs;

use super::ViewEntry;
use crate::{Chain, Error, ErrorKind, Found, Merged, Result};

/// How many descriptors the directories of a walk may hold; further out they are found again when it comes back to them.
const HELD_MOST: usize = 256;

/// Everything at and below one path of a view; after an error there is no more.
#[derive(Debug)]
pub struct Walk {
    chain: Chain,
    /// What the walk begins at, until it was handed out.
    start: Option<ViewEntry>,
    /// The directories the walk is in, innermost last.
    levels: Vec<Level>,
    /// A directory that was handed out and not entered yet.
    pending: Option<Merged>,
}

#[derive(Debug)]
struct Level {
    /// `None` once given up for its descriptors.
    dir: Option<Merged>,
    path: PathBuf,
    names: vec::IntoIter<(OsString, usize)>,
}

impl Walk {
    pub(super) fn new(chain: Chain, start: ViewEntry) -> Self {
        Self { chain, start: Some(start), levels: Vec::new(), pending: None }
    }

    /// Leaves out what is below the directory that was handed out last.
    pub fn skip_below(&mut self) {
        self.pending = None;
    }

    /// How many directories down from the start the entry handed out last is.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    fn step(&mut self) -> Result<Option<ViewEntry>> {
        if let Some(start) = self.start.take() {
            return Ok(Some(self.hand_out(start)));
        }
        if let Some(dir) = self.pending.take() {
            self.enter(dir)?;
        }
        while let Some(level) = self.levels.last_mut() {
            let Some((name, first)) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let dir = match &level.dir {
                Some(dir) => dir,
                None => level.dir.insert(again(&self.chain, &level.path)?),
            };
            // What was removed since the directory was listed is not there.
            if let Some(found) = dir.lookup_from(&name, first)? {
                let entry = ViewEntry::new(found, self.chain.dialect());
                return Ok(Some(self.hand_out(entry)));
            }
        }
        Ok(None)
    }

    fn hand_out(&mut self, entry: ViewEntry) -> ViewEntry {
        self.pending = match entry.found() {
            Found::Directory(merged) => Some(merged.clone()),
            _ => None,
        };
        entry
    }

    fn enter(&mut self, dir: Merged) -> Result<()> {
        if self.levels.len() > fs::MAX_DEPTH {
            let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        let mut left = HELD_MOST.saturating_sub(dir.parts().count());
        for level in self.levels.iter_mut().rev() {
            let held = level.dir.as_ref().map_or(0, |dir| dir.parts().count());
            match left.checked_sub(held) {
                Some(less) => left = less,
                None => level.dir = None,
            }
        }
        let names = dir.listed()?.into_iter();
        self.levels.push(Level { path: dir.path().to_owned(), dir: Some(dir), names });
        Ok(())
    }
}

/// Finds a directory again whose descriptors were given up.
fn again(chain: &Chain, path: &Path) -> Result<Merged> {
    match chain.lookup(path)? {
        Some(Found::Directory(merged)) => Ok(merged),
        _ => Err(crate::upper::changed(path)),
    }
}

impl Iterator for Walk {
    type Item = Result<ViewEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            (self.levels, self.pending) = (Vec::new(), None);
        }
        step.transpose()
    }
}

impl FusedIterator for Walk {}
