//! Images from the blobs: a config names its layers by their DiffIDs.

use std::collections::BTreeMap;

use plyfs_link::LayerId;
use plyfs_sys::fs;

use super::{ReadDocument, ReadLayer, Rebuilt};
use crate::check::report;
use crate::image::MAX_BLOB;
use crate::kept::{self, BlobReader};
use crate::operation::NewImage;
use crate::progress::{Progress, Stage};
use crate::publish::put_image;
use crate::{ChainId, DiffId, Digest, Error, ErrorKind, KeptBlob, Result, Store, chain_id, layout};

/// What a blob turned out to be.
#[derive(Clone, Debug)]
pub enum Document {
    /// An image's config.
    Config {
        /// Its layers' DiffIDs, lowest first.
        diff_ids: Vec<DiffId>,
        /// When it was built, as written.
        built: Option<String>,
        /// The architecture it is for.
        architecture: Option<String>,
        /// The operating system it is for.
        os: Option<String>,
    },
    /// A manifest.
    Manifest {
        /// The digest of its config.
        config: Digest,
        /// Digests and sizes of its layers' blobs, lowest first.
        layers: Vec<(Digest, u64)>,
    },
}

/// Writes the record of every image whose layers are there.
pub(super) fn find(
    store: &Store,
    read: ReadDocument<'_>,
    layer: ReadLayer<'_>,
    progress: Progress<'_>,
    rebuilt: &mut Rebuilt,
) -> Result<()> {
    let mut configs = Vec::new();
    let mut manifests = BTreeMap::new();
    // What is none of both, and why it could not be read.
    let mut others = BTreeMap::new();
    for entry in fs::read_dir(&store.0.blobs).map_err(|e| Error::call(layout::BLOBS, e))? {
        let Ok(digest) = format!("sha256:{}", entry.name.display()).parse::<Digest>() else { continue };
        progress.report(Stage::Check, &digest.to_string(), 0, None)?;
        let stat = fs::stat_at(&store.0.blobs, &entry.name).map_err(|e| Error::call(layout::BLOBS, e))?;
        if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_BLOB) {
            others.insert(digest, None);
            continue;
        }
        match store.blob(&digest).map(|bytes| read(&bytes)) {
            Ok(Some(Document::Manifest { config, layers })) => {
                manifests.entry(config).or_insert((digest, layers));
            }
            Ok(Some(config)) => configs.push((digest, config)),
            Ok(None) => drop(others.insert(digest, None)),
            Err(error) => drop(others.insert(digest, Some(report(&error)))),
        }
    }
    for (id, config) in configs {
        let Document::Config { diff_ids, built, architecture, os } = config else { continue };
        let Some(chain) = chain(store, &diff_ids)? else {
            rebuilt.lost.push(format!("image {id}: not all of its layers are there"));
            continue;
        };
        let top = chain.map(|chain| store.chain(&chain)).transpose()?.flatten();
        let manifest = manifests.get(&id).map(|(digest, _)| *digest);
        let image = NewImage { id, top, manifest, names: Vec::new(), built, architecture, os };
        store.commit(|records| put_image(records, &image))?;
        if let Some((_, layers)) = manifests.get(&id) {
            keep_blobs(store, top, layers, layer, progress, &mut others)?;
        }
        rebuilt.images.push(id);
        rebuilt.lost.push(format!("image {id}: its names"));
    }
    keep_unlisted(store, layer, progress, &mut others)?;
    for (digest, error) in others {
        let why = format!("blob {digest}: it is no config, no manifest and no layer of one");
        rebuilt.lost.push(error.unwrap_or(why));
    }
    Ok(())
}

/// Writes which of a manifest's blobs are there as the compressed forms of the image's layers, and takes them from the others.
///
/// Nobody may have held them to the DiffIDs: a load that keeps no blobs does not read layers that are there. Hence each
/// is read.
fn keep_blobs(
    store: &Store,
    top: Option<LayerId>,
    blobs: &[(Digest, u64)],
    read: ReadLayer<'_>,
    progress: Progress<'_>,
    others: &mut BTreeMap<Digest, Option<String>>,
) -> Result<()> {
    let layers = store.ancestry(top)?;
    if layers.len() != blobs.len() {
        return Ok(());
    }
    for (layer, (digest, size)) in layers.iter().rev().zip(blobs) {
        // One that is known to be damaged stays so.
        if matches!(others.get(digest), Some(Some(_))) {
            continue;
        }
        let stat = fs::try_stat_at(&store.0.blobs, digest.hex()).map_err(|e| Error::call(layout::BLOBS, e))?;
        let Some(stat) = stat.filter(|stat| u64::try_from(stat.st_size) == Ok(*size)) else { continue };
        let holds = match held(store, (*digest, *size), read, progress)? {
            Ok(holds) if Some(holds) == layer.diff_id => None,
            Ok(holds) => Some(format!("blob {digest}: it holds layer {holds}, and its manifest says another one")),
            Err(why) => Some(why),
        };
        if let Some(why) = holds {
            others.insert(*digest, Some(why));
            continue;
        }
        store.commit(|records| kept::put(records, layer.id, KeptBlob::of(*digest, &stat)))?;
        others.remove(digest);
    }
    Ok(())
}

/// Writes which of the blobs that no manifest lists are compressed forms of layers that are there: the image that came with
/// them was removed, and another one has the layer.
fn keep_unlisted(
    store: &Store,
    read: ReadLayer<'_>,
    progress: Progress<'_>,
    others: &mut BTreeMap<Digest, Option<String>>,
) -> Result<()> {
    let mut layers: BTreeMap<DiffId, Vec<LayerId>> = BTreeMap::new();
    for layer in store.layers()? {
        if let Some(diff_id) = layer.diff_id() {
            layers.entry(diff_id).or_default().push(layer.id());
        }
    }
    let unlisted: Vec<_> = others.iter().filter(|(_, why)| why.is_none()).map(|(digest, _)| *digest).collect();
    for digest in unlisted {
        let stat = fs::stat_at(&store.0.blobs, digest.hex()).map_err(|e| Error::call(layout::BLOBS, e))?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let Ok(holds) = held(store, (digest, size), read, progress)? else { continue };
        let Some(layers) = layers.get(&holds) else { continue };
        let blob = KeptBlob::of(digest, &stat);
        store.commit(|records| layers.iter().try_for_each(|layer| kept::put(records, *layer, blob)))?;
        others.remove(&digest);
    }
    Ok(())
}

/// Reads a blob to its end; the layer that it holds in compressed form, or why it holds none.
fn held(
    store: &Store,
    (digest, size): (Digest, u64),
    read: ReadLayer<'_>,
    progress: Progress<'_>,
) -> Result<Result<DiffId, String>> {
    let what = format!("blob {digest}");
    let blob = BlobReader::open(store, digest, size).map_err(|e| Error::call(&*what, e))?;
    let holds = read(&mut progress.reader(blob, Stage::Check, digest.to_string(), Some(size)));
    // A read that the caller ended says nothing of the blob.
    progress.report(Stage::Check, &digest.to_string(), size, Some(size))?;
    Ok(holds.map_err(|error| report(&Error::new(ErrorKind::Corrupt, what).because(error))))
}

/// The chain of these layers, `None` inside for none of them; `None` when one is missing.
fn chain(store: &Store, diff_ids: &[DiffId]) -> Result<Option<Option<ChainId>>> {
    let mut chain = None;
    for diff_id in diff_ids {
        let next = chain_id(chain.as_ref(), diff_id);
        if store.chain(&next)?.is_none() {
            return Ok(None);
        }
        chain = Some(next);
    }
    Ok(Some(chain))
}
