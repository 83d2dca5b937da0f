//! Two trees walked side by side.
//!
//! A walk is a stack of cursors, one for each directory it is in, so that what is left of it can be split: see
//! [`share`](super::share).

use std::ffi::OsStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_sys::fs::{self, FileType, Stat};

use super::same;
use crate::chain::Names;
use crate::export::Style;
use crate::stop::Stop;
use crate::{Chain, Error, ErrorKind, Found, Merged, Result, upper};

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Modified,
    Deleted,
    /// It is as it was, but has other names, which may have changed (rule 37).
    Unmodified,
}

/// One path that differs.
pub(super) struct Difference {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// What is there now; `None` for what is gone.
    pub(super) now: Option<Node>,
}

/// An inode of a tree, by the place it lies in.
pub(super) struct Node {
    /// The directory of the layer that has it under the name its path ends with.
    pub(super) dir: Arc<OwnedFd>,
    pub(super) stat: Stat,
    /// The directory itself, if it is one.
    pub(super) inner: Option<Arc<OwnedFd>>,
}

/// Who is told what differs: a directory before what is in it, siblings sorted bytewise.
pub(super) trait Tell {
    fn tell(&mut self, difference: Difference) -> Result<()>;

    /// Called before each name: what is left to do lies in `stack`, and some of it may be taken.
    fn between(&mut self, stack: &mut [Cursor]) -> Result<()>;
}

/// How many of the innermost directories of a walk stay open; those above them are opened anew on the way back.
const OPEN: usize = 32;

/// What is compared.
pub(super) struct Trees<'a> {
    pub(super) lower: &'a Chain,
    pub(super) upper: &'a Chain,
    pub(super) style: Style,
    pub(super) stop: &'a Stop,
}

/// The names in one directory that both trees may have.
struct Level {
    was: Names,
    now: Names,
    path: PathBuf,
    depth: usize,
}

/// The directory itself.
#[derive(Clone)]
struct Pair {
    lower: Option<Merged>,
    upper: Merged,
}

/// The names of one directory that are still to be compared.
pub(super) struct Cursor {
    level: Arc<Level>,
    /// `None` once given up for its descriptors.
    dirs: Option<Pair>,
    was: Range<usize>,
    now: Range<usize>,
}

/// A name as one of the trees shows it.
struct Side<'a> {
    dir: &'a Merged,
    part: usize,
    name: &'a OsStr,
    stat: Stat,
    inner: Option<Merged>,
}

/// Compares the names that `start` has left, and everything below them.
pub(super) fn walk(trees: &Trees<'_>, start: Cursor, tell: &mut impl Tell) -> Result<()> {
    let mut stack = vec![start];
    loop {
        trees.stop.check()?;
        tell.between(&mut stack)?;
        let Some(cursor) = stack.last_mut() else { return Ok(()) };
        let Some((was, now)) = cursor.next() else {
            stack.pop();
            continue;
        };
        let level = Arc::clone(&cursor.level);
        let dirs = match &mut cursor.dirs {
            Some(dirs) => dirs,
            none => none.insert(trees.open(&level.path)?),
        };
        let Some(inner) = level.pair(dirs, was, now, trees.style, tell)? else { continue };
        stack.push(inner);
        if let Some(above) = stack.len().checked_sub(OPEN + 1) {
            stack[above].dirs = None;
        }
    }
}

impl Trees<'_> {
    /// Where the walk begins.
    pub(super) fn root(&self) -> Result<Cursor> {
        if !(self.lower.is_known() && self.upper.is_known()) {
            return Err(Error::new(ErrorKind::InvalidInput, "only trees that are known can be compared"));
        }
        let (lower, upper) = (self.lower.root()?, self.upper.root()?);
        // The descriptors of the roots are the caller's, who may read by them too.
        let (was, now) = (lower.names()?, upper.names()?);
        let level = Level { was, now, path: PathBuf::new(), depth: 0 };
        Ok(Cursor::new(level, Pair { lower: Some(lower), upper }))
    }

    /// Finds a directory again.
    fn open(&self, path: &Path) -> Result<Pair> {
        let directory = |chain: &Chain| match chain.lookup(path)? {
            Some(Found::Directory(merged)) => Ok(Some(merged)),
            _ => Ok::<_, Error>(None),
        };
        let upper = directory(self.upper)?.ok_or_else(|| upper::changed(path))?;
        Ok(Pair { lower: directory(self.lower)?, upper })
    }
}

impl Cursor {
    fn new(level: Level, dirs: Pair) -> Self {
        let (was, now) = (0..level.was.len(), 0..level.now.len());
        Self { level: Arc::new(level), dirs: Some(dirs), was, now }
    }

    /// Says whether any name is left.
    pub(super) fn has_more(&self) -> bool {
        !(self.was.is_empty() && self.now.is_empty())
    }

