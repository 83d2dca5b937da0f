//! Writes docker-archives: `manifest.json`, the configs, then the layers.
//!
//! ```text
//! manifest.json      first, so that who reads a stream knows what follows
//! <64 hex>.json      a config, by its digest
//! <64 hex>.tar       a layer, by its DiffId
//! ```

use std::collections::BTreeSet;

use plyfs_diff::Digest;

use super::sink::Sink;
use super::{Outgoing, Packing};
use crate::error::{Error, ErrorKind, Result, at_most};
use crate::layout::{DOCKER_MANIFEST, MAX_DOCUMENT};
use crate::manifest::DockerEntry;

/// Writes all images.
pub(super) fn write(images: &[Outgoing<'_>], sink: &mut Sink<'_>, packing: Packing) -> Result<()> {
    let layers = |image: &Outgoing<'_>| image.layers.iter().map(|of| format!("{}.tar", of.diff_id.hex())).collect();
    let entries = entries(images, |image| format!("{}.json", image.hex()), layers);
    sink.document(DOCKER_MANIFEST, &json(&entries)?)?;
    let mut written = BTreeSet::new();
    for image in images.iter().filter(|image| written.insert(image.id)) {
        sink.document(&format!("{}.json", image.id.hex()), &image.config)?;
    }
    let mut written = BTreeSet::new();
    let layers = images.iter().flat_map(|image| &image.layers);
    for layer in layers.filter(|layer| written.insert(layer.diff_id)) {
        sink.layer(layer, packing, |_| format!("{}.tar", layer.diff_id.hex()))?;
    }
    Ok(())
}

/// The entries of `manifest.json`, where configs and layers have the names that the functions give them.
pub(super) fn entries(
    images: &[Outgoing<'_>],
    config: impl Fn(&Digest) -> String,
    layers: impl Fn(&Outgoing<'_>) -> Vec<String>,
) -> Vec<DockerEntry> {
    let mut written = BTreeSet::new();
    let images = images.iter().filter(|image| written.insert(image.id));
    let entry = |image: &Outgoing<'_>| DockerEntry {
        config: config(&image.id),
        repo_tags: image.names.iter().map(ToString::to_string).collect(),
        layers: layers(image),
    };
    images.map(entry).collect()
}

/// The bytes of a document of ours, which is not larger than what is read again.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let failed = |error| Error::new(ErrorKind::InvalidInput, "write JSON").because(error);
    let bytes = serde_json::to_vec(value).map_err(failed)?;
    at_most(MAX_DOCUMENT, bytes.len() as u64, "a document", "bytes").map(|()| bytes)
}
