//! A recording disk as a mounted file system, in steps that are undone in reverse.
//!
//! Whatever may wait for the disk is done by programs of their own: this process serves the disk, and a thread of it that the
//! kernel holds until the disk answers would keep a killed one from ending, and so from letting go of the disk.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};

use super::filesystem::FileSystem;
use super::fuse::Served;
use super::image::Image;
use super::record::{Disk, Record};
use crate::run::{command, output};

/// How often an unmount is tried again while the kernel still holds something.
const TRIES: u32 = 50;

/// How long a detached device may stay in use.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` on a thread whose mounts no other process has.
///
/// Whoever makes a mount namespace elsewhere meanwhile would get copies of ours: a file system lives, and writes to its disk,
/// until its last copy is gone.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let apart = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).context("unshare the mounts")?;
            output(command("mount").args(["--make-rprivate", "/"]))?;
            work()
        });
        apart.join().unwrap_or_else(|_| bail!("it panicked"))
    })
}

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

    /// Sets a mark from this process.
    pub(crate) fn mark(&self, line: &str) {
        self.disk.mark(line);
    }

    /// Mounts what is on the disk.
    pub(crate) fn mount(&self) -> Result<Mounted<'_>> {
        let attached = Attached::new(&self.served.disk())?;
        let mut mount = command("mount");
        mount.args(["-t", self.filesystem.name(), "-o", self.filesystem.options(), &attached.device]);
        output(mount.arg(&self.mount_point))?;
        Ok(Mounted { path: &self.mount_point, attached: Some(attached) })
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
            detach_mount(self.path);
        }
    }
}

/// Ends the mount at `path` and those that programs left below it.
fn end_mounts(path: &Path) -> Result<()> {
    mounts_below(path)?.iter().for_each(|inner| detach_mount(inner));
    for _ in 1..TRIES {
        if output(command("umount").arg(path)).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    output(command("umount").arg(path)).map(drop)
}

/// Mount points below `path`, the last one mounted first.
fn mounts_below(path: &Path) -> Result<Vec<PathBuf>> {
    // Somebody else's mount point may have any name; ours are words.
    let table = fs::read("/proc/thread-self/mounts").context("read the mount table")?;
    let table = String::from_utf8_lossy(&table);
    let points = table.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    Ok(points.filter(|point| point != path && point.starts_with(path)).collect())
}

/// Takes a mount out of sight, whoever still works inside.
fn detach_mount(path: &Path) {
    let _ = output(command("umount").arg("--lazy").arg(path));
}

/// Detaches the devices that a killed run left below `dir`; its mounts went with it, nobody else had them.
pub(crate) fn clear(dir: &Path) -> Result<()> {
    let devices = output(command("losetup").args(["--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"]))?;
    for (device, file) in devices.lines().filter_map(|line| line.split_once(' ')) {
        if Path::new(file).starts_with(dir) {
            output(command("losetup").args(["--detach", device]))?;
        }
    }
    Ok(())
}

/// A loop device over the served file, without a cache of its own between.
#[derive(Debug)]
struct Attached {
    device: String,
    file: PathBuf,
    is_attached: bool,
}

impl Attached {
    fn new(file: &Path) -> Result<Self> {
        let mut losetup = command("losetup");
        let device = output(losetup.args(["--find", "--show", "--direct-io=on"]).arg(file))?;
        Ok(Self { device: device.trim().to_owned(), file: file.to_path_buf(), is_attached: true })
    }

    /// Detaches and waits until it is done: what still had it open could write to the next disk.
    fn detach(mut self) -> Result<()> {
        self.is_attached = false;
        output(command("losetup").args(["--detach", &self.device]))?;
        let backing = Path::new("/sys/block").join(self.device.trim_start_matches("/dev/")).join("loop/backing_file");
        let started = Instant::now();
        while fs::read_to_string(&backing).is_ok_and(|file| Path::new(file.trim()) == self.file) {
            if started.elapsed() > PATIENCE {
                bail!("{}: somebody keeps {} in use", self.file.display(), self.device);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.is_attached {
            let _ = output(command("losetup").args(["--detach", &self.device]));
        }
    }
}
