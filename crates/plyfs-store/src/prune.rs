//! Removing images, and layers that nothing stands on.

use std::collections::BTreeSet;

use plyfs_diff::Usage;
use plyfs_journal::Transaction;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use plyfs_sys::lock::Lock;

use crate::record::{ImageRecord, LayerRecord};
use crate::{Digest, Error, ErrorKind, Image, ImageId, Layer, Result, Store, User, cache, key, layout, trash};

/// What [`Store::prune`] may remove.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "options do nothing until `prune`"]
pub struct PruneOptions {
    all: bool,
}

impl PruneOptions {
    /// Only layers that no image, no container and no other layer stands on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Images without a name that no container was made of, too.
    pub fn all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }
}

/// What a removal took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Images.
    pub images: Vec<ImageId>,
    /// Layers.
    pub layers: Vec<LayerId>,
    /// What those layers took, as recorded when they were published.
    pub reclaimed: Usage,
    /// Layers that would have gone but are being read.
    pub held: Vec<LayerId>,
}

/// What one journal record will retract, put together before it is written.
#[derive(Default)]
struct Sweep {
    pruned: Pruned,
    links: Vec<(LayerId, LinkId)>,
    blobs: Vec<Digest>,
    locks: Vec<Lock>,
}

impl Store {
    /// Removes an image, its names, and those of its layers that nothing else stands on. Durable on return;
    /// the space is returned by the next [`Store::reap`].
    ///
    /// An image a container was made of is [`ErrorKind::InUse`].
    ///
    /// 1. One journal record.
    /// 2. The directories are renamed into `trash`.
    ///
    /// A crash in between is finished by the next open.
    pub fn remove_image(&self, image: &Image) -> Result<Pruned> {
        self.require_root("removing an image")?;
        let sweep = self.commit(|records| {
            self.refuse_used(records, image)?;
            let in_use = self.layers_of_operations()?;
            let mut sweep = Sweep::default();
            self.retract_image(records, &image.id(), &in_use, &mut sweep)?;
            Ok(sweep)
        })?;
        self.finish(sweep)
    }

    /// Removes a layer that nothing stands on; else it is [`ErrorKind::InUse`]. Durable on return.
    pub fn remove_layer(&self, layer: &Layer) -> Result<Pruned> {
        self.require_root("removing a layer")?;
        let id = layer.id();
        let sweep = self.commit(|records| {
            if records.get(&key::layer(id))?.is_none() {
                return Err(Error::absent(format!("layer {id}")));
            }
            if let Some(user) = first_user(records, id)? {
                return Err(Error::new(ErrorKind::InUse, format!("layer {id} is used by {}", describe(&user))));
            }
            let mut sweep = Sweep::default();
            self.retract_chain(records, Some(id), &self.layers_of_operations()?, &mut sweep, Reach::OneLayer)?;
            if sweep.pruned.layers.is_empty() {
                return Err(Error::new(ErrorKind::InUse, format!("layer {id} is being read or built upon")));
            }
            Ok(sweep)
        })?;
        self.finish(sweep)
    }

    /// Removes what nothing uses. Durable on return; the space is returned by the next [`Store::reap`].
    pub fn prune(&self, options: PruneOptions) -> Result<Pruned> {
        self.require_root("pruning")?;
        let sweep = self.commit(|records| {
            let in_use = self.layers_of_operations()?;
            let mut sweep = Sweep::default();
            if options.all {
                for image in unused_images(records)? {
                    self.retract_image(records, &image, &in_use, &mut sweep)?;
                }
            }
            for layer in unused_layers(records)? {
                self.retract_chain(records, Some(layer), &in_use, &mut sweep, Reach::Ancestors)?;
            }
            Ok(sweep)
        })?;
        self.finish(sweep)
    }

    /// Moves aside what a record retracted.
    fn finish(&self, sweep: Sweep) -> Result<Pruned> {
        for (layer, link) in &sweep.links {
            self.discard(*layer, *link)?;
        }
        for blob in &sweep.blobs {
            self.drop_unused_blob(blob)?;
        }
        Ok(sweep.pruned)
    }

    fn refuse_used(&self, records: &Transaction<'_>, image: &Image) -> Result<()> {
        if records.get(&key::image(&image.id()))?.is_none() {
            return Err(Error::absent(format!("image {}", image.id())));
        }
        let Some(entry) = records.scan(&key::image_containers(&image.id())).next() else { return Ok(()) };
        let container = LayerId::from_bytes(key::id_behind(&entry?.0)?);
        let name = records.get(&key::container_directory(container))?.unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        let message = format!("image {} is used by container {name}", image.id());
        Err(Error::new(ErrorKind::InUse, message))
    }

