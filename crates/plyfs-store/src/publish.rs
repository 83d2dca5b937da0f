//! Publishing an operation: the numbered durable steps of design section 3.

use plyfs_journal::Transaction;
use plyfs_link::LinkId;
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::operation::{NewImage, Operation};
use crate::record::{ImageRecord, LayerRecord, id_value};
use crate::recover::{is_blob_known, is_blob_used};
use crate::store::now;
use crate::{Digest, Error, ErrorKind, Reference, Result, User, cache, kept, key, layout, lease, trash};

/// How often a publication puts a blob into its place again that others take away.
const MAX_LOSSES: u32 = 16;

impl Operation {
    /// Makes everything staged visible at once; durable on return.
    ///
    /// 1. With [`Durability::Files`](crate::Durability::Files), every file and directory staged is synced.
    /// 2. Layers, their links, tar-split records and blobs are renamed into place; the staging entry names
    ///    them all, so a crash before step 4 is taken back by the next open.
    /// 3. One sync of the file system, or with `Files` of the directories renamed into: data and directories before
    ///    the names.
    /// 4. One journal record: the moment they exist.
    /// 5. The staging entry goes.
    ///
    /// An image that exists keeps its record and gains the names, and the manifest staged for it where manifests are to be
    /// replaced. A name that meant another image is moved. A blob that was there, and that the removal of another image, or
    /// of this one, took between 2 and 4, is put into its place again.
    pub fn publish(mut self) -> Result<()> {
        self.sync_staged()?;
        self.store().reached("publish 1");
        self.place_layers()?;
        let mut losses = 0;
        loop {
            self.place_blobs()?;
            self.store().reached("publish 2");
            self.store().sync(self.dir())?;
            self.store().reached("publish 3");
            match self.record()? {
                None => break,
                Some(_) if losses < MAX_LOSSES => losses += 1,
                Some(blob) => {
                    return Err(Error::new(ErrorKind::Conflict, format!("blob {blob} was removed meanwhile")));
                }
            }
        }
        self.store().reached("publish 4");
        self.is_published = true;
        self.release();
        let store = self.store().clone();
        // What stays behind names only published layers; the next open sweeps it up.
        let _ = fs::rename_at(&store.0.staging, self.name(), &store.0.trash, self.name());
        store.reached("publish 5");
        drop(self);
        let _ = store.reap();
        Ok(())
    }

    /// Writes the records, unless a blob is not in its place any more: then the answer is that one, and nothing is written.
    fn record(&self) -> Result<Option<Digest>> {
        self.store().commit(|records| {
            if let Some(lost) = self.lost_blob()? {
                return Ok(Some(lost));
            }
            for layer in &self.layers {
                put_layer(records, layer)?;
            }
            for (layer, blob) in &self.kept {
                kept::put(records, *layer, *blob)?;
            }
            for image in &self.images {
                put_image(records, image)?;
                if self.replaces_manifests {
                    replace_manifest(records, image)?;
                }
            }
            for (cached, layer) in &self.cached {
                cache::put(records, *cached, *layer)?;
            }
            self.hold_under_lease(records)?;
            // An image that was there keeps the manifest it came with, and this one belongs to nobody.
            for blob in &self.blobs {
                if !is_blob_used(records, blob)? {
                    trash::retract_blob(records, blob);
                }
            }
            Ok(None)
        })
    }

    fn place_layers(&self) -> Result<()> {
        let store = self.store();
        for layer in &self.layers {
            let name = layer.id.to_string();
            let placed = || -> plyfs_sys::Result<()> {
                fs::rename_new_at(self.dir(), &name, store.home(), &name)?;
                let record = layout::staged_tar_split(layer.id);
                fs::rename_at(self.dir(), record, &store.0.tar_split, &name)
            };
            placed().map_err(|e| self.failed(&format!("layer {name}"), e))?;
            let linked = store.0.links.ensure_link(layer.link, layer.id);
            linked.map_err(|e| Error::link(format!("layer {name}"), e))?;
            if let Some(parent) = layer.parent {
                store.mark_committed(parent)?;
            }
            store.reached("publish 2");
        }
        Ok(())
    }

    /// Moves blobs to their digests' names; one that is published already has the same bytes, unless its size is another: then
    /// it is damaged, and goes. One that another operation has placed and not published goes too: what that one wrote may
    /// have been lost before this one began, and would be told to that one alone.
    fn place_blobs(&self) -> Result<()> {
        let known = self.store().snapshot()?;
        for digest in &self.blobs {
            let is_published = is_blob_known(&known, digest)?;
            let hex = digest.hex();
            let (staged, blobs) = (layout::staged_blob(&hex), &self.store().0.blobs);
            // Linked, not renamed: the staged name must go on saying what to take back.
            let place = || match fs::link_at(self.dir(), &staged, blobs, &hex) {
                Err(error) if error.kind() == ErrorKind::Exists => {
                    let size = fs::stat_at(self.dir(), &staged)?.st_size;
                    if is_published && fs::try_stat_at(blobs, &hex)?.is_some_and(|there| there.st_size == size) {
                        return Ok(());
                    }
                    // What it replaces may be published by now: a cut must find the bytes of either.
                    self.sync_blob(&staged)?;
                    // Put into its place at once, whoever else replaces or removes it this moment.
                    let second = LinkId::random();
                    fs::link_at(self.dir(), &staged, self.dir(), second.as_str())?;
                    fs::rename_at(self.dir(), second.as_str(), blobs, &hex)
                }
                placed => placed,
            };
            place().map_err(|error| self.failed(&format!("blob {digest}"), error))?;
        }
        Ok(())
    }

