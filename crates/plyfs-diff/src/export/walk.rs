//! The walk over an upper: what each entry becomes in the archive.
//!
//! Beside the upper goes the chain: for every directory the walk knows what the chain shows at the same path, which is
//! what an opaque directory hides and what a whiteout can mean. The directories that the walk is in are on the heap: a tree may
//! be deeper than a stack is long.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plyfs_sys::fs::{self, FileType, Listing, Stat};

use super::header::{Header, Kind};
use super::links::Links;
use super::writer::Writer;
use super::{BufferSink, ExportOptions, Exported, attributes};
use crate::layout::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::upper::{self, Directory, Union, changed, failed};
use crate::{Chain, Dialect, Error, ErrorKind, Found, Losses, Merged, Result, SkipReason};

/// The name of the root's own entry.
pub(super) const ROOT: &[u8] = b"./";

/// An export under way.
pub(super) struct Walk<'a, S: BufferSink> {
    chain: &'a Chain,
    dialect: Dialect,
    options: &'a ExportOptions,
    archive: Writer<S>,
    links: Links,
    union: Union,
    skipped: Losses,
}

/// A directory of the upper, and what the chain shows in its place.
struct Level {
    dir: Directory,
    lower: Option<Merged>,
}

/// A directory that the walk is in, and the names of it that are left.
enum Open {
    /// One of the upper.
    Upper { level: Level, names: Listing, next: usize },
    /// One with everything a mount shows in it, wherever in the chain it lies.
    Whole { merged: Merged, names: std::vec::IntoIter<OsString>, stat: Stat },
}

impl<'a, S: BufferSink> Walk<'a, S> {
    pub(super) fn new(upper: BorrowedFd<'_>, chain: &'a Chain, out: S, options: &'a ExportOptions) -> Result<Self> {
        let (archive, dialect, union) = (Writer::new(out), chain.dialect(), Union::new(upper, chain)?);
        Ok(Self { chain, dialect, options, archive, links: Links::default(), union, skipped: Losses::default() })
    }