    /// Gives away the latter half of what is left.
    pub(super) fn split(&mut self) -> Self {
        let Level { was, now, .. } = &*self.level;
        let half = |range: &Range<usize>| range.start + range.len() / 2;
        let (old, new) = if self.now.len() > self.was.len() {
            let new = half(&self.now);
            (was.position(now.name(new)).clamp(self.was.start, self.was.end), new)
        } else {
            let old = half(&self.was);
            (old, now.position(was.name(old)).clamp(self.now.start, self.now.end))
        };
        let (was, now) = (old..self.was.end, new..self.now.end);
        let given = Self { level: Arc::clone(&self.level), dirs: self.dirs.clone(), was, now };
        (self.was.end, self.now.end) = (old, new);
        given
    }

    /// The position of the next name in the one, the other, or both.
    fn next(&mut self) -> Option<(Option<usize>, Option<usize>)> {
        let Level { was, now, .. } = &*self.level;
        let order = match (self.was.is_empty(), self.now.is_empty()) {
            (true, true) => return None,
            (false, true) => std::cmp::Ordering::Less,
            (true, false) => std::cmp::Ordering::Greater,
            (false, false) => was.name(self.was.start).cmp(now.name(self.now.start)),
        };
        let old = if order.is_le() { self.was.next() } else { None };
        let new = if order.is_ge() { self.now.next() } else { None };
        Some((old, new))
    }
}

impl Level {
    /// Compares one name, and returns what is below it where that is to be compared too.
    fn pair(
        &self,
        dirs: &Pair,
        was: Option<usize>,
        now: Option<usize>,
        style: Style,
        tell: &mut impl Tell,
    ) -> Result<Option<Cursor>> {
        let name = now.map(|now| self.now.name(now)).or_else(|| was.map(|was| self.was.name(was)));
        let path = self.path.join(name.unwrap_or_default());
        let Some(now) = now else {
            tell.tell(Difference { path, kind: Kind::Deleted, now: None })?;
            return Ok(None);
        };
        let now = Side::open(&dirs.upper, &self.now, now, &path)?;
        let was = dirs.lower.as_ref().zip(was);
        let was = was.map(|(dir, was)| Side::open(dir, &self.was, was, &path)).transpose()?;
        let kind = match &was {
            None => Some(Kind::Added),
            Some(was) if !same::is_same(was, &now, style, &path)? => Some(Kind::Modified),
            Some(_) => (now.inner.is_none() && now.stat.st_nlink > 1).then_some(Kind::Unmodified),
        };
        if let Some(kind) = kind {
            tell.tell(Difference { path: path.clone(), kind, now: Some(now.node()) })?;
        }
        if now.inner.is_none() || (style == Style::Native && was.as_ref().is_some_and(|was| was.is_one_with(&now))) {
            return Ok(None);
        }
        let (Some(upper), lower) = (now.inner, was.and_then(|was| was.inner)) else { return Ok(None) };
        Pair { lower, upper }.names(path, self.depth + 1).map(Some)
    }
}

impl Pair {
    /// Lists a directory that was opened for this walk.
    fn names(self, path: PathBuf, depth: usize) -> Result<Cursor> {
        if depth > fs::MAX_DEPTH {
            let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        let was = self.lower.as_ref().map(Merged::own_names).transpose()?.unwrap_or_default();
        let now = self.upper.own_names()?;
        Ok(Cursor::new(Level { was, now, path, depth }, self))
    }
}

impl<'a> Side<'a> {
    fn open(dir: &'a Merged, names: &'a Names, index: usize, path: &Path) -> Result<Self> {
        let (part, name) = (names.part(index), names.name(index));
        let mut side = None;
        if names.kind(index) != FileType::Directory {
            let stat = fs::stat_at(dir.part(part), name).map_err(|error| upper::failed(path, error))?;
            side = Some(Self { dir, part, name, stat, inner: None });
        }
        match side {
            Some(side) if FileType::from_raw_mode(side.stat.st_mode) != FileType::Directory => Ok(side),
            _ => {
                let inner = dir.subdirectory(name, part)?.ok_or_else(|| upper::changed(path))?;
                let stat = inner.stat()?.ok_or_else(|| upper::changed(path))?;
                Ok(Self { dir, part, name, stat, inner: Some(inner) })
            }
        }
    }

    fn node(&self) -> Node {
        let inner = self.inner.as_ref().and_then(Merged::uppermost_shared);
        Node { dir: Arc::clone(self.dir.part(self.part)), stat: self.stat, inner }
    }

    /// Says whether both are one directory, so that what is below them cannot differ.
    fn is_one_with(&self, other: &Self) -> bool {
        let inode = |stat: &Stat| (stat.st_dev, stat.st_ino);
        let both = self.inner.as_ref().zip(other.inner.as_ref());
        inode(&self.stat) == inode(&other.stat) && both.is_some_and(|(own, other)| own.is_same(other))
    }
}

impl same::Inode for Side<'_> {
    fn stat(&self) -> &Stat {
        &self.stat
    }

    fn directory(&self) -> Option<&Merged> {
        self.inner.as_ref()
    }

    fn place(&self) -> (BorrowedFd<'_>, &OsStr) {
        (self.dir.part(self.part).as_fd(), self.name)
    }

    fn parent(&self) -> &Merged {
        self.dir
    }
}
