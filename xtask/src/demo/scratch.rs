//! The directory the demo works in, and how to be rid of it with everything mounted below.
//!
//! Nothing is deleted while a mount is below: the files of an image would go with it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};

use crate::tree;

/// The demo's directory, which need not exist.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { path: tree::target().join("demo") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(dir)
    }

    /// Unmounts what is mounted below and deletes the directory; says whether there was anything.
    pub(super) fn clear(&self) -> Result<bool> {
        let mounted = self.mounts()?;
        // A mount is listed after what it is mounted on.
        for target in mounted.iter().rev() {
            unmount(target, UnmountFlags::DETACH).with_context(|| format!("unmount {}", target.display()))?;
        }
        if let Some(target) = self.mounts()?.first() {
            bail!("{}: still mounted; nothing is deleted", target.display());
        }
        match fs::remove_dir_all(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(!mounted.is_empty()),
            Err(error) => Err(error).with_context(|| format!("delete {}", self.path.display())),
        }
    }

    fn mounts(&self) -> Result<Vec<PathBuf>> {
        let table = fs::read("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        // The kernel shows paths without symlinks.
        let Ok(path) = self.path.canonicalize() else { return Ok(Vec::new()) };
        Ok(mounts_below(&table, &path))
    }
}

/// The mount points below a directory, in the order of proc_pid_mountinfo(5).
fn mounts_below(table: &[u8], dir: &Path) -> Vec<PathBuf> {
    let points = table.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    points.map(unescape).filter(|point| point.starts_with(dir)).collect()
}

/// Undoes the octal escapes of blank, tab, line feed and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directory_are_found_whatever_their_bytes() {
        let table = b"22 1 0:20 / /t rw shared:1 - tmpfs t rw\n\
                      23 1 0:21 / /t/demo/store/a\\040b rw - overlay overlay rw\n\
                      24 1 0:22 / /t/demolition rw - overlay overlay rw\n\
                      25 23 0:23 / /t/demo/store/a\\040b/\\134x\xff rw - proc proc rw\n";
        let found = mounts_below(table, Path::new("/t/demo"));
        let last = OsString::from_vec(b"/t/demo/store/a b/\\x\xff".to_vec());
        assert_eq!(found, [PathBuf::from("/t/demo/store/a b"), PathBuf::from(last)]);
    }

    #[test]
    fn clearing_a_directory_that_is_not_there_changes_nothing() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let scratch = Scratch { path: dir.path().join("demo") };
        assert!(!scratch.clear().expect("nothing to do"));
        scratch.make("store").expect("make");
        assert!(scratch.clear().expect("clear"));
        assert!(!scratch.path().exists(), "the directory is still there");
    }
}
