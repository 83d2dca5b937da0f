//! Two trees walked side by side.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use plyfs_sys::fs::{self, FileType, Stat};

use super::same;
use crate::chain::Listed;
use crate::export::Style;
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
pub(super) struct Difference<'a> {
    pub(super) kind: Kind,
    /// What is there now; `None` for what is gone.
    pub(super) now: Option<Node<'a>>,
}

/// An inode of a tree, by the place it lies in.
pub(super) struct Node<'a> {
    /// The directory of the layer that has it.
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    pub(super) stat: &'a Stat,
    /// The directory itself, if it is one.
    pub(super) inner: Option<&'a Merged>,
}

/// Who is told what differs, parents first.
pub(super) trait Visit {
    fn visit(&mut self, path: &Path, difference: &Difference<'_>) -> Result<()>;

    /// What follows lies in the directory that was walked to last, which was visited or not.
    fn enter(&mut self, is_changed: bool);

    fn leave(&mut self);
}

pub(super) fn walk(lower: &Chain, upper: &Chain, style: Style, visit: &mut dyn Visit) -> Result<()> {
    if !(lower.is_known() && upper.is_known()) {
        return Err(Error::new(ErrorKind::InvalidInput, "only trees that are known can be compared"));
    }
    let (lower, upper) = (lower.root()?, upper.root()?);
    let mut walk = Walk { style, visit, path: PathBuf::new() };
    walk.directory(Some(&lower), &upper, 0)
}

struct Walk<'a> {
    style: Style,
    visit: &'a mut dyn Visit,
    path: PathBuf,
}

/// A name as one of the trees shows it.
struct Side<'a> {
    dir: &'a Merged,
    listed: &'a Listed,
    stat: Stat,
    inner: Option<Merged>,
}

impl Walk<'_> {
    fn directory(&mut self, lower: Option<&Merged>, upper: &Merged, depth: usize) -> Result<()> {
        if depth > fs::MAX_DEPTH {
            let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        let below = lower.map(Merged::list).transpose()?.unwrap_or_default();
        let above = upper.list()?;
        let (mut below, mut above) = (below.iter().peekable(), above.iter().peekable());
        loop {
            let order = match (below.peek(), above.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(now)) => was.name.cmp(&now.name),
            };
            let was = if order.is_le() { below.next() } else { None };
            let now = if order.is_ge() { above.next() } else { None };
            let name = was.or(now).map(|listed| listed.name.as_os_str()).unwrap_or_default();
            self.path.push(name);
            self.pair(lower.zip(was), now.map(|now| (upper, now)), depth)?;
            self.path.pop();
        }
    }

    fn pair(&mut self, was: Option<(&Merged, &Listed)>, now: Option<(&Merged, &Listed)>, depth: usize) -> Result<()> {
        let Some((dir, listed)) = now else {
            return self.visit.visit(&self.path, &Difference { kind: Kind::Deleted, now: None });
        };
        let now = Side::open(dir, listed, &self.path)?;
        let was = was.map(|(dir, listed)| Side::open(dir, listed, &self.path)).transpose()?;
        let kind = match &was {
            None => Some(Kind::Added),
            Some(was) => self.compare(was, &now)?,
        };
        if let Some(kind) = kind {
            self.visit.visit(&self.path, &Difference { kind, now: Some(now.node()) })?;
        }
        let Some(inner) = &now.inner else { return Ok(()) };
        let was = was.as_ref().and_then(|was| was.inner.as_ref());
        if self.style == Style::Native && was.is_some_and(|was| was.is_same(inner)) {
            return Ok(());
        }
        self.visit.enter(kind.is_some());
        self.directory(was, inner, depth + 1)?;
        self.visit.leave();
        Ok(())
    }

    /// What became of a path that both trees have; `None` where nothing is to be said of it.
    fn compare(&self, was: &Side<'_>, now: &Side<'_>) -> Result<Option<Kind>> {
        if !same::is_same(was, now, self.style, &self.path)? {
            return Ok(Some(Kind::Modified));
        }
        let has_names = now.inner.is_none() && now.stat.st_nlink > 1;
        Ok(has_names.then_some(Kind::Unmodified))
    }
}

impl<'a> Side<'a> {
    fn open(dir: &'a Merged, listed: &'a Listed, path: &Path) -> Result<Self> {
        if listed.kind != FileType::Directory {
            let stat = fs::stat_at(dir.part(listed.part), &listed.name).map_err(|error| upper::failed(path, error))?;
            return Ok(Self { dir, listed, stat, inner: None });
        }
        let Some(Found::Directory(inner)) = dir.lookup(&listed.name)? else { return Err(upper::changed(path)) };
        let stat = inner.stat()?.ok_or_else(|| upper::changed(path))?;
        Ok(Self { dir, listed, stat, inner: Some(inner) })
    }

    fn node(&self) -> Node<'_> {
        Node { dir: self.holder(), name: &self.listed.name, stat: &self.stat, inner: self.inner.as_ref() }
    }
}

impl Side<'_> {
    /// The directory of the layer that has the name.
    fn holder(&self) -> BorrowedFd<'_> {
        self.dir.part(self.listed.part)
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
        (self.holder(), &self.listed.name)
    }

    fn parent(&self) -> &Merged {
        self.dir
    }
}
