//! Layers: immutable trees, by id, with their chains.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use plyfs_diff::{Chain, Dialect, Usage};
use plyfs_journal::Snapshot;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::CallError;
use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::lock::{Lock, Sharing};
use rustix::io::Errno;

use crate::record::{Ancestor, LayerRecord};
use crate::{ChainId, DiffId, Digest, Error, ErrorKind, Result, Store, User, key, layout, record};

/// Folds a changeset into its parent's chain: the DiffID itself for a base layer, else the SHA-256 of both
/// written with a space between, as the OCI image specification defines ChainID.
#[must_use]
pub fn chain_id(parent: Option<&ChainId>, diff_id: &DiffId) -> ChainId {
    parent.map_or(*diff_id, |parent| Digest::of(format!("{parent} {diff_id}")))
}

/// A published layer: an immutable tree and what made it.
#[derive(Clone)]
pub struct Layer {
    pub(crate) store: Store,
    pub(crate) record: LayerRecord,
}

impl Store {
    /// The layer with this id, or the only one whose id begins with these four or more digits.
    pub fn layer(&self, id: &str) -> Result<Layer> {
        let snapshot = self.snapshot()?;
        let found = crate::lookup::by_prefix(&snapshot, key::layers_from, id, "layer")?;
        let id = LayerId::from_bytes(found.ok_or_else(|| Error::absent(format!("layer {id}")))?);
        Ok(self.layer_of(layer_record(&snapshot, id)?))
    }

    /// All layers, sorted by id.
    pub fn layers(&self) -> Result<Vec<Layer>> {
        let snapshot = self.snapshot()?;
        layer_records(&snapshot).map(|record| Ok(self.layer_of(record?))).collect()
    }

    pub(crate) fn layer_of(&self, record: LayerRecord) -> Layer {
        Layer { store: self.clone(), record }
    }

    /// The published layer that is this chain.
    pub fn chain(&self, chain_id: &ChainId) -> Result<Option<LayerId>> {
        let found = self.snapshot()?.read(&key::chain(chain_id), |bytes| record::id_value(bytes, "a chain"))?;
        Ok(found.transpose()?.map(LayerId::from_bytes))
    }

    pub(crate) fn layer_record(&self, id: LayerId) -> Result<LayerRecord> {
        layer_record(&self.snapshot()?, id)
    }

    /// The open tree of a layer.
    pub(crate) fn tree(&self, id: LayerId) -> Result<OwnedFd> {
        self.open_tree(id).map_err(|e| self.lost(id, e))
    }

    /// The same, and why it does not open.
    pub(crate) fn open_tree(&self, id: LayerId) -> plyfs_sys::Result<OwnedFd> {
        fs::open_dir_at(fs::open_dir_at(self.home(), id.to_string())?, plyfs_link::DIFF)
    }

    /// Tells a layer that is damaged from one that is absent: it is recorded, and its directory is missing.
    fn lost(&self, id: LayerId, error: CallError) -> Error {
        let is_recorded = || self.snapshot().is_ok_and(|now| now.contains(&key::layer(id)).is_ok_and(|there| there));
        if error.is_not_found() && is_recorded() {
            return Error::new(ErrorKind::Corrupt, format!("layer {id}: its directory is missing")).because(error);
        }
        Error::call(format!("layer {id}"), error)
    }

    /// The status of a layer's root.
    pub(crate) fn root_status(&self, id: LayerId) -> Result<Stat> {
        let name = format!("{id}/{}", plyfs_link::DIFF);
        let status = fs::stat_at(self.home(), &name).and_then(|status| {
            let is_dir = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
            if is_dir { Ok(status) } else { Err(CallError::new("fstatat", &name, Errno::NOTDIR)) }
        });
        status.map_err(|e| self.lost(id, e))
    }

    /// The records of a layer and its ancestors, uppermost first.
    pub(crate) fn ancestry(&self, top: Option<LayerId>) -> Result<Vec<LayerRecord>> {
        self.climb(top, LayerRecord::decode, |layer| layer.parent)
    }

    /// The same chain, without what sizes and digests it has.
    pub(crate) fn ancestors(&self, top: Option<LayerId>) -> Result<Vec<Ancestor>> {
        self.climb(top, Ancestor::decode, |layer| layer.parent)
    }

