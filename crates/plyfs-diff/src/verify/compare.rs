//! The walk over a layer's directory that finds where it is not what was expected.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};
use rustix::io::Errno;

use super::expected::Expected;
use super::inode::Inode;
use super::{Difference, Verified};
use crate::chain::is_whiteout_device;
use crate::layout::OPAQUE_VALUE;
use crate::{Chain, Dialect, Error, ErrorKind, Found, Result, beneath, names};

/// Compares the directory of a layer over `chain` with what is expected of it: what differs, and how much more does.
pub(super) fn compare(root: OwnedFd, chain: &Chain, expected: Expected) -> Result<(Vec<Difference>, u64)> {
    let own = || fs::open_dir_at(&root, ".").map_err(|error| looking(b"", error));
    let mut walk = Walk {
        merged: chain.with_upper(own()?),
        root: own()?,
        unmet: expected.paths.keys().cloned().collect(),
        implied: expected.implied(),
        seen: vec![None; expected.nodes.len()],
        expected,
        chain,
        differences: Vec::new(),
        more: 0,
        marked: HashSet::new(),
        beside: Vec::new(),
        foreign: HashSet::new(),
        leads_elsewhere: OnceCell::new(),
    };
    walk.root(&root)?;
    walk.below(root)?;
    walk.finish()?;
    Ok((walk.differences, walk.more))
}

struct Walk<'a> {
    root: OwnedFd,
    expected: Expected,
    chain: &'a Chain,
    /// The chain with the layer upon it.
    merged: Chain,
    /// Expected paths that were not met yet.
    unmet: HashSet<Vec<u8>>,
    /// Directories that may be there though nothing describes them.
    implied: HashSet<Vec<u8>>,
    /// The inodes that the expected ones were met as.
    seen: Vec<Option<(u64, u64)>>,
    /// Paths that are there and hide what lower layers have.
    marked: HashSet<Vec<u8>>,
    /// What is there and was not expected, by its inode: it may be what a hard link copied up.
    beside: Vec<(Vec<u8>, (u64, u64))>,
    /// The inodes of hard links to what is not in the archive.
    foreign: HashSet<(u64, u64)>,
    leads_elsewhere: OnceCell<bool>,
    differences: Vec<Difference>,
    more: u64,
}

/// A directory that the walk is in, and the names of it that are left.
struct Level {
    dir: OwnedFd,
    path: Vec<u8>,
    left: std::vec::IntoIter<fs::DirEntry>,
}

impl Level {
    fn read(dir: OwnedFd, path: Vec<u8>) -> Result<Self> {
        let mut entries = fs::read_dir(&dir).map_err(|error| looking(&path, error))?;
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { dir, path, left: entries.into_iter() })
    }
}

