//! Hard links: further names of files of this layer, of its lowers, or of AUFS' store.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::CallError;
use plyfs_sys::fs::{self, FileType, Stat};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::applier::{Applier, Done, failed};
use super::cursor::{Cursor, Purpose};
use super::metadata::{self, Target};
use super::record::Record;
use super::scratch;
use super::whiteouts::is_present;
use crate::archive::{Entry, Kind, Reader};
use crate::chain::times_of;
use crate::layout::{CAPABILITY, WHITEOUT_META_PREFIX};
use crate::{Dialect, Error, ErrorKind, Found, Result, beneath, chain, names};

/// What a file of AUFS' store, and each attribute of one, takes to be remembered beside its bytes.
const KEEPING: usize = 256;

/// The files AUFS keeps aside because they have several names (rule 5).
pub(super) struct Links {
    dir: OwnedFd,
    store: Option<File>,
    kept: HashMap<Vec<u8>, Kept>,
    /// About how many bytes all that is kept takes, and how many it may.
    weight: usize,
    most: usize,
}

/// One file of AUFS' store: what its entry says, and where its content is in the scratch file.
struct Kept {
    entry: Entry,
    offset: u64,
}

impl Links {
    /// Keeps contents on the file system of `dir`, and in memory no more than `most` bytes of what is said of them.
    pub(super) fn new(dir: OwnedFd, most: usize) -> Self {
        Self { dir, store: None, kept: HashMap::new(), weight: 0, most }
    }

    /// Passes over AUFS' bookkeeping, keeping the files that links may name.
    pub(super) fn keep_aufs<B: BufRead>(
        &mut self,
        path: &[u8],
        entry: &Entry,
        reader: &mut Reader<B>,
        record: &mut Option<Record<'_>>,
    ) -> Result<Done> {
        if entry.kind != Kind::File || entry.extents.is_some() {
            return Ok(Done::Nowhere);
        }
        let attributes = entry.xattrs.iter().map(|(name, value)| KEEPING + name.len() + value.len());
        self.weight += KEEPING + path.len() + attributes.sum::<usize>();
        if self.weight > self.most {
            let limit = format!("is one of files of AUFS that exceed Limits::aufs, {} bytes of names", self.most);
            return Err(names::invalid(path, &limit));
        }
        let keeping = |error| Error::io(format!("keep the content of {}", names::quoted(path)), error);
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(scratch::open(self.dir.as_fd()).map_err(io::Error::from).map_err(keeping)?),
        };
        let offset = store.seek(SeekFrom::End(0)).map_err(keeping)?;
        loop {
            let piece = reader.content()?;
            if piece.is_empty() {
                break;
            }
            store.write_all(piece).map_err(keeping)?;
            if let Some(record) = record {
                record.segment(piece)?;
            }
        }
        self.kept.insert(path.to_vec(), Kept { entry: entry.without_names(), offset });
        Ok(Done::Nowhere)
    }
}

