//! Data before name: how an operation's files reach the disk before the record that names them.

use std::os::fd::{AsFd, BorrowedFd};

use plyfs_sys::descent::Descent;
use plyfs_sys::fs::{self, FileType};
use rustix::fs::{Mode, OFlags};

use crate::operation::Operation;
use crate::{Result, Store, layout};

/// How much an operation waits for the disk before it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// One `syncfs(2)` of the store's file system before the journal's own sync: what an operation returned
    /// survives a power cut. Other programs' dirty data on the same file system is waited for too. Before Linux 5.8
    /// `syncfs(2)` does not tell of writes that the disk lost.
    #[default]
    FileSystem,
    /// One `fsync(2)` for every file and directory an operation made, then the journal's own sync: what an operation
    /// returned survives a power cut. No other program's data is waited for, but many small files take longer. Unmounting a
    /// container still syncs its file system, for the kernel does. On btrfs it is [`Self::FileSystem`]: names that are synced
    /// one directory at a time there come back without those that were given before them in another.
    Files,
    /// Nothing is synced. A killed process loses nothing; a power cut may lose or damage whatever was done
    /// since the kernel last wrote back.
    None,
}

impl Durability {
    /// Says whether what an operation returned is to survive a power cut.
    pub(crate) fn is_durable(self) -> bool {
        self != Self::None
    }

    /// What it is on the file system of `root`.
    ///
    /// An fsync of `l/` on btrfs writes all new names in it to a log, those of containers that are being made too, and
    /// nothing of `overlay2/`. After a power cut such a link would stand without its directory, which means damage.
    pub(crate) fn on(self, root: impl AsFd) -> plyfs_sys::Result<Self> {
        Ok(if self == Self::Files && fs::is_on_btrfs(root)? { Self::FileSystem } else { self })
    }
}

impl Store {
    /// Makes what was renamed, linked and removed in the store's directories durable, and with
    /// [`Durability::FileSystem`] all that was written before.
    ///
    /// A write that failed is told once to each descriptor that was open then (syncfs(2)). So whoever publishes what was
    /// written hands over a descriptor that is its own and older than its writes: through one that is shared another
    /// would be told in its place.
    pub(crate) fn sync(&self, own: impl AsFd) -> Result<()> {
        let synced = match self.0.durability {
            Durability::None => Ok(()),
            Durability::FileSystem => fs::sync_filesystem(own),
            Durability::Files => self.sync_directories(),
        };
        synced.map_err(|e| self.explain("make the store durable", e))
    }

    /// Syncs every directory that a record's names stand in.
    ///
    /// The links come after the layers' directories: a link without a directory means damage to a container.
    fn sync_directories(&self) -> plyfs_sys::Result<()> {
        fs::sync(self.home())?;
        fs::sync(fs::open_dir_at(self.home(), plyfs_link::LINK_DIR)?)?;
        [&self.0.tar_split, &self.0.blobs, &self.0.trash].into_iter().try_for_each(fs::sync)
    }
}

impl Operation {
    /// With [`Durability::Files`], makes everything staged durable, the names of what is to be taken back included.
    pub(crate) fn sync_staged(&self) -> Result<()> {
        if self.store().0.durability != Durability::Files {
            return Ok(());
        }
        let synced = fs::read_dir(self.dir()).and_then(|entries| {
            let names = entries.iter().filter(|entry| entry.name != layout::SPOOL);
            names.into_iter().try_for_each(|entry| sync_tree(self.dir(), &entry.name))?;
            fs::sync(self.dir())?;
            fs::sync(&self.store().0.staging)
        });
        synced.map_err(|e| self.failed("make the layers durable", e))
    }
}

/// Syncs a file, or a directory and all below it, one by one. What is neither lives in its directory alone.
pub(crate) fn sync_tree(dir: impl AsFd, name: impl AsRef<std::ffi::OsStr>) -> plyfs_sys::Result<()> {
    let name = name.as_ref();
    let mut descent = Descent::new(fs::open_dir_at(dir, ".")?)?;
    if sync_unless_dir(descent.dir(), name)? {
        return Ok(());
    }
    descent.enter(name)?;
    // For every directory on the way down, those in it that are still to be entered.
    let mut open = vec![sync_files(descent.dir())?];
    while let Some(inner) = open.last_mut() {
        if let Some(name) = inner.pop() {
            descent.enter(&name)?;
            open.push(sync_files(descent.dir())?);
            continue;
        }
        fs::sync(descent.dir())?;
        descent.leave()?;
        open.pop();
    }
    Ok(())
}

/// Syncs the files of a directory; the answer is the directories in it.
fn sync_files(dir: BorrowedFd<'_>) -> plyfs_sys::Result<Vec<std::ffi::OsString>> {
    let mut inner = Vec::new();
    for entry in fs::read_dir(dir)? {
        if !sync_unless_dir(dir, &entry.name)? {
            inner.push(entry.name);
        }
    }
    Ok(inner)
}

/// Syncs a regular file; `false` when the name is a directory's.
fn sync_unless_dir(dir: BorrowedFd<'_>, name: &std::ffi::OsStr) -> plyfs_sys::Result<bool> {
    match FileType::from_raw_mode(fs::stat_at(dir, name)?.st_mode) {
        FileType::Directory => Ok(false),
        FileType::RegularFile => {
            fs::sync(fs::open_at(dir, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?)?;
            Ok(true)
        }
        _ => Ok(true),
    }
}
