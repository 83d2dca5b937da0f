//! The `index.json` of an OCI layout: descriptors of manifests or of further indexes, one for each image.
//!
//! A nested index is one image for many platforms, and the wanted one is taken. A name is taken from
//! `org.opencontainers.image.ref.name` when it is a whole name, as podman and skopeo write it, else from
//! `io.containerd.image.name`. A bare tag, as umoci writes, names no repository: the image comes in without a
//! name, and a note says so.

use plyfs_diff::Digest;
use plyfs_store::Reference;
use serde::Deserialize;

use super::{Incoming, IncomingLayer, Wanted, docker, missing};
use crate::config;
use crate::error::{Error, ErrorKind, Result, shown};
use crate::layout::{self, MAX_DOCUMENT, MAX_INDEX_DEPTH};
use crate::manifest::{Descriptor, Index, Manifest, parse};
use crate::members::Members;
use crate::platform::Platform;

/// How many platforms an error lists.
const MAX_LISTED: usize = 20;

/// Reads all images of the layout.
pub(super) fn read(members: &Members, wanted: &Wanted) -> Result<Vec<Incoming>> {
    check_version(members)?;
    let bytes = members.document(layout::OCI_INDEX)?.ok_or_else(|| missing(layout::OCI_INDEX))?;
    let index = Index::parse(&bytes, layout::MEDIA_INDEX, layout::OCI_INDEX)?;
    let given = docker::names(members)?;
    let mut images = Vec::new();
    for descriptor in &index.manifests {
        if descriptor.is_attestation() || is_for_another_platform(descriptor, &index.manifests, wanted) {
            continue;
        }
        let image = image(members, descriptor, wanted);
        let mut image = image.map_err(|error| match names(descriptor).0.first() {
            Some(name) => Error::wrap(format!("image {name}"), error),
            None => error,
        })?;
        if let Some((_, names)) = given.iter().find(|(id, names)| *id == image.id && !names.is_empty()) {
            image.names.clone_from(names);
        } else {
            (image.names, image.notes) = names(descriptor);
        }
        images.push(image);
    }
    Ok(images)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

/// Versions 1.x of the layout are read; a layout without the file is taken for one.
fn check_version(members: &Members) -> Result<()> {
    let Some(bytes) = members.document(layout::OCI_LAYOUT)? else { return Ok(()) };
    let file: LayoutFile = parse(&bytes, layout::OCI_LAYOUT)?;
    if file.image_layout_version.starts_with("1.") {
        return Ok(());
    }
    let message = format!("{}: version {}", layout::OCI_LAYOUT, shown(&file.image_layout_version));
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Says whether another descriptor of the same name is for the wanted platform and this one is not.
fn is_for_another_platform(descriptor: &Descriptor, all: &[Descriptor], wanted: &Wanted) -> bool {
    let name = |of: &Descriptor| of.annotations.get(layout::ANNOTATION_REF_NAME).cloned();
    let platform = wanted.platform();
    let is_wanted = |of: &Descriptor| of.platform.as_ref().map(|stated| platform.takes(stated));
    is_wanted(descriptor) == Some(false)
        && all.iter().any(|other| is_wanted(other) == Some(true) && name(other) == name(descriptor))
}

fn image(members: &Members, descriptor: &Descriptor, wanted: &Wanted) -> Result<Incoming> {
    let (what, media_type, bytes) = manifest(members, descriptor, wanted, 0)?;
    let (manifest, config_descriptor) = Manifest::parse(&bytes, &media_type, &what)?;
    let config = blob(members, &config_descriptor, &format!("{what}: config"))?;
    let diff_ids = config::diff_ids(&config, manifest.layers.len()).map_err(|error| Error::wrap(&what, error))?;
    let layers = manifest.layers.iter().zip(diff_ids).enumerate().map(|(number, (layer, diff_id))| {
        let promise = layer.promise(&format!("{what}: layers[{number}]"))?;
        let member = layout::blob_path(&promise.digest);
        Ok(IncomingLayer { diff_id, member, promise: Some(promise), foreign: layer.foreign() })
    });
    Ok(Incoming {
        id: Digest::of(&config),
        layers: layers.collect::<Result<_>>()?,
        config,
        manifest: Some(bytes),
        names: Vec::new(),
        notes: Vec::new(),
    })
}

/// Follows indexes down to a manifest: what it is called, its media type, its bytes.
fn manifest(
    members: &Members,
    descriptor: &Descriptor,
    wanted: &Wanted,
    depth: usize,
) -> Result<(String, String, Vec<u8>)> {
    let media_type = descriptor.media_type.as_str();
    let is_index = [layout::MEDIA_INDEX, layout::MEDIA_DOCKER_LIST].contains(&media_type);
    let word = if is_index { "index" } else { "manifest" };
    let what = format!("{word} {}", descriptor.promise(word)?.digest);
    if !is_index && ![layout::MEDIA_MANIFEST, layout::MEDIA_DOCKER_MANIFEST].contains(&media_type) {
        return Err(Error::new(ErrorKind::Unsupported, format!("{what}: of type {}", shown(media_type))));
    }
    let bytes = blob(members, descriptor, &what)?;
    if !is_index {
        return Ok((what, media_type.into(), bytes));
    }
    if depth >= MAX_INDEX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: indexes nest too deep")));
    }
    let index = Index::parse(&bytes, media_type, &what)?;
    let chosen = for_platform(&index, &wanted.platform()).ok_or_else(|| {
        let there: Vec<_> = index.manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref()).collect();
        let there: Vec<_> = there.iter().take(MAX_LISTED).map(ToString::to_string).collect();
        let message = format!("{what}: no image for {} in it, but for {}", wanted.platform(), there.join(", "));
        Error::new(ErrorKind::Unsupported, message)
    })?;
    manifest(members, chosen, wanted, depth + 1)
}

