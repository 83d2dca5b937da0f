//! Temporary directories on a real file system, and mounts that end with the test that made them.
//!
//! Dropping never removes through a mount: what is mounted beneath goes first, and where that fails the directory stays.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD};
use rustix::mount::{UnmountFlags, unmount};

/// File systems on which OverlayFS cannot keep an upper directory with every kind of attribute.
const UNFIT: &[(u64, &str)] = &[(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs"), (0x794c_7630, "overlay")];

/// A new directory on a file system fit for an overlay's upper; unmounted beneath and removed on drop.
#[derive(Debug)]
#[must_use = "the directory is removed when this is dropped"]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a directory, mode 0700, in [`base`].
    ///
    /// Its path has no capital letter, since podman makes image names of paths, and is no prefix of another one's.
    #[expect(clippy::new_without_default, reason = "making a directory is not a default")]
    #[track_caller]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = base();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("plyfs-test-{}-{number:06}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Self { path },
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {} // of a process that was killed
                Err(e) => panic!("make {}: {e}", path.display()),
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside; nothing is made.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Makes a directory inside, with those above it.
    #[must_use]
    pub fn dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("make {}: {e}", path.display()));
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        unmount_below(&self.path);
        // Removing through a mount would empty what is mounted.
        if mounts_below(&self.path).is_empty() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Where temporary directories are made: the first of the temp dir and `/var/tmp` that is no tmpfs and no overlay.
///
/// # Panics
///
/// When there is none: a test that quietly ran on tmpfs would prove little.
#[must_use]
pub fn base() -> PathBuf {
    let candidates = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let fit = candidates.iter().find(|dir| unfit(dir).is_none());
    fit.unwrap_or_else(|| panic!("set TMPDIR to a directory on ext4, xfs or btrfs: {candidates:?} are unfit")).clone()
}

/// Names the file system `dir` lies on if it is unfit for layers; a directory that cannot be asked is unfit too.
#[must_use]
pub fn unfit(dir: &Path) -> Option<&'static str> {
    let Ok(found) = rustix::fs::statfs(dir) else { return Some("missing") };
    // The field's width differs by architecture; every magic number has 32 bits.
    let magic = found.f_type as u64 & 0xffff_ffff;
    UNFIT.iter().find(|(unfit, _)| *unfit == magic).map(|(_, name)| *name)
}

/// A mount that ends when this is dropped, after a panic too.
#[derive(Debug)]
#[must_use = "the mount ends when this is dropped"]
pub struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// Takes charge of what is mounted at `target`, or will be.
    pub fn at(target: impl Into<PathBuf>) -> Self {
        Self { target: target.into() }
    }

    /// Mounts a new tmpfs at `target`, which exists.
    #[track_caller]
    pub fn tmpfs(target: impl Into<PathBuf>) -> Self {
        let target = target.into();
        rustix::mount::mount("tmpfs", &target, "tmpfs", rustix::mount::MountFlags::empty(), None)
            .unwrap_or_else(|e| panic!("mount a tmpfs at {}: {e}", target.display()));
        Self { target }
    }

    /// Mounts an overlay with these options, as mount(8) takes them, at `target`, which exists.
    #[track_caller]
    pub fn overlay(target: impl Into<PathBuf>, options: &str) -> Self {
        let target = target.into();
        let data = std::ffi::CString::new(options).expect("options without NUL");
        rustix::mount::mount("overlay", &target, "overlay", rustix::mount::MountFlags::empty(), Some(data.as_c_str()))
            .unwrap_or_else(|e| panic!("mount an overlay at {} with {options}: {e}", target.display()));
        Self { target }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Plain first, so that nothing lingers; detached if a failing test still holds a file open.
        let _ = unmount(&self.target, UnmountFlags::NOFOLLOW)
            .or_else(|_| unmount(&self.target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH));
    }
}

/// Lists the mount points at `dir` and beneath it, as the kernel has them now, the newest last.
#[must_use]
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let table = std::fs::read("/proc/self/mountinfo").expect("procfs is mounted");
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(unescape).filter(|point| point.starts_with(&dir)).collect()
}

/// Unmounts everything at `dir` and beneath it, the newest first, detaching what is busy; best effort.
pub fn unmount_below(dir: &Path) {
    for point in mounts_below(dir).iter().rev() {
        let _ = unmount(point, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH);
    }
}

/// Whether something exists at `path`; a dangling link does.
#[must_use]
pub fn exists(path: &Path) -> bool {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Takes back the octal escapes of space, tab, newline and backslash in the mount table.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = rest.get(1..4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}
