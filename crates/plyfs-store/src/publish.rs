//! Publishing an operation: the numbered durable steps of design section 3.

use std::time::Duration;

use plyfs_journal::Transaction;
use plyfs_link::LinkId;
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::operation::{NewImage, Operation};
use crate::record::{ImageRecord, LayerRecord, id_value};
use crate::recover::{is_blob_known, is_blob_used};
use crate::store::now;
use crate::{Digest, Error, ErrorKind, Reference, Result, User, cache, kept, key, layout, lease, trash};

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
    /// replaced. A name that meant another image is moved. A blob that others took or replaced between 2 and 4, by the removal
    /// of another image or of this one, is put into its place again: then 2 and 3 are done once more under the journal's lock,
    /// where nobody else takes anything.
    pub fn publish(mut self) -> Result<()> {
        self.sync_staged()?;
        self.store().reached("publish 1");
        self.place_layers()?;
        self.place_blobs()?;
        self.record()?;
        self.store().reached("publish 4");
        self.is_published = true;
        self.release();
        let (store, name) = (self.store().clone(), self.name().to_owned());
        // What stays behind names only published layers; the next open sweeps it up.
        let _ = fs::rename_at(&store.0.staging, &name, &store.0.trash, &name);
        store.reached("publish 5");
        drop(self);
        // What others have left there would be waited for although all is done.
        let _ = store.delete_aside(&[name], Duration::MAX);
        Ok(())
    }

    /// Writes the records.
    fn record(&self) -> Result<()> {
        self.store().commit(|records| {
            if !self.has_its_blobs()? {
                self.place_blobs()?;
            }
            for layer in self.layers.iter() {
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
            Ok(())
        })
    }

    fn place_layers(&self) -> Result<()> {
        let store = self.store();
        for layer in self.layers.iter() {
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

    /// Links blobs to their digests' names, and syncs what was put into its place.
    fn place_blobs(&self) -> Result<()> {
        for digest in &self.blobs {
            self.place_blob(digest).map_err(|e| Error::new(e.kind(), format!("blob {digest}")).because(e))?;
        }
        self.store().reached("publish 2");
        self.store().sync(self.dir())?;
        self.store().reached("publish 3");
        Ok(())
    }

    /// One that is published already has the same bytes, unless its size is another: then it is damaged, and goes. One that
    /// another operation has placed and not published goes too: what that one wrote may have been lost before this one began,
    /// and would be told to that one alone.
    fn place_blob(&self, digest: &Digest) -> Result<()> {
        let hex = digest.hex();
        let (staged, blobs) = (layout::staged_blob(&hex), &self.store().0.blobs);
        let failed = |e| self.failed("staging", e);
        // Linked, not renamed: the staged name must go on saying what to take back.
        match fs::link_at(self.dir(), &staged, blobs, &hex) {
            Err(error) if error.kind() == ErrorKind::Exists => {}
            placed => return placed.map_err(failed),
        }
        if self.is_in_place(&hex).map_err(failed)? || self.share_blob(digest, &staged)? {
            return Ok(());
        }
        let replace = || {
            // What it replaces may be published by now: a cut must find the bytes of either.
            self.sync_blob(&staged)?;
            // Put into its place at once, whoever else replaces or removes it this moment.
            let second = LinkId::random();
            fs::link_at(self.dir(), &staged, self.dir(), second.as_str())?;
            fs::rename_at(self.dir(), second.as_str(), blobs, &hex)
        };
        replace().map_err(failed)
    }

    /// Takes the blob that is in its place for the staged one, if it is published and has its size.
    ///
    /// The staged name is the published file's from then on, so that it is known again: no other gets its number meanwhile.
    fn share_blob(&self, digest: &Digest, staged: &str) -> Result<bool> {
        let failed = |e| self.failed("staging", e);
        let theirs = LinkId::random();
        match fs::link_at(&self.store().0.blobs, digest.hex(), self.dir(), theirs.as_str()) {
            Err(error) if error.is_not_found() => return Ok(false),
            linked => linked.map_err(failed)?,
        }
        let size = |name: &str| fs::stat_at(self.dir(), name).map(|stat| stat.st_size);
        // Asked once it is held: before, it could still be taken, and another's come into its place.
        let is_sound = is_blob_known(&self.store().snapshot()?, digest)?
            && size(staged).and_then(|ours| Ok(ours == size(theirs.as_str())?)).map_err(failed)?;
        let done = if is_sound {
            fs::rename_at(self.dir(), theirs.as_str(), self.dir(), staged)
        } else {
            fs::unlink_at(self.dir(), theirs.as_str())
        };
        done.map(|()| is_sound).map_err(failed)
    }

    /// Says whether the name of the blob is still that of the staged file.
    fn is_in_place(&self, hex: &str) -> plyfs_sys::Result<bool> {
        let there = fs::try_stat_at(&self.store().0.blobs, hex)?;
        let staged = fs::stat_at(self.dir(), layout::staged_blob(hex))?;
        Ok(there.is_some_and(|there| (there.st_dev, there.st_ino) == (staged.st_dev, staged.st_ino)))
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

    /// Says under the journal's lock whether all blobs are those that were in their places when they were synced.
    ///
    /// Whoever shares one may lose it: to a removal, or to the recovery of a dead operation. Then another operation may put its
    /// own into that place, of which nothing is durable yet.
    fn has_its_blobs(&self) -> Result<bool> {
        for digest in &self.blobs {
            if !self.is_in_place(&digest.hex()).map_err(|e| self.failed(&format!("blob {digest}"), e))? {
                return Ok(false);
            }
        }
        Ok(true)
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
