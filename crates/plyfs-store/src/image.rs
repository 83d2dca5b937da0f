//! Images: a config, a chain of layers, any number of names.

use std::io::Read;

use plyfs_diff::Usage;
use plyfs_journal::{Snapshot, Transaction};
use plyfs_link::LayerId;
use plyfs_sys::fs;
use plyfs_sys::lock::Lock;
use rustix::fs::{Mode, OFlags};

use crate::publish::put_name;
use crate::record::{ImageRecord, reference};
use crate::{Digest, Error, ErrorKind, ImageId, Layer, Reference, Result, Store, kept, key, lookup};

/// The largest config or manifest that is read.
pub(crate) const MAX_BLOB: u64 = 16 * 1024 * 1024;

/// An image as one state of the store knew it.
#[derive(Clone)]
pub struct Image {
    pub(crate) store: Store,
    pub(crate) record: ImageRecord,
    names: Vec<Reference>,
}

/// Keeps the layers of an image from removal while it lives.
#[derive(Debug)]
#[must_use = "dropping it lets them go"]
pub struct HeldLayers(#[expect(dead_code, reason = "it ends when it is dropped")] Option<Lock>);

impl Store {
    /// All images, sorted by their first name, nameless ones last, then by id.
    pub fn images(&self) -> Result<Vec<Image>> {
        let mut images = self.images_below(&self.snapshot()?, key::IMAGES)?;
        images.sort_by_cached_key(|image| (image.names.is_empty(), image.names.first().cloned(), image.id()));
        Ok(images)
    }

    /// The image with exactly this id.
    pub fn image_by_id(&self, id: &ImageId) -> Result<Image> {
        self.image_in(&self.snapshot()?, *id)
    }

    pub(crate) fn image_in(&self, snapshot: &Snapshot, id: ImageId) -> Result<Image> {
        let found = self.images_below(snapshot, &key::image(&id))?.pop();
        found.ok_or_else(|| Error::absent(format!("image {id}")))
    }

    /// The images whose keys begin so, by id.
    fn images_below(&self, snapshot: &Snapshot, prefix: &[u8]) -> Result<Vec<Image>> {
        let mut images: Vec<Image> = Vec::new();
        snapshot.each(prefix, |key, value| {
            let id = Digest::from_bytes(key::id(key)?);
            if !key::is_image_name(key) {
                let record = ImageRecord::decode(id, value)?;
                images.push(Image { store: self.clone(), record, names: Vec::new() });
            } else if let Some(image) = images.last_mut().filter(|image| image.id() == id) {
                image.names.push(reference(key::text(key, key::BEHIND_ID)?)?);
            }
            Ok::<_, Error>(())
        })?;
        Ok(images)
    }

    /// Makes `name` mean this image; a name that meant another image is moved. Durable on return.
    pub fn tag(&self, image: &Image, name: &Reference) -> Result<()> {
        self.commit(|records| {
            if records.get(&key::image(&image.id()))?.is_none() {
                return Err(Error::absent(format!("image {}", image.id())));
            }
            put_name(records, name, &image.id())
        })?;
        self.reached("tag 1");
        Ok(())
    }

    /// Takes a name from whichever image it means, which stays. Durable on return.
    pub fn untag(&self, name: &Reference) -> Result<()> {
        self.take_name(name, None)
    }

    /// Takes a name from this image alone, which stays; [`ErrorKind::Conflict`] when it means another one by now.
    /// Durable on return.
    pub fn untag_from(&self, image: &Image, name: &Reference) -> Result<()> {
        self.take_name(name, Some(image.id()))
    }

    fn take_name(&self, name: &Reference, from: Option<ImageId>) -> Result<()> {
        self.commit(|records| retract_name(records, name, from))?;
        self.reached("untag 1");
        Ok(())
    }

    /// The bytes of a config or manifest, as received; other bytes under its name are [`ErrorKind::Corrupt`].
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let named = |e| Error::call(format!("blob {digest}"), e);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = fs::open_at(&self.0.blobs, digest.hex(), flags, Mode::empty()).map_err(named)?;
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file).take(MAX_BLOB).read_to_end(&mut bytes);
        read.map_err(|e| Error::new(ErrorKind::Io, format!("blob {digest}")).because(e))?;
        kept::hold(digest, Digest::of(&bytes)).map(|()| bytes)
    }
}

impl Image {
    /// The id: the digest of the config.
    #[must_use]
    pub fn id(&self) -> ImageId {
        self.record.id
    }

