//! The real disk: a directory descriptor.
//!
//! On btrfs, whoever uses the directory syncs in turn with all others, in every process. There a sync of a file may come back
//! before the file is safe (seen on Linux 6.18): while a transaction is written out, the first sync of the next one has
//! entered the file into the log and waits; a second sync finds it entered into log number 0, and 0 is also the number of the
//! last log that was synced when none was.

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
    dir: Arc<Directory>,
}

impl DirDisk {
    /// Takes the open directory.
    #[must_use]
    pub fn new(dir: OwnedFd) -> Self {
        // In turn is slower and never wrong.
        let syncs_in_turn = fs::is_on_btrfs(&dir).unwrap_or(true);
        Self { dir: Arc::new(Directory { fd: dir, syncs_in_turn }) }
    }
}

impl Disk for DirDisk {
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        self.boxed(name, fs::open_at(&self.dir.fd, name, flags, Mode::empty())?)
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.boxed(name, fs::create_file_at(&self.dir.fd, name, FILE_MODE)?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename_at(&self.dir.fd, from, &self.dir.fd, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::unlink_at(&self.dir.fd, name)
    }

    fn list(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir.fd)?;
        Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    fn sync(&self) -> Result<()> {
        let _turn = self.dir.turn()?;
        fs::sync(&self.dir.fd)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        let lock = Lock::take_file(&self.dir.fd, name, Sharing::Exclusive)?;
        Ok(Box::new(self.held(name, lock)))
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        let fd = fs::open_at(&self.dir.fd, name, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o600))?;
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
struct Directory {
    fd: OwnedFd,
    syncs_in_turn: bool,
}

impl Directory {
    /// Waits until nobody else syncs, where only one may at a time; also threads of one process, which share no descriptor here.
    fn turn(&self) -> Result<Option<Lock>> {
        if !self.syncs_in_turn {
            return Ok(None);
        }
        Lock::take(fs::open_dir_at(&self.fd, ".")?, Sharing::Exclusive).map(Some)
    }
}

#[derive(Debug)]
struct DirLock {
    dir: Arc<Directory>,
    name: Box<str>,
    lock: Lock,
}

impl DiskLock for DirLock {
    fn counts(&self) -> Result<bool> {
        self.lock.is_linked_as(&self.dir.fd, &*self.name)
    }
}

#[derive(Debug)]
struct DirFile {
    dir: Arc<Directory>,
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
        let _turn = self.dir.turn()?;
        // EINTR is not retried: whether what was being written is on the disk is then unknown, as after any
        // other failed sync.
        rustix::fs::fdatasync(&self.fd).map_err(|errno| self.error("fdatasync", errno))
    }

    fn map(&self) -> Result<Map> {
        map::map_file(self.fd.as_fd()).map_err(|errno| self.error("mmap", errno))
    }

    fn has_its_name(&self) -> Option<bool> {
        fs::is_named(&self.fd, &self.dir.fd, &*self.name).ok()
    }

    fn live(&self) -> Option<Live> {
        map::live_file(self.fd.as_fd()).ok()
    }
}
