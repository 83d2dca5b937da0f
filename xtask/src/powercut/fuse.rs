//! A file system of two files: `disk`, which a loop device makes a block device, and `marks`.
//!
//! One thread serves both, one request at a time. So the order of the record is the order in which the kernel was
//! answered, and a mark stands behind every event that was answered before its `write(2)` returned.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::record::Disk;
use super::wire::{self, HEADER, MAX_WRITE, Request, opcode};

const ROOT: u64 = 1;
const DISK: u64 = 2;
const MARKS: u64 = 3;

/// The mounted file system; dropping it unmounts and ends its thread.
#[derive(Debug)]
pub(crate) struct Served {
    dir: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Mounts `disk` at an existing directory.
    pub(crate) fn start(disk: Arc<Disk>, dir: &Path) -> Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse").context("open /dev/fuse")?;
        let device = OwnedFd::from(device);
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = CString::new(options).expect("digits and words");
        mount("plyfs-powercut", dir, "fuse", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
            .with_context(|| format!("mount a recording disk at {}", dir.display()))?;
        let thread = thread::spawn(move || serve(&disk, &device));
        Ok(Self { dir: dir.to_path_buf(), thread: Some(thread) })
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    pub(crate) fn marks(&self) -> PathBuf {
        self.dir.join("marks")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Lazily: were something still using it, its descriptor ends with this process all the same.
        if unmount(&self.dir, UnmountFlags::empty()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        } else {
            let _ = unmount(&self.dir, UnmountFlags::DETACH);
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Answers requests until the file system is unmounted.
fn serve(disk: &Disk, device: &OwnedFd) {
    let mut buffer = vec![0; HEADER + 4096 + MAX_WRITE as usize];
    loop {
        let length = match rustix::io::read(device, &mut buffer[..]) {
            Ok(length) => length,
            // A request that was taken back before it was read.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return,
        };
        let Some(request) = Request::parse(&buffer[..length]) else { return };
        let Some(answer) = answer(disk, &request) else { continue };
        let message = match answer {
            Ok(body) => [wire::header(request.unique, 0, body.len()), body].concat(),
            Err(errno) => wire::header(request.unique, errno.raw_os_error(), 0),
        };
        // An answer nobody waits for any more is refused, which is fine.
        let _ = rustix::io::write(device, &message);
    }
}

/// The body of the answer; `None` where none is expected.
fn answer(disk: &Disk, request: &Request<'_>) -> Option<Result<Vec<u8>, Errno>> {
    let attributes = |node| match node {
        ROOT => wire::attributes(ROOT, 0o40_755, 0),
        DISK => wire::attributes(DISK, 0o100_600, disk.size()),
        _ => wire::attributes(MARKS, 0o100_600, 0),
    };
    Some(match request.opcode {
        opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => return None,
        opcode::INIT => Ok(wire::init()),
        opcode::LOOKUP => match request.name() {
            b"disk" => Ok(wire::entry(DISK, &attributes(DISK))),
            b"marks" => Ok(wire::entry(MARKS, &attributes(MARKS))),
            _ => Err(Errno::NOENT),
        },
        opcode::GETATTR | opcode::SETATTR => Ok(wire::attributes_answer(&attributes(request.node))),
        opcode::OPEN => Ok(wire::open()),
        opcode::READ => read(disk, request),
        opcode::WRITE => write(disk, request),
        opcode::FSYNC => {
            if request.node == DISK {
                disk.flush();
            }
            Ok(Vec::new())
        }
        opcode::STATFS => Ok(vec![0; 80]),
        opcode::FLUSH | opcode::RELEASE => Ok(Vec::new()),
        // No discards, no holes, no attributes: everything that changes the disk is a write.
        _ => Err(Errno::NOSYS),
    })
}

fn read(disk: &Disk, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    let (offset, length, _) = request.range().ok_or(Errno::INVAL)?;
    let mut out = Vec::with_capacity(length);
    if request.node == DISK {
        disk.read(offset, length, &mut out);
    }
    Ok(out)
}

fn write(disk: &Disk, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    let (offset, length, data) = request.range().ok_or(Errno::INVAL)?;
    let data = data.get(..length).ok_or(Errno::INVAL)?;
    match request.node {
        DISK => disk.write(offset, data),
        _ => disk.mark(&String::from_utf8_lossy(data)),
    }
    Ok(wire::written(length))
}
