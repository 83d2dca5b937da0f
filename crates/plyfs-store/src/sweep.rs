//! One step of a removal: what one journal record retracts, and the directories behind it.

use std::collections::BTreeSet;

use plyfs_journal::Transaction;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::lock::Lock;

use crate::check::report;
use crate::image::names_of;
use crate::prune::{Kept, Pruned, Reason, Subject, first_user};
use crate::record::{ImageRecord, LayerRecord};
use crate::recover::is_blob_used;
use crate::{ChainId, Digest, Error, ErrorKind, Result, Store, User, cache, key, layout, trash};

/// What one journal record will retract, put together before it is written.
pub(crate) struct Sweep<'a> {
    store: &'a Store,
    pub(crate) pruned: Pruned,
    links: Vec<(LayerId, LinkId)>,
    blobs: Vec<Digest>,
    /// What keeps readers out of what goes.
    locks: Vec<Lock>,
    /// The published layers that living operations build upon.
    in_use: BTreeSet<LayerId>,
}

/// How far down a chain a removal goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reach {
    OneLayer,
    /// On through the ancestors until the sweep holds this many layers.
    UpTo(usize),
}

impl Store {
    /// Retracts in one journal record what `mark` finds, and moves it aside. Durable on return.
    ///
    /// 1. The record, before which leases that ended are retracted.
    /// 2. Links and tar-split records are unlinked and directories renamed into `trash`.
    pub(crate) fn sweep(
        &self,
        mark: impl FnOnce(&mut Transaction<'_>, &mut Sweep<'_>) -> Result<()>,
    ) -> Result<Pruned> {
        let sweep = self.commit(|records| {
            self.end_leases(records)?;
            // What living operations build upon.
            let in_use = self.staged_names()?.iter().filter_map(|name| layout::parse_uses_marker(name)).collect();
            let (pruned, links, blobs, locks) = Default::default();
            let mut sweep = Sweep { store: self, pruned, links, blobs, locks, in_use };
            mark(records, &mut sweep)?;
            Ok::<_, Error>(sweep)
        })?;
        self.reached("remove 1");
        let pruned = sweep.finish();
        self.reached("remove 2");
        Ok(pruned)
    }
}

