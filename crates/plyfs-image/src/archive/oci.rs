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
use super::received::{Form, forms};
use super::sink::Sink;
use super::{Outgoing, OutgoingLayer, Packing};
use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result, at_most};
use crate::json::fields::MANIFEST;
use crate::json::parse;
use crate::layout::{self, MAX_DESCRIPTORS, blob_path};

/// Writes all images; in a directory, beside those that are there, and those that others add meanwhile.
pub(super) fn write(images: &[Outgoing<'_>], sink: &mut Sink<'_>, packing: Packing) -> Result<()> {
    // One that nothing can be added to is refused before the layers are written.
    index(sink.index()?.as_deref(), Vec::new())?;
    sink.begin_layout()?;
    let (mut blobs, mut paths, mut descriptors) = (Blobs::default(), BTreeMap::new(), Vec::new());
    for image in images {
        if paths.contains_key(&image.id) {
            continue;
        }
        let forms = forms(image, packing)?;
        let layers = image.layers.iter().zip(&forms.layers);
        let layers = layers.map(|(layer, form)| blobs.write(sink, layer, form)).collect::<Result<Vec<_>>>()?;
        sink.document(&blob_path(&image.id), &image.config)?;
        let manifest =
            forms.manifest.map_or_else(|| to_bytes(&manifest(image, &layers)), |bytes| Ok(bytes.to_vec()))?;
        let blob = Promise { digest: Digest::of(&manifest), size: manifest.len() as u64 };
        sink.document(&blob_path(&blob.digest), &manifest)?;
        descriptors.extend(named(&blob, &image.names));
        paths.insert(image.id, layers.iter().map(|(_, blob)| blob_path(&blob.digest)).collect::<Vec<_>>());
    }
    sink.merge_index(|before| to_bytes(&index(before, descriptors)?))?;
    if sink.is_archive() {
        let layers = |image: &Outgoing<'_>| paths[&image.id].clone();
        sink.document(layout::DOCKER_MANIFEST, &to_bytes(&entries(images, blob_path, layers))?)?;
    }
    Ok(())
}

/// The blobs of layers that are written, each once.
#[derive(Default)]
struct Blobs {
    packed: BTreeMap<(Digest, &'static str), Promise>,
    kept: BTreeSet<Digest>,
}

impl Blobs {
    /// Writes a layer in this form unless that was done; how it is compressed, and what it is.
    fn write(
        &mut self,
        sink: &mut Sink<'_>,
        layer: &OutgoingLayer<'_>,
        form: &Form<'_>,
    ) -> Result<(&'static str, Promise)> {
        match form {
            Form::Kept(kept, suffix) => {
                if self.kept.insert(kept.promise.digest) {
                    sink.kept(&blob_path(&kept.promise.digest), kept)?;
                }
                Ok((*suffix, kept.promise))
            }
            Form::Packed(packing) => {
                let suffix = packing.compression.suffix();
                let promise = match self.packed.entry((layer.diff_id, suffix)) {
                    Entry::Occupied(written) => *written.get(),
                    Entry::Vacant(new) => *new.insert(sink.layer(layer, *packing, |blob| blob_path(&blob.digest))?),
                };
                Ok((suffix, promise))
            }
        }
    }
}

fn descriptor(media_type: &str, blob: &Promise) -> Value {
    json!({ "mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size })
}

fn manifest(image: &Outgoing<'_>, layers: &[(&'static str, Promise)]) -> Value {
    let config = Promise { digest: image.id, size: image.config.len() as u64 };
    let layer = |(suffix, blob): &(&str, Promise)| descriptor(&format!("{}{suffix}", layout::MEDIA_LAYER), blob);
    json!({
        "schemaVersion": 2,
        "mediaType": layout::MEDIA_MANIFEST,
        "config": descriptor(layout::MEDIA_CONFIG, &config),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
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
    let mut index = before.map_or_else(|| Ok(empty()), |bytes| parse(bytes, layout::OCI_INDEX, &MANIFEST))?;
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
    at_most(MAX_DESCRIPTORS, list.len(), layout::OCI_INDEX, "manifests").map(|()| index)
}
