//! Writes OCI layouts, into a tar archive or a directory.
//!
//! ```text
//! oci-layout
//! blobs/sha256/<64 hex>    layers, configs, manifests
//! index.json               one descriptor for each name
//! manifest.json            in an archive: the same images for docker, on the same blobs
//! ```
//!
//! A name goes into `org.opencontainers.image.ref.name` whole, as podman and skopeo have it, and, when it names
//! its registry, into `io.containerd.image.name` as well.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use plyfs_diff::Digest;
use plyfs_store::Reference;
use serde_json::{Value, json};

use super::docker::{entries, json as to_bytes};
use super::sink::Sink;
use super::{Outgoing, OutgoingLayer, Packing};
use crate::compression::Compression;
use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{self, blob_path};
use crate::manifest::parse;

/// Writes all images; in a directory, beside those that are there.
pub(super) fn write(images: &[Outgoing<'_>], sink: &mut Sink<'_>, packing: Packing) -> Result<()> {
    let before = sink.index()?;
    sink.document(layout::OCI_LAYOUT, layout::OCI_LAYOUT_CONTENT.as_bytes())?;
    sink.blob_directories()?;
    let (mut blobs, mut written) = (BTreeMap::new(), BTreeSet::new());
    let mut descriptors = Vec::new();
    for image in images.iter().filter(|image| written.insert(image.id)) {
        for layer in &image.layers {
            if let Entry::Vacant(unwritten) = blobs.entry(layer.diff_id) {
                unwritten.insert(sink.layer(layer, packing, |blob| blob_path(&blob.digest))?);
            }
        }
        sink.document(&blob_path(&image.id), &image.config)?;
        let manifest = to_bytes(&manifest(image, &blobs, packing.compression))?;
        let blob = Promise { digest: Digest::of(&manifest), size: manifest.len() as u64 };
        sink.document(&blob_path(&blob.digest), &manifest)?;
        descriptors.extend(named(&blob, &image.names));
    }
    sink.document(layout::OCI_INDEX, &to_bytes(&index(before.as_deref(), descriptors)?)?)?;
    if sink.is_archive() {
        let layer_path = |diff_id: &Digest| blob_path(&blobs[diff_id].digest);
        sink.document(layout::DOCKER_MANIFEST, &to_bytes(&entries(images, blob_path, layer_path))?)?;
    }
    Ok(())
}

fn descriptor(media_type: &str, blob: &Promise) -> Value {
    json!({ "mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size })
}

fn manifest(image: &Outgoing<'_>, blobs: &BTreeMap<Digest, Promise>, compression: Compression) -> Value {
    let config = Promise { digest: image.id, size: image.config.len() as u64 };
    let layer_type = format!("{}{}", layout::MEDIA_LAYER, compression.suffix());
    let layer = |layer: &OutgoingLayer<'_>| descriptor(&layer_type, &blobs[&layer.diff_id]);
    json!({
        "schemaVersion": 2,
        "mediaType": layout::MEDIA_MANIFEST,
        "config": descriptor(layout::MEDIA_CONFIG, &config),
        "layers": image.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

/// One descriptor for each name; one without a name for an image that has none.
fn named(manifest: &Promise, names: &[Reference]) -> Vec<Value> {
    let bare = descriptor(layout::MEDIA_MANIFEST, manifest);
    let with_name = |name: &Reference| {
        let mut descriptor = bare.clone();
        descriptor["annotations"] = json!({ layout::ANNOTATION_REF_NAME: name.as_str() });
        if names_a_registry(name) {
            descriptor["annotations"][layout::ANNOTATION_IMAGE_NAME] = name.as_str().into();
        }
        descriptor
    };
    if names.is_empty() { vec![bare] } else { names.iter().map(with_name).collect() }
}

/// Says whether the first part of a name is a host, as docker tells it.
fn names_a_registry(name: &Reference) -> bool {
    let host = name.repository().split_once('/').map(|(host, _)| host);
    host.is_some_and(|host| host.contains(['.', ':']) || host == "localhost")
}

/// The index with these descriptors; those that were there and whose names are not taken over stay as they are.
fn index(before: Option<&[u8]>, descriptors: Vec<Value>) -> Result<Value> {
    let empty = || json!({ "schemaVersion": 2, "mediaType": layout::MEDIA_INDEX, "manifests": [] });
    let mut index = before.map_or_else(|| Ok(empty()), |bytes| parse(bytes, layout::OCI_INDEX))?;
    let list = index.get_mut("manifests").and_then(Value::as_array_mut);
    let list = list.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("{} of the layout that is there lists nothing", layout::OCI_INDEX))
    })?;
    let name = |of: &Value| of["annotations"].get(layout::ANNOTATION_REF_NAME).cloned();
    let same = |old: &Value, new: &Value| match (name(old), name(new)) {
        (Some(old), Some(new)) => old == new,
        (None, None) => old["digest"] == new["digest"],
        _ => false,
    };
    list.retain(|old| !descriptors.iter().any(|new| same(old, new)));
    list.extend(descriptors);
    Ok(index)
}