    fn retract_image(
        &self,
        records: &mut Transaction<'_>,
        id: &Digest,
        in_use: &BTreeSet<LayerId>,
        sweep: &mut Sweep,
    ) -> Result<()> {
        let Some(bytes) = records.get(&key::image(id))? else { return Ok(()) };
        let image = ImageRecord::decode(*id, &bytes)?;
        let names = records.scan(&key::image_names(id)).map(|entry| Ok(entry?.0)).collect::<Result<Vec<_>>>()?;
        for name in names {
            let reference = crate::record::reference(key::text(&name, key::BEHIND_ID)?)?;
            records.delete(&key::tag(&reference));
            records.delete(&name);
        }
        records.delete(&key::image(id));
        if let Some(top) = image.top {
            records.delete(&key::user(top, &User::Image(*id)));
        }
        for blob in [Some(*id), image.manifest].into_iter().flatten() {
            trash::retract_blob(records, &blob);
            sweep.blobs.push(blob);
        }
        sweep.pruned.images.push(*id);
        self.retract_chain(records, image.top, in_use, sweep, Reach::Ancestors)
    }

    /// Retracts a layer nothing stands on and, one by one, the ancestors that only it stood on.
    fn retract_chain(
        &self,
        records: &mut Transaction<'_>,
        top: Option<LayerId>,
        in_use: &BTreeSet<LayerId>,
        sweep: &mut Sweep,
        reach: Reach,
    ) -> Result<()> {
        let mut next = top;
        while let Some(id) = next {
            let Some(bytes) = records.get(&key::layer(id))? else { return Ok(()) };
            if in_use.contains(&id) || first_user(records, id)?.is_some() {
                return Ok(());
            }
            match self.try_hold_alone(id) {
                Ok(lock) => sweep.locks.extend(lock),
                Err(error) if error.kind() == ErrorKind::InUse => {
                    sweep.pruned.held.push(id);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let layer = LayerRecord::decode(id, &bytes)?;
            retract_layer(records, &layer)?;
            sweep.pruned.layers.push(id);
            sweep.pruned.reclaimed += layer.own;
            sweep.links.push((id, layer.link));
            next = layer.parent.filter(|_| reach == Reach::Ancestors);
        }
        Ok(())
    }

    /// The published layers that living operations build upon.
    fn layers_of_operations(&self) -> Result<BTreeSet<LayerId>> {
        let mut layers = BTreeSet::new();
        for entry in fs::read_dir(&self.0.staging).map_err(|e| Error::call("staging", e))? {
            // Dead ones count too until they are recovered: that errs on the safe side.
            let Ok(operation) = fs::open_dir_at(&self.0.staging, &entry.name) else { continue };
            let names = match fs::read_dir(&operation) {
                Err(error) if error.is_not_found() => continue,
                result => result.map_err(|e| Error::call("staging", e))?,
            };
            layers.extend(names.iter().filter_map(|entry| layout::parse_uses_marker(entry.name.to_str()?)));
        }
        Ok(layers)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Reach {
    OneLayer,
    Ancestors,
}

fn retract_layer(records: &mut Transaction<'_>, layer: &LayerRecord) -> Result<()> {
    records.delete(&key::layer(layer.id));
    if let Some(parent) = layer.parent {
        records.delete(&key::user(parent, &User::Layer(layer.id)));
    }
    if let Some(chain) = &layer.chain_id {
        let key = key::chain(chain);
        if records.get(&key)?.is_some_and(|id| id.as_slice() == layer.id.as_bytes()) {
            records.delete(&key);
        }
    }
    cache::forget(records, layer.id)?;
    trash::retract(records, layer.id, layer.link);
    Ok(())
}

fn first_user(records: &Transaction<'_>, layer: LayerId) -> Result<Option<User>> {
    let first = records.scan(&key::users(layer)).next();
    first.map(|entry| key::parse_user(&entry?.0)).transpose()
}

fn describe(user: &User) -> String {
    match user {
        User::Layer(id) => format!("layer {id}"),
        User::Image(id) => format!("image {id}"),
        User::Container(id) => format!("a container in {id}"),
    }
}

fn unused_images(records: &Transaction<'_>) -> Result<Vec<Digest>> {
    let mut unused = Vec::new();
    for entry in records.scan(key::IMAGES) {
        let id = Digest::from_bytes(key::id(&entry?.0)?);
        let is_used = records.scan(&key::image_names(&id)).next().is_some()
            || records.scan(&key::image_containers(&id)).next().is_some();
        if !is_used {
            unused.push(id);
        }
    }
    Ok(unused)
}

fn unused_layers(records: &Transaction<'_>) -> Result<Vec<LayerId>> {
    let mut unused = Vec::new();
    for entry in records.scan(key::LAYERS) {
        let id = LayerId::from_bytes(key::id(&entry?.0)?);
        if first_user(records, id)?.is_none() {
            unused.push(id);
        }
    }
    Ok(unused)
}
