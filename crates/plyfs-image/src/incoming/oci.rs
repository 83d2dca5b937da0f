//! The `index.json` of an OCI layout: descriptors of manifests or of further indexes, one for each image.
//!
//! A nested index is one image for many platforms, and the wanted one is taken, as it is of images listed by one name. A
//! name is taken from `org.opencontainers.image.ref.name` when it is a whole name, as podman and skopeo write it, else from
//! `io.containerd.image.name`. A bare tag, as umoci writes, names no repository: the image comes in without a name, and a
//! note says so.

use std::collections::BTreeMap;

use plyfs_diff::Digest;
use plyfs_store::Reference;
use serde::Deserialize;

use super::images::Images;
use super::{Incoming, IncomingLayer, Wanted, choice, docker, missing};
use crate::config;
use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::json::fields::LAYOUT;
use crate::json::parse;
use crate::layout::{self, MAX_DOCUMENT, MAX_INDEX_DEPTH};
use crate::manifest::{Descriptor, Index, Manifest, has_subject};
use crate::members::Members;

/// Reads all images of the layout; one that is listed again with other names is not read again.
///
/// What is about another manifest, such as a signature, is passed over where there are images.
pub(super) fn read(members: &Members, wanted: &Wanted, images: &mut Images<'_>) -> Result<()> {
    check_version(members)?;
    let bytes = members.document(layout::OCI_INDEX)?.ok_or_else(|| missing(layout::OCI_INDEX))?;
    let index = Index::parse(&bytes, layout::MEDIA_INDEX, layout::OCI_INDEX)?;
    let given = docker::names(members)?;
    let (mut read, mut about) = (BTreeMap::new(), None);
    for descriptor in choice::of_list(&index.manifests, wanted)? {
        let (names, notes) = names(descriptor);
        if let Some((place, is_given)) =
            descriptor.promise("manifest").ok().and_then(|promise| read.get(&promise.digest))
        {
            if !is_given {
                images.name(*place, names, notes);
            }
            continue;
        }
        let named = |error| match names.first() {
            Some(name) => Error::wrap(format!("image {name}"), error),
            None => error,
        };
        let mut image = match image(members, descriptor, wanted).map_err(named)? {
            Manifested::Image(image) => image,
            Manifested::About(error) => {
                about.get_or_insert(error);
                continue;
            }
        };
        let given = given.iter().find(|(id, names)| *id == image.id && !names.is_empty());
        (image.names, image.notes) = given.map_or((names, notes), |(_, names)| (names.clone(), Vec::new()));
        read.insert(descriptor.promise("manifest")?.digest, (images.take(image)?, given.is_some()));
    }
    match about {
        Some(error) if read.is_empty() => Err(error),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct LayoutFile {
    image_layout_version: String,
}

/// Versions 1.x of the layout are read; a layout without the file is taken for one.
fn check_version(members: &Members) -> Result<()> {
    let Some(bytes) = members.document(layout::OCI_LAYOUT)? else { return Ok(()) };
    let file: LayoutFile = parse(&bytes, layout::OCI_LAYOUT, &LAYOUT)?;
    if file.image_layout_version.starts_with("1.") {
        return Ok(());
    }
    let message = format!("{}: version {}", layout::OCI_LAYOUT, shown(&file.image_layout_version));
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// What a descriptor leads to.
enum Manifested {
    Image(Incoming),
    /// What is about another manifest, and why it is no image.
    About(Error),
}

fn image(members: &Members, descriptor: &Descriptor, wanted: &Wanted) -> Result<Manifested> {
    let (what, descriptor, bytes) = manifest(members, descriptor, wanted, 0)?;
    let parsed = match Manifest::parse(&bytes, &descriptor.media_type, &what) {
        Err(error) if error.kind() == ErrorKind::Unsupported && has_subject(&bytes) => {
            return Ok(Manifested::About(error));
        }
        parsed => parsed?,
    };
    let image = of_manifest(members, &what, parsed, bytes, layout::blob_path)?;
    Ok(Manifested::Image(Incoming { stated: descriptor.platform, ..image }))
}

/// The image of a manifest, which is called `what` and was read from these bytes; each blob is the member that `path` gives
/// for its digest.
pub(super) fn of_manifest(
    members: &Members,
    what: &str,
    (manifest, config): (Manifest, Descriptor),
    bytes: Vec<u8>,
    path: impl Fn(&Digest) -> String,
) -> Result<Incoming> {
    let named = |error| Error::wrap(what, error);
    let config = blob(members, &config, &path, "config").map_err(named)?;
    let diff_ids = config::diff_ids(&config, manifest.layers.len()).map_err(named)?;
    let layers = manifest.layers.iter().zip(diff_ids).enumerate().map(|(number, (layer, diff_id))| {
        let promise = layer.promise(&format!("{what}: layers[{number}]"))?;
        let member = path(&promise.digest);
        Ok(IncomingLayer { diff_id, member, promise: Some(promise), foreign: layer.foreign() })
    });
    let (id, layers) = (Digest::of(&config), layers.collect::<Result<_>>()?);
    Ok(Incoming { id, config, manifest: Some(bytes), stated: None, names: Vec::new(), layers, notes: Vec::new() })
}

/// Follows indexes down to a manifest: what it is called, its descriptor, its bytes.
fn manifest(
    members: &Members,
    descriptor: &Descriptor,
    wanted: &Wanted,
    depth: usize,
) -> Result<(String, Descriptor, Vec<u8>)> {
    let media_type = descriptor.media_type.as_str();
    let is_index = [layout::MEDIA_INDEX, layout::MEDIA_DOCKER_LIST].contains(&media_type);
    let word = if is_index { "index" } else { "manifest" };
    let what = format!("{word} {}", descriptor.promise(word)?.digest);
    if !is_index && ![layout::MEDIA_MANIFEST, layout::MEDIA_DOCKER_MANIFEST].contains(&media_type) {
        return Err(Error::new(ErrorKind::Unsupported, format!("{what}: of type {}", shown(media_type))));
    }
    let bytes = blob(members, descriptor, layout::blob_path, &what)?;
    if !is_index {
        return Ok((what, descriptor.clone(), bytes));
    }
    if depth >= MAX_INDEX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: indexes nest too deep")));
    }
    let index = Index::parse(&bytes, media_type, &what)?;
    manifest(members, choice::of_index(members, &index, wanted, &what)?, wanted, depth + 1)
}

/// The config of an image in an index, to learn what it is for; `None` where it is not in the archive, or no image.
pub(super) fn config_of(members: &Members, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
    let is_there =
        |descriptor: &Descriptor, what: &str| members.has(&layout::blob_path(&descriptor.promise(what)?.digest));
    if !is_there(descriptor, "manifest")? {
        return Ok(None);
    }
    let bytes = blob(members, descriptor, layout::blob_path, "manifest")?;
    let Ok((_, config)) = Manifest::parse(&bytes, &descriptor.media_type, "manifest") else { return Ok(None) };
    if is_there(&config, "config")? { blob(members, &config, layout::blob_path, "config").map(Some) } else { Ok(None) }
}

/// Reads the document that is at this path for its digest, and holds it to its descriptor.
fn blob(members: &Members, descriptor: &Descriptor, path: impl Fn(&Digest) -> String, what: &str) -> Result<Vec<u8>> {
    let promise = descriptor.promise(what)?;
    at_most(MAX_DOCUMENT, promise.size, what, "bytes")?;
    let path = path(&promise.digest);
    let bytes = members.document(&path).and_then(|bytes| bytes.ok_or_else(|| missing(&path)));
    let checked = bytes.and_then(|bytes| promise.check(&bytes).map(|()| bytes));
    checked.map_err(|error| Error::wrap(what, error))
}

/// What a descriptor calls its image: a whole name where there is one, else a tag.
pub(super) fn name(descriptor: &Descriptor) -> Option<&str> {
    let annotation = |key| descriptor.annotations.get(key).map(String::as_str);
    let tag_or_whole = annotation(layout::ANNOTATION_REF_NAME);
    let whole = tag_or_whole.filter(|name| is_whole(name));
    whole.or_else(|| annotation(layout::ANNOTATION_IMAGE_NAME)).or(tag_or_whole)
}

/// Says whether a text is more than a tag.
fn is_whole(name: &str) -> bool {
    name.contains([':', '/'])
}

/// The name a descriptor gives its image, or a note on why it gives none.
fn names(descriptor: &Descriptor) -> (Vec<Reference>, Vec<String>) {
    let is_tag = |name: &str| !is_whole(name) && !descriptor.annotations.contains_key(layout::ANNOTATION_IMAGE_NAME);
    match name(descriptor).map(|name| (name, name.parse::<Reference>())) {
        None => (Vec::new(), Vec::new()),
        Some((tag, _)) if is_tag(tag) => (Vec::new(), vec![format!("the tag {}: without a repository", shown(tag))]),
        Some((_, Ok(name))) => (vec![name], Vec::new()),
        Some((name, Err(_))) => (Vec::new(), vec![format!("the name {}: no image reference", shown(name))]),
    }
}
