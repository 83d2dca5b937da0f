//! Reading the caller's own table whole, and finding mounts in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plyfs_sys::CallError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Entry, parse};
use crate::{Error, Result};

/// The calling thread's own table: a thread may live in another mount namespace than the process's first one.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// How often a table that changes while it is read is read anew.
const ATTEMPTS: usize = 16;

/// Reads the table of the calling thread's mount namespace.
///
/// The kernel hands it out in pieces. It also tells whether anything was mounted or unmounted since the file was opened:
/// then the table is read anew, a bounded number of times. On a machine that never holds still the last reading counts;
/// what was mounted throughout is in it.
pub fn read() -> Result<Vec<Entry>> {
    let wrap = |errno| Error::call("read the mount table", CallError::new("read", TABLE, errno));
    let mut bytes = Vec::new();
    for _ in 0..ATTEMPTS {
        let table = rustix::fs::open(TABLE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(wrap)?;
        bytes.clear();
        read_to_end(&table, &mut bytes).map_err(wrap)?;
        if !has_changed(&table).map_err(wrap)? {
            break;
        }
    }
    parse(&bytes)
}

fn read_to_end(file: &OwnedFd, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let mut piece = vec![0; 1 << 16];
    loop {
        match rustix::io::read(file, &mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// proc(5): a change of the mount table since the open or the last poll is an exceptional condition of the file.
fn has_changed(table: impl AsFd) -> Result<bool, Errno> {
    let mut polled = [PollFd::from_borrowed_fd(table.as_fd(), PollFlags::PRI)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents().intersects(PollFlags::PRI | PollFlags::ERR))
}

/// The mount one sees at `mount_point`, an absolute path without symbolic links: the topmost of those there.
#[must_use]
pub fn at(table: &[Entry], mount_point: impl AsRef<Path>) -> Option<&Entry> {
    let mount_point = mount_point.as_ref();
    let here = || table.iter().filter(|entry| entry.mount_point == mount_point);
    here().find(|entry| !here().any(|other| other.parent == entry.id && other.id != entry.id))
}

/// All overlay mounts whose upper directory's path ends in the components of `tail`; see [`Entry::is_over`].
pub fn over_upper<'a>(table: &'a [Entry], tail: &'a Path) -> impl Iterator<Item = &'a Entry> {
    table.iter().filter(move |entry| entry.is_over(tail))
}
