//! Images from archives and layouts into a store.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

use plyfs_diff::DigestReader;
use plyfs_store::{
    AppliedLayer, ChainId, Image, LayerId, NewImage, Operation, Progress, Reference, Stage, Store, chain_id,
};

use crate::compression::Decoder;
use crate::config;
use crate::digest::Verified;
use crate::error::{Error, ErrorKind, Result};
use crate::incoming::{self, Incoming, IncomingLayer, missing};
use crate::members::Members;
use crate::source::Source;
use crate::unpack::unpack;

/// What one image of an archive became.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The image, new or known.
    pub image: Image,
    /// The names it came with, which mean it from now on.
    pub names: Vec<Reference>,
    /// What could not be taken over, in words: a name that is none, a file that a layer cannot hold.
    pub skipped: Vec<String>,
}

/// Loads all images of an archive or layout, all or none; durable on return.
///
/// Every digest is verified: of manifests and configs, of compressed layers as they are read, and of every
/// unpacked layer against the config. A layer that the store has already, upon the same chain, is not read.
/// Processes that load the same layers at once do the work once.
#[doc(alias = "ApplyDiff")]
pub fn load(store: &Store, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>> {
    let name = source.name().to_owned();
    load_all(store, source, progress).map_err(|error| Error::wrap(format!("load {name}"), error))
}

fn load_all(store: &Store, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>> {
    let staging = |error| Error::store("stage", error);
    let mut operation = store.operation().map_err(staging)?;
    let spool = operation.spool().map_err(staging)?;
    let wanted = source.wanted();
    let members = source.members(spool.as_fd(), progress)?;
    let images = incoming::read(&members, &wanted)?;
    operation.claim(images.iter().flat_map(chains).collect::<BTreeSet<_>>()).map_err(staging)?;
    let mut skipped = Vec::new();
    for image in &images {
        let staged = stage(&mut operation, &members, image, progress);
        skipped.push(staged.map_err(|error| Error::wrap(image.label(), error))?);
    }
    crate::publish::publish(operation, progress)?;
    let loaded = images.into_iter().zip(skipped).map(|(image, skipped)| {
        let known = store.image_by_id(&image.id).map_err(|error| Error::store(image.label(), error))?;
        Ok(Loaded { image: known, names: image.names, skipped })
    });
    loaded.collect()
}

/// The chains an image stands for, lowest first.
fn chains(image: &Incoming) -> Vec<ChainId> {
    let fold = |below: &mut Option<ChainId>, layer: &IncomingLayer| {
        *below = Some(chain_id(below.as_ref(), &layer.diff_id));
        *below
    };
    image.layers.iter().scan(None, fold).collect()
}

/// Stages one image with what it lacks; says what its layers could not hold.
fn stage(
    operation: &mut Operation,
    members: &Members,
    image: &Incoming,
    progress: Progress<'_>,
) -> Result<Vec<String>> {
    let staging = |error| Error::store("stage", error);
    let mut skipped = image.notes.clone();
    let mut below: Option<(LayerId, ChainId)> = None;
    for layer in &image.layers {
        let chain = below.map(|(_, chain)| chain);
        let applied = match operation.reuse(chain.as_ref(), &layer.diff_id).map_err(staging)? {
            Some(known) => known,
            None => stage_layer(operation, members, layer, below.map(|(id, _)| id), progress)?,
        };
        skipped.extend(applied.skipped.iter().map(ToString::to_string));
        below = Some((applied.id, applied.chain_id));
    }
    let id = operation.blob(&image.config).map_err(staging)?;
    let manifest = image.manifest.as_ref().map(|bytes| operation.blob(bytes)).transpose().map_err(staging)?;
    let facts = config::facts(&image.config)?;
    operation.image(NewImage {
        id,
        top: below.map(|(id, _)| id),
        manifest,
        names: image.names.clone(),
        built: facts.created,
        architecture: facts.architecture,
        os: facts.os,
    });
    Ok(skipped)
}

fn stage_layer(
    operation: &mut Operation,
    members: &Members,
    layer: &IncomingLayer,
    parent: Option<LayerId>,
    progress: Progress<'_>,
) -> Result<AppliedLayer> {
    let member = members.open(&layer.member)?.ok_or_else(|| missing(&layer.member))?;
    let size = member.size();
    let member = progress.reader(member, Stage::Unpack, layer.diff_id.to_string(), Some(size));
    let what = format!("layer {}", layer.diff_id);
    let staged = match layer.promise {
        // A blob with the DiffId for its digest is plain, and held to the DiffId anyway.
        Some(promise) if promise.digest != layer.diff_id => {
            let what = format!("{what}, blob {}", promise.digest);
            unpack(operation, Verified::new(member, promise), parent, Some(&layer.diff_id), &what)
        }
        _ => unpack(operation, member, parent, Some(&layer.diff_id), &what),
    };
    staged.map_err(|error| judge(error, members, layer))
}

/// Tells an archive that is malformed from one that only became so: bytes that are not those of the DiffId are
/// [`ErrorKind::Corrupt`].
fn judge(error: Error, members: &Members, layer: &IncomingLayer) -> Error {
    if error.kind() != ErrorKind::InvalidInput {
        return error;
    }
    let Ok(Some(member)) = members.open(&layer.member) else { return error };
    let Ok(plain) = Decoder::new(member) else { return error };
    let mut plain = DigestReader::new(plain);
    if io::copy(&mut plain, &mut io::sink()).is_err() {
        return error;
    }
    match plain.finish() {
        (digest, ..) if digest == layer.diff_id => error,
        (digest, ..) => {
            let message = format!("layer {}: its archive has the digest {digest}", layer.diff_id);
            Error::new(ErrorKind::Corrupt, message).because(error)
        }
    }
}