    /// Makes a staged blob durable by itself, unless nothing is to be.
    fn sync_blob(&self, staged: &str) -> plyfs_sys::Result<()> {
        if !self.store().0.durability.is_durable() {
            return Ok(());
        }
        fs::sync(fs::open_at(self.dir(), staged, OFlags::RDONLY, Mode::empty())?)
    }
}

impl Operation {
    /// Writes that the operation's lease keeps what it published and what it found there already.
    fn hold_under_lease(&self, records: &mut Transaction<'_>) -> Result<()> {
        let Some(lease) = self.store().lease_id() else { return Ok(()) };
        let entries = fs::read_dir(self.dir()).map_err(|e| self.failed("staging", e))?;
        let found = entries.iter().filter_map(|entry| layout::parse_uses_marker(entry.name.to_str()?));
        let layers = self.layers.iter().map(|layer| layer.id).chain(found);
        lease::hold(records, lease, layers, self.images.iter().map(|image| image.id))
    }

    /// Looks under the journal's lock for a blob that somebody took who shared it: a removal, or the recovery of a dead
    /// operation.
    fn lost_blob(&self) -> Result<Option<Digest>> {
        for digest in &self.blobs {
            let there = fs::try_stat_at(&self.store().0.blobs, digest.hex());
            if there.map_err(|e| self.failed(&format!("blob {digest}"), e))?.is_none() {
                return Ok(Some(*digest));
            }
        }
        Ok(None)
    }
}

impl crate::Store {
    /// Leaves Docker's mark that another layer stands on this one.
    pub(crate) fn mark_committed(&self, layer: plyfs_link::LayerId) -> Result<()> {
        let marked = || {
            // One look for all but the first child.
            if fs::try_stat_at(self.home(), format!("{layer}/{}", layout::COMMITTED))?.is_some() {
                return Ok(());
            }
            let directory = fs::open_dir_at(self.home(), layer.to_string())?;
            let flags = OFlags::WRONLY | OFlags::CREATE;
            fs::open_at(&directory, layout::COMMITTED, flags, Mode::RUSR | Mode::WUSR).map(drop)
        };
        marked().map_err(|e| self.explain(&format!("layer {layer}"), e))
    }
}

/// Writes a layer's record and the look-ups that lead to it.
pub(crate) fn put_layer(records: &mut Transaction<'_>, layer: &LayerRecord) -> Result<()> {
    records.put(&key::layer(layer.id), &layer.encode());
    // It is there: put just before, or kept by the operation's marker.
    if let Some(parent) = layer.parent {
        records.put(&key::user(parent, &User::Layer(layer.id)), &[]);
    }
    if let Some(chain) = &layer.chain_id {
        // Two layers may be one chain when nobody knew the digest beforehand; the first one is found as long as it is there.
        if records.get(&key::chain(chain))?.is_none() {
            records.put(&key::chain(chain), layer.id.as_bytes());
        } else {
            records.put(&key::twin(chain, layer.id), &[]);
        }
    }
    Ok(())
}

pub(crate) fn put_image(records: &mut Transaction<'_>, image: &NewImage) -> Result<()> {
    let key = key::image(&image.id);
    if records.get(&key)?.is_none() {
        if let Some(top) = image.top {
            if records.get(&key::layer(top))?.is_none() {
                return Err(Error::new(ErrorKind::Conflict, format!("layer {top} was removed meanwhile")));
            }
            records.put(&key::user(top, &User::Image(image.id)), &[]);
        }
        let record = ImageRecord {
            id: image.id,
            top: image.top,
            manifest: image.manifest,
            created: now(),
            built: image.built.clone(),
            architecture: image.architecture.clone(),
            os: image.os.clone(),
            rest: plyfs_journal::Record::default(),
        };
        records.put(&key, &record.encode());
        if let Some(manifest) = &image.manifest {
            records.put(&key::manifest_image(manifest, &image.id), &[]);
        }
    }
    for name in &image.names {
        put_name(records, name, &image.id)?;
    }
    Ok(())
}

/// Gives an image that was there the manifest it came with this time.
fn replace_manifest(records: &mut Transaction<'_>, image: &NewImage) -> Result<()> {
    let Some(manifest) = image.manifest else { return Ok(()) };
    let Some(bytes) = records.get(&key::image(&image.id))? else { return Ok(()) };
    let mut record = ImageRecord::decode(image.id, &bytes)?;
    let before = record.manifest.replace(manifest);
    if before == Some(manifest) {
        return Ok(());
    }
    records.put(&key::image(&image.id), &record.encode());
    records.put(&key::manifest_image(&manifest, &image.id), &[]);
    if let Some(before) = before {
        records.delete(&key::manifest_image(&before, &image.id));
        trash::retract_blob(records, &before);
    }
    Ok(())
}

/// Makes `name` mean `image` and nothing else.
pub(crate) fn put_name(records: &mut Transaction<'_>, name: &Reference, image: &Digest) -> Result<()> {
    if let Some(before) = records.get(&key::tag(name))? {
        let before = Digest::from_bytes(id_value(&before, name.as_str())?);
        records.delete(&key::image_name(&before, name));
    }
    records.put(&key::tag(name), image.as_bytes());
    records.put(&key::image_name(image, name), &[]);
    Ok(())
}
