//! A journal made anew from the directories alone, for a store whose journal is lost or damaged.
//!
//! | from | comes |
//! |---|---|
//! | `overlay2/<id>` and `tarsplit/<id>` | layers: the description in the tar-split record, or what can be worked out |
//! | `blobs/` | images: configs whose DiffIDs lead through layers that are there; compressed layers of those |
//! | `overlay2/<id>` with `work` and without a tar-split record | containers, under made-up names |
//!
//! What lived in the journal alone, names, labels and options, is lost and listed as lost. Nothing in the directories is
//! changed before the new journal is whole, and the old one is kept in `aside/`. One that is sound is not replaced.

mod containers;
mod images;
mod layers;

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Journal};
use plyfs_link::{LayerId, LinkDir};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::Mode;

pub use self::images::Document;
use crate::directory::unless_missing;
use crate::progress::Progress;
use crate::store::{Inner, open_root};
use crate::{
    Act, CheckOptions, ContainerName, DiffId, Error, ErrorKind, Finding, ImageId, Repaired, Result, Store,
    StoreOptions, check, ground, layout,
};

/// What a rebuild found again and what it could not.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rebuilt {
    /// Layers found again.
    pub layers: Vec<LayerId>,
    /// Images found again; they have no names.
    pub images: Vec<ImageId>,
    /// Containers made of the writable layers that were found.
    pub containers: Vec<ContainerName>,
    /// What is lost, a line each.
    pub lost: Vec<String>,
    /// Where in the store the old journal is kept, where there was one.
    pub kept: Option<String>,
    /// Each damaged place of the old journal, what was repaired once the new one was there, and what is wrong still.
    pub repaired: Repaired,
}

/// Tells what a blob is; the store keeps blobs and does not read them.
pub type ReadDocument<'a> = &'a dyn Fn(&[u8]) -> Option<Document>;

/// Reads a compressed layer to its end; the digest of its plain bytes.
pub type ReadLayer<'a> = &'a dyn Fn(&mut (dyn Read + Send)) -> io::Result<DiffId>;

impl StoreOptions {
    /// Checks the store at `path` like [`Store::check`], opened for reading alone.
    ///
    /// Of a store that cannot be opened each part that is missing or damaged and each damaged place of the journal is a finding,
    /// and nothing else is looked at; [`Self::restore_parts`] helps the one, [`Self::rebuild_with`] the other. What keeps a store
    /// from being opened for writing alone is a finding too.
    pub fn check(self, path: impl AsRef<Path>, options: CheckOptions, progress: Progress<'_>) -> Result<Vec<Finding>> {
        let path = path.as_ref();
        let root = open_root(path)?;
        check::parts::refuse_unless_lost(&root)?;
        let mut found: Vec<_> = check::parts::unfit(&root).iter().map(check::parts::Wrong::finding).collect();
        match self.read_only(true).open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                found.extend(check::parts::wrong(&root).iter().map(check::parts::Wrong::finding));
                found.extend(check::journal::damage(&root)?);
                let whole = || vec![check::journal::finding(check::report(&error))];
                Ok(if found.is_empty() { whole() } else { found })
            }
            Err(_) if !found.is_empty() => Ok(found),
            store => {
                found.extend(store?.check_with(options, progress)?);
                Ok(found)
            }
        }
    }

    /// Makes the journal of the store at `path` anew from its directories; durable on return.
    ///
    /// 1. A new journal is made beside the old one and filled.
    /// 2. One sync of the file system.
    /// 3. The old journal is renamed into `aside/`, the new one into its place.
    /// 4. What is left is repaired as [`Store::repair`] does.
    ///
    /// A journal that opens and of which every record can be read is [`ErrorKind::InvalidInput`], since what is in it alone would
    /// be lost, and one of another version [`ErrorKind::Unsupported`]; whoever wants to lose it moves `journal` away first. A
    /// `plyfs.toml` that is lost or damaged is written anew. A crash before the end of step 3 leaves a store to be rebuilt once
    /// more. No other process may have the store open: one that is found building in `staging` is [`ErrorKind::InUse`], and
    /// nobody looks for one that removes, mounts or holds a lease. Whoever writes records waits meanwhile, through all that
    /// `read`, `layer` and `progress` do.
    pub fn rebuild_with(
        self,
        path: impl AsRef<Path>,
        read: ReadDocument<'_>,
        layer: ReadLayer<'_>,
        progress: Progress<'_>,
    ) -> Result<Rebuilt> {
        let path = path.as_ref();
        let named = |e: Error| Error::new(e.kind(), format!("rebuild store {}", path.display())).because(e);
        // The root is the lock, as when a store is made: a second rebuild would take away what the first is filling.
        let root = Lock::take(open_root(path)?, Sharing::Exclusive).map_err(|e| named(Error::call("its root", e)))?;
        let mut acts = Vec::new();
        let rebuilt = lost_journal(root.as_file(), path).and_then(|(damage, _alone)| {
            let mut rebuilt = Rebuilt::default();
            let filled = begin(path, &self, &mut acts).and_then(|store| {
                fill(&store, read, layer, progress, &mut rebuilt)?;
                Ok(store)
            });
            let store = filled.inspect_err(|_| drop(fs::remove_tree(root.as_file(), layout::NEW_JOURNAL)))?;
            rebuilt.kept = replace_journal(&store)?;
            let kept = rebuilt.kept.as_ref().map(|kept| format!("; the old one is kept in {kept}")).unwrap_or_default();
            let done = format!("made anew from the directories{kept}");
            acts.extend(damage.into_iter().map(|finding| Act { finding, done: done.clone() }));
            Ok(rebuilt)
        });
        let mut rebuilt = rebuilt.map_err(named)?;
        let store = self.open(path)?;
        let repaired = store.repair(&CheckOptions::quick(), progress)?;
        acts.extend(repaired.acts);
        rebuilt.repaired = Repaired { acts, left: repaired.left };
        Ok(rebuilt)
    }
}

