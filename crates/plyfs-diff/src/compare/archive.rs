//! The differences of two trees as an archive.
//!
//! The order of entries, and which of them there are, is what containerd's differ makes of the same differences: a
//! directory before what is below it even where it is as it was, other names of a changed inode as links to it (rule 37).
//! So one writer serves both styles; they part in attributes and in what the root and odd names become.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::xattr;

use super::walk::{Difference, Kind as Change, Node};
use crate::export::attributes;
use crate::export::header::{Header, Kind};
use crate::export::writer::Writer;
use crate::export::{BufferSink, ExportOptions, Exported, Style};
use crate::layout::{CAPABILITY, WHITEOUT_PREFIX};
use crate::remembered::{Remember, Remembered};
use crate::upper::{self, changed, failed};
use crate::{Chain, Error, ErrorKind, Found, Losses, Merged, Result, SkipReason, chain};

/// How many differences on their way to the archive may hold descriptors; what the others lie in is opened anew.
const HOLDING_MOST: usize = 64;

/// How many differences hold descriptors now.
#[derive(Default)]
pub(super) struct Holding(AtomicUsize);

/// A difference on its way to the archive.
pub(super) struct Item<'a> {
    path: PathBuf,
    kind: Change,
    /// What is there now, and the place it lies in if that is held open.
    now: Option<(Stat, Option<Held<'a>>)>,
}

/// A place that is held open, and counted.
struct Held<'a> {
    node: Node,
    holding: &'a Holding,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.holding.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Holding {
    /// Makes a difference ready to wait for the archive, however many wait already.
    pub(super) fn item(&self, difference: Difference) -> Item<'_> {
        let Difference { path, kind, now } = difference;
        let now = now.map(|node| (node.stat, self.hold(node)));
        Item { path, kind, now }
    }

    fn hold(&self, node: Node) -> Option<Held<'_>> {
        let more = |holding: usize| (holding < HOLDING_MOST).then_some(holding + 1);
        let is_free = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        is_free.then(|| Held { node, holding: self })
    }
}

/// An archive under way.
pub(super) struct Changeset<'a, S: BufferSink> {
    archive: Writer<S>,
    options: &'a ExportOptions,
    upper: &'a Chain,
    root: Merged,
    /// Directories that were written.
    written: HashSet<Vec<u8>>,
    /// The name that an inode with several was written under.
    sources: HashMap<(u64, u64), Remembered>,
    /// Names of inodes that did not change so far: links, once another name of theirs turns out to be new.
    waiting: HashMap<(u64, u64), Vec<Remembered>>,
    remember: Remember,
    skipped: Losses,
    /// The directory that was opened anew last: the next place is mostly in it too.
    last: Option<(PathBuf, Merged)>,
}

impl<'a, S: BufferSink> Changeset<'a, S> {
    pub(super) fn new(upper: &'a Chain, out: S, options: &'a ExportOptions) -> Result<Self> {
        Ok(Self {
            archive: Writer::new(out),
            options,
            upper,
            root: upper.root()?,
            written: HashSet::new(),
            sources: HashMap::new(),
            waiting: HashMap::new(),
            remember: Remember::default(),
            skipped: Losses::default(),
            last: None,
        })
    }

    /// Writes the root where it differs (rule 53); containerd never does.
    pub(super) fn root(&mut self, lower: &Chain) -> Result<()> {
        let Some(dir) = self.root.uppermost().filter(|_| self.options.style == Style::Native) else { return Ok(()) };
        let dot = Path::new(".");
        let stat = fs::stat(dir).map_err(|error| failed(dot, error))?;
        let dialect = self.upper.dialect();
        let mut header = self.options.header(Kind::Directory, b"./".to_vec(), &stat);
        header.xattrs = attributes::carried(dir, dot, dialect, &mut self.skipped)?;
        if attributes::root_differs(&header, lower.root()?.uppermost(), dialect)? {
            self.archive.header(&header)?;
        }
        Ok(())
    }

