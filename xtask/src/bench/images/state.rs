//! The same state of the machine before everything that is timed.
//!
//! System time varies by a multiple with what the page cache holds. So what is dirty is written, all that is cached is
//! dropped, and what will be read is read once. And with whether free pages are there: a virtual machine gives memory that
//! was free for a while back to its host, and the first touch of such a page costs more than the work that is done upon
//! it. So what a run will take is touched just before.

use std::fs::{self, File};
use std::hint::black_box;
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

/// More than anyone takes for the image: its pages, and once more where it is unpacked on the way.
const PAGES: usize = 4 << 30;

/// Writes what is dirty on the disk, and brings these files, and those below these directories, into the page cache.
pub(super) fn settle(disk: &Path, cache: Cache, inputs: &[&Path]) -> Result<()> {
    check(command("sync").arg("--file-system").arg(disk))?;
    if cache == Cache::Dropped {
        // proc_sys_vm(5): page cache, directory entries and inodes.
        fs::write("/proc/sys/vm/drop_caches", "3").context("drop the caches")?;
    }
    inputs.iter().try_for_each(|input| read(input, &mut vec![0; 1 << 20]))?;
    if cache == Cache::Dropped {
        touch(PAGES.min(available()? / 2));
        // A program that is started has the peak of this one until it is another (proc_pid_clear_refs(5)).
        fs::write("/proc/self/clear_refs", "5").context("forget the peak")?;
    }
    Ok(())
}

/// Takes this many bytes of free memory, writes into each page, and gives them up.
fn touch(bytes: usize) {
    drop(black_box(vec![1_u8; bytes]));
}

/// Bytes that can be had without taking them from anyone (proc_meminfo(5)).
fn available() -> Result<usize> {
    let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    Ok(kilobytes.context("/proc/meminfo: no MemAvailable")? << 10)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_had_without_taking_it_from_anyone() {
        let free = available().expect("the kernel says so");
        assert!(free > 1 << 20, "{free} bytes");
        touch(1 << 20);
    }

    #[test]
    fn inputs_are_read_through_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir(dir.path().join("below")).expect("a directory");
        fs::write(dir.path().join("below/file"), "bytes").expect("a file");
        read(dir.path(), &mut [0; 2]).expect("read");
        let error = read(&dir.path().join("none"), &mut [0; 2]).expect_err("there is none");
        assert!(format!("{error:#}").contains("none"), "{error:#}");
    }
}
