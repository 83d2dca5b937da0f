//! The `manifest.json` of a docker-archive: a list of images, each with config, names and layers by member name.
//!
//! A config is called by its digest, `<64 hex>.json` or `blobs/sha256/<64 hex>`, and held to it; layers have no
//! digest of their own, the DiffIds of the config bind them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use plyfs_diff::Digest;
use plyfs_store::Reference;

use super::images::Images;
use super::{Incoming, IncomingLayer, missing};
use crate::config;
use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::json::fields::ENTRIES;
use crate::json::parse_list;
use crate::layout::{DOCKER_MANIFEST, MAX_DESCRIPTORS, MAX_NAMES};
use crate::manifest::DockerEntry;
use crate::members::Members;

/// What docker before 1.13 writes for an image without a name.
const NO_NAME: &str = "<none>:<none>";

/// Reads all images of the list; one that is listed again with other names is not read again.
pub(super) fn read(members: &Members, images: &mut Images<'_>) -> Result<()> {
    let mut read = BTreeMap::new();
    for entry in entries(members)? {
        match read.entry((entry.config.clone(), entry.layers.clone())) {
            Entry::Occupied(place) => images.name(*place.get(), tags(&entry)?, Vec::new()),
            Entry::Vacant(new) => drop(new.insert(images.take(image(members, &entry)?)?)),
        }
    }
    Ok(())
}

/// The list, or nothing when there is none.
fn entries(members: &Members) -> Result<Vec<DockerEntry>> {
    let Some(bytes) = members.document(DOCKER_MANIFEST)? else { return Ok(Vec::new()) };
    let entries: Vec<DockerEntry> = parse_list(&bytes, DOCKER_MANIFEST, &ENTRIES)?;
    at_most(MAX_DESCRIPTORS, entries.len(), DOCKER_MANIFEST, "images").map(|()| entries)
}

/// The names the list gives the images of a layout, by config digest.
pub(super) fn names(members: &Members) -> Result<Vec<(Digest, Vec<Reference>)>> {
    let mut all = Vec::new();
    for entry in entries(members)? {
        if let Some(digest) = digest_in_name(&entry.config) {
            all.push((digest, tags(&entry)?));
        }
    }
    Ok(all)
}

fn image(members: &Members, entry: &DockerEntry) -> Result<Incoming> {
    let names = tags(entry)?;
    let label =
        || names.first().map_or_else(|| format!("image {}", shown(&entry.config)), |name| format!("image {name}"));
    let named = |error| Error::wrap(label(), error);
    let config = members.document(&entry.config).map_err(named)?;
    let config = config.ok_or_else(|| named(Error::wrap("config", missing(&entry.config))))?;
    let id = Digest::of(&config);
    if digest_in_name(&entry.config).is_some_and(|named| named != id) {
        let message = format!("config {}: the bytes have the digest {id}", shown(&entry.config));
        return Err(named(Error::new(ErrorKind::Corrupt, message)));
    }
    let diff_ids = config::diff_ids(&config, entry.layers.len()).map_err(named)?;
    let layers = entry.layers.iter().zip(diff_ids);
    let layers =
        layers.map(|(member, diff_id)| IncomingLayer { diff_id, member: member.clone(), promise: None, foreign: None });
    Ok(Incoming { id, config, manifest: None, stated: None, names, layers: layers.collect(), notes: Vec::new() })
}

fn tags(entry: &DockerEntry) -> Result<Vec<Reference>> {
    at_most(MAX_NAMES, entry.repo_tags.len(), &format!("{DOCKER_MANIFEST}: RepoTags"), "names")?;
    let named = entry.repo_tags.iter().filter(|tag| *tag != NO_NAME);
    let parsed = named.map(|tag| {
        let parsed = tag.parse::<Reference>();
        parsed.map_err(|error| Error::new(ErrorKind::InvalidInput, format!("{DOCKER_MANIFEST}: RepoTags: {error}")))
    });
    parsed.collect()
}

/// The digest a member is called by, if it is; some write it with its algorithm.
fn digest_in_name(member: &str) -> Option<Digest> {
    let stem = member.rsplit('/').next()?;
    let hex = stem.strip_suffix(".json").unwrap_or(stem);
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex);
    format!("sha256:{hex}").parse().ok()
}