/// The descriptor whose platform is the wanted one; else the only one, if it names none.
fn for_platform<'a>(index: &'a Index, platform: &Platform) -> Option<&'a Descriptor> {
    let images = || index.manifests.iter().filter(|descriptor| !descriptor.is_attestation());
    let wanted = images().find(|descriptor| descriptor.platform.as_ref().is_some_and(|stated| platform.takes(stated)));
    wanted.or_else(|| images().next().filter(|only| only.platform.is_none() && images().count() == 1))
}

/// Reads a document and holds it to its descriptor.
fn blob(members: &Members, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>> {
    let promise = descriptor.promise(what)?;
    if promise.size > MAX_DOCUMENT {
        let message = format!("{what}: {} bytes, and {MAX_DOCUMENT} are the most", promise.size);
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let path = layout::blob_path(&promise.digest);
    let bytes = members.document(&path).and_then(|bytes| bytes.ok_or_else(|| missing(&path)));
    let checked = bytes.and_then(|bytes| promise.check(&bytes).map(|()| bytes));
    checked.map_err(|error| Error::wrap(what, error))
}

/// The name a descriptor gives its image, or a note on why it gives none.
fn names(descriptor: &Descriptor) -> (Vec<Reference>, Vec<String>) {
    let annotation = |key| descriptor.annotations.get(key).map(String::as_str);
    let whole = annotation(layout::ANNOTATION_REF_NAME).filter(|name| name.contains([':', '/']));
    let given = whole.or_else(|| annotation(layout::ANNOTATION_IMAGE_NAME));
    match given.map(|name| (name, name.parse::<Reference>())) {
        Some((_, Ok(name))) => (vec![name], Vec::new()),
        Some((name, Err(_))) => (Vec::new(), vec![format!("the name {}: no image reference", shown(name))]),
        None => {
            let tag = annotation(layout::ANNOTATION_REF_NAME);
            (Vec::new(), tag.map(|tag| format!("the tag {}: without a repository", shown(tag))).into_iter().collect())
        }
    }
}