/// What is wrong with the journal, whose writers are held off where there is one; one that is sound is refused.
fn lost_journal(root: &OwnedFd, path: &Path) -> Result<(Vec<Finding>, Option<Lock>)> {
    ground::require_root("rebuilding", path)?;
    check::parts::refuse_unless_lost(root)?;
    let alone = match fs::open_dir_at(root, layout::JOURNAL) {
        Ok(old) => Lock::take_file(&old, layout::JOURNAL_LOCK, Sharing::Exclusive).map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    };
    let alone = alone.map_err(|e| Error::call("the old journal", e))?;
    let damage = check::journal::loss(root)?;
    if damage.is_empty() {
        let sound = "its journal is sound, and names, labels and options are in it alone; \
            to have it made anew all the same, move its directory journal away";
        return Err(Error::new(ErrorKind::InvalidInput, sound));
    }
    Ok((damage, alone))
}

/// Opens the store over an empty journal that has no name yet.
fn begin(path: &Path, options: &StoreOptions, acts: &mut Vec<Act>) -> Result<Store> {
    let root = open_root(path)?;
    acts.extend(check::parts::restore_format(&root)?);
    let directories = || -> plyfs_sys::Result<_> {
        for name in [layout::STAGING, layout::TRASH, layout::TAR_SPLIT, layout::BLOBS] {
            fs::ensure_dir_at(&root, name, Mode::RWXU)?;
        }
        fs::ensure_dir_at(fs::open_dir_at(&root, layout::BLOBS)?, layout::SHA256, Mode::RWXU)?;
        fs::remove_tree(&root, layout::NEW_JOURNAL)?;
        fs::make_dir_at(&root, layout::NEW_JOURNAL, Mode::RWXU)?;
        Ok((fs::open_dir_at(&root, layout::HOME)?, fs::open_dir_at(&root, layout::NEW_JOURNAL)?))
    };
    let (home, journal) = directories().map_err(|e| Error::call("incomplete", e))?;
    LinkDir::ensure(home).map_err(|e| Error::link("incomplete", e))?;
    Journal::create(Arc::new(DirDisk::new(journal)), plyfs_journal::Options::default())?;
    let store = Store::of(Inner::open(root, options, layout::NEW_JOURNAL)?);
    store.refuse_living_operations()?;
    Ok(store)
}

/// Writes the records of everything that is found.
fn fill(
    store: &Store,
    read: ReadDocument<'_>,
    layer: ReadLayer<'_>,
    progress: Progress<'_>,
    rebuilt: &mut Rebuilt,
) -> Result<()> {
    let found = layers::find(store, progress, &mut rebuilt.lost)?;
    store.put_layers(&found.layers)?;
    rebuilt.layers = found.layers.iter().map(|layer| layer.id).collect();
    images::find(store, read, layer, progress, rebuilt)?;
    containers::find(store, &found, rebuilt)
}

/// Puts the new journal into the place of the old one, which is kept; the answer is where.
fn replace_journal(store: &Store) -> Result<Option<String>> {
    let (root, named) = (&store.0.root, |e| Error::call("journal", e));
    fs::sync_filesystem(root).map_err(named)?;
    let old = fs::try_stat_at(root, layout::JOURNAL).map_err(named)?;
    let kept = old.map(|_| check::move_aside(root, root, &layout::JOURNAL.into(), layout::JOURNAL)).transpose()?;
    fs::rename_at(root, layout::NEW_JOURNAL, root, layout::JOURNAL).map_err(named)?;
    fs::sync_filesystem(root).map_err(named)?;
    Ok(kept)
}

impl Store {
    fn refuse_living_operations(&self) -> Result<()> {
        let failed = |e| Error::call(layout::STAGING, e);
        for entry in fs::read_dir(&self.0.staging).map_err(failed)? {
            let directory = unless_missing(fs::open_dir_at(&self.0.staging, &entry.name)).map_err(failed)?;
            let is_free = |directory| Lock::try_take(directory, Sharing::Exclusive).map(|lock| lock.is_some());
            if !directory.map_or(Ok(true), is_free).map_err(failed)? {
                let message = format!("staging/{} belongs to a process at work", entry.name.display());
                return Err(Error::new(ErrorKind::InUse, message));
            }
        }
        Ok(())
    }
}
