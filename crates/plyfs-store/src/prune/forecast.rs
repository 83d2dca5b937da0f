//! What a prune would remove: its marking and its walk down the chains, over one state of the records and without a trace.

use std::collections::{BTreeMap, BTreeSet};

use plyfs_diff::Usage;
use plyfs_journal::Snapshot;
use plyfs_link::LayerId;

use super::unused::{Candidate, IsLiving, unused_images, unused_layers};
use super::{Kept, PruneOptions, Pruned, Reason, Subject};
use crate::layer::layer_record;
use crate::{Digest, Result, Store, User, key};

impl Store {
    /// The answer of a prune by these options that took nothing; needs no root and takes no lock.
    pub(super) fn forecast(&self, options: &PruneOptions) -> Result<Pruned> {
        let snapshot = self.snapshot()?;
        // A prune ends leases first; what those kept would go.
        let living: BTreeSet<_> = self.leases_in(&snapshot)?.into_iter().map(|lease| lease.id).collect();
        let is_living = |lease| living.contains(&lease);
        let mut pruned = Pruned::default();
        let images = unused_images(&snapshot, options, &is_living, &mut pruned)?;
        let images = readable(images, &mut pruned);
        let mut starts: BTreeSet<_> = images.iter().filter_map(Candidate::top).collect();
        if options.only.is_none() {
            starts.extend(unused_layers(&snapshot, options, &is_living, &mut pruned)?);
        }
        pruned.images = images.iter().map(|image| image.id).collect();
        let images = images.iter().map(|image| image.id).collect();
        let mut forecast = Forecast {
            snapshot: &snapshot,
            is_living: &is_living,
            gone: BTreeSet::new(),
            blobs: BTreeMap::new(),
            images,
        };
        for start in starts {
            forecast.chain(start, &mut pruned)?;
        }
        pruned.reclaimed += forecast.blobs()?;
        Ok(pruned)
    }
}

/// Leaves out the images whose records cannot be read: a removal keeps them and says why.
fn readable(images: Vec<Candidate>, pruned: &mut Pruned) -> Vec<Candidate> {
    let is_readable = |image: &Candidate| {
        let Err(error) = &image.record else { return true };
        let reason = Reason::Failed(crate::check::report(error));
        pruned.kept.push(Kept { subject: Subject::Image(image.id), reason });
        false
    };
    images.into_iter().filter(is_readable).collect()
}

/// The records, less what would be gone by now.
struct Forecast<'a> {
    snapshot: &'a Snapshot,
    is_living: IsLiving<'a>,
    gone: BTreeSet<LayerId>,
    /// The compressed forms of those that are gone.
    blobs: BTreeMap<Digest, Usage>,
    images: BTreeSet<Digest>,
}

impl Forecast<'_> {
    /// Takes a layer nothing would stand on and the ancestors that only it stood on.
    fn chain(&mut self, start: LayerId, pruned: &mut Pruned) -> Result<()> {
        let mut next = Some(start);
        while let Some(id) = next.filter(|id| !self.gone.contains(id)) {
            match self.user(id)? {
                Some(User::Lease(lease)) => {
                    pruned.kept.push(Kept::layer(id, Reason::Leased(lease)));
                    return Ok(());
                }
                Some(_) => return Ok(()),
                None => {}
            }
            let layer = match layer_record(self.snapshot, id) {
                Ok(layer) => layer,
                Err(error) => {
                    pruned.kept.push(Kept::layer(id, Reason::Failed(crate::check::report(&error))));
                    return Ok(());
                }
            };
            self.gone.insert(id);
            pruned.layers.push(id);
            pruned.reclaimed += layer.own;
            self.blobs.extend(layer.blobs.iter().map(|blob| (blob.digest, blob.usage)));
            next = layer.parent;
        }
        Ok(())
    }

    /// What the compressed forms take that no other layer came in.
    fn blobs(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for (blob, takes) in &self.blobs {
            let layers = self.snapshot.scan(&key::blob_layers(blob));
            let layers = layers.map(|entry| Ok(LayerId::from_bytes(key::id_behind(&entry?.0)?)));
            if layers.collect::<Result<Vec<_>>>()?.iter().all(|layer| self.gone.contains(layer)) {
                usage += *takes;
            }
        }
        Ok(usage)
    }

    /// Who would stand on a layer still: the first of those that do, or the first lease where nobody does.
    fn user(&self, layer: LayerId) -> Result<Option<User>> {
        let mut first = None;
        for entry in self.snapshot.scan(&key::users(layer)) {
            match key::parse_user(&entry?.0)? {
                User::Lease(lease) if !(self.is_living)(lease) => {}
                User::Lease(lease) => first = first.or(Some(User::Lease(lease))),
                User::Layer(child) if self.gone.contains(&child) => {}
                User::Image(image) if self.images.contains(&image) => {}
                user => return Ok(Some(user)),
            }
        }
        Ok(first)
    }
}