    /// Its names, sorted.
    #[must_use]
    pub fn names(&self) -> &[Reference] {
        &self.names
    }

    /// The id of its uppermost layer; an image may have none.
    #[must_use]
    pub fn top(&self) -> Option<LayerId> {
        self.record.top
    }

    /// The digest of the manifest it came with.
    #[must_use]
    pub fn manifest_digest(&self) -> Option<Digest> {
        self.record.manifest
    }

    /// When its config says it was built, as written there.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.record.built.as_deref()
    }

    /// When it came into the store, in seconds since the epoch.
    #[must_use]
    pub fn added_unix(&self) -> u64 {
        self.record.created
    }

    /// The architecture its config names.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.record.architecture.as_deref()
    }

    /// The operating system its config names.
    #[must_use]
    pub fn os(&self) -> Option<&str> {
        self.record.os.as_deref()
    }

    /// The config's bytes as received.
    pub fn config(&self) -> Result<Vec<u8>> {
        self.store.blob(&self.id())
    }

    /// Its layers, uppermost first.
    pub fn layers(&self) -> Result<Vec<Layer>> {
        let records = self.store.ancestry(self.top())?;
        Ok(records.into_iter().map(|record| self.store.layer_of(record)).collect())
    }

    /// Keeps all its layers from removal, by whatever process, as long as what is returned lives.
    ///
    /// Where they are gone already it is [`ErrorKind::NotFound`]. What has no layers needs nothing.
    pub fn hold(&self) -> Result<HeldLayers> {
        // A layer goes only when nothing stands on it, so that the uppermost one keeps all others.
        let held = self.top().map(|top| self.store.hold(top)).transpose();
        held.map(HeldLayers).map_err(|e| Error::new(e.kind(), format!("image {}", self.id())).because(e))
    }

    /// The one of its names that a text means, as [`Store::image`] reads it; none where that is an id, or another's name.
    #[must_use]
    pub fn name_meant(&self, text: &str) -> Option<&Reference> {
        let name = text.parse::<Reference>().ok()?;
        lookup::spellings(&name).find_map(|name| self.names.iter().find(|own| **own == name))
    }

    /// What its layers take together, shared or not.
    pub fn usage(&self) -> Result<Usage> {
        let top = self.top().map(|top| self.store.layer_record(top)).transpose()?;
        Ok(top.map(|top| top.chain).unwrap_or_default())
    }

    /// The ids of the containers made of it, by their own layers.
    pub fn containers(&self) -> Result<Vec<LayerId>> {
        let snapshot = self.store.snapshot()?;
        let keys = snapshot.scan(&key::image_containers(&self.id()));
        keys.map(|entry| Ok(LayerId::from_bytes(key::id_behind(&entry?.0)?))).collect()
    }

    /// The store it is in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("id", &self.id()).field("names", &self.names).finish_non_exhaustive()
    }
}

/// The id and the undecoded record of every image.
pub(crate) fn image_records(snapshot: &Snapshot) -> impl Iterator<Item = Result<(Digest, Vec<u8>)>> + '_ {
    let records = snapshot.scan(key::IMAGES).filter(|entry| !matches!(entry, Ok((key, _)) if key::is_image_name(key)));
    records.map(|entry| {
        let (key, value) = entry?;
        Ok((Digest::from_bytes(key::id(&key)?), value))
    })
}

/// The names of an image.
pub(crate) fn names_of(records: &Transaction<'_>, image: &ImageId) -> Result<Vec<Reference>> {
    let names =
        records.scan(&key::image(image)).filter(|entry| !matches!(entry, Ok((key, _)) if !key::is_image_name(key)));
    names.map(|entry| reference(key::text(&entry?.0, key::BEHIND_ID)?)).collect()
}

/// Takes a name from the image it means, which is the one that is expected where one is.
pub(crate) fn retract_name(records: &mut Transaction<'_>, name: &Reference, from: Option<ImageId>) -> Result<()> {
    let image = records.get(&key::tag(name))?.ok_or_else(|| Error::absent(format!("image {name}")))?;
    let image = Digest::from_bytes(crate::record::id_value(&image, name.as_str())?);
    if from.is_some_and(|from| from != image) {
        return Err(Error::new(ErrorKind::Conflict, format!("image {name} is another one by now: {image}")));
    }
    records.delete(&key::tag(name));
    records.delete(&key::image_name(&image, name));
    Ok(())
}
