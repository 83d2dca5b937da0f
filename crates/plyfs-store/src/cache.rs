//! The build cache: which layer an instruction made of a parent, by a key the builder chooses.
//!
//! An entry does not keep its layer: when the layer goes, so do its entries, in the same record. A key is only hashed,
//! with the parent it stands on, so it may be of any length and hold any bytes: an instruction, the digests of the files
//! it copies, the arguments it ran with.

use plyfs_journal::Transaction;
use plyfs_link::LayerId;

use crate::operation::Operation;
use crate::{Digest, Error, ErrorKind, Layer, Result, Store, key, record};

/// What a layer was made of: the parent and the caller's key, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey(Digest);

impl CacheKey {
    pub(crate) fn new(parent: Option<LayerId>, key: &[u8]) -> Self {
        // Thirty-two zeros are no layer's id: ids are random.
        let parent = parent.map_or([0; 32], |id| *id.as_bytes());
        Self(Digest::of([&parent[..], key].concat()))
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.0
    }
}

impl Store {
    /// The layer that was last published upon `parent` under this key; `None` when there is none, or none any more.
    ///
    /// Nothing keeps the layer from a prune but what stands on it: create a container or an image on it first, and on
    /// [`ErrorKind::NotFound`] build it anew.
    pub fn cached(&self, parent: Option<&Layer>, key: &[u8]) -> Result<Option<Layer>> {
        let snapshot = self.snapshot()?;
        let cached = CacheKey::new(parent.map(Layer::id), key);
        let Some(id) = snapshot.get(&key::cached(cached.digest()))? else { return Ok(None) };
        let id = LayerId::from_bytes(record::id_value(&id, "a cached layer")?);
        self.layer(&id.to_string()).map(Some)
    }
}

impl Operation {
    /// Publishes `layer`, which this operation staged or reused, also as what `key` makes of `parent`.
    ///
    /// An entry that is there is replaced.
    pub fn cache(&mut self, parent: Option<LayerId>, key: &[u8], layer: LayerId) {
        self.cached.push((CacheKey::new(parent, key), layer));
    }
}

/// Makes the key find the layer, which is in these records.
pub(crate) fn put(records: &mut Transaction<'_>, cached: CacheKey, layer: LayerId) -> Result<()> {
    if records.get(&key::layer(layer))?.is_none() {
        return Err(Error::new(ErrorKind::Conflict, format!("layer {layer} was removed meanwhile")));
    }
    if let Some(before) = records.get(&key::cached(cached.digest()))? {
        let before = LayerId::from_bytes(record::id_value(&before, "a cached layer")?);
        records.delete(&key::layer_cached(before, cached.digest()));
    }
    records.put(&key::cached(cached.digest()), layer.as_bytes());
    records.put(&key::layer_cached(layer, cached.digest()), &[]);
    Ok(())
}

/// Takes away every entry of a layer that goes.
pub(crate) fn forget(records: &mut Transaction<'_>, layer: LayerId) -> Result<()> {
    let entries = records.scan(&key::layer_entries(layer));
    let keys = entries.map(|entry| Ok(entry?.0)).collect::<Result<Vec<_>>>()?;
    for reverse in keys {
        records.delete(&key::cached(&Digest::from_bytes(key::id_behind(&reverse)?)));
        records.delete(&reverse);
    }
    Ok(())
}
