//! What lies in the store, and what is mounted of it, against the records.
//!
//! The order makes that nothing another process does meanwhile is taken for a stray: names are listed first, then the
//! operations that live, then the records, and at last it is asked whether the name is still there. What is published
//! in between has a record by then, and what is removed in between is gone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};

use plyfs_journal::{Snapshot, Transaction};
use plyfs_link::{LayerId, LinkId};
use plyfs_mount::mountinfo;
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};

use super::Check;
use super::finding::{FindingKind, Severity};
use super::repair::{Fix, Place};
use crate::container::container_records;
use crate::layer::layer_records;
use crate::layout::InStaging;
use crate::mark;
use crate::recover::is_blob_used;
use crate::{Container, Digest, Error, Result, Store, key, layout};

/// Every name the records, the pending removals and the living operations account for.
pub(super) struct Accounted {
    directories: BTreeSet<LayerId>,
    layers: BTreeSet<LayerId>,
    links: BTreeSet<LinkId>,
    blobs: BTreeSet<Digest>,
    /// Names in the directories of `staging`.
    staged: Vec<String>,
}

impl Accounted {
    fn new(store: &Store, staged: Vec<String>) -> Result<Self> {
        let now = store.snapshot()?;
        let (directories, layers, links) = Default::default();
        let mut accounted = Self { directories, layers, links, blobs: blobs(store, &now)?, staged };
        for layer in layer_records(&now) {
            let layer = layer?;
            accounted.layers.insert(layer.id);
            accounted.directories.insert(layer.id);
            accounted.links.insert(layer.link);
        }
        for container in container_records(&now) {
            let container = container?;
            accounted.directories.insert(container.layer);
            accounted.links.insert(container.link);
        }
        for (layer, link) in store.pending_removals()? {
            accounted.layers.insert(layer);
            accounted.directories.insert(layer);
            accounted.links.insert(link);
        }
        Ok(accounted)
    }

    pub(super) fn has(&self, place: Place, name: &str) -> bool {
        let known = match place {
            Place::Home if [plyfs_link::LINK_DIR, layout::EMPTY].contains(&name) => true,
            Place::Home => name.parse().is_ok_and(|id| self.directories.contains(&id)),
            Place::Links => name.parse().is_ok_and(|link| self.links.contains(&link)),
            Place::TarSplit => name.parse().is_ok_and(|id| self.layers.contains(&id)),
            Place::Blobs => parse_blob(name).is_some_and(|blob| self.blobs.contains(&blob)),
            Place::Staging => false,
        };
        known || self.staged.iter().any(|staged| staged.contains(name))
    }
}

fn parse_blob(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

/// The blobs that images, manifests and layers are, and those that are to go.
fn blobs(store: &Store, now: &Snapshot) -> Result<BTreeSet<Digest>> {
    let mut blobs: BTreeSet<_> = store.pending_blob_removals()?.into_iter().collect();
    for kind in [key::IMAGES, key::MANIFESTS, key::BLOB_LAYERS] {
        for entry in now.scan(kind) {
            blobs.insert(Digest::from_bytes(key::id(&entry?.0)?));
        }
    }
    Ok(blobs)
}

impl Place {
    pub(super) fn directory(self, store: &Store) -> BorrowedFd<'_> {
        match self {
            Self::Home => store.0.home.as_fd(),
            Self::Links => store.0.links.as_fd(),
            Self::TarSplit => store.0.tar_split.as_fd(),
            Self::Blobs => store.0.blobs.as_fd(),
            Self::Staging => store.0.staging.as_fd(),
        }
    }

    /// Asks the same of one name under the journal's lock.
    pub(super) fn is_accounted(self, store: &Store, records: &Transaction<'_>, name: &str) -> Result<bool> {
        if store.staged_names()?.iter().any(|staged| staged.contains(name)) {
            return Ok(true);
        }
        let layer = |id| Ok::<_, Error>(records.contains(&key::layer(id))? || records.contains(&key::removal(id))?);
        match self {
            Self::Home => match name.parse() {
                Ok(id) => Ok(layer(id)? || records.contains(&key::container_directory(id))?),
                Err(_) => Ok([plyfs_link::LINK_DIR, layout::EMPTY].contains(&name)),
            },
            Self::TarSplit => name.parse().map_or(Ok(false), layer),
            Self::Links => {
                let Ok(link) = name.parse() else { return Ok(false) };
                let Ok(Some(id)) = store.0.links.layer(link) else { return Ok(false) };
                Ok(layer(id)? || records.contains(&key::container_directory(id))?)
            }
            Self::Blobs => {
                let Some(blob) = parse_blob(name) else { return Ok(false) };
                Ok(is_blob_used(records, &blob)? || records.contains(&key::blob_removal(&blob))?)
            }
            Self::Staging => Ok(false),
        }
    }

    fn kind(self) -> FindingKind {
        match self {
            Self::Home => FindingKind::DirectoryStray,
            Self::Links => FindingKind::ShortLinkStray,
            Self::TarSplit => FindingKind::TarSplitStray,
            Self::Blobs => FindingKind::BlobStray,
            Self::Staging => FindingKind::StagingStale,
        }
    }
}

