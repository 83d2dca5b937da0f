//! A file system of its own for a bench: nobody else's dirty data is waited for, and nothing stays behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::{check, command, output};
use crate::tree;

/// An ext4 in a file, mounted by a loop device; unmounted and deleted at the end.
#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    at: String,
}

impl Disk {
    /// Makes and mounts it; the file is sparse and grows up to `size`.
    pub(super) fn ext4(name: &str, size: u64) -> Result<Self> {
        let dir = tree::target().join("xtask/bench");
        let (image, at) = (dir.join(format!("{name}.img")), dir.join(format!("{name}.mnt")));
        fs::create_dir_all(&at).with_context(|| format!("create {}", at.display()))?;
        let at = at.to_str().with_context(|| format!("{}: not UTF-8", at.display()))?.to_owned();
        // What a killed bench left.
        release(&at);
        let named = || format!("create {}", image.display());
        File::create(&image).and_then(|file| file.set_len(size)).with_context(named)?;
        // Without lazy initialisation nothing writes behind the bench's back.
        check(command("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(&image))?;
        let disk = Self { image, at };
        check(command("mount").args(["-o", "loop"]).arg(&disk.image).arg(&disk.at))?;
        Ok(disk)
    }

    /// The same, whose writes do not pass through the page cache a second time, in the file below.
    pub(super) fn direct(name: &str, size: u64) -> Result<Self> {
        let disk = Self::ext4(name, size)?;
        let device = output(command("findmnt").args(["--noheadings", "--output", "SOURCE", &disk.at]))?;
        check(command("losetup").args(["--direct-io=on", device.trim()]))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &str {
        &self.at
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        release(&self.at);
        let _ = fs::remove_file(&self.image);
        let _ = fs::remove_dir(&self.at);
    }
}

/// Unmounts what is mounted at a place and below it, lazily, and does nothing where nothing is.
fn release(at: &str) {
    if output(command("mountpoint").args(["-q", at])).is_ok() {
        let _ = check(command("umount").args(["--recursive", "--lazy"]).arg(Path::new(at)));
    }
}
