//! A container's directory: made from its record, and made again only when nothing can be lost by it.
//!
//! Creating a container syncs its record and nothing else, so a power cut may take its directories. Nothing that a program
//! synced inside can be gone with them: an fsync makes the directories above durable too. The other way a directory vanishes,
//! by damage or by hand, must not pass as that: then the container's short link is still there. The link is made last, and
//! ext4 and xfs keep the order of names they were given. btrfs does unless `l/` itself is synced, which only
//! [`Durability::Files`](crate::Durability::Files) would do and therefore does not there. So *a link without its directory is
//! damage*, and is reported, while *neither* is a container that a crash took and that follows from its record.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs::{self, Stat};
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::operation::write_identity;
use crate::record::Ancestor;
use crate::{Container, Error, ErrorKind, Result, Store, key, layer, layout};

impl Container {
    /// The path of its directory in the driver home.
    pub(crate) fn path(&self) -> PathBuf {
        self.store.path().join(layout::HOME).join(self.id().to_string())
    }

    /// Its open directory.
    pub(crate) fn directory(&self) -> Result<OwnedFd> {
        fs::open_dir_at(self.store.home(), self.id().to_string()).map_err(|e| self.failed(e))
    }

    /// Its open writable tree.
    pub(crate) fn upper(&self) -> Result<OwnedFd> {
        self.store.open_tree(self.id()).map_err(|e| self.failed(e))
    }

    /// Takes the transition lock, making the directory where it is missing and nothing can have been in it.
    pub(crate) fn claim(&self) -> Result<Lock> {
        if let Some(lock) = self.try_transition()? {
            return Ok(lock);
        }
        self.refuse_lost()?;
        self.claim_new()
    }

    /// Makes the directory and takes the transition lock; an error when the container was removed meanwhile.
    pub(crate) fn claim_new(&self) -> Result<Lock> {
        let name = self.id().to_string();
        let made = fs::ensure_dir_at(self.store.home(), &name, Mode::from_raw_mode(0o710));
        made.map_err(|e| self.failed(e))?;
        let lock = self.transition()?;
        // A removal makes and locks the directory before it retracts the record. So either it came first, and its
        // durable answer is seen here, or it waits for this lock.
        self.require_record().inspect_err(|_| self.drop_claim())?;
        Ok(lock)
    }

    /// Takes the transition lock for a removal; `None` where something that is no directory stands in its place, or
    /// where it is missing and a full disk has no room for it.
    pub(crate) fn claim_to_remove(&self) -> Result<Option<Lock>> {
        self.require_record()?;
        let (home, name) = (self.store.home(), self.id().to_string());
        let there = match fs::open_dir_at(&home, &name) {
            Err(error) if matches!(error.errno(), Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) if error.is_not_found() => {
                match fs::ensure_dir_at(&home, &name, Mode::from_raw_mode(0o710)) {
                    // A full disk must not keep what takes space. Only here, where it is known to be missing: a
                    // directory that cannot be opened for want of anything may be mounted.
                    Err(error) if matches!(error.errno(), Errno::NOSPC | Errno::DQUOT) => return Ok(None),
                    made => made,
                }
            }
            opened => opened.map(drop),
        };
        there.map_err(|e| self.failed(e))?;
        self.transition().map(Some)
    }

    /// Takes back the directory that [`Self::claim_new`] or [`Self::claim_to_remove`] made for a container that is gone.
    pub(crate) fn drop_claim(&self) {
        // One that holds anything stays: it is somebody's.
        let _ = fs::remove_dir_at(self.store.home(), self.id().to_string());
    }

    fn transition(&self) -> Result<Lock> {
        let lock = Lock::take(self.directory()?, Sharing::Exclusive).map_err(|e| self.failed(e))?;
        // Removal renames the directory away; who waited for it meanwhile holds a lock on trash.
        if lock.is_linked_as(self.store.home(), self.id().to_string()).map_err(|e| self.failed(e))? {
            return Ok(lock);
        }
        Err(Error::absent(format!("container {}", self.name())))
    }

