//! Containers: a writable layer over an image, a layer or nothing, with a name.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use plyfs_diff::{BufferSink, Changes, ExportOptions, Exported, Usage};
use plyfs_journal::Snapshot;
use plyfs_link::LayerId;
use plyfs_sys::lock::{Lock, Sharing};

use crate::directory::{Footing, unless_missing};
use crate::progress::{Progress, Stage};
use crate::record::ContainerRecord;
use crate::{ContainerName, Error, ErrorKind, ImageId, Result, Store, User, key, trash};

/// What [`Container::remove`] does with a mounted container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Refuses it with [`ErrorKind::InUse`].
    Unmounted,
    /// Detaches the mount first.
    Force,
}

/// A container as one state of the store knew it.
#[derive(Clone)]
pub struct Container {
    pub(crate) store: Store,
    pub(crate) record: ContainerRecord,
    /// What its directories were made from, when that was done through this handle. They need no look before the first use,
    /// for what a crash takes is gone with the process; and the chain stays as it is while a container stands on it.
    pub(crate) made_from: Option<Arc<Footing>>,
}

impl Store {
    /// The container of this name.
    pub fn container(&self, name: &str) -> Result<Container> {
        let name: ContainerName = name.parse()?;
        self.container_in(&self.snapshot()?, name)
    }

    /// All containers, sorted by name.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let snapshot = self.snapshot()?;
        container_records(&snapshot).map(|record| Ok(Container::of(self, record?))).collect()
    }

    fn container_in(&self, snapshot: &Snapshot, name: ContainerName) -> Result<Container> {
        let bytes = snapshot.get(&key::container(&name))?;
        let bytes = bytes.ok_or_else(|| Error::absent(format!("container {name}")))?;
        Ok(Container::of(self, ContainerRecord::decode(name, &bytes)?))
    }
}

pub(crate) fn container_records(snapshot: &Snapshot) -> impl Iterator<Item = Result<ContainerRecord>> + '_ {
    snapshot.scan(key::CONTAINERS).map(|entry| {
        let (key, value) = entry?;
        let name = key::text(&key, key::CONTAINERS.len())?;
        let name = name.parse().map_err(|e: Error| Error::new(ErrorKind::Corrupt, "journal").because(e))?;
        ContainerRecord::decode(name, &value)
    })
}

impl Container {
    pub(crate) fn of(store: &Store, record: ContainerRecord) -> Self {
        Self { store: store.clone(), record, made_from: None }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &ContainerName {
        &self.record.name
    }

    /// The id of its own layer, which is also the name of its directory.
    #[must_use]
    pub fn id(&self) -> LayerId {
        self.record.layer
    }

    /// The image it was made of.
    #[must_use]
    pub fn image(&self) -> Option<ImageId> {
        self.record.image
    }

    /// The name its image was found by when it was created.
    #[must_use]
    pub fn image_name(&self) -> Option<&str> {
        self.record.image_name.as_deref()
    }

    /// The layer it stands on.
    #[must_use]
    pub fn parent(&self) -> Option<LayerId> {
        self.record.parent
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.record.labels
    }

    /// Says whether it is mounted read-only by default.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.record.read_only
    }

    /// When it was created, in seconds since the epoch.
    #[must_use]
    pub fn created_unix(&self) -> u64 {
        self.record.created
    }

