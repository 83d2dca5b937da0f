//! The walk that finds changes in the order of their paths.
//!
//! Paths sort bytewise as wholes: `/a`, `/a-b`, `/a/b`, since a slash comes after a hyphen. So a directory takes two steps
//! among its siblings: one at its name, one at its name and a slash, where what is below it follows. Whether an
//! unchanged directory is listed depends on what is below it; then the walk looks ahead until the first change and keeps
//! what it learned, so that nothing is compared twice.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::iter::FusedIterator;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::vec;

use plyfs_sys::fs::{self, FileType, Stat};

use super::compare::Upper;
use super::{Change, ChangeKind};
use crate::upper::Directory;
use crate::{Chain, Dialect, Error, ErrorKind, Found, Merged, Result};

/// The changes of one layer, sorted bytewise by path; after an error there are no more.
#[derive(Debug)]
pub struct Changes {
    /// The directories being walked, innermost last.
    levels: Vec<Level>,
    dialect: Dialect,
}

/// One directory of the upper, compared with what the chain shows there.
#[derive(Debug)]
struct Level {
    upper: Directory,
    lower: Option<Merged>,
    /// Nothing of the chain shows through: the directory or one above it is opaque.
    is_opaque: bool,
    depth: usize,
    nodes: Vec<Node>,
    steps: vec::IntoIter<Step>,
}

/// A name in a directory.
#[derive(Debug)]
struct Node {
    name: OsString,
    /// `None` for what is as it was, and for directories until something below them turns out changed.
    kind: Option<ChangeKind>,
    below: Below,
}

/// What is known of the inside of a node.
#[derive(Debug)]
enum Below {
    /// It has none, or nothing in it changed.
    Nothing,
    /// A directory of the upper that nobody looked into.
    Unseen(Box<Stat>),
    /// A directory that was compared already.
    Seen(Box<Level>),
}

/// A place of a node among its siblings.
#[derive(Clone, Copy, Debug)]
enum Step {
    At(usize),
    Below(usize),
}

