//! How a container's mount ends.

use std::time::Duration;

use plyfs_mount::Unmount;
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};

use super::PAUSES;
use crate::mark::{Mark, Seen, Sight};
use crate::{Container, Error, ErrorKind, Result};

impl Container {
    /// Ends its mount for all; fine when it is not mounted, and on a store that is open for reading alone.
    ///
    /// 1. The mount. A plain unmount of the last one syncs the upper's file system.
    /// 2. Its own `merged`.
    /// 3. The mark. One that was left behind names a mount that is none, and the next mount replaces it.
    ///
    /// Plain, it is [`ErrorKind::InUse`] while guards live and [`ErrorKind::Busy`] while programs work inside.
    /// Those that merely look are waited for, which takes up to 63 ms where it is `Busy` in the end.
    /// Detaching takes it out of the caller's mount namespace, and out of every one where it is at the container's own
    /// `merged`; programs inside keep what they have open. A mount at another place in another namespace is
    /// [`ErrorKind::InUse`], one that another mount lies over [`ErrorKind::Busy`]: neither can be ended from here.
    #[doc(alias = "Put")]
    pub fn unmount(&self, how: Unmount) -> Result<()> {
        crate::ground::require_root("unmounting", &self.store.0.path)?;
        let Some(transition) = self.try_transition()? else { return Ok(()) };
        let seen = self.seen(transition.as_file())?;
        if how == Unmount::Plain && seen.is_some() && self.is_guarded()? {
            return Err(Error::new(ErrorKind::InUse, format!("container {} is in use by a mount guard", self.name())));
        }
        self.end_mount(&transition, seen, how)
    }

    /// Ends its mount, which the caller has seen while holding the transition lock.
    pub(crate) fn end_mount(&self, transition: &Lock, seen: Option<Seen>, how: Unmount) -> Result<()> {
        let Some(seen) = seen else {
            // What a killed process left; without it the next mount serves itself as well.
            self.drop_merged(transition);
            let _ = Mark::remove(transition.as_file());
            return Ok(());
        };
        match seen.sight {
            Sight::Open => self.unmount_seen(&seen, how)?,
            Sight::Covered => return Err(self.is_at(&seen)),
            Sight::Elsewhere if how == Unmount::Plain || !seen.is_own => return Err(self.is_at(&seen)),
            Sight::Elsewhere => {}
        }
        self.store.reached("unmount 1");
        // Removing the mount point ends the mount in every other namespace too (rule 69).
        let is_gone = self.drop_merged(transition);
        if seen.sight == Sight::Elsewhere && !is_gone {
            return Err(self.is_at(&seen));
        }
        self.store.reached("unmount 2");
        match Mark::remove(transition.as_file()) {
            // Where nothing is written any more it stays, and means nothing without the mount.
            Err(error) if error.kind() == ErrorKind::ReadOnly => {}
            removed => removed?,
        }
        self.store.reached("unmount 3");
        Ok(())
    }

    /// Ends the mount, as soon as nobody looks at it: whoever asks where a container is mounted has the mount in use for the
    /// length of one `statx(2)`, or longer where it has to wait for the processor there.
    fn unmount_seen(&self, seen: &Seen, how: Unmount) -> Result<()> {
        let mut result = plyfs_mount::unmount(&seen.path, how);
        for pause in PAUSES {
            if !matches!(&result, Err(error) if error.kind() == ErrorKind::Busy) {
                break;
            }
            std::thread::sleep(Duration::from_millis(pause));
            result = plyfs_mount::unmount(&seen.path, how);
        }
        result.map_err(|e| self.not_mounted(e))
    }

    /// The error that it is mounted where this caller can do nothing about it.
    pub(crate) fn is_at(&self, seen: &Seen) -> Error {
        let (kind, how) = match seen.sight {
            Sight::Open => (ErrorKind::InUse, ""),
            Sight::Covered => (ErrorKind::Busy, ", covered by another mount"),
            Sight::Elsewhere => (ErrorKind::InUse, " in another mount namespace"),
        };
        Error::new(kind, format!("container {} is mounted at {}{how}", self.name(), seen.path.display()))
    }

    /// Says whether a guard lives. One that ended has let go at once, whatever forks of its process still hold.
    pub(super) fn is_guarded(&self) -> Result<bool> {
        let work = match fs::open_dir_at(self.directory()?, plyfs_link::WORK) {
            Err(error) if error.is_not_found() => return Ok(false),
            result => result.map_err(|e| self.failed(e))?,
        };
        Ok(Lock::try_take(work, Sharing::Exclusive).map_err(|e| self.failed(e))?.is_none())
    }

    /// Removes its `merged`, which is not there when the mount was at another place; says whether it was removed.
    pub(super) fn drop_merged(&self, transition: &Lock) -> bool {
        // A leftover is used or removed by the next mount or unmount.
        fs::remove_dir_at(transition.as_file(), plyfs_link::MERGED).is_ok()
    }
}
