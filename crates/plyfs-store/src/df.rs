//! How much a store holds, by its records alone; what containers hold themselves is measured only when asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use plyfs_diff::Usage;
use plyfs_journal::Snapshot;
use plyfs_link::LayerId;
use plyfs_sys::fs;

use crate::container::container_records;
use crate::image::image_records;
use crate::layer::{layer_record, layer_records};
use crate::record::{ImageRecord, LayerRecord};
use crate::{Container, Digest, Error, ErrorKind, Result, Store, key};

/// What a store holds, what it shares, and what copies would have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// How many images.
    pub images: u64,
    /// How many layers.
    pub layers: u64,
    /// How many containers.
    pub containers: u64,
    /// All layers, each counted once.
    pub stored: Usage,
    /// Those layers that two or more images or containers stand on.
    pub shared: Usage,
    /// Those layers that no image and no container stands on and no lease keeps.
    pub reclaimable: Usage,
    /// The compressed forms of layers that were kept, each counted once.
    pub kept_blobs: Usage,
    /// What the containers' own layers take; `None` unless they were measured.
    pub containers_own: Option<Usage>,
    /// What the containers would take if each were a full copy; of unmeasured ones, what they stand on.
    pub as_copies: Usage,
    /// Bytes of the file system, and those left to unprivileged users.
    pub total_bytes: u64,
    /// See [`Self::total_bytes`].
    pub free_bytes: u64,
    /// Inodes of the file system, 0 where it has no fixed number.
    pub total_inodes: u64,
    /// Inodes left.
    pub free_inodes: u64,
}

impl Store {
    /// Adds up what the records say: no directory is looked at, so it costs the same for any tree. What the containers
    /// hold themselves stands in no record, since it changes all the time, and is left out.
    pub fn usage(&self) -> Result<StoreUsage> {
        self.add_up(|_| Ok(None))
    }

    /// The same, and what the containers hold themselves: their own trees are walked, one after another.
    pub fn measure(&self) -> Result<StoreUsage> {
        let mut usage = self.add_up(|container| own_usage(container).map(Some))?;
        // Without a container there was nothing to measure, which is a measure too.
        usage.containers_own.get_or_insert_default();
        Ok(usage)
    }

    fn add_up(&self, own: impl Fn(&Container) -> Result<Option<Usage>>) -> Result<StoreUsage> {
        let snapshot = self.snapshot()?;
        let mut layers = Layers::read(layer_ids(&snapshot)?, layer_records(&snapshot))?;
        let mut usage = StoreUsage { layers: layers.ids.len() as u64, ..StoreUsage::default() };
        for top in image_tops(&snapshot) {
            usage.images += 1;
            if let Some(top) = top? {
                layers.add_user(top);
            }
        }
        for record in container_records(&snapshot) {
            let container = Container::of(self, record?);
            usage.containers += 1;
            if let Some(own) = own(&container)? {
                *usage.containers_own.get_or_insert_default() += own;
                usage.as_copies += own;
            }
            if let Some(parent) = container.parent() {
                layers.add_user(parent);
                usage.as_copies += match layer_record(&snapshot, parent) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Usage::default(),
                    below => below?.chain,
                };
            }
        }
        for lease in self.leases_in(&snapshot)? {
            for entry in snapshot.scan(&key::leased(lease.id)) {
                if let key::Leased::Layer(layer) = key::parse_leased(&entry?.0)?.1 {
                    layers.lease(layer);
                }
            }
        }
        usage.add_layers(layers);
        let status = fs::statvfs(&self.0.root).map_err(|e| Error::call("file system", e))?;
        (usage.total_bytes, usage.free_bytes) = (status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize);
        (usage.total_inodes, usage.free_inodes) = (status.f_files, status.f_favail);
        Ok(usage)
    }
}

/// What a container's own tree takes. One that a crash took or a bad disk mangled adds nothing: it must not hide the
/// others (rule 80). One that cannot be looked at now is an error: a sum without it would be a wrong answer.
fn own_usage(container: &Container) -> Result<Usage> {
    match container.usage() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::InvalidInput) => {
            Ok(Usage::default())
        }
        usage => usage,
    }
}

/// What is needed of every layer, 72 bytes each: there may be very many.
struct Layers {
    /// Sorted, as the journal gives them.
    ids: Vec<LayerId>,
    /// The same layers in the same order.
    facts: Vec<Facts>,
    /// The compressed forms they came in.
    blobs: BTreeMap<Digest, Usage>,
}

struct Facts {
    /// Where in the order it is; none for a base layer, and for one whose parent a damaged journal lost.
    parent: Option<NonZeroU32>,
    own: Usage,
    depth: u32,
    users: u32,
    /// A lease keeps it, or a layer above it.
    is_leased: bool,
}

impl Layers {
    /// Takes the records of these layers, in the order of their ids.
    fn read(ids: Vec<LayerId>, records: impl Iterator<Item = Result<LayerRecord>>) -> Result<Self> {
        let mut layers = Self { facts: Vec::with_capacity(ids.len()), ids, blobs: BTreeMap::new() };
        for record in records {
            let record = record?;
            layers.blobs.extend(record.blobs.iter().map(|blob| (blob.digest, blob.usage)));
            let depth = u32::try_from(record.depth).unwrap_or(u32::MAX);
            let parent = record.parent.and_then(|parent| layers.place(parent));
            // Counted from one, which takes half the room.
            let parent = parent.and_then(|at| u32::try_from(at + 1).ok()).and_then(NonZeroU32::new);
            layers.facts.push(Facts { parent, own: record.own, depth, users: 0, is_leased: false });
        }
        Ok(layers)
    }