impl Changes {
    pub(super) fn new(upper: BorrowedFd<'_>, chain: &Chain) -> Result<Self> {
        if !chain.is_known() {
            let message = "changes can only be told from lowers that are known";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let dialect = chain.dialect();
        let root = Directory::root(upper, dialect)?;
        let root = Level::compare(root, Some(chain.root()?), false, 0, dialect)?;
        Ok(Self { levels: vec![root], dialect })
    }

    fn step(&mut self) -> Result<Option<Change>> {
        while let Some(level) = self.levels.last_mut() {
            match level.steps.next() {
                Some(Step::At(node)) => {
                    if let Some(change) = level.settle(node, self.dialect)? {
                        return Ok(Some(change));
                    }
                }
                Some(Step::Below(node)) => {
                    let inner = level.enter(node, self.dialect)?;
                    self.levels.extend(inner);
                }
                None => {
                    level.upper.ensure_unchanged()?;
                    self.levels.pop();
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}

impl FusedIterator for Changes {}

impl Level {
    /// Compares the names of one directory; what is below its subdirectories is left for later.
    fn compare(
        upper: Directory,
        lower: Option<Merged>,
        is_opaque: bool,
        depth: usize,
        dialect: Dialect,
    ) -> Result<Self> {
        if depth > fs::MAX_DEPTH {
            let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        let mut nodes = Vec::new();
        let mut present = HashSet::new();
        for entry in upper.read_dir()? {
            let stat = upper.stat_at(&entry.name)?;
            if upper.is_whiteout(&entry.name, &stat, dialect)? {
                nodes.extend(deletion(lower.as_ref().filter(|_| !is_opaque), entry.name)?);
                continue;
            }
            if is_opaque {
                present.insert(entry.name.clone());
            }
            nodes.extend(compare_entry(&upper, lower.as_ref(), entry.name, stat, dialect)?);
        }
        if is_opaque {
            let hidden = lower.as_ref().map(Merged::read_dir).transpose()?.unwrap_or_default();
            nodes.extend(hidden.into_iter().filter(|name| !present.contains(name)).map(Node::deleted));
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let steps = steps(&nodes).into_iter();
        Ok(Self { upper, lower, is_opaque, depth, nodes, steps })
    }

    /// Decides whether a node is a change, looking below it if need be.
    fn settle(&mut self, node: usize, dialect: Dialect) -> Result<Option<Change>> {
        if self.nodes[node].kind.is_none() {
            let Some(mut inner) = self.enter(node, dialect)? else { return Ok(None) };
            if !inner.has_change(dialect)? {
                return Ok(None);
            }
            self.nodes[node].below = Below::Seen(Box::new(inner));
            self.nodes[node].kind = Some(ChangeKind::Modified);
        }
        let Node { name, kind, .. } = &self.nodes[node];
        let path = Path::new("/").join(&self.upper.path).join(name);
        Ok(kind.map(|kind| Change { path, kind }))
    }

    fn has_change(&mut self, dialect: Dialect) -> Result<bool> {
        for node in 0..self.nodes.len() {
            if self.settle(node, dialect)?.is_some() {
                return Ok(true);
            }
        }
        self.upper.ensure_unchanged()?;
        Ok(false)
    }

    /// Takes the inside of a node, comparing it unless that was done before.
    fn enter(&mut self, node: usize, dialect: Dialect) -> Result<Option<Self>> {
        let Node { name, below, .. } = &mut self.nodes[node];
        let stat = match std::mem::replace(below, Below::Nothing) {
            Below::Nothing => return Ok(None),
            Below::Seen(level) => return Ok(Some(*level)),
            Below::Unseen(stat) => stat,
        };
        let lower = match self.lower.as_ref().map(|lower| lower.lookup(&*name)).transpose()?.flatten() {
            Some(Found::Directory(merged)) => Some(merged),
            _ => None,
        };
        let upper = self.upper.subdirectory(name, *stat, dialect)?;
        let is_opaque = self.is_opaque || upper.marks.is_opaque;
        Self::compare(upper, lower, is_opaque, self.depth + 1, dialect).map(Some)
    }
}

impl Node {
    fn deleted(name: OsString) -> Self {
        Self { name, kind: Some(ChangeKind::Deleted), below: Below::Nothing }
    }

    /// Says whether nothing can come of it.
    fn is_settled_as_unchanged(&self) -> bool {
        self.kind.is_none() && matches!(self.below, Below::Nothing)
    }
}

/// A whiteout deletes what the chain shows; one that hides nothing is no change.
fn deletion(lower: Option<&Merged>, name: OsString) -> Result<Option<Node>> {
    let hidden = lower.map(|lower| lower.lookup(&name)).transpose()?.flatten();
    Ok(hidden.map(|_| Node::deleted(name)))
}

/// Compares one entry of the upper with what the chain shows under its name.
fn compare_entry(
    dir: &Directory,
    lower: Option<&Merged>,
    name: OsString,
    stat: Stat,
    dialect: Dialect,
) -> Result<Option<Node>> {
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let path = dir.path.join(&name);
    let upper = Upper { dir: dir.fd.as_fd(), name: &name, stat: &stat, path: &path, dialect };
    let kind = match lower.map(|lower| lower.lookup(&name)).transpose()?.flatten() {
        None => Some(ChangeKind::Added),
        Some(Found::Directory(merged)) => upper.differs_from_directory(&merged)?.then_some(ChangeKind::Modified),
        Some(Found::Symlink(entry) | Found::Other(entry)) => {
            upper.differs_from(&entry)?.then_some(ChangeKind::Modified)
        }
    };
    let below = if is_directory { Below::Unseen(Box::new(stat)) } else { Below::Nothing };
    let node = Node { name, kind, below };
    Ok((!node.is_settled_as_unchanged()).then_some(node))
}

/// The steps of sorted nodes, in the order of whole paths.
fn steps(nodes: &[Node]) -> Vec<Step> {
    let at = (0..nodes.len()).map(Step::At);
    let below = (0..nodes.len()).filter(|&node| !matches!(nodes[node].below, Below::Nothing)).map(Step::Below);
    let mut steps: Vec<_> = at.chain(below).collect();
    let key = |step: &Step| {
        let (node, slash) = match *step {
            Step::At(node) => (node, None),
            Step::Below(node) => (node, Some(&b'/')),
        };
        (OsStr::as_bytes(&nodes[node].name), slash)
    };
    // Both halves are nearly sorted already, which this sort makes use of.
    steps.sort_by(|a, b| {
        let ((a, a_slash), (b, b_slash)) = (key(a), key(b));
        a.iter().chain(a_slash).cmp(b.iter().chain(b_slash))
    });
    steps
}
