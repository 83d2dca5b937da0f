//! What nothing uses, as far as the options let it go: marked in one state of the records, without a lock.

use std::collections::{BTreeMap, BTreeSet};

use plyfs_journal::Snapshot;
use plyfs_link::LayerId;

use super::{Kept, PruneOptions, Pruned, Reason, Subject};
use crate::layer::layer_record;
use crate::record::ImageRecord;
use crate::{Digest, LeaseId, Result, User, key};

/// Says whether a lease that is recorded has not ended.
pub(super) type IsLiving<'a> = &'a dyn Fn(LeaseId) -> bool;

/// An image that may go, with its record; one that cannot be read is left to the removal, which says so.
pub(super) struct Candidate {
    pub(super) id: Digest,
    pub(super) record: Result<ImageRecord>,
}

impl Candidate {
    /// The layer that may follow it.
    pub(super) fn top(&self) -> Option<LayerId> {
        self.record.as_ref().ok().and_then(|record| record.top)
    }
}

/// The images without a name or container that may go; those that a lease keeps are noted as kept.
pub(super) fn unused_images(
    snapshot: &Snapshot,
    options: &PruneOptions,
    is_living: IsLiving<'_>,
    pruned: &mut Pruned,
) -> Result<Vec<Candidate>> {
    let mut free = Vec::new();
    if !options.takes_images() {
        return Ok(free);
    }
    let used = ids(snapshot, key::IMAGE_CONTAINERS)?;
    for (id, bytes) in nameless(snapshot)? {
        let record = ImageRecord::decode(id, &bytes);
        if used.contains(id.as_bytes()) || !options.takes_image(&id, record.as_ref().ok().map(|record| record.created))
        {
            continue;
        }
        let leases = snapshot.scan(&key::image_leases(&id)).map(|entry| key::lease_behind(&entry?.0));
        match leases.collect::<Result<Vec<_>>>()?.into_iter().find(|lease| is_living(*lease)) {
            Some(lease) => pruned.kept.push(Kept { subject: Subject::Image(id), reason: Reason::Leased(lease) }),
            None => free.push(Candidate { id, record }),
        }
    }
    Ok(free)
}

/// The images without a name, with their records undecoded.
fn nameless(snapshot: &Snapshot) -> Result<Vec<(Digest, Vec<u8>)>> {
    let mut found: Vec<(Digest, Vec<u8>)> = Vec::new();
    snapshot.each(key::IMAGES, |key, value| {
        let id = Digest::from_bytes(key::id(key)?);
        // The names of an image lie behind its record.
        if key::is_image_name(key) {
            found.pop_if(|last| last.0 == id);
        } else {
            found.push((id, value.to_vec()));
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(found)
}

/// The layers nothing stands on that may go; those that only a lease keeps are noted as kept.
pub(super) fn unused_layers(
    snapshot: &Snapshot,
    options: &PruneOptions,
    is_living: IsLiving<'_>,
    pruned: &mut Pruned,
) -> Result<Vec<LayerId>> {
    let (mut used, mut leased) = (BTreeSet::new(), BTreeMap::new());
    for entry in snapshot.scan(key::USERS) {
        let key = entry?.0;
        let layer = key::id(&key)?;
        match key::parse_user(&key)? {
            User::Lease(lease) if !is_living(lease) => {}
            User::Lease(lease) => drop(leased.entry(layer).or_insert(lease)),
            _ => drop(used.insert(layer)),
        }
    }
    leased.retain(|layer, _| !used.contains(layer));
    let unused = ids(snapshot, key::LAYERS)?.into_iter().filter(|id| !used.contains(id));
    let may_go = |id: &[u8; 32]| {
        let record = layer_record(snapshot, LayerId::from_bytes(*id));
        options.is_old_enough(record.ok().map(|record| record.created))
    };
    let (kept, free): (Vec<_>, Vec<_>) = unused.filter(may_go).partition(|id| leased.contains_key(id));
    pruned.kept.extend(kept.iter().map(|id| Kept::layer(LayerId::from_bytes(*id), Reason::Leased(leased[id]))));
    Ok(free.into_iter().map(LayerId::from_bytes).collect())
}

/// The first ids of all keys of a kind.
fn ids(snapshot: &Snapshot, kind: &[u8]) -> Result<BTreeSet<[u8; 32]>> {
    snapshot.scan(kind).map(|entry| key::id(&entry?.0)).collect()
}