    fn place(&self, layer: LayerId) -> Option<usize> {
        self.ids.binary_search(&layer).ok()
    }

    fn add_user(&mut self, layer: LayerId) {
        if let Some(at) = self.place(layer) {
            self.facts[at].users = self.facts[at].users.saturating_add(1);
        }
    }

    fn lease(&mut self, layer: LayerId) {
        if let Some(at) = self.place(layer) {
            self.facts[at].is_leased = true;
        }
    }
}

impl StoreUsage {
    /// Says whether inodes run out before bytes do: less than a tenth of them is left, and a smaller part than of bytes.
    ///
    /// Never where the file system has no fixed number of them.
    #[must_use]
    pub fn is_short_of_inodes(&self) -> bool {
        let part = |free: u64, total: u64| u128::from(free) * 1000 / u128::from(total.max(1));
        let (inodes, bytes) = (part(self.free_inodes, self.total_inodes), part(self.free_bytes, self.total_bytes));
        self.total_inodes > 0 && inodes < 100 && inodes < bytes
    }

    /// Passes every layer's users and leases down to its parent, deepest chains first, and sorts the layers by them.
    fn add_layers(&mut self, mut layers: Layers) {
        self.kept_blobs = layers.blobs.values().copied().sum();
        let facts = &mut layers.facts;
        let mut order: Vec<_> = (0..facts.len()).collect();
        order.sort_unstable_by_key(|&at| std::cmp::Reverse(facts[at].depth));
        for at in order {
            let Facts { parent, own, users, is_leased, .. } = facts[at];
            if let Some(parent) = parent {
                let parent = &mut facts[parent.get() as usize - 1];
                parent.users = parent.users.saturating_add(users);
                parent.is_leased |= is_leased;
            }
            self.stored += own;
            match users {
                0 if is_leased => {}
                0 => self.reclaimable += own,
                1 => {}
                _ => self.shared += own,
            }
        }
    }
}

/// The ids of all layers, sorted.
fn layer_ids(snapshot: &Snapshot) -> Result<Vec<LayerId>> {
    let mut ids = Vec::new();
    snapshot.each(key::LAYERS, |key, _| {
        ids.push(LayerId::from_bytes(key::id(key)?));
        Ok::<_, Error>(())
    })?;
    ids.shrink_to_fit();
    Ok(ids)
}

fn image_tops(snapshot: &Snapshot) -> impl Iterator<Item = Result<Option<LayerId>>> + '_ {
    image_records(snapshot).map(|entry| {
        let (id, record) = entry?;
        Ok(ImageRecord::decode(id, &record)?.top)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(parent: Option<&LayerRecord>, bytes: u64) -> LayerRecord {
        let own = Usage { apparent: bytes, allocated: bytes, inodes: 1 };
        LayerRecord {
            id: LayerId::random(),
            link: plyfs_link::LinkId::random(),
            parent: parent.map(|parent| parent.id),
            diff_id: None,
            chain_id: None,
            own,
            chain: own + parent.map(|parent| parent.chain).unwrap_or_default(),
            depth: 1 + parent.map_or(0, |parent| parent.depth),
            archive_size: None,
            created: 0,
            blobs: Vec::new(),
            rest: plyfs_journal::Record::default(),
        }
    }

    #[test]
    fn a_layer_is_shared_when_two_stand_on_it_through_whatever_children() {
        let base = layer(None, 100);
        let (left, right) = (layer(Some(&base), 10), layer(Some(&base), 1));
        let loose = layer(Some(&left), 1000);
        let (first, second) = (left.id, right.id);
        let mut sorted = vec![base, left, right, loose];
        sorted.sort_by_key(|layer| layer.id);
        let mut layers =
            Layers::read(sorted.iter().map(|layer| layer.id).collect(), sorted.into_iter().map(Ok)).expect("records");
        layers.add_user(first);
        layers.add_user(second);
        let mut usage = StoreUsage::default();

        usage.add_layers(layers);

        assert_eq!(usage.stored.apparent, 1111);
        assert_eq!(usage.shared.apparent, 100);
        assert_eq!(usage.reclaimable.apparent, 1000);
    }

    #[test]
    fn what_a_lease_keeps_is_not_reclaimable_nor_is_anything_below_it() {
        let base = layer(None, 100);
        let (kept, free) = (layer(Some(&base), 10), layer(Some(&base), 1));
        let leased = kept.id;
        let mut sorted = vec![base, kept, free];
        sorted.sort_by_key(|layer| layer.id);
        let mut layers =
            Layers::read(sorted.iter().map(|layer| layer.id).collect(), sorted.into_iter().map(Ok)).expect("records");
        layers.lease(leased);
        let mut usage = StoreUsage::default();

        usage.add_layers(layers);

        assert_eq!((usage.stored.apparent, usage.shared.apparent, usage.reclaimable.apparent), (111, 0, 1));
    }
}