    fn climb<T>(
        &self,
        top: Option<LayerId>,
        decode: impl Fn(LayerId, &[u8]) -> Result<T>,
        parent: impl Fn(&T) -> Option<LayerId>,
    ) -> Result<Vec<T>> {
        let snapshot = self.snapshot()?;
        let mut chain = Vec::new();
        let mut next = top;
        while let Some(id) = next {
            let layer = snapshot.read(&key::layer(id), |bytes| decode(id, bytes))?.ok_or_else(|| no_layer(id))??;
            next = parent(&layer);
            chain.push(layer);
        }
        Ok(chain)
    }

    /// The open trees of a layer and its ancestors.
    pub(crate) fn trees(&self, top: Option<LayerId>) -> Result<Chain> {
        let trees = self.ancestors(top)?.iter().map(|layer| self.tree(layer.id)).collect::<Result<Vec<_>>>()?;
        Ok(Chain::new(trees, Dialect::Trusted))
    }

    /// Keeps the content of a layer or container from removal while the lock is held.
    pub(crate) fn hold(&self, id: LayerId) -> Result<Lock> {
        let named = |e| Error::call(format!("layer {id}"), e);
        let lock = Lock::take(self.tree(id)?, Sharing::Shared).map_err(named)?;
        // Removal renames the directory away; a lock on what is in the trash protects nothing.
        if lock.is_linked_as(self.home(), format!("{id}/{}", plyfs_link::DIFF)).map_err(named)? {
            return Ok(lock);
        }
        Err(no_layer(id))
    }
}

pub(crate) fn layer_record(snapshot: &Snapshot, id: LayerId) -> Result<LayerRecord> {
    let record = snapshot.read(&key::layer(id), |bytes| LayerRecord::decode(id, bytes))?;
    record.ok_or_else(|| no_layer(id))?
}

fn no_layer(id: LayerId) -> Error {
    Error::absent(format!("layer {id}"))
}

pub(crate) fn layer_records(snapshot: &Snapshot) -> impl Iterator<Item = Result<LayerRecord>> + '_ {
    snapshot.scan(key::LAYERS).map(|entry| {
        let (key, value) = entry?;
        LayerRecord::decode(LayerId::from_bytes(key::id(&key)?), &value)
    })
}

/// The content of a `lower` file for these links, uppermost first.
pub(crate) fn lower_text(links: &[LinkId]) -> Result<String> {
    let lower = links.iter().rev().try_fold(plyfs_link::Lower::default(), |lower, link| lower.child_of(*link));
    lower.map(|lower| lower.to_string()).map_err(|e| Error::link("chain", e))
}

impl Layer {
    /// The id, which is also the name of its directory.
    #[must_use]
    pub fn id(&self) -> LayerId {
        self.record.id
    }

    /// The short link's id.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.record.link
    }

    /// The layer below.
    #[must_use]
    pub fn parent(&self) -> Option<LayerId> {
        self.record.parent
    }

    /// The digest of the uncompressed archive it came from.
    #[must_use]
    pub fn diff_id(&self) -> Option<DiffId> {
        self.record.diff_id
    }

    /// The digest of its content and all below it.
    #[must_use]
    pub fn chain_id(&self) -> Option<ChainId> {
        self.record.chain_id
    }

    /// What the layer itself takes, recorded when it was published.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.record.own
    }

    /// What the layer and all below it take.
    #[must_use]
    pub fn chain_usage(&self) -> Usage {
        self.record.chain
    }

    /// How many layers its chain has, itself counted.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.record.depth
    }

    /// The size of the uncompressed archive it came from.
    #[must_use]
    pub fn archive_size(&self) -> Option<u64> {
        self.record.archive_size
    }

    /// When it was published, in seconds since the epoch.
    #[must_use]
    pub fn created_unix(&self) -> u64 {
        self.record.created
    }

    /// The path of its own tree. What is below must not be changed.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let home = self.store.path().join(layout::HOME);
        home.join(self.id().to_string()).join(plyfs_link::DIFF)
    }

    /// The layer and its ancestors, uppermost first.
    pub fn chain(&self) -> Result<Vec<Layer>> {
        let records = self.store.ancestry(Some(self.id()))?;
        Ok(records.into_iter().map(|record| self.store.layer_of(record)).collect())
    }

    /// Who stands on it: child layers, images, containers.
    pub fn users(&self) -> Result<Vec<User>> {
        let snapshot = self.store.snapshot()?;
        snapshot.scan(&key::users(self.id())).map(|entry| key::parse_user(&entry?.0)).collect()
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Layer").field(&self.record).finish()
    }
}
