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

use super::compare::{Upper, is_other_directory};
use super::{Change, ChangeKind};
use crate::upper::{self, Directory, Union, changed};
use crate::{Chain, Dialect, Error, ErrorKind, Found, Merged, Result};

/// The changes of one layer, sorted bytewise by path; after an error there are no more.
#[derive(Debug)]
pub struct Changes {
    /// The directories being walked, innermost last.
    levels: Vec<Level>,
    context: Context,
}

/// What every step needs to know.
#[derive(Debug)]
struct Context {
    dialect: Dialect,
    union: Union,
}

/// One directory of the upper, compared with what the chain shows there.
#[derive(Debug)]
struct Level {
    above: Above,
    lower: Option<Merged>,
    /// Nothing of the chain shows through: the directory or one above it is opaque, or it has its content from elsewhere.
    is_opaque: bool,
    depth: usize,
    nodes: Vec<Node>,
    steps: vec::IntoIter<Step>,
}

/// What a mount shows for a directory.
#[derive(Debug)]
enum Above {
    /// What the upper has in it; the rest is as in the chain.
    Upper(Directory),
    /// Everything: it came here from another place of the chain, or lies in one that did (rule 25).
    Whole(Merged, Box<Stat>),
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
        let mut context = Context { dialect: chain.dialect(), union: Union::new(upper, chain)? };
        let root = Above::Upper(Directory::root(upper, context.dialect)?);
        let root = Level::compare(root, Some(chain.root()?), false, 0, &mut context)?;
        Ok(Self { levels: vec![root], context })
    }

    fn step(&mut self) -> Result<Option<Change>> {
        while let Some(level) = self.levels.last_mut() {
            match level.steps.next() {
                Some(Step::At(node)) => {
                    if let Some(change) = level.settle(node, &mut self.context)? {
                        return Ok(Some(change));
                    }
                }
                Some(Step::Below(node)) => {
                    let inner = level.enter(node, &mut self.context)?;
                    self.levels.extend(inner);
                }
                None => {
                    level.above.ensure_unchanged()?;
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
        above: Above,
        lower: Option<Merged>,
        is_opaque: bool,
        depth: usize,
        context: &mut Context,
    ) -> Result<Self> {
        if depth > fs::MAX_DEPTH {
            let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
            return Err(Error::new(ErrorKind::InvalidInput, limit));
        }
        let mut nodes = Vec::new();
        let mut present = HashSet::new();
        match &above {
            Above::Upper(upper) => {
                for name in upper.read_dir()?.names() {
                    let stat = upper.stat_at(name)?;
                    if upper.is_whiteout(name, &stat, context.dialect)? {
                        nodes.extend(deletion(lower.as_ref().filter(|_| !is_opaque), name.to_owned())?);
                        continue;
                    }
                    if is_opaque {
                        present.insert(name.to_owned());
                    }
                    let path = upper.path.join(name);
                    let seen = Upper { dir: upper.fd.as_fd(), name, stat: &stat, path: &path };
                    nodes.extend(compare_entry(seen, lower.as_ref(), context)?);
                }
            }
            Above::Whole(merged, _) => {
                for name in merged.read_dir()? {
                    let path = merged.path().join(&name);
                    nodes.extend(match merged.lookup(&name)?.ok_or_else(|| changed(&path))? {
                        Found::Directory(inner) => compare_whole(&name, &inner, lower.as_ref())?,
                        Found::Symlink(entry) | Found::Other(entry) => {
                            let seen = Upper { dir: entry.dir(), name: &name, stat: entry.stat(), path: &path };
                            compare_entry(seen, lower.as_ref(), context)?
                        }
                    });
                    present.insert(name);
                }
            }
        }
        if is_opaque {
            let hidden = lower.as_ref().map(Merged::read_dir).transpose()?.unwrap_or_default();
            nodes.extend(hidden.into_iter().filter(|name| !present.contains(name)).map(Node::deleted));
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let steps = steps(&nodes).into_iter();
        Ok(Self { above, lower, is_opaque, depth, nodes, steps })
    }

    /// Decides whether a node is a change, looking below it if need be.
    fn settle(&mut self, node: usize, context: &mut Context) -> Result<Option<Change>> {
        if self.nodes[node].kind.is_none() {
            let Some(mut inner) = self.enter(node, context)? else { return Ok(None) };
            if !inner.has_change(context)? {
                return Ok(None);
            }
            self.nodes[node].below = Below::Seen(Box::new(inner));
            self.nodes[node].kind = Some(ChangeKind::Modified);
        }
        let Node { name, kind, .. } = &self.nodes[node];
        let path = Path::new("/").join(self.above.path()).join(name);
        Ok(kind.map(|kind| Change { path, kind }))
    }

    fn has_change(&mut self, context: &mut Context) -> Result<bool> {
        for node in 0..self.nodes.len() {
            if self.settle(node, context)?.is_some() {
                return Ok(true);
            }
        }
        self.above.ensure_unchanged()?;
        Ok(false)
    }

    /// Takes the inside of a node, comparing it unless that was done before.
    fn enter(&mut self, node: usize, context: &mut Context) -> Result<Option<Self>> {
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
        let above = self.above.subdirectory(name, *stat, lower.as_ref(), context)?;
        let is_opaque = self.is_opaque || above.hides_lower();
        Self::compare(above, lower, is_opaque, self.depth + 1, context).map(Some)
    }
}

impl Above {
    fn path(&self) -> &Path {
        match self {
            Self::Upper(dir) => &dir.path,
            Self::Whole(merged, _) => merged.path(),
        }
    }

    fn hides_lower(&self) -> bool {
        match self {
            Self::Upper(dir) => dir.marks.is_opaque,
            Self::Whole(..) => true,
        }
    }

    /// What a mount shows for a subdirectory, which covers `lower`.
    fn subdirectory(&self, name: &OsStr, stat: Stat, lower: Option<&Merged>, context: &mut Context) -> Result<Self> {
        let merged = match self {
            Self::Upper(dir) => {
                let inner = dir.subdirectory(name, stat, context.dialect)?;
                if !inner.is_redirected() {
                    return Ok(Self::Upper(inner));
                }
                let merged = context.union.directory(&inner.path)?;
                if merged.is_same_below_uppermost(lower)? {
                    return Ok(Self::Upper(inner));
                }
                merged
            }
            Self::Whole(merged, _) => match merged.lookup(name)? {
                Some(Found::Directory(inner)) => inner,
                _ => return Err(changed(&merged.path().join(name))),
            },
        };
        Ok(Self::Whole(merged, Box::new(stat)))
    }

    /// Fails when something was made or removed in it, or it was changed itself, since it was first looked at.
    fn ensure_unchanged(&self) -> Result<()> {
        match self {
            Self::Upper(dir) => dir.ensure_unchanged(),
            Self::Whole(merged, stat) => match merged.uppermost() {
                Some(fd) => upper::ensure_unchanged(fd, merged.path(), stat),
                None => Ok(()),
            },
        }
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
fn compare_entry(upper: Upper<'_>, lower: Option<&Merged>, context: &mut Context) -> Result<Option<Node>> {
    let is_directory = FileType::from_raw_mode(upper.stat.st_mode) == FileType::Directory;
    let kind = match lower.map(|lower| lower.lookup(upper.name)).transpose()?.flatten() {
        None => Some(ChangeKind::Added),
        Some(Found::Directory(merged)) => upper.differs_from_directory(&merged)?.then_some(ChangeKind::Modified),
        Some(Found::Symlink(entry) | Found::Other(entry)) => {
            upper.differs_from(&entry, context.dialect, &mut context.union)?.then_some(ChangeKind::Modified)
        }
    };
    let below = if is_directory { Below::Unseen(Box::new(*upper.stat)) } else { Below::Nothing };
    let node = Node { name: upper.name.to_owned(), kind, below };
    Ok((!node.is_settled_as_unchanged()).then_some(node))
}

/// Compares a directory that is shown as a whole with what the chain shows under its name.
fn compare_whole(name: &OsStr, above: &Merged, lower: Option<&Merged>) -> Result<Option<Node>> {
    let stat = above.stat()?.ok_or_else(|| changed(above.path()))?;
    let kind = match lower.map(|lower| lower.lookup(name)).transpose()?.flatten() {
        None => Some(ChangeKind::Added),
        Some(Found::Directory(merged)) => is_other_directory(above, &merged)?.then_some(ChangeKind::Modified),
        Some(_) => Some(ChangeKind::Modified),
    };
    Ok(Some(Node { name: name.to_owned(), kind, below: Below::Unseen(Box::new(stat)) }))
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