impl Applier<'_> {
    /// Adds the name `name` in `dir` to the file the entry names.
    ///
    /// The link is made to the file itself, symbolic link or not, and nothing of it is changed: a header that describes
    /// another file than the one it links to is not to be trusted (rule 40).
    pub(super) fn hard_link(&mut self, dir: &[u8], name: &OsStr, entry: &Entry) -> Result<Done> {
        let target = names::clean(&entry.link, &self.options.limits)?;
        if target.split(|&byte| byte == b'/').any(|part| part.starts_with(WHITEOUT_META_PREFIX)) {
            return self.copy_aufs(dir, name, &target, entry);
        }
        let (target_dir, target_name) = names::split(&target);
        let target_name = OsStr::from_bytes(target_name);
        let (from, stat) = match self.find_target(target_dir, target_name, entry) {
            // The chain may have it, once it is known.
            Err(error) if error.kind() == ErrorKind::InvalidInput && self.cursor.rebuild_if_unknown() => {
                return Ok(Done::Nowhere);
            }
            found => found?,
        };
        if !self.cursor.enter(dir, Purpose::Entry(entry.mtime))? {
            return Ok(Done::Nowhere);
        }
        let path = self.cursor.path_of(name);
        let link = |to: &Cursor<'_>| fs::link_at(&from, target_name, to.dir(), name);
        let mut linked = link(&self.cursor);
        if matches!(&linked, Err(error) if error.errno() == Errno::EXIST) {
            let there = fs::stat_at(self.cursor.dir(), name).map_err(|error| failed("look at", &path, error))?;
            if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) {
                return Ok(Done::Nowhere);
            }
            self.vacate(name)?;
            linked = link(&self.cursor);
        }
        linked.map_err(|error| match error.errno() {
            Errno::NOENT => no_target(entry),
            _ => failed("link", &path, error),
        })?;
        self.cursor.touch();
        Ok(Done::Empty(path))
    }

    /// The directory that holds the target in this layer, where it is copied up to if only a lower has it (rule 39).
    fn find_target(&mut self, dir: &[u8], name: &OsStr, entry: &Entry) -> Result<(OwnedFd, Stat)> {
        if name.is_empty() {
            return Err(no_target(entry));
        }
        let looking = |error| failed("look for the target of", &entry.path, error);
        if let Some(found) = self.find_in_layer(dir, name).map_err(looking)? {
            return self.checked(found, entry);
        }
        // Not there by plain directories of the layer: through the merged chain, as any other name.
        if !self.cursor.enter(dir, Purpose::Entry(entry.mtime))? {
            return Err(no_target(entry));
        }
        let stat = match fs::try_stat_at(self.cursor.dir(), name).map_err(looking)? {
            Some(stat) => stat,
            None => match self.cursor.below(name)? {
                Some(Found::Symlink(lower) | Found::Other(lower)) => {
                    self.copy_up(name, &lower)?;
                    fs::stat_at(self.cursor.dir(), name).map_err(looking)?
                }
                _ => return Err(no_target(entry)),
            },
        };
        let dir = fs::open_dir_at(self.cursor.dir(), ".").map_err(looking)?;
        self.checked((dir, stat), entry)
    }

    fn find_in_layer(&self, dir: &[u8], name: &OsStr) -> Result<Option<(OwnedFd, Stat)>, CallError> {
        let opened = match dir == self.cursor.path() {
            true => fs::open_dir_at(self.cursor.dir(), "."),
            false => beneath::open_dir(self.cursor.root(), dir),
        };
        match opened {
            Ok(dir) => Ok(fs::try_stat_at(&dir, name)?.map(|stat| (dir, stat))),
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses targets that cannot have another name, or are hidden.
    fn checked(&self, (dir, stat): (OwnedFd, Stat), entry: &Entry) -> Result<(OwnedFd, Stat)> {
        if !is_present(&stat) {
            return Err(no_target(entry));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(names::invalid(&entry.path, "is a hard link to a directory"));
        }
        Ok((dir, stat))
    }

    /// Copies what a lower has to the same name in the current directory.
    fn copy_up(&mut self, name: &OsStr, lower: &chain::Entry) -> Result<()> {
        let path = self.cursor.path_of(name);
        let copying = |error| failed("copy up", &path, error);
        let stat = *lower.stat();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut source = File::from(lower.open()?);
                let mut file = self.create(name, metadata::PRIVATE)?;
                io::copy(&mut source, &mut file)
                    .map_err(|error| Error::io(format!("copy up {}", names::quoted(&path)), error))?;
            }
            FileType::Symlink => fs::symlink_at(lower.read_link()?, self.cursor.dir(), name).map_err(copying)?,
            kind => {
                let mode = Mode::RUSR | Mode::WUSR;
                fs::make_node_at(self.cursor.dir(), name, kind, mode, stat.st_rdev).map_err(copying)?;
            }
        }
        self.cursor.touch();
        copy_attributes(Target::Name(self.cursor.dir(), name), lower, &stat)?.map_err(copying)?;
        self.cursor.count(name)
    }

    /// Makes a copy of a file of AUFS' store, which is no part of the tree itself (rule 5).
    fn copy_aufs(&mut self, dir: &[u8], name: &OsStr, target: &[u8], entry: &Entry) -> Result<Done> {
        if !self.cursor.enter(dir, Purpose::Entry(entry.mtime))? {
            return Ok(Done::Nowhere);
        }
        let path = self.cursor.path_of(name);
        let copying = |error| Error::io(format!("copy to {}", names::quoted(&path)), error);
        let mut file = self.create(name, metadata::PRIVATE)?;
        let kept = self.links.kept.get(target).ok_or_else(|| no_target(entry))?;
        let mut store = self.links.store.as_ref().expect("kept with its content");
        store.seek(SeekFrom::Start(kept.offset)).map_err(copying)?;
        io::copy(&mut store.take(kept.entry.stored), &mut file).map_err(copying)?;
        let dropped = metadata::restore(Target::Open(file.as_fd()), &kept.entry, self.options.tolerates_attributes);
        let dropped = dropped.map_err(|error| failed("set the attributes of", &path, error))?;
        self.report(&path, dropped);
        drop(file);
        self.cursor.count(name)?;
        Ok(Done::Empty(path))
    }
}

/// Gives a copy everything its source has but OverlayFS' marks and the machine's labels, in the order of rule 48.
fn copy_attributes(target: Target<'_>, lower: &chain::Entry, stat: &Stat) -> Result<Result<(), CallError>> {
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let mut attributes = Vec::new();
    for name in lower.xattrs()? {
        let bytes = name.as_bytes();
        let is_kept = bytes == CAPABILITY || !bytes.starts_with(b"security.");
        if is_kept && !Dialect::owns(bytes) {
            attributes.extend(lower.xattr(&name)?.map(|value| (name, value)));
        }
    }
    let copy = || {
        target.set_owner(stat.st_uid, stat.st_gid)?;
        attributes.iter().try_for_each(|(name, value)| target.set_xattr(name, value))?;
        if !is_link {
            target.set_mode(stat.st_mode & 0o7777)?;
        }
        target.set_times(&times_of(stat))
    };
    Ok(copy())
}

fn no_target(entry: &Entry) -> Error {
    names::invalid(&entry.path, &format!("is a hard link to {}, which does not exist", names::quoted(&entry.link)))
}
