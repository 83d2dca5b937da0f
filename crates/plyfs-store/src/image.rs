//! Images: a config, a chain of layers, any number of names.

use std::io::Read;

use plyfs_diff::Usage;
use plyfs_journal::{Snapshot, Transaction};
use plyfs_link::LayerId;
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::publish::put_name;
use crate::record::{ImageRecord, reference};
use crate::{Digest, Error, ErrorKind, ImageId, Layer, Reference, Result, Store, key};

/// The largest config or manifest that is read.
pub(crate) const MAX_BLOB: u64 = 16 * 1024 * 1024;

/// An image as one state of the store knew it.
#[derive(Clone)]
pub struct Image {
    pub(crate) store: Store,
    pub(crate) record: ImageRecord,
    names: Vec<Reference>,
}

impl Store {
    /// All images, sorted by their first name, nameless ones last, then by id.
    pub fn images(&self) -> Result<Vec<Image>> {
        let snapshot = self.snapshot()?;
        let ids = snapshot.scan(key::IMAGES).map(|entry| Ok(Digest::from_bytes(key::id(&entry?.0)?)));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let mut images = ids.into_iter().map(|id| self.image_in(&snapshot, id)).collect::<Result<Vec<_>>>()?;
        images.sort_by_cached_key(|image| (image.names.is_empty(), image.names.first().cloned(), image.id()));
        Ok(images)
    }

    /// The image with exactly this id.
    pub fn image_by_id(&self, id: &ImageId) -> Result<Image> {
        self.image_in(&self.snapshot()?, *id)
    }

    pub(crate) fn image_in(&self, snapshot: &Snapshot, id: ImageId) -> Result<Image> {
        let record = snapshot.read(&key::image(&id), |bytes| ImageRecord::decode(id, bytes))?;
        let record = record.ok_or_else(|| Error::absent(format!("image {id}")))??;
        let mut names = Vec::new();
        snapshot.each(&key::image_names(&id), |key, _| {
            names.push(reference(key::text(key, key::BEHIND_ID)?)?);
            Ok::<_, Error>(())
        })?;
        Ok(Image { store: self.clone(), record, names })
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
        if Digest::of(&bytes) != *digest {
            return Err(Error::new(ErrorKind::Corrupt, format!("blob {digest} has other bytes than its name says")));
        }
        Ok(bytes)
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
