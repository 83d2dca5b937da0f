//! Which descriptor of an index is taken, where several are for different platforms.
//!
//! That whose platform suits the wanted one best, the first of those that suit as well. What says nothing of its platform
//! may be for any: in an index its config is asked then. What is about an image, such as an attestation, is none.

use std::collections::{BTreeMap, BTreeSet};

use super::Wanted;
use super::oci::{config_of, name};
use crate::error::{Error, ErrorKind, Result};
use crate::json::fields::CONFIG;
use crate::layout::blob_path;
use crate::manifest::{Descriptor, Index};
use crate::members::Members;
use crate::platform::{Platform, Stated};

/// How many platforms an error lists.
const MAX_LISTED: usize = 20;

/// The descriptors of a layout's list that stand for images: of those with the same name, those for the best platform.
///
/// One image alone is taken whatever it is for. Several for different platforms, none of them wanted, are
/// [`ErrorKind::Unsupported`].
pub(super) fn of_list<'a>(all: &'a [Descriptor], wanted: &Wanted) -> Result<Vec<&'a Descriptor>> {
    let platform = wanted.platform();
    let mut named: BTreeMap<Option<&str>, Named<'_>> = BTreeMap::new();
    for (stated, descriptor) in images(all).filter_map(|image| Some((image.platform.as_ref()?, image))) {
        let named = named.entry(name(descriptor)).or_default();
        named.platforms.insert(stated);
        named.best = [named.best, platform.rank(stated)].into_iter().flatten().min();
    }
    for (name, named) in &named {
        if named.best.is_none() && named.platforms.len() > 1 {
            let what = name.map_or_else(|| "the archive".to_owned(), crate::error::shown);
            return Err(none_for(&what, &platform, &listed(named.platforms.iter().copied())));
        }
    }
    let is_best = |image: &&Descriptor| {
        let best = named.get(&name(image)).and_then(|named| named.best);
        let rank = image.platform.as_ref().map(|stated| platform.rank(stated));
        best.is_none() || rank.is_none_or(|rank| rank == best)
    };
    Ok(images(all).filter(is_best).collect())
}

/// What is known of the descriptors of one name.
#[derive(Default)]
struct Named<'a> {
    platforms: BTreeSet<&'a Stated>,
    /// The rank of the one that suits best.
    best: Option<u32>,
}

/// The descriptor of an index that is taken; the only one, if nothing says what it is for.
///
/// What the archive does not hold is no choice, unless it holds none: who exports one platform of an image writes the index
/// of all. Where that is the wanted one, the error names its manifest.
pub(super) fn of_index<'a>(members: &Members, index: &'a Index, wanted: &Wanted, what: &str) -> Result<&'a Descriptor> {
    let platform = wanted.platform();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for image in images(&index.manifests) {
        if is_there(members, image)? { &mut there } else { &mut gone }.push(image);
    }
    if there.is_empty() {
        std::mem::swap(&mut there, &mut gone);
    }
    if let [only] = there[..]
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let mut stated = Vec::new();
    for image in there {
        let says = match &image.platform {
            Some(platform) => Some(platform.clone()),
            None => config_of(members, image)?.and_then(|config| crate::json::parse(&config, "config", &CONFIG).ok()),
        };
        stated.extend(says.map(|says| (image, says)));
    }
    if let Some((image, _)) = best(&platform, stated.iter().map(|(image, says)| (*image, says))) {
        return Ok(image);
    }
    if images(&index.manifests).next().is_none() {
        let rest = if index.manifests.is_empty() { "" } else { ", only attestations" };
        return Err(Error::new(ErrorKind::Unsupported, format!("{what}: no image in it{rest}")));
    }
    let listed = listed(stated.iter().map(|(_, says)| says));
    Err(match best(&platform, gone.iter().filter_map(|image| Some((*image, image.platform.as_ref()?)))) {
        Some((image, says)) => left_out(what, image, says, &listed)?,
        None => none_for(what, &platform, &listed),
    })
}

/// The first of those that suit a platform best.
fn best<'a, 'b>(
    platform: &Platform,
    all: impl Iterator<Item = (&'a Descriptor, &'b Stated)>,
) -> Option<(&'a Descriptor, &'b Stated)> {
    let ranked = all.filter_map(|(image, says)| Some((platform.rank(says)?, image, says)));
    ranked.min_by_key(|(rank, ..)| *rank).map(|(_, image, says)| (image, says))
}

/// Says whether the archive holds what a descriptor points at; of one that points nowhere, that it is to be told when taken.
fn is_there(members: &Members, descriptor: &Descriptor) -> Result<bool> {
    descriptor.promise("manifest").map_or(Ok(true), |promise| members.has(&blob_path(&promise.digest)))
}

fn images(all: &[Descriptor]) -> impl Iterator<Item = &Descriptor> {
    all.iter().filter(|descriptor| !descriptor.is_attestation())
}

fn none_for(what: &str, platform: &Platform, listed: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what}: no image for {platform} in it, but images {listed}"))
}

/// The wanted image is one that the archive does not hold.
fn left_out(what: &str, image: &Descriptor, says: &Stated, listed: &str) -> Result<Error> {
    let digest = image.promise("manifest")?.digest;
    let message = format!("{what}: manifest {digest} for {says} is not in the archive, which has images {listed}");
    Ok(Error::new(ErrorKind::Unsupported, message))
}

/// What the images that are there are for.
fn listed<'a>(there: impl Iterator<Item = &'a Stated>) -> String {
    let there: Vec<_> = there.take(MAX_LISTED).map(ToString::to_string).collect();
    if there.is_empty() { "that do not say what they are for".into() } else { format!("for {}", there.join(", ")) }
}
