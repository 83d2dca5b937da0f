//! The real disk: a directory descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use plyfs_sys::lock::{Lock, Sharing};
use plyfs_sys::{CallError, Result, fs};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::disk::{Access, Disk, DiskFile, DiskLock};
use crate::{Live, Map, map};

/// Readable by whoever may enter the directory; who may is decided there.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// The files of one directory, by descriptor; symbolic links in it are refused.
#[derive(Debug)]
pub struct DirDisk {
    dir: Arc<OwnedFd>,
}

impl DirDisk {
    /// Takes the open directory.
    #[must_use]
    pub fn new(dir: OwnedFd) -> Self {
        Self { dir: Arc::new(dir) }
    }
}

impl Disk for DirDisk {
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        self.boxed(name, fs::open_at(&self.dir, name, flags, Mode::empty())?)
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.boxed(name, fs::create_file_at(&self.dir, name, FILE_MODE)?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename_at(&self.dir, from, &self.dir, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::unlink_at(&self.dir, name)
    }

    fn list(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir)?;
        Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    fn sync(&self) -> Result<()> {
        fs::sync(&self.dir)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        let lock = Lock::take_file(&self.dir, name, Sharing::Exclusive)?;
        Ok(Box::new(self.held(name, lock)))
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        let fd = fs::open_at(&self.dir, name, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o600))?;
        let Some(lock) = Lock::try_take(fd, Sharing::Exclusive)? else { return Ok(None) };
        let lock = self.held(name, lock);
        // One whose file was replaced meanwhile is as good as held: there will be another chance.
        Ok(lock.counts()?.then(|| Box::new(lock) as Box<dyn DiskLock>))
    }
}

impl DirDisk {
    fn boxed(&self, name: &str, fd: OwnedFd) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(DirFile { dir: Arc::clone(&self.dir), name: name.into(), fd }))
    }

    fn held(&self, name: &str, lock: Lock) -> DirLock {
        DirLock { dir: Arc::clone(&self.dir), name: name.into(), lock }
    }
}

#[derive(Debug)]
struct DirLock {
    dir: Arc<OwnedFd>,
    name: Box<str>,
    lock: Lock,
}

impl DiskLock for DirLock {
    fn counts(&self) -> Result<bool> {
        self.lock.is_linked_as(&self.dir, &*self.name)
    }
}

#[derive(Debug)]
struct DirFile {
    dir: Arc<OwnedFd>,
    name: Box<str>,
    fd: OwnedFd,
}

impl DirFile {
    fn error(&self, call: &'static str, errno: Errno) -> CallError {
        CallError::new(call, &*self.name, errno)
    }
}

impl DiskFile for DirFile {
    fn size(&self) -> Result<u64> {
        let size = fs::stat(&self.fd)?.st_size;
        u64::try_from(size).map_err(|_| self.error("fstat", Errno::OVERFLOW))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.fd, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("pread", errno)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.fd, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.error("pwrite", Errno::IO)),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("pwrite", errno)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // EINTR is not retried: whether what was being written is on the disk is then unknown, as after any
        // other failed sync.
        rustix::fs::fdatasync(&self.fd).map_err(|errno| self.error("fdatasync", errno))
    }

    fn map(&self) -> Result<Map> {
        map::map_file(self.fd.as_fd()).map_err(|errno| self.error("mmap", errno))
    }

    fn has_its_name(&self) -> Option<bool> {
        fs::is_named(&self.fd, &self.dir, &*self.name).ok()
    }

    fn live(&self) -> Option<Live> {
        map::live_file(self.fd.as_fd()).ok()
    }
}
