//! The named files of an archive or a directory, wherever their bytes lie.
//!
//! A tar file is indexed once, by its headers; a stream is read once and its members kept in one temporary
//! file; a directory is opened beneath its descriptor. Names of members are keys of a map and never become
//! paths of the host: `./` and doubled slashes are taken out, and a member named with `..` is refused. When a
//! name comes twice, the later member counts, as when tar extracts it: what counts is held to its digest anyway.

mod index;
mod name;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_sys::fs::{self, FileType};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::layout::{MAX_DOCUMENT, MAX_DOCUMENTS, MAX_LINKS};

/// Where one name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File {
        offset: u64,
        size: u64,
    },
    /// A hard or symbolic link, its target normalised like a member's name.
    Link(Vec<u8>),
    /// A sparse file, whose content is not in one piece.
    Sparse,
    /// A device or other thing that no image keeps its parts in.
    Other,
}

/// The members of one archive or directory.
#[derive(Debug)]
pub(crate) struct Members {
    place: Place,
    /// What the documents that were read took together, each as often as it was read.
    read: AtomicU64,
}

#[derive(Debug)]
enum Place {
    /// Extents of a file.
    Archive(Archived),
    /// Files below a directory.
    Directory(OwnedFd),
}

/// A file and what lies where in it.
#[derive(Debug)]
struct Archived {
    file: Arc<File>,
    nodes: BTreeMap<Vec<u8>, Node>,
    has_end: bool,
}

impl Members {
    /// Indexes a plain tar file by its headers; the file may not change while it is used.
    ///
    /// `report` may stop the reading; nothing is kept, and that is what it is told.
    pub(crate) fn of_file(file: File, report: &mut dyn FnMut(u64) -> Result<()>) -> Result<Self> {
        let index = index::of_file(&file, report)?;
        Ok(Self::of(Place::Archive(Archived::new(file, index))))
    }

    /// Reads a plain tar stream to its end, keeping its members in a temporary file of `spool` that has no name.
    ///
    /// `report` is told how many bytes were kept, and may stop the reading.
    pub(crate) fn of_stream(
        stream: impl Read,
        spool: BorrowedFd<'_>,
        report: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Self> {
        let file = temporary_file(spool)?;
        let index = index::of_stream(stream, &file, report)?;
        Ok(Self::of(Place::Archive(Archived::new(file, index))))
    }

    /// Takes the files below `directory`; links may not lead out of it.
    pub(crate) fn of_directory(directory: OwnedFd) -> Self {
        Self::of(Place::Directory(directory))
    }

    fn of(place: Place) -> Self {
        Self { place, read: AtomicU64::new(0) }
    }

    /// Says whether this may be the first part of a longer archive: its end mark is missing.
    pub(crate) fn may_be_cut(&self) -> bool {
        matches!(&self.place, Place::Archive(archived) if !archived.has_end)
    }

    /// Opens the member `name`, or says that there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Member>> {
        let key = name::normalise(name.as_bytes())?;
        match &self.place {
            Place::Archive(archived) => archived.open(key),
            Place::Directory(directory) => open_below(directory.as_fd(), &key),
        }
    }

    /// Says whether there is a member `name`.
    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        self.open(name).map(|member| member.is_some())
    }

    /// Reads the document `name` whole, or says that there is none.
    ///
    /// One beyond [`MAX_DOCUMENT`] is refused, and so are many that take [`MAX_DOCUMENTS`] together: a small archive may
    /// name a large one a thousand times.
    pub(crate) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(member) = self.open(name)? else { return Ok(None) };
        at_most(MAX_DOCUMENT, member.size, &shown(name), "bytes")?;
        if self.read.fetch_add(member.size, Ordering::Relaxed) + member.size > MAX_DOCUMENTS {
            let message = format!("{}: with it, documents take more than {MAX_DOCUMENTS} bytes", shown(name));
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut bytes = Vec::new();
        let read = member.take(MAX_DOCUMENT).read_to_end(&mut bytes);
        read.map_err(|error| Error::io(format!("read {}", shown(name)), error))?;
        Ok(Some(bytes))
    }
}

impl Archived {
    fn new(file: File, index: index::Index) -> Self {
        Self { file: Arc::new(file), nodes: index.nodes, has_end: index.has_end }
    }

    fn open(&self, mut key: Vec<u8>) -> Result<Option<Member>> {
        for _ in 0..=MAX_LINKS {
            match self.nodes.get(&key) {
                None => return Ok(None),
                Some(&Node::File { offset, size }) => {
                    return Ok(Some(Member { file: Arc::clone(&self.file), at: offset, left: size, size }));
                }
                Some(Node::Link(target)) => key.clone_from(target),
                Some(Node::Sparse) => {
                    let message = format!("{}: sparse, as tar writes it when asked to by -S", shown(&key));
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                Some(Node::Other) => {
                    return Err(Error::new(ErrorKind::Unsupported, format!("{} is no plain file", shown(&key))));
                }
            }
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("{}: too many links", shown(&key))))
    }
}

/// The content of one member; reading does not move any other reader.
#[derive(Debug)]
pub(crate) struct Member {
    file: Arc<File>,
    at: u64,
    left: u64,
    size: u64,
}

impl Member {
    /// How many bytes the member has.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into()); // the file got shorter
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Opens a regular file beneath `directory`; a FIFO in its place does not block.
fn open_below(directory: BorrowedFd<'_>, key: &[u8]) -> Result<Option<Member>> {
    use std::os::unix::ffi::OsStrExt;
    let named = || shown(key);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let fd = match fs::open_beneath(directory, std::ffi::OsStr::from_bytes(key), flags, ResolveFlags::empty()) {
        Ok(fd) => fd,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => {
            let malformed = |why| Error::new(ErrorKind::InvalidInput, format!("{}: {why}", named()));
            return Err(match error.errno() {
                Errno::XDEV => malformed("a link leads out of the directory"),
                Errno::LOOP => malformed("too many links"),
                _ => Error::call(format!("open {}", named()), error),
            });
        }
    };
    let stat = fs::stat(&fd).map_err(|error| Error::call(named(), error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new(ErrorKind::Unsupported, format!("{} is no plain file", named())));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some(Member { file: Arc::new(File::from(fd)), at: 0, left: size, size }))
}

/// A file in `directory` without a name, gone with its descriptor.
pub(crate) fn temporary_file(directory: BorrowedFd<'_>) -> Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let fd = fs::open_at(directory, ".", OFlags::TMPFILE | OFlags::RDWR, mode);
    fd.map(File::from).map_err(|error| Error::call("make a temporary file", error))
}

#[cfg(test)]
#[path = "members/tests.rs"]
mod tests;
