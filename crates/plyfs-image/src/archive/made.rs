//! The directory of a layout, and what writing into it has made so far: a failure takes that back, and nothing else.
//!
//! Several may save into it at once. A name in it is given and taken back under its lock, which nobody holds while a layer is
//! written.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use plyfs_sys::lock::{Lock, Sharing};
use plyfs_sys::{CallError, fs};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::error::{Error, Result};

/// The mode of the directories of a layout.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// A directory that is written into.
#[must_use = "dropping it takes back what was made; `keep` leaves it"]
pub(super) struct Made {
    /// Where it is, if it was made itself.
    own: Option<PathBuf>,
    root: OwnedFd,
    /// Names below it, in the order in which they were made.
    directories: Vec<String>,
    /// Files that replaced nothing, with their inodes: who saves the same blob at the same time puts another in its place.
    files: Vec<(String, Inode)>,
}

/// Device and number.
type Inode = (u64, u64);

impl Made {
    /// Makes or opens the directory.
    pub(super) fn ensure(path: &Path) -> Result<Self> {
        let named = || format!("layout {}", path.display());
        let own = match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            made => Some(made.map(|()| path.to_owned()).map_err(|error| Error::io(named(), error))?),
        };
        match fs::open_dir(path) {
            Ok(root) => Ok(Self { own, root, directories: Vec::new(), files: Vec::new() }),
            Err(error) => {
                own.iter().for_each(|path| drop(std::fs::remove_dir(path)));
                Err(Error::call(named(), error))
            }
        }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Waits until nobody else gives or takes back names in the layout.
    pub(super) fn lock(&self) -> Result<Lock> {
        // Opened once more: a duplicate would be locked until the last of them is closed.
        let again = fs::open_dir_at(&self.root, ".");
        again.and_then(|root| Lock::take(root, Sharing::Exclusive)).map_err(|error| Error::call("layout", error))
    }

    /// Makes the directory `part` in `parent`, which is `name` below the root, unless it is there.
    pub(super) fn ensure_dir(
        &mut self,
        parent: &OwnedFd,
        part: &str,
        name: &str,
    ) -> std::result::Result<(), CallError> {
        match fs::make_dir_at(parent, part, DIRECTORY_MODE) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            made => made.map(|()| self.directories.push(name.to_owned())),
        }
    }

    /// Takes note of a file that replaced nothing.
    pub(super) fn note(&mut self, name: String, file: &File) {
        // One that cannot be looked at stays: better than to remove another's.
        if let Ok(stat) = fs::stat(file) {
            self.files.push((name, (stat.st_dev, stat.st_ino)));
        }
    }

    /// Leaves all that was made where it is.
    pub(super) fn keep(mut self) {
        self.own = None;
        self.directories.clear();
        self.files.clear();
    }
}

impl Drop for Made {
    /// Best effort: what another has put into the directories meanwhile stays, and they with it.
    fn drop(&mut self) {
        if self.own.is_none() && self.directories.is_empty() && self.files.is_empty() {
            return;
        }
        let _lock = self.lock();
        for (name, inode) in self.files.drain(..).rev() {
            if fs::stat_at(&self.root, &name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == inode) {
                let _ = fs::unlink_at(&self.root, &name);
            }
        }
        for name in self.directories.drain(..).rev() {
            let _ = fs::remove_dir_at(&self.root, &name);
        }
        if let Some(path) = &self.own {
            let _ = std::fs::remove_dir(path);
        }
    }
}
