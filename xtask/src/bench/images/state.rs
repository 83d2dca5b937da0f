//! The same state of the machine before everything that is timed.
//!
//! System time varies by a multiple with what the page cache holds. So what is dirty is written, all that is cached is
//! dropped, and what will be read is read once.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use crate::run::{check, command};

/// What becomes of what the caches hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// It is dropped: for work on many bytes.
    Dropped,
    /// It is kept: for work on none, by those who are at it all the time.
    Kept,
}

/// Writes what is dirty on the disk, and brings these files, and those below these directories, into the page cache.
pub(super) fn settle(disk: &Path, cache: Cache, inputs: &[&Path]) -> Result<()> {
    check(command("sync").arg("--file-system").arg(disk))?;
    if cache == Cache::Dropped {
        // proc_sys_vm(5): page cache, directory entries and inodes.
        fs::write("/proc/sys/vm/drop_caches", "3").context("drop the caches")?;
    }
    inputs.iter().try_for_each(|input| read(input, &mut vec![0; 1 << 20]))
}

fn read(path: &Path, buffer: &mut [u8]) -> Result<()> {
    let named = || format!("read {}", path.display());
    let kind = fs::symlink_metadata(path).with_context(named)?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path).with_context(named)? {
            read(&entry.with_context(named)?.path(), buffer)?;
        }
    } else if kind.is_file() {
        let mut file = File::open(path).with_context(named)?;
        while file.read(buffer).with_context(named)? > 0 {}
    }
    Ok(())
}