    /// Archives everything below `upper`, and the root itself where it says something.
    pub(super) fn tree(&mut self, upper: BorrowedFd<'_>) -> Result<()> {
        let dir = Directory::root(upper, self.dialect)?;
        let root = Level { dir, lower: Some(self.chain.root()?) };
        let header = self.directory_header(ROOT.to_vec(), root.dir.fd.as_fd(), &root.dir.path, &root.dir.stat)?;
        if self.root_differs(&root, &header)? {
            self.archive.header(&header)?;
        }
        let mut open = vec![self.inside(root)?];
        while let Some(dir) = open.last_mut() {
            let inner = match dir {
                Open::Upper { level, names, next } if *next < names.len() => {
                    *next += 1;
                    self.entry(level, names.name(*next - 1))?
                }
                Open::Upper { level, .. } => {
                    level.dir.ensure_unchanged()?;
                    open.pop();
                    continue;
                }
                Open::Whole { merged, names, stat } => match names.next() {
                    Some(name) => self.shown(merged, &name)?,
                    None => {
                        let fd = merged.uppermost().expect("a directory that was found");
                        upper::ensure_unchanged(fd, merged.path(), stat)?;
                        open.pop();
                        continue;
                    }
                },
            };
            if let Some(inner) = inner {
                ensure_depth(open.len())?;
                open.push(inner);
            }
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<Exported> {
        let (diff_id, size) = self.archive.finish()?;
        Ok(Exported::new(diff_id, size, self.skipped))
    }

    /// Archives that a directory is opaque, if it is; what is in it comes next.
    fn inside(&mut self, level: Level) -> Result<Open> {
        if level.dir.marks.is_opaque && self.hides_something(&level)? {
            self.mark(&level.dir.path, OPAQUE_MARKER)?;
        }
        let names = level.dir.read_dir()?;
        Ok(Open::Upper { level, names, next: 0 })
    }

    /// Archives one name of a directory; what is in it, if it is a directory itself, comes next. Whether it is a whiteout is asked before anything else, and nothing is opened that
    /// was not just seen to be a file or a directory: to open a device does something.
    fn entry(&mut self, level: &Level, name: &OsStr) -> Result<Option<Open>> {
        let stat = level.dir.stat_at(name)?;
        if level.dir.is_whiteout(name, &stat, self.dialect)? {
            return self.whiteout(level, name).map(|()| None);
        }
        let path = level.dir.path.join(name);
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            self.skip(path, SkipReason::Name);
            return Ok(None);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.subdirectory(level, name, stat).map(Some),
            _ => self.leaf(level.dir.fd.as_fd(), &path, &stat).map(|()| None),
        }
    }

    /// Writes a deletion, unless the directory is opaque: then there is nothing below it to hide (rule 11).
    fn whiteout(&mut self, level: &Level, name: &OsStr) -> Result<()> {
        if level.dir.marks.is_opaque {
            return Ok(());
        }
        self.mark(&level.dir.path, &[WHITEOUT_PREFIX, name.as_bytes()].concat())
    }

    /// Writes an entry that only its name makes what it is: nothing in it may tell one machine from another (rule 12).
    fn mark(&mut self, dir: &Path, name: &[u8]) -> Result<()> {
        let path = dir.join(OsStr::from_bytes(name));
        self.archive.header(&Header::new(Kind::File, path.as_os_str().as_bytes().to_vec()))
    }

    fn subdirectory(&mut self, parent: &Level, name: &OsStr, stat: Stat) -> Result<Open> {
        let dir = parent.dir.subdirectory(name, stat, self.dialect)?;
        let lower = parent.lower_of(name)?;
        if dir.is_redirected() {
            let merged = self.union.directory(&dir.path)?;
            // A directory that came back to its old name hides nothing and misses nothing.
            if !merged.is_same_below_uppermost(lower.as_ref())? {
                return self.whole(merged, lower.as_ref());
            }
        }
        let level = Level { dir, lower };
        let name = [level.dir.path.as_os_str().as_bytes(), b"/"].concat();
        let header = self.directory_header(name, level.dir.fd.as_fd(), &level.dir.path, &level.dir.stat)?;
        self.archive.header(&header)?;
        self.inside(level)
    }

    /// Archives a directory; everything a mount shows in it, wherever in the chain it lies, comes next (rule 25).
    ///
    /// Nothing of `covered`, which the chain shows under the same path, shows through.
    fn whole(&mut self, merged: Merged, covered: Option<&Merged>) -> Result<Open> {
        let path = merged.path();
        let fd = merged.uppermost().expect("a directory that was found");
        let stat = fs::stat(fd).map_err(|error| failed(path, error))?;
        let header = self.directory_header([path.as_os_str().as_bytes(), b"/"].concat(), fd, path, &stat)?;
        self.archive.header(&header)?;
        if covered.map_or(Ok(false), |lower| lower.read_dir().map(|names| !names.is_empty()))? {
            self.mark(path, OPAQUE_MARKER)?;
        }
        let names = merged.read_dir()?.into_iter();
        Ok(Open::Whole { merged, names, stat })
    }

    /// Archives one name of a directory of which everything is shown.
    fn shown(&mut self, merged: &Merged, name: &OsStr) -> Result<Option<Open>> {
        let path = merged.path().join(name);
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            self.skip(path, SkipReason::Name);
            return Ok(None);
        }
        match merged.lookup(name)?.ok_or_else(|| changed(&path))? {
            Found::Directory(inner) => self.whole(inner, None).map(Some),
            Found::Symlink(entry) | Found::Other(entry) => self.leaf(entry.dir(), &path, entry.stat()).map(|()| None),
        }
    }