    /// Writes what the archive has to say of one difference.
    pub(super) fn write_difference(&mut self, item: Item<'_>) -> Result<()> {
        match item.now {
            None => self.whiteout(&item.path),
            Some((_, Some(held))) => self.node(&item.path, &held.node, item.kind),
            Some((stat, None)) => {
                let node = self.find(&item.path, stat)?;
                self.node(&item.path, &node, item.kind)
            }
        }
    }

    /// Opens the place of an inode anew.
    fn find(&mut self, path: &Path, stat: Stat) -> Result<Node> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let known = self.last.take_if(|(known, _)| known == parent);
        let (_, merged) = self.last.insert(match known {
            Some(known) => known,
            None => match self.upper.lookup(parent)? {
                Some(Found::Directory(merged)) => (parent.to_owned(), merged),
                _ => return Err(changed(parent)),
            },
        });
        let (now, node) = match merged.lookup(name_of(path))? {
            Some(Found::Directory(inner)) => {
                let now = inner.stat()?.ok_or_else(|| changed(path))?;
                let dir = inner.uppermost_shared().ok_or_else(|| changed(path))?;
                (now, Node { dir: Arc::clone(&dir), stat, inner: Some(dir) })
            }
            Some(Found::Symlink(entry) | Found::Other(entry)) => {
                (*entry.stat(), Node { dir: entry.dir_shared(), stat, inner: None })
            }
            None => return Err(changed(path)),
        };
        if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) { Ok(node) } else { Err(changed(path)) }
    }

    pub(super) fn finish(self) -> Result<Exported> {
        let (diff_id, size) = self.archive.finish()?;
        Ok(Exported::new(diff_id, size, self.skipped))
    }

    fn whiteout(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().expect("the root is not deleted");
        let name = [WHITEOUT_PREFIX, name.as_bytes()].concat();
        let path = path.with_file_name(OsStr::from_bytes(&name));
        self.parents(&path)?;
        let mut header = Header::new(Kind::File, path.as_os_str().as_bytes().to_vec());
        header.is_short = self.options.style == Style::Containerd;
        self.archive.header(&header)
    }

    fn node(&mut self, path: &Path, node: &Node, change: Change) -> Result<()> {
        let kind = FileType::from_raw_mode(node.stat.st_mode);
        if kind == FileType::Socket {
            return self.skip(path, SkipReason::Socket);
        }
        let name = path.file_name().expect("the root is no change").as_bytes();
        if self.options.style == Style::Native && name.starts_with(WHITEOUT_PREFIX) {
            return self.skip(path, SkipReason::Name);
        }
        let mut header = self.describe(path, node, kind)?;
        let mut others = Vec::new();
        if kind != FileType::Directory && node.stat.st_nlink > 1 {
            let inode = (node.stat.st_dev, node.stat.st_ino);
            if let Some(source) = self.sources.get(&inode) {
                (header.kind, header.link, header.size) = (Kind::HardLink, source.to_path(), 0);
            } else if change == Change::Unmodified {
                self.waiting.entry(inode).or_default().push(self.remember.path(&header.name));
                return Ok(());
            } else {
                self.sources.insert(inode, self.remember.path(&header.name));
                others = self.waiting.remove(&inode).unwrap_or_default();
            }
        }
        self.parents(path)?;
        self.write(path, node, &mut header)?;
        for other in others {
            let other = PathBuf::from(OsString::from_vec(other.to_path()));
            self.parents(&other)?;
            let link = Header {
                kind: Kind::HardLink,
                name: other.as_os_str().as_bytes().to_vec(),
                link: header.name.clone(),
                size: 0,
                ..header.clone()
            };
            self.archive.header(&link)?;
        }
        Ok(())
    }

    /// The header of an inode, without its attributes.
    fn describe(&self, path: &Path, node: &Node, kind: FileType) -> Result<Header> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        let of = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharacterDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => return Err(Error::new(ErrorKind::Unsupported, format!("{path:?} is of no known type"))),
        };
        if of == Kind::Directory {
            name.push(b'/');
        }
        let mut header = self.options.header(of, name, &node.stat);
        match of {
            Kind::File => header.size = u64::try_from(node.stat.st_size).map_err(|_| changed(path))?,
            Kind::Symlink => {
                let target = fs::read_link_at(&node.dir, name_of(path)).map_err(|error| failed(path, error))?;
                header.link = target.as_bytes().to_vec();
            }
            Kind::CharacterDevice | Kind::BlockDevice => {
                header.device = (rustix::fs::major(node.stat.st_rdev), rustix::fs::minor(node.stat.st_rdev));
            }
            _ => {}
        }
        Ok(header)
    }

    /// Writes an entry with its attributes, and its content if it has one.
    fn write(&mut self, path: &Path, node: &Node, header: &mut Header) -> Result<()> {
        let dialect = self.upper.dialect();
        let is_native = self.options.style == Style::Native;
        if let Some(dir) = &node.inner {
            header.xattrs = match is_native {
                true => attributes::carried(dir, path, dialect, &mut self.skipped)?,
                false => capability(xattr::get(dir, OsStr::from_bytes(CAPABILITY)), path)?,
            };
            self.written.insert(path.as_os_str().as_bytes().to_vec());
            return self.archive.header(header);
        }
        if header.kind != Kind::File {
            if is_native && header.kind != Kind::HardLink {
                attributes::missed(node.dir.as_fd(), path, dialect, &mut self.skipped)?;
            } else if !is_native {
                let value = xattr::get_at(&node.dir, name_of(path), OsStr::from_bytes(CAPABILITY));
                header.xattrs = capability(value, path)?;
            }
            return self.archive.header(header);
        }
        let file = File::from(upper::open(node.dir.as_fd(), path)?);
        header.xattrs = match is_native {
            true => attributes::carried(&file, path, dialect, &mut self.skipped)?,
            false => capability(xattr::get(&file, OsStr::from_bytes(CAPABILITY)), path)?,
        };
        self.archive.header(header)?;
        let content = self.content(path, &file)?;
        let written = self.archive.content(content.as_ref().map_or(&file, |content| content), path, header.size);
        // What took its place fails in other ways.
        upper::ensure_unchanged(&file, path, &node.stat).and(written)
    }

    /// The file that has the content, where another one has (rule 25).
    fn content(&self, path: &Path, file: &File) -> Result<Option<File>> {
        if !chain::is_metacopy(file, self.upper.dialect()).map_err(|error| failed(path, error))? {
            return Ok(None);
        }
        match self.upper.lookup(path)? {
            Some(Found::Other(entry)) => entry.open().map(|fd| Some(File::from(fd))),
            _ => Err(changed(path)),
        }
    }

    /// Writes the directories above `path` that were not written yet, uppermost first (rule 32).
    fn parents(&mut self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
        if self.written.contains(parent.as_os_str().as_bytes()) {
            return Ok(());
        }
        let Some(Found::Directory(merged)) = self.upper.lookup(parent)? else { return Err(changed(parent)) };
        let stat = merged.stat()?.ok_or_else(|| changed(parent))?;
        let dir = merged.uppermost_shared().ok_or_else(|| changed(parent))?;
        let node = Node { dir: Arc::clone(&dir), stat, inner: Some(dir) };
        self.parents(parent)?;
        let mut header = self.describe(parent, &node, FileType::Directory)?;
        self.write(parent, &node, &mut header)
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) -> Result<()> {
        if self.options.style == Style::Native {
            self.skipped.report(path, reason);
        }
        Ok(())
    }
}

/// The last component of the path of anything but the root.
fn name_of(path: &Path) -> &OsStr {
    path.file_name().expect("the root is never described by its name")
}

/// A file capability as an attribute of an entry.
fn capability(value: Result<Option<Vec<u8>>, plyfs_sys::CallError>, path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let value = value.map_err(|error| failed(path, error))?;
    Ok(value.filter(|value| !value.is_empty()).map(|value| (CAPABILITY.to_vec(), value)).into_iter().collect())
}
