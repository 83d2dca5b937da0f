//! A recording disk as a mounted file system, in steps that are undone in reverse.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::filesystem::FileSystem;
use super::fuse::Served;
use super::image::Image;
use super::record::{Disk, Record};
use crate::run::{command, output};

/// How often an unmount is tried again while the kernel still holds something.
const TRIES: u32 = 50;

/// A disk whose every write is recorded, and where it can be mounted.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) filesystem: FileSystem,
    disk: Arc<Disk>,
    served: Served,
    mount_point: PathBuf,
}

impl Recorder {
    /// Makes a file system and serves it from a directory below `dir`; not mounted yet.
    pub(crate) fn new(filesystem: FileSystem, size: u64, dir: &Path) -> Result<Self> {
        let blank = dir.join("blank");
        let file = fs::File::create(&blank).with_context(|| format!("create {}", blank.display()))?;
        file.set_len(size).with_context(|| format!("size {}", blank.display()))?;
        filesystem.make(&blank)?;
        let disk = Arc::new(Disk::new(Image::read_from(&blank)?));
        fs::remove_file(&blank).with_context(|| format!("remove {}", blank.display()))?;
        let (fuse, mount_point) = (dir.join("fuse"), dir.join("mnt"));
        for dir in [&fuse, &mount_point] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).context("make a mount point")?;
        }
        Ok(Self { filesystem, served: Served::start(Arc::clone(&disk), &fuse)?, disk, mount_point })
    }

    /// The file whose lines become marks of the record.
    pub(crate) fn marks(&self) -> PathBuf {
        self.served.marks()
    }

    /// Mounts what is on the disk.
    pub(crate) fn mount(&self) -> Result<Mounted<'_>> {
        let attached = Attached::new(&self.served.disk())?;
        let options = std::ffi::CString::new(self.filesystem.options()).expect("a word");
        let at = &self.mount_point;
        mount(&attached.device, at, self.filesystem.name(), MountFlags::empty(), options.as_c_str())
            .with_context(|| format!("mount {} of a cut disk", self.filesystem.name()))?;
        Ok(Mounted { path: at, attached: Some(attached) })
    }

    /// Puts another content on the disk, which is not mounted, and begins a new record.
    pub(crate) fn begin(&self, image: Image) {
        self.disk.begin(image);
    }

    /// The record until now; a new one begins.
    pub(crate) fn restart(&self) -> Record {
        self.disk.restart()
    }

    /// Events recorded until now.
    pub(crate) fn position(&self) -> usize {
        self.disk.position()
    }
}

/// A mounted disk; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Mounted<'a> {
    path: &'a Path,
    attached: Option<Attached>,
}

impl Mounted<'_> {
    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    /// Unmounts and detaches; a file system that stays busy is an error.
    pub(crate) fn unmount(mut self) -> Result<()> {
        end_mounts(self.path)?;
        self.attached.take().map_or(Ok(()), Attached::detach)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if self.attached.is_some() && end_mounts(self.path).is_err() {
            let _ = unmount(self.path, UnmountFlags::DETACH);
        }
    }
}

/// Ends the mount at `path` and those that programs left below it.
fn end_mounts(path: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mounts").context("read the mount table")?;
    let below = format!("{}/", path.display());
    let left: Vec<_> = table.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    for inner in left.into_iter().rev().filter(|inner| inner.starts_with(&below)) {
        let _ = unmount(inner, UnmountFlags::DETACH);
    }
    for _ in 0..TRIES {
        match unmount(path, UnmountFlags::empty()) {
            Err(Errno::BUSY) => thread::sleep(Duration::from_millis(20)),
            result => return result.with_context(|| format!("unmount {}", path.display())),
        }
    }
    bail!("unmount {}: still busy", path.display())
}

/// A loop device over the served file, without a cache of its own between.
#[derive(Debug)]
struct Attached {
    device: String,
    is_attached: bool,
}

impl Attached {
    fn new(file: &Path) -> Result<Self> {
        let mut losetup = command("losetup");
        let device = output(losetup.args(["--find", "--show", "--direct-io=on"]).arg(file))?;
        Ok(Self { device: device.trim().to_owned(), is_attached: true })
    }

    fn detach(mut self) -> Result<()> {
        self.is_attached = false;
        output(command("losetup").args(["--detach", &self.device])).map(drop)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.is_attached {
            let _ = output(command("losetup").args(["--detach", &self.device]));
        }
    }
}
