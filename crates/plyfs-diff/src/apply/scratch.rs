//! A file without a name for what does not fit in memory; it is gone with its descriptor, whatever happens.

use std::fs::File;
use std::os::fd::BorrowedFd;

use plyfs_sys::{CallError, fs};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The name a scratch file has for an instant, where file systems know none without.
const NAME: &str = ".plyfs-scratch";

/// Opens an empty scratch file on the file system of `dir`.
pub(super) fn open(dir: BorrowedFd<'_>) -> Result<File, CallError> {
    match fs::open_at(dir, ".", OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR) {
        Err(error) if matches!(error.errno(), Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
        result => return result.map(File::from),
    }
    let file = fs::create_file_at(dir, NAME, Mode::RUSR | Mode::WUSR)?;
    fs::unlink_at(dir, NAME)?;
    Ok(file.into())
}
