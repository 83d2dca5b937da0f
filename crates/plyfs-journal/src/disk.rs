//! Everything the journal asks of a disk, as two small traits, and the real one.

use std::fmt::Debug;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::{Mode, OFlags};

use crate::layout;
use crate::map::map;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    Write,
    /// Reading and writing; the file is made, or emptied.
    Create,
}

/// The content of a file that is never written again.
pub type Bytes = Box<dyn Deref<Target = [u8]> + Send + Sync>;

/// A directory of files: all I/O of a journal goes through it, so that a simulated disk can stand in.
///
/// What was written is durable only after the file's [`DiskFile::sync`]; what was created, renamed or removed
/// only after [`Disk::sync_names`]. A crash may keep any part of the rest, in units of 512 bytes.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file over another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; a missing one is fine.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Waits for the writers' lock, which ends when the answer is dropped.
    fn lock(&self) -> io::Result<Box<dyn Send>>;
}

/// One open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads as many bytes as there are, up to the buffer's length.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Makes what was written, and the length, durable.
    fn sync(&self) -> io::Result<()>;
    /// The whole content of a file that nobody writes to any more.
    fn bytes(&self) -> io::Result<Bytes>;
}

/// The real disk: an open directory.
#[derive(Debug)]
pub struct DirDisk {
    directory: OwnedFd,
}

impl DirDisk {
    /// A journal's disk in this directory.
    #[must_use]
    pub fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }
}

impl Disk for DirDisk {
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let file = fs::open_at(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Box::new(File(file.into())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::rename_at(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::unlink_at(&self.directory, name) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(fs::sync(&self.directory)?)
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        Ok(Box::new(Lock::take_file(&self.directory, layout::LOCK, Sharing::Exclusive)?))
    }
}

#[derive(Debug)]
struct File(std::fs::File);

impl DiskFile for File {
    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let wanted = buffer.len();
        while !buffer.is_empty() {
            match self.0.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(wanted - buffer.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(self.0.as_fd())?)
    }

    fn bytes(&self) -> io::Result<Bytes> {
        map(&self.0)
    }
}