impl Sweep<'_> {
    /// Retracts an image, its names, and all of its layers that nothing else stands on.
    pub(crate) fn image_and_layers(&mut self, records: &mut Transaction<'_>, id: &Digest) -> Result<()> {
        match self.image(records, id)? {
            Some(top) => self.chain(records, top, Reach::UpTo(usize::MAX)).map(drop),
            None => Ok(()),
        }
    }

    /// Retracts an image and its names; the answer is its uppermost layer, which may go now.
    pub(crate) fn image(&mut self, records: &mut Transaction<'_>, id: &Digest) -> Result<Option<LayerId>> {
        let Some(bytes) = records.get(&key::image(id))? else { return Ok(None) };
        let image = match ImageRecord::decode(*id, &bytes) {
            Ok(image) => image,
            Err(error) => {
                let reason = Reason::Failed(report(&error));
                self.pruned.kept.push(Kept { subject: Subject::Image(*id), reason });
                return Ok(None);
            }
        };
        retract_names(records, id)?;
        retract_leases(records, id)?;
        records.delete(&key::image(id));
        if let Some(top) = image.top {
            records.delete(&key::user(top, &User::Image(*id)));
        }
        if let Some(manifest) = &image.manifest {
            records.delete(&key::manifest_image(manifest, id));
        }
        for blob in [Some(*id), image.manifest].into_iter().flatten() {
            trash::retract_blob(records, &blob);
            self.blobs.push(blob);
        }
        self.pruned.images.push(*id);
        Ok(image.top)
    }

    /// Retracts a layer nothing stands on and, one by one, the ancestors that only it stood on; the answer is the one
    /// to go on with when the sweep is as big as it may be.
    pub(crate) fn chain(
        &mut self,
        records: &mut Transaction<'_>,
        top: LayerId,
        reach: Reach,
    ) -> Result<Option<LayerId>> {
        let mut next = Some(top);
        while let Some(id) = next {
            let Some(bytes) = records.get(&key::layer(id))? else { return Ok(None) };
            match first_user(records, id)? {
                Some(User::Lease(lease)) => {
                    self.keep(id, Reason::Leased(lease));
                    return Ok(None);
                }
                Some(_) => return Ok(None),
                None => {}
            }
            if matches!(reach, Reach::UpTo(most) if self.links.len() >= most) {
                return Ok(Some(id));
            }
            let Some(layer) = self.take(id, &bytes) else { return Ok(None) };
            retract_layer(records, &layer)?;
            self.blobs_of(records, &layer)?;
            self.pruned.layers.push(id);
            self.pruned.reclaimed += layer.own;
            self.links.push((id, layer.link));
            next = layer.parent.filter(|_| reach != Reach::OneLayer);
        }
        Ok(None)
    }

    /// Locks a layer for its removal; `None` when it has to stay, which is noted.
    fn take(&mut self, id: LayerId, bytes: &[u8]) -> Option<LayerRecord> {
        if self.in_use.contains(&id) {
            self.keep(id, Reason::BuiltUpon);
            return None;
        }
        let lock = self.store.try_hold_alone(id);
        let taken = lock.and_then(|lock| Ok((lock, LayerRecord::decode(id, bytes)?)));
        match taken {
            Ok((lock, layer)) => {
                self.locks.extend(lock);
                return Some(layer);
            }
            Err(error) if error.kind() == ErrorKind::InUse => self.keep(id, Reason::Read),
            Err(error) => self.keep(id, Reason::Failed(report(&error))),
        }
        None
    }

    /// Retracts the compressed forms of a layer that goes, but for those that others came in too.
    fn blobs_of(&mut self, records: &mut Transaction<'_>, layer: &LayerRecord) -> Result<()> {
        for blob in &layer.blobs {
            records.delete(&key::blob_layer(&blob.digest, layer.id));
            if !is_blob_used(records, &blob.digest)? {
                trash::retract_blob(records, &blob.digest);
                self.blobs.push(blob.digest);
                self.pruned.reclaimed += blob.usage;
            }
        }
        Ok(())
    }

    fn keep(&mut self, layer: LayerId, reason: Reason) {
        self.pruned.kept.push(Kept::layer(layer, reason));
    }

    /// Moves aside what the record retracted. What cannot be moved is noted and left to the next open or reap.
    fn finish(mut self) -> Pruned {
        for (layer, link) in std::mem::take(&mut self.links) {
            if let Err(error) = self.store.discard(layer, link) {
                self.keep(layer, Reason::Unfinished(report(&error)));
            }
        }
        for blob in std::mem::take(&mut self.blobs) {
            // Its removal record stays until it is gone.
            let _ = self.store.drop_unused_blob(&blob);
        }
        self.pruned
    }
}

fn retract_names(records: &mut Transaction<'_>, image: &Digest) -> Result<()> {
    for name in names_of(records, image)? {
        records.delete(&key::tag(&name));
        records.delete(&key::image_name(image, &name));
    }
    Ok(())
}

/// Takes away that leases keep an image that goes.
fn retract_leases(records: &mut Transaction<'_>, image: &Digest) -> Result<()> {
    let keys = records.scan(&key::image_leases(image)).map(|entry| Ok(entry?.0)).collect::<Result<Vec<_>>>()?;
    for key in keys {
        records.delete(&key::leased_image(key::lease_behind(&key)?, image));
        records.delete(&key);
    }
    Ok(())
}

fn retract_layer(records: &mut Transaction<'_>, layer: &LayerRecord) -> Result<()> {
    records.delete(&key::layer(layer.id));
    if let Some(parent) = layer.parent {
        records.delete(&key::user(parent, &User::Layer(layer.id)));
    }
    if let Some(chain) = &layer.chain_id {
        retract_chain(records, chain, layer.id)?;
    }
    cache::forget(records, layer.id)?;
    trash::retract(records, layer.id, layer.link);
    Ok(())
}

/// Takes away that a layer is found by its chain. Another that is the same chain is found from now on.
fn retract_chain(records: &mut Transaction<'_>, chain: &ChainId, layer: LayerId) -> Result<()> {
    let key = key::chain(chain);
    records.delete(&key::twin(chain, layer));
    if records.get(&key)?.is_none_or(|found| found != layer.as_bytes()) {
        return Ok(());
    }
    records.delete(&key);
    let twin = records.scan(&key).next().transpose()?.and_then(|(twin, _)| key::parse_twin(&twin));
    if let Some(twin) = twin {
        records.delete(&key::twin(chain, twin));
        records.put(&key, twin.as_bytes());
    }
    Ok(())
}