impl Walk<'_> {
    fn differs(&mut self, path: &[u8], what: impl Into<String>) {
        if self.differences.len() == Verified::LISTED_MOST {
            self.more += 1;
            return;
        }
        self.differences.push(Difference { path: Path::new(OsStr::from_bytes(path)).to_owned(), what: what.into() });
    }

    fn root(&mut self, root: &OwnedFd) -> Result<()> {
        let stat = fs::stat(root).map_err(|error| looking(b"", error))?;
        if self.unmet.remove(&[][..]) {
            self.hold(root, OsStr::new("."), b"", &stat)?;
        }
        Ok(())
    }

    /// Walks everything below the root, the directories it is in on the heap: a layer may be deeper than a stack is long.
    fn below(&mut self, root: OwnedFd) -> Result<()> {
        let mut levels = vec![Level::read(root, Vec::new())?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.left.next() else {
                levels.pop();
                continue;
            };
            let path = names::join(&level.path, entry.name.as_bytes());
            let Some(inner) = self.entry(&level.dir, &entry.name, &path)? else { continue };
            if levels.len() > fs::MAX_DEPTH {
                let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
                return Err(Error::new(ErrorKind::InvalidInput, limit));
            }
            levels.push(Level::read(inner, path)?);
        }
        Ok(())
    }

    /// Judges one name of a directory; the directory it names, where that is to be walked.
    fn entry(&mut self, dir: &OwnedFd, name: &OsStr, path: &[u8]) -> Result<Option<OwnedFd>> {
        let stat = fs::stat_at(dir, name).map_err(|error| looking(path, error))?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.unmet.remove(path) {
            if !self.hold(dir, name, path, &stat)? {
                return Ok(None);
            }
        } else if is_whiteout_device(&stat) {
            self.whiteout(path)?;
        } else if !is_dir {
            self.beside.push((path.to_vec(), (stat.st_dev, stat.st_ino)));
        } else if !self.implied.contains(path) && !self.may_be_implied()? {
            self.differs(path, "is not in the archive");
            return Ok(None);
        }
        if !is_dir {
            return Ok(None);
        }
        let inner = fs::open_dir_at(dir, name).map_err(|error| looking(path, error))?;
        self.marks(&inner, path)?;
        Ok(Some(inner))
    }

    /// Holds what is at an expected path to what is expected there; says whether it is of the right type.
    fn hold(&mut self, dir: &OwnedFd, name: &OsStr, path: &[u8], stat: &Stat) -> Result<bool> {
        let node = self.expected.paths[path];
        let inode = (stat.st_dev, stat.st_ino);
        let Some(facts) = &self.expected.nodes[node] else {
            self.foreign.insert(inode);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.differs(path, "is a directory, not a hard link");
                return Ok(false);
            }
            return Ok(true);
        };
        let inode_here = Inode { dir: dir.as_fd(), name, stat };
        if !inode_here.has_type_of(facts) {
            let what = format!("is {}, not {}", inode_here.type_name(), super::inode::type_name(facts.kind));
            self.differs(path, what);
            return Ok(false);
        }
        match self.seen[node].replace(inode) {
            Some(other) if other != inode => self.differs(path, "is not one file with its other names"),
            Some(_) => {}
            None => {
                let wrong = inode_here.differences(facts).map_err(|error| looking(path, error))?;
                if !wrong.is_empty() {
                    self.differs(path, wrong.join(", "));
                }
            }
        }
        Ok(true)
    }

    /// A whiteout: may it be there?
    fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let is_asked = self.expected.whiteouts.contains(path) || self.expected.is_hidden_from_root(path);
        if !is_asked && !self.leads_elsewhere()? {
            self.differs(path, "is a whiteout that the archive does not have");
        }
        self.marked.insert(path.to_vec());
        Ok(())
    }

    /// The marks of a directory below the root: may they be there?
    fn marks(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<()> {
        let reading = |error| looking(path, error);
        let opaque = self.chain.dialect().opaque();
        // What a hard link copied up hides as well, until a directory takes its place.
        let may_hide = self.expected.hides(path) || self.expected.copied.contains(path);
        for name in xattr::list(dir).map_err(reading)? {
            if !Dialect::owns(name.as_bytes()) {
                continue;
            }
            let is_opaque =
                name == opaque && xattr::get(dir, opaque).map_err(reading)?.as_deref() == Some(OPAQUE_VALUE);
            if is_opaque {
                self.marked.insert(path.to_vec());
            }
            if !is_opaque || !(may_hide || self.leads_elsewhere()?) {
                self.differs(path, format!("has the attribute {name:?}, which hides or moves what lower layers have"));
            }
        }
        Ok(())
    }

    /// Says whether directories may be there for the sake of a file that was copied up, or behind a link.
    fn may_be_implied(&self) -> Result<bool> {
        Ok(self.expected.has_detours || !self.expected.copied.is_empty() || self.leads_elsewhere()?)
    }

    /// Says whether the path of a mark, of a link's target or of what was replaced leads through a symbolic link, so that what
    /// it means is elsewhere.
    fn leads_elsewhere(&self) -> Result<bool> {
        if let Some(&known) = self.leads_elsewhere.get() {
            return Ok(known);
        }
        let paths = self.expected.whiteouts.iter().chain(&self.expected.copied).chain(&self.expected.replaced);
        let dirs = paths.map(|path| names::parent(path));
        let mut before: &[u8] = &[];
        let mut leads = false;
        for dir in dirs.chain(self.expected.opaque.iter().map(Vec::as_slice)) {
            if dir == before || leads {
                continue;
            }
            before = dir;
            leads = has_link(self.chain, dir)? || has_link(&self.merged, dir)?;
        }
        Ok(*self.leads_elsewhere.get_or_init(|| leads))
    }

    /// What should be there and is not, and what is there beside it.
    fn finish(&mut self) -> Result<()> {
        for (path, inode) in std::mem::take(&mut self.beside) {
            let may_be_copied = self.expected.copied.contains(&path) || self.foreign.contains(&inode);
            if !may_be_copied && (self.expected.copied.is_empty() || !self.leads_elsewhere()?) {
                self.differs(&path, "is not in the archive");
            }
        }
        let mut unmet: Vec<_> = std::mem::take(&mut self.unmet).into_iter().collect();
        unmet.sort_unstable();
        unmet.iter().for_each(|path| self.differs(path, "is missing"));
        if !xattr::sees_trusted() {
            return Ok(());
        }
        let mut hiding: Vec<Vec<u8>> = self.expected.whiteouts.union(&self.expected.opaque).cloned().collect();
        if self.expected.opaque.contains(&[][..]) {
            let names = self.chain.root()?.read_dir()?;
            hiding.extend(names.into_iter().map(|name| name.as_bytes().to_vec()));
        }
        for path in hiding {
            self.ensure_hidden(&path)?;
        }
        Ok(())
    }

    /// Whatever lower layers have at a path that was hidden must be hidden still.
    fn ensure_hidden(&mut self, path: &[u8]) -> Result<()> {
        let is_from_root = self.expected.is_hidden_from_root(path);
        if path.is_empty() || self.marked.contains(path) || (!is_from_root && self.expected.is_covered(path)) {
            return Ok(());
        }
        let Some(below) = self.chain.lookup(OsStr::from_bytes(path))? else { return Ok(()) };
        let there = self.there(path).map_err(|error| looking(path, error))?;
        let is_hidden = match (below, there) {
            (Found::Directory(_), Some(FileType::Directory)) => false,
            (_, Some(_)) => true,
            (Found::Directory(_), None) => false,
            // A mark in a directory that no lower has hides nothing.
            (_, None) => !is_from_root && !self.expected.whiteouts.contains(path),
        };
        if !is_hidden {
            self.differs(path, "does not hide what lower layers have");
        }
        Ok(())
    }

    /// What the layer has at a path, by plain directories.
    fn there(&self, path: &[u8]) -> Result<Option<FileType>, CallError> {
        let (dir, name) = names::split(path);
        match beneath::open_dir(&self.root, dir) {
            Ok(dir) => {
                let stat = fs::try_stat_at(&dir, OsStr::from_bytes(name))?;
                Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
            }
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Says whether a path leads through a symbolic link.
fn has_link(chain: &Chain, dir: &[u8]) -> Result<bool> {
    let mut merged = chain.root()?;
    for name in dir.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        match merged.lookup(OsStr::from_bytes(name))? {
            Some(Found::Directory(inner)) => merged = inner,
            found => return Ok(matches!(found, Some(Found::Symlink(_)))),
        }
    }
    Ok(false)
}

fn looking(path: &[u8], error: CallError) -> Error {
    Error::call(format!("look at {}", names::quoted(if path.is_empty() { b"/" } else { path })), error)
}