impl Store {
    /// What the records and the living operations account for now; `names` were listed before.
    pub(super) fn accounted(&self) -> Result<Accounted> {
        Accounted::new(self, self.staged_names()?)
    }
}

impl Check<'_> {
    pub(super) fn strays(&mut self) -> Result<()> {
        if !self.is_complete {
            return Ok(());
        }
        for place in [Place::Home, Place::Links, Place::TarSplit, Place::Blobs] {
            self.visit(place.name())?;
            let names = fs::read_dir(place.directory(self.store)).map_err(|e| Error::call(place.name(), e))?;
            let accounted = self.store.accounted()?;
            for entry in names {
                let name = entry.name.to_string_lossy().into_owned();
                let is_there = || fs::try_stat_at(place.directory(self.store), &entry.name).is_ok_and(|s| s.is_some());
                if !accounted.has(place, &name) && is_there() {
                    let subject = format!("{}/{name}", place.name());
                    let fix = Some(Fix::MoveAside { place, name: entry.name });
                    self.find(Severity::Warning, place.kind(), subject, "no record speaks of it", fix);
                }
            }
        }
        self.staging()?;
        self.mounts()
    }

    /// Operations whose lock nobody holds, and what is no operation at all.
    fn staging(&mut self) -> Result<()> {
        for entry in fs::read_dir(&self.store.0.staging).map_err(|e| Error::call("staging", e))? {
            let subject = format!("staging/{}", entry.name.to_string_lossy());
            match InStaging::of(&entry) {
                Some(InStaging::Claims | InStaging::Lease) => {}
                Some(InStaging::Operation) => self.operation(&entry.name, subject)?,
                None => {
                    let fix = Some(Fix::MoveAside { place: Place::Staging, name: entry.name });
                    self.find(Severity::Warning, FindingKind::StagingStale, subject, "no operation makes this", fix);
                }
            }
        }
        Ok(())
    }

    fn operation(&mut self, name: &OsStr, subject: String) -> Result<()> {
        let failed = |e| Error::call(&subject, e);
        let directory = match fs::open_dir_at(&self.store.0.staging, name) {
            Err(error) if error.is_not_found() => return Ok(()),
            result => result.map_err(failed)?,
        };
        if Lock::try_take(directory, Sharing::Shared).map_err(failed)?.is_some() {
            let problem = "its operation is dead; the next open for writing takes it back";
            let fix = Some(Fix::Recover(name.to_owned()));
            self.find(Severity::Warning, FindingKind::StagingStale, subject, problem, fix);
        }
        Ok(())
    }

    /// The mounts of this namespace whose upper directory lies in the store.
    fn mounts(&mut self) -> Result<()> {
        let table = mountinfo::read().map_err(|e| Error::mount("mount table", e))?;
        let containers: std::collections::BTreeMap<_, _> =
            self.containers.iter().map(|container| (container.layer, container.clone())).collect();
        for entry in table.iter().filter(|entry| entry.is_overlay()) {
            let Some(id) = entry.super_option("upperdir").next().and_then(|upper| owner(upper.as_ref())) else {
                continue;
            };
            let Ok(directory) = fs::open_dir_at(self.store.home(), id.to_string()) else { continue };
            // A copy of this store has mounts of the same ids.
            if !mark::is_mount_of(entry, id, &directory)? {
                continue;
            }
            let at = entry.mount_point.display();
            let Some(record) = containers.get(&id) else {
                if !self.store.accounted()?.has(Place::Home, &id.to_string()) {
                    let problem = format!("mounted at {at}, and no record speaks of it");
                    self.find(Severity::Warning, FindingKind::MountStray, format!("overlay2/{id}"), problem, None);
                }
                continue;
            };
            let container = Container::of(self.store, record.clone());
            let (kind, problem, fix) = match container.mounted_at()? {
                None => {
                    let problem =
                        format!("it is mounted at {at} and not marked so: another mount could be put over it");
                    let fix = Fix::Mark { container: Box::new(container), path: entry.mount_point.clone() };
                    (FindingKind::MountUnmarked, problem, Some(fix))
                }
                Some(path) => {
                    // A bind mount shows the same file system again, which is harmless.
                    if table.iter().any(|other| other.mount_point == path && other.device == entry.device) {
                        continue;
                    }
                    let path = path.display();
                    let problem = format!("it is mounted at {path} and once more at {at}: what is written may be lost");
                    (FindingKind::MountTwice, problem, None)
                }
            };
            let subject = format!("container {}", record.name);
            self.find(Severity::Error, kind, subject, problem, fix);
        }
        Ok(())
    }
}

/// The layer whose upper directory `…/<layer id>/diff` is.
fn owner(upper: &std::path::Path) -> Option<LayerId> {
    upper.strip_prefix(upper.parent()?).ok().filter(|name| name.as_os_str() == plyfs_link::DIFF)?;
    upper.parent()?.file_name()?.to_str()?.parse().ok()
}
