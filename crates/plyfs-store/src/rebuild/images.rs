//! Images from the blobs: a config names its layers by their DiffIDs.

use std::collections::BTreeMap;

use plyfs_sys::fs;

use super::{ReadDocument, Rebuilt};
use crate::check::report;
use crate::operation::NewImage;
use crate::progress::{Progress, Stage};
use crate::publish::put_image;
use crate::{ChainId, DiffId, Digest, Error, Result, Store, chain_id, layout};

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
    },
}

/// Writes the record of every image whose layers are there.
pub(super) fn find(store: &Store, read: ReadDocument<'_>, progress: Progress<'_>, rebuilt: &mut Rebuilt) -> Result<()> {
    let mut configs = Vec::new();
    let mut manifests = BTreeMap::new();
    for entry in fs::read_dir(&store.0.blobs).map_err(|e| Error::call(layout::BLOBS, e))? {
        let Ok(digest) = format!("sha256:{}", entry.name.display()).parse::<Digest>() else { continue };
        progress.report(Stage::Check, &digest.to_string(), 0, None)?;
        match store.blob(&digest).map(|bytes| read(&bytes)) {
            Ok(Some(Document::Manifest { config })) => drop(manifests.entry(config).or_insert(digest)),
            Ok(Some(config)) => configs.push((digest, config)),
            Ok(None) => rebuilt.lost.push(format!("blob {digest}: it is no config and no manifest")),
            Err(error) => rebuilt.lost.push(report(&error)),
        }
    }
    for (id, config) in configs {
        let Document::Config { diff_ids, built, architecture, os } = config else { continue };
        let Some(chain) = chain(store, &diff_ids)? else {
            rebuilt.lost.push(format!("image {id}: not all of its layers are there"));
            continue;
        };
        let top = chain.map(|chain| store.chain(&chain)).transpose()?.flatten();
        let manifest = manifests.get(&id).copied();
        let image = NewImage { id, top, manifest, names: Vec::new(), built, architecture, os };
        store.commit(|records| put_image(records, &image))?;
        rebuilt.images.push(id);
        rebuilt.lost.push(format!("image {id}: its names"));
    }
    Ok(())
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
