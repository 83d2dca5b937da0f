//! Whether a file system can carry a writable layer, said before the kernel fails in a worse place.
//!
//! The kernel mounts over some unfit file systems and breaks later: at the first whiteout, at the first listing.

use std::os::fd::AsFd;
use std::path::Path;

use plyfs_sys::fs::{self, FileType};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::layout::{NO_UPPER, VOLATILE_MARK};
use crate::stack::Upper;
use crate::{Error, ErrorKind, Plan, Result};

/// Refuses a directory whose file system cannot hold an upper directory (rules 17a and 65).
///
/// One `fstatfs(2)`; every mount with an upper directory makes this check by itself.
pub fn check_upper(directory: impl AsFd) -> Result<()> {
    let magic =
        fs::filesystem_magic(directory).map_err(|call| Error::call("the upper directory's file system", call))?;
    match NO_UPPER.iter().find(|(unfit, ..)| *unfit == magic) {
        None => Ok(()),
        Some((_, name, reason)) => {
            let message = format!("an upper directory cannot be on {name}: {reason}");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

/// Refuses a file system that does not state types in its directories (`d_type`): there, whiteouts show as files.
///
/// Makes and removes one file in `scratch`, which nobody else uses meanwhile. Worth doing once per store.
pub fn check_types(scratch: impl AsFd) -> Result<()> {
    const NAME: &str = "probe-type";
    let wrap = |call| Error::call("look for file types in directory entries", call);
    let scratch = scratch.as_fd();
    drop(fs::create_file_at(scratch, NAME, Mode::RUSR).map_err(wrap)?);
    let listed = fs::read_dir(scratch).map_err(wrap);
    fs::unlink_at(scratch, NAME).map_err(wrap)?;
    if listed?.iter().any(|entry| entry.name == NAME && entry.kind == FileType::RegularFile) {
        return Ok(());
    }
    let message = "the file system does not state types in its directories (d_type), which overlay needs";
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Looks, after a failed mount, for the mark of a volatile mount that the kernel silently stumbles over (rule 29).
///
/// Looking beforehand would cost every mount a system call.
pub(crate) fn explain(plan: &Plan, error: Error) -> Error {
    let Some(Upper { work, .. }) = &plan.stack.upper else { return error };
    let mark = Path::new(work).join(VOLATILE_MARK);
    if fs::open_beneath(&plan.stack.home, &mark, OFlags::PATH, ResolveFlags::empty()).is_err() {
        return error;
    }
    let message = format!("a volatile mount ended here and nothing was synced; {mark:?} stands for the doubt");
    Error::new(ErrorKind::Corrupt, message).because(error)
}
