//! A file that is written before it has its name, in a layout's directory: it appears whole or not at all.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use plyfs_sys::fs;
use plyfs_sys::lock::Lock;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::made::Made;
use crate::error::{Error, ErrorKind, Result};

/// The mode of files in a layout.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// A new file in a directory.
///
/// Where the file system can, it has no name until it is whole, so that nothing is left of a process that is killed either.
#[must_use = "dropping it leaves nothing of the file; `place` gives it its name"]
pub(super) struct Aside<'a> {
    directory: &'a OwnedFd,
    file: File,
    temporary: String,
    is_named: bool,
}

impl<'a> Aside<'a> {
    /// Makes an empty one.
    pub(super) fn new(directory: &'a OwnedFd) -> Result<Self> {
        let failed = |error| Error::call("layout", error);
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Error::new(ErrorKind::from_errno(errno), "getrandom"))?;
        let temporary = format!(".plyfs-{:016x}", u64::from_ne_bytes(random));
        let (file, is_named) = match fs::open_at(directory, ".", OFlags::TMPFILE | OFlags::RDWR, FILE_MODE) {
            // EISDIR is how a kernel answers that does not know the flag.
            Err(error) if matches!(error.errno(), Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                (fs::create_file_at(directory, &temporary, FILE_MODE).map_err(failed)?, true)
            }
            opened => (opened.map_err(failed)?, false),
        };
        Ok(Self { directory, file: File::from(file), temporary, is_named })
    }

    /// Where its bytes go.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it the name of a member, in the place of what has that name; what replaces nothing is noted.
    ///
    /// The lock is that of the layout: nobody else gives or takes back the name between the look and the rename.
    pub(super) fn place(mut self, member: String, made: &mut Made, _lock: &Lock) -> Result<()> {
        let failed = |error| Error::call("layout", error);
        let name = member.rsplit('/').next().unwrap_or(&member);
        if !self.is_named {
            // Linking cannot replace what is there, renaming can.
            let nameless = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, nameless, self.directory, &self.temporary, AtFlags::SYMLINK_FOLLOW)
                .map_err(|errno| Error::new(ErrorKind::from_errno(errno), "layout: linkat").because(errno))?;
            self.is_named = true;
        }
        let is_new = fs::stat_at(self.directory, name).is_err_and(|error| error.is_not_found());
        fs::chmod_at(self.directory, &self.temporary, FILE_MODE) // whatever the umask is
            .and_then(|()| fs::rename_at(self.directory, &self.temporary, self.directory, name))
            .map_err(failed)?;
        self.is_named = false;
        if is_new {
            made.note(member, &self.file);
        }
        Ok(())
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if self.is_named {
            let _ = fs::unlink_at(self.directory, &self.temporary); // best effort: the error matters more
        }
    }
}