    /// The store it is in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn failed(&self, error: plyfs_sys::CallError) -> Error {
        self.store.explain(&format!("container {}", self.name()), error)
    }

    /// Lists what it changed, sorted bytewise by path, as `docker diff` does.
    ///
    /// A mounted container may be read; what changes meanwhile may be listed or not.
    pub fn changes(&self) -> Result<Changes> {
        let failed = |e| Error::diff(format!("container {}", self.name()), e);
        plyfs_diff::changes(&self.upper()?, &self.store.trees(self.parent())?).map_err(failed)
    }

    /// Writes what it changed as an OCI changeset, an uncompressed tar; the same changes give the same bytes.
    ///
    /// A file that changes while it is read is [`ErrorKind::Conflict`] (rule 28). The container cannot be
    /// removed meanwhile.
    #[doc(alias = "Diff")]
    pub fn export(&self, out: impl Write, progress: Progress<'_>) -> Result<Exported> {
        self.export_with(out, &ExportOptions::default(), progress)
    }

    /// The same in another style, or with times clamped.
    pub fn export_with(&self, out: impl Write, options: &ExportOptions, progress: Progress<'_>) -> Result<Exported> {
        let failed = |e| Error::diff(format!("container {}", self.name()), e);
        let _held = self.store.hold(self.id())?;
        let chain = self.store.trees(self.parent())?;
        let out = progress.reader(out, Stage::Export, self.name().as_str(), None);
        plyfs_diff::export(&self.upper()?, &chain, out, options).map_err(failed)
    }

    /// The same into buffers that are handed on whole.
    pub fn export_buffers(
        &self,
        out: impl BufferSink,
        options: &ExportOptions,
        progress: Progress<'_>,
    ) -> Result<Exported> {
        let failed = |e| Error::diff(format!("container {}", self.name()), e);
        let _held = self.store.hold(self.id())?;
        let chain = self.store.trees(self.parent())?;
        let out = progress.reader(out, Stage::Export, self.name().as_str(), None);
        plyfs_diff::export_buffers(&self.upper()?, &chain, out, options).map_err(failed)
    }

    /// What its own layer takes now; its tree is walked.
    pub fn usage(&self) -> Result<Usage> {
        Usage::measure(self.upper()?).map_err(|e| Error::diff(format!("container {}", self.name()), e))
    }

    /// Gives it another name; one that is taken is [`ErrorKind::Exists`]. Durable on return.
    pub fn rename(&self, name: ContainerName) -> Result<Container> {
        let record = ContainerRecord { name, ..self.record.clone() };
        self.store.commit(|records| {
            let current = self.current_name(records)?;
            if current == record.name {
                return Ok(());
            }
            if records.get(&key::container(&record.name))?.is_some() {
                return Err(Error::taken(format!("container {}", record.name)));
            }
            records.delete(&key::container(&current));
            records.put(&key::container(&record.name), &record.encode());
            records.put(&key::container_directory(record.layer), record.name.as_str().as_bytes());
            Ok(())
        })?;
        self.store.reached("rename 1");
        Ok(Container { store: self.store.clone(), record, made_from: self.made_from.clone() })
    }

    /// The name it has by now; [`ErrorKind::NotFound`] when it was removed.
    fn current_name(&self, records: &plyfs_journal::Transaction<'_>) -> Result<ContainerName> {
        let gone = || Error::absent(format!("container {}", self.name()));
        let name = records.get(&key::container_directory(self.id()))?.ok_or_else(gone)?;
        std::str::from_utf8(&name).map_err(|_| gone())?.parse()
    }

    /// Removes it. Durable on return; its space is returned by the next [`Store::reap`].
    ///
    /// 1. Locks keep mounts and readers out.
    /// 2. One journal record: it exists no more, its directories are to go.
    /// 3. Its short link is unlinked, its directory renamed into `trash`.
    ///
    /// A crash in between is finished by the next open. So is a failed step 3, whose error is returned.
    #[doc(alias = "Remove")]
    pub fn remove(&self, removal: Removal) -> Result<()> {
        self.store.require_root("removing a container")?;
        let _alone = self.keep_out(removal)?;
        self.store.commit(|records| self.retract(records)).inspect_err(|_| self.drop_claim())?;
        self.store.reached("remove 1");
        self.store.discard(self.id(), self.record.link)?;
        self.store.reached("remove 2");
        Ok(())
    }

    fn retract(&self, records: &mut plyfs_journal::Transaction<'_>) -> Result<()> {
        let name = self.current_name(records)?;
        records.delete(&key::container(&name));
        records.delete(&key::container_directory(self.id()));
        if let Some(image) = &self.record.image {
            records.delete(&key::image_container(image, self.id()));
        }
        if let Some(parent) = self.parent() {
            records.delete(&key::user(parent, &User::Container(self.id())));
        }
        trash::retract(records, self.id(), self.record.link);
        Ok(())
    }

    /// Ends or refuses mounts, and keeps new ones and readers out while the locks are held.
    fn keep_out(&self, removal: Removal) -> Result<Vec<Lock>> {
        let Some(transition) = self.claim_to_remove()? else { return Ok(Vec::new()) };
        if let Some(seen) = self.seen(transition.as_file())? {
            if removal == Removal::Unmounted {
                return Err(self.is_at(&seen));
            }
            self.end_mount(&transition, Some(seen), crate::Unmount::Detach)?;
        }
        let readers = self.store.try_hold_alone(self.id())?;
        Ok(readers.into_iter().chain([transition]).collect())
    }
}

impl Store {
    /// Takes the lock that readers of a layer's content share, for removal; `None` when there is no tree to read.
    pub(crate) fn try_hold_alone(&self, id: LayerId) -> Result<Option<Lock>> {
        let named = |e| Error::call(format!("layer {id}"), e);
        let Some(tree) = unless_missing(self.open_tree(id)).map_err(named)? else { return Ok(None) };
        let lock = Lock::try_take(tree, Sharing::Exclusive).map_err(named)?;
        lock.map(Some).ok_or_else(|| Error::new(ErrorKind::InUse, format!("layer {id} is being read")))
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Container").field(&self.record).finish()
    }
}