    /// Archives anything but a directory: its content, or a link to the name its inode was archived under before.
    fn leaf(&mut self, dir: BorrowedFd<'_>, path: &Path, stat: &Stat) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            self.skip(path.to_owned(), SkipReason::Socket);
            return Ok(());
        }
        if kind == FileType::RegularFile {
            return self.file(dir, path, stat);
        }
        let name = path.as_os_str().as_bytes().to_vec();
        if self.link(&name, stat)? {
            return Ok(());
        }
        let mut header = match kind {
            FileType::Symlink => self.options.header(Kind::Symlink, name, stat),
            FileType::Fifo => self.options.header(Kind::Fifo, name, stat),
            FileType::CharacterDevice => self.options.header(Kind::CharacterDevice, name, stat),
            FileType::BlockDevice => self.options.header(Kind::BlockDevice, name, stat),
            _ => return Err(Error::new(ErrorKind::Unsupported, format!("{path:?} is of no known type"))),
        };
        if kind == FileType::Symlink {
            header.link = read_link(dir, path)?;
        }
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            header.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        }
        attributes::missed(dir, path, self.dialect, &mut self.skipped)?;
        self.archive.header(&header)
    }

    /// Archives a link to the name the inode was archived under before; `false` when `name` is its first.
    fn link(&mut self, name: &[u8], stat: &Stat) -> Result<bool> {
        let Some(link) = self.links.earlier(stat, name) else { return Ok(false) };
        let header = Header { link, ..self.options.header(Kind::HardLink, name.to_vec(), stat) };
        self.archive.header(&header).map(|()| true)
    }

    /// Archives a regular file, of which `stat` is what was known of it before anything was read.
    fn file(&mut self, dir: BorrowedFd<'_>, path: &Path, stat: &Stat) -> Result<()> {
        let name = path.as_os_str().as_bytes().to_vec();
        if self.link(&name, stat)? {
            return Ok(());
        }
        let file = File::from(upper::open(dir, path)?);
        let mut header = self.options.header(Kind::File, name, stat);
        header.size = u64::try_from(stat.st_size).map_err(|_| changed(path))?;
        let (xattrs, is_metacopy) = attributes::carried_and_metacopy(&file, path, self.dialect, &mut self.skipped)?;
        header.xattrs = xattrs;
        self.archive.header(&header)?;
        let written = match is_metacopy {
            true => self.archive.content(&File::from(self.union.content(path)?), path, header.size),
            false => self.archive.content(&file, path, header.size),
        };
        // What took its place fails in other ways.
        upper::ensure_unchanged(&file, path, stat).and(written)
    }

    fn directory_header(&mut self, name: Vec<u8>, dir: BorrowedFd<'_>, path: &Path, stat: &Stat) -> Result<Header> {
        let mut header = self.options.header(Kind::Directory, name, stat);
        header.xattrs = attributes::carried(dir, path, self.dialect, &mut self.skipped)?;
        Ok(header)
    }

    /// Says whether an opaque directory has anything to hide; where nobody can look, it may (rule 14).
    fn hides_something(&self, level: &Level) -> Result<bool> {
        if !self.chain.is_known() {
            return Ok(true);
        }
        level.lower.as_ref().map_or(Ok(false), |lower| Ok(!lower.read_dir()?.is_empty()))
    }

    /// Says whether a reader of the archive may get another root without an entry for it (rule 53).
    ///
    /// Its times do not count: they move whenever something is made in the root.
    fn root_differs(&self, root: &Level, header: &Header) -> Result<bool> {
        if !self.chain.is_known() {
            return Ok(true);
        }
        let lower = root.lower.as_ref().and_then(Merged::uppermost);
        attributes::root_differs(header, lower, self.dialect)
    }

    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.skipped.report(path, reason);
    }
}

impl Level {
    /// What the chain shows under a subdirectory of this one; an opaque directory lets nothing through.
    fn lower_of(&self, name: &OsStr) -> Result<Option<Merged>> {
        let Some(lower) = self.lower.as_ref().filter(|_| !self.dir.marks.is_opaque) else { return Ok(None) };
        match lower.lookup(name)? {
            Some(Found::Directory(merged)) => Ok(Some(merged)),
            _ => Ok(None),
        }
    }
}

fn read_link(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<u8>> {
    let name = path.file_name().expect("only entries below the root are links");
    let target = fs::read_link_at(dir, name).map_err(|error| failed(path, error))?;
    Ok(target.as_bytes().to_vec())
}

fn ensure_depth(depth: usize) -> Result<()> {
    if depth > fs::MAX_DEPTH {
        let limit = format!("the tree is more than {} directories deep", fs::MAX_DEPTH);
        return Err(Error::new(ErrorKind::InvalidInput, limit));
    }
    Ok(())
}