    /// Takes the transition lock; `None` when the directory is missing.
    pub(crate) fn try_transition(&self) -> Result<Option<Lock>> {
        match self.transition() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    /// Refuses to make directories for a container that was removed meanwhile.
    fn require_record(&self) -> Result<()> {
        let there = self.store.snapshot()?.get(&key::container_directory(self.id()))?;
        there.map(drop).ok_or_else(|| Error::absent(format!("container {}", self.name())))
    }

    /// Refuses to make anew what was there already: what was written to it is gone.
    pub(crate) fn refuse_lost(&self) -> Result<()> {
        let link = self.store.0.links.layer(self.record.link);
        let named = |e| Error::link(format!("container {}", self.name()), e);
        if link.map_err(named)?.is_none() {
            return Ok(());
        }
        let (name, id) = (self.name(), self.id());
        let lost = format!("container {name}: overlay2/{id}/diff is missing, with what was written to it");
        Err(Error::new(ErrorKind::Corrupt, lost))
    }

    /// Says whether its writable tree is there.
    pub(crate) fn has_upper(&self, transition: &Lock) -> Result<bool> {
        let there = fs::try_stat_at(transition.as_file(), plyfs_link::DIFF).map_err(|e| self.failed(e))?;
        Ok(there.is_some())
    }

    /// Says whether nothing was ever written into it, as far as can be told.
    pub(crate) fn is_unused(&self) -> bool {
        match self.upper() {
            Ok(upper) => fs::read_dir(&upper).is_ok_and(|names| names.is_empty()),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Makes those of its directories that a crash took; see [`Self::make_directories`].
    pub(crate) fn ensure_directories(&self, transition: &Lock) -> Result<Arc<Footing>> {
        if !self.has_upper(transition)? {
            self.refuse_lost()?;
        }
        let footing = self.store.footing(self.parent())?;
        self.make_directories(transition, &footing)?;
        Ok(Arc::new(footing))
    }

    /// Makes its directories, or those of them that are missing, as Docker lays a container out. Whoever calls it knows that
    /// nothing can have been in them.
    ///
    /// 1. `diff` and `work`.
    /// 2. `link` and `lower`, which repeat the record.
    /// 3. The short link: from now on a missing `diff` is damage.
    pub(crate) fn make_directories(&self, transition: &Lock, footing: &Footing) -> Result<()> {
        let directory = transition.as_file();
        let made = self.store.0.uppers.make(directory, footing);
        // OverlayFS wants a work directory even where there is no parent.
        let made = made
            .and_then(|()| fs::ensure_dir_at(directory, plyfs_link::WORK, Mode::RWXU))
            .and_then(|()| write_identity(directory, self.record.link, footing.lower.as_deref()));
        made.map_err(|e| self.failed(e))?;
        self.store.reached("create 2");
        let linked = self.store.0.links.ensure_link(self.record.link, self.id());
        linked.map_err(|e| Error::link(format!("container {}", self.name()), e))
    }
}

/// What all containers upon one parent have in common.
pub(crate) struct Footing {
    /// Mode and owner of the chain's root (rule 53).
    mode: Mode,
    owner: (u32, u32),
    /// The content of `lower`.
    lower: Option<String>,
    /// The layers, uppermost first.
    pub(crate) chain: Vec<Ancestor>,
}

impl Store {
    /// What containers upon this parent are made from; the parent is marked as one that others stand on.
    pub(crate) fn footing(&self, parent: Option<LayerId>) -> Result<Footing> {
        let Some(parent) = parent else {
            let (mode, owner) = (Mode::from_raw_mode(0o755), (0, 0));
            return Ok(Footing { mode, owner, lower: None, chain: Vec::new() });
        };
        let chain = self.ancestors(Some(parent))?;
        let links: Vec<_> = chain.iter().map(|layer| layer.link).collect();
        let root = self.root_status(parent)?;
        self.mark_committed(parent)?;
        let (mode, owner) = (Mode::from_raw_mode(root.st_mode & 0o7777), (root.st_uid, root.st_gid));
        Ok(Footing { mode, owner, lower: Some(layer::lower_text(&links)?), chain })
    }

    /// Says whether a container's directories are still to be made, by its creation or, after a crash, by its next use.
    pub(crate) fn is_unmade(&self, id: LayerId, link: LinkId) -> Result<bool> {
        let directory = fs::open_dir_at(self.home(), id.to_string());
        let diff = directory.and_then(|directory| fs::stat_at(directory, plyfs_link::DIFF));
        Ok(diff.is_err_and(|error| error.is_not_found())
            && self.0.links.layer(link).map_err(|e| Error::link(format!("layer {id}"), e))?.is_none())
    }
}

/// Makes upper trees, and remembers the mode and owner of the last that came out as it should by itself.
#[derive(Debug, Default)]
pub(crate) struct Uppers(Mutex<Option<(Mode, (u32, u32))>>);

impl Uppers {
    /// Makes the upper tree of a container where there is none.
    ///
    /// It gets its name last: a crash in between must not leave one with another owner or mode. Where the umask and the
    /// directory above made the last one what it should be, they do so again, and it has its name from the first.
    fn make(&self, directory: &OwnedFd, footing: &Footing) -> plyfs_sys::Result<()> {
        if *self.by_itself() == Some((footing.mode, footing.owner)) {
            return match fs::new_dir_at(directory, plyfs_link::DIFF, footing.mode) {
                Err(error) if error.errno() == Errno::EXIST => Ok(()),
                made => self.settle(directory, plyfs_link::DIFF, &made?, footing),
            };
        }
        if fs::try_stat_at(directory, plyfs_link::DIFF)?.is_some() {
            return Ok(());
        }
        let _ = fs::remove_dir_at(directory, layout::NEW_DIFF);
        let made = fs::new_dir_at(directory, layout::NEW_DIFF, footing.mode)?;
        self.settle(directory, layout::NEW_DIFF, &made, footing)?;
        fs::rename_new_at(directory, layout::NEW_DIFF, directory, plyfs_link::DIFF)
    }

    /// Gives a new directory the owner and mode it should have, and notes whether it had them.
    fn settle(&self, directory: &OwnedFd, name: &str, made: &Stat, footing: &Footing) -> plyfs_sys::Result<()> {
        let &Footing { mode, owner, .. } = footing;
        let (is_owned, has_mode) = ((made.st_uid, made.st_gid) == owner, made.st_mode & 0o7777 == mode.as_raw_mode());
        *self.by_itself() = (is_owned && has_mode).then_some((mode, owner));
        if !is_owned {
            fs::chown_at(directory, name, owner.0, owner.1)?;
        }
        // Also after a change of the owner, which takes setuid and setgid off.
        if is_owned && has_mode { Ok(()) } else { fs::chmod_at(directory, name, mode) }
    }

    fn by_itself(&self) -> MutexGuard<'_, Option<(Mode, (u32, u32))>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where a directory is missing or something else, which nobody can have locked, stands in its place.
pub(crate) fn unless_missing<T>(of_directory: plyfs_sys::Result<T>) -> plyfs_sys::Result<Option<T>> {
    match of_directory {
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::{Mode as Umask, umask};

    use super::*;

    #[test]
    fn an_upper_has_the_mode_it_should_have_whatever_the_umask_was_before() {
        let make = || {
            let temp = tempfile::tempdir().expect("a temporary directory");
            let home = fs::open_dir(temp.path()).expect("open");
            let uppers = Uppers::default();
            let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let umasks = [0o022, 0o022, 0o077, 0o077, 0o022, 0o022];
            for (number, (mode, bits)) in [0o755, 0o755, 0o755, 0o755, 0o700, 0o755].into_iter().zip(umasks).enumerate()
            {
                umask(Umask::from_bits_truncate(bits));
                let footing = Footing { mode: Mode::from_raw_mode(mode), owner, lower: None, chain: Vec::new() };
                let name = number.to_string();
                fs::make_dir_at(&home, &name, Mode::RWXU).expect("made");
                let directory = fs::open_dir_at(&home, &name).expect("open");
                // What a crash left of another try is in the way of one that gives the name last, and of no other.
                fs::make_dir_at(&directory, layout::NEW_DIFF, Mode::empty()).expect("made");
                uppers.make(&directory, &footing).expect("made");
                uppers.make(&directory, &footing).expect("what is there stays");
                let status = fs::stat_at(&directory, plyfs_link::DIFF).expect("there");
                assert_eq!(status.st_mode & 0o7777, mode, "number {number}");
                let was_named_last = fs::read_dir(&directory).expect("listed").len() == 1;
                assert_eq!(was_named_last, ![1, 2].contains(&number), "number {number}");
            }
        };
        // A thread that shares no umask with the other tests.
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).expect("a umask of its own");
            make();
        });
        thread.join().expect("no panic");
    }

    #[test]
    fn root_an_upper_has_the_owner_of_the_root_below_it_and_that_roots_special_bits() {
        plyfs_testkit::require_root!();
        let temp = tempfile::tempdir().expect("a temporary directory");
        let home = fs::open_dir(temp.path()).expect("open");
        let uppers = Uppers::default();
        let (root, other) = ((0, 0), (1000, 1001));
        let wanted = [(0o755, root), (0o755, root), (0o755, other), (0o7777, other), (0o7777, root), (0o755, root)];
        for (number, (mode, owner)) in wanted.into_iter().enumerate() {
            let footing = Footing { mode: Mode::from_raw_mode(mode), owner, lower: None, chain: Vec::new() };
            let name = number.to_string();
            fs::make_dir_at(&home, &name, Mode::RWXU).expect("made");
            let directory = fs::open_dir_at(&home, &name).expect("open");
            fs::make_dir_at(&directory, layout::NEW_DIFF, Mode::empty()).expect("made");
            uppers.make(&directory, &footing).expect("made");
            let was_named_last = fs::read_dir(&directory).expect("listed").len() == 1;
            assert!(was_named_last || owner == root, "number {number} had another owner by its name");
            let status = fs::stat_at(&directory, plyfs_link::DIFF).expect("there");
            assert_eq!((status.st_uid, status.st_gid), owner, "number {number}");
            assert_eq!(status.st_mode & 0o7777, mode, "number {number}");
        }
    }
}
