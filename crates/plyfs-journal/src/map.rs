//! Mapping a run: the one place with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use crate::disk::Bytes;

/// Maps a whole file for reading.
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Box::new(Vec::new()));
    }
    // SAFETY: a run is written under another name's head, synced, and named by the head only then; from there on
    // this crate opens it for reading alone, never truncates it and only ever unlinks it, which leaves the map
    // whole. The journal's directory is its owner's, mode 0700. The gap: another program of that owner, or a
    // medium that fails, can change or take the pages; every page is checksummed before it is believed, and a
    // page that cannot be read raises SIGBUS.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Box::new(map))
}
