//! Images from archives and layouts into a store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use plyfs_diff::{DigestReader, Digested};
use plyfs_store::{
    AppliedLayer, ChainId, Image, LayerId, Operation, Progress, Reference, Stage, Store, UnpackedLayer, chain_id,
};

use crate::asked::Asked;
use crate::at_once::{Stop, unpack_at_once};
use crate::compression::Decoder;
use crate::digest::Verified;
use crate::error::{Error, ErrorKind, Result, at_most};
use crate::handover::Helpers;
use crate::incoming::{self, Incoming, IncomingLayer, missing};
use crate::kept::{self, Copied, Tee};
use crate::layout::MAX_LAYERS_OF_ALL;
use crate::losses::Room;
use crate::members::{Member, Members};
use crate::publish::{add_image, publish, published};
use crate::source::Source;
use crate::unpack::decompressed;
use crate::windows::Windows;

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
/// unpacked layer against the config. A layer that the store has already, upon the same chain, is not read; unless its
/// blob is to be kept and is not yet ([`Source::keep_blobs`]).
/// Processes that load the same layers at once do the work once.
///
/// One that is cancelled deletes what it unpacked for 25 ms; what is then left is in `trash`, seen by nobody, until the
/// next [`Store::reap`].
#[doc(alias = "ApplyDiff")]
pub fn load(store: &Store, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>> {
    let name = source.name().to_owned();
    load_all(store, source, progress).map_err(|error| Error::wrap(format!("load {name}"), error))
}

fn load_all(store: &Store, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>> {
    let staged = publish(store, progress, |operation| stage_all(operation, source, progress))?;
    let loaded = staged.into_iter().map(|(image, skipped)| {
        let known = published(store, &image.id)?;
        Ok(Loaded { image: known, names: image.names, skipped })
    });
    loaded.collect()
}

/// Stages all images of a source; says of each what its layers could not hold.
fn stage_all(
    operation: &mut Operation,
    source: Source<'_>,
    progress: Progress<'_>,
) -> Result<Vec<(Incoming, Vec<String>)>> {
    let staging = |error| Error::store("stage", error);
    let spool = operation.spool().map_err(staging)?;
    let (wanted, keeps_blobs, windows) = (source.wanted(), source.keeps_blobs(), Windows::up_to(source.window()));
    let members = source.members(spool.as_fd(), progress)?;
    let images = incoming::read(&members, &wanted)?;
    operation.claim(all_chains(&images)?, progress).map_err(staging)?;
    let load = Load { members: &members, keeps_blobs, windows, progress };
    let mut known = load.layers(operation, &images)?;
    let copied = load.copied(&images, &known);
    let (mut skipped, mut room) = (Vec::new(), Room::beside(images.iter().flat_map(|image| &image.notes)));
    for image in &images {
        let staged = load.stage(operation, image, &mut known, &mut room);
        skipped.push(staged.map_err(|error| Error::wrap(image.label(), error))?);
    }
    if keeps_blobs {
        // Also where every blob is there already, or needs not be: what goes out is what came in last.
        operation.replace_manifests();
        let there = known.iter().filter_map(|(chain, known)| match known {
            Known::There(layer) => Some((*chain, layer.id)),
            Known::Unpacked(_) => None,
        });
        load.keep(operation, &images, &there.collect(), copied)?;
    }
    Ok(images.into_iter().zip(skipped).collect())
}

/// The chains that all images stand for; a small archive can name any number of them with few layers.
fn all_chains(images: &[Incoming]) -> Result<BTreeSet<ChainId>> {
    let mut all = BTreeSet::new();
    for image in images {
        all.extend(chains(image));
        at_most(MAX_LAYERS_OF_ALL, all.len(), "the archive", "layers of all images")?;
    }
    Ok(all)
}

/// The chains an image stands for, lowest first.
pub(crate) fn chains(image: &Incoming) -> Vec<ChainId> {
    let fold = |below: &mut Option<ChainId>, layer: &IncomingLayer| {
        *below = Some(chain_id(below.as_ref(), &layer.diff_id));
        *below
    };
    image.layers.iter().scan(None, fold).collect()
}

/// What is known of a chain before its image is staged.
enum Known {
    /// The layer is there.
    There(AppliedLayer),
    /// It was unpacked, and waits for its parent.
    Unpacked(UnpackedLayer),
}

/// One load: where it reads, and how.
pub(crate) struct Load<'a> {
    pub members: &'a Members,
    keeps_blobs: bool,
    pub windows: Windows,
    pub progress: Progress<'a>,
}

impl Load<'_> {
    /// Finds which layers are there, and unpacks the others at once where there are several.
    fn layers(&self, operation: &mut Operation, images: &[Incoming]) -> Result<HashMap<ChainId, Known>> {
        let mut known = HashMap::new();
        let (mut seen, mut absent) = (HashSet::new(), Vec::<(ChainId, &IncomingLayer, &Incoming)>::new());
        for image in images {
            let mut below = None;
            for (layer, chain) in image.layers.iter().zip(chains(image)) {
                if seen.insert(chain) {
                    let found = operation.reuse(below.as_ref(), &layer.diff_id);
                    match found.map_err(|error| Error::store("stage", error))? {
                        Some(there) => drop(known.insert(chain, Known::There(there))),
                        None => absent.push((chain, layer, image)),
                    }
                }
                below = Some(chain);
            }
        }
        // A single one is unpacked upon its parent, which is there by then.
        if absent.len() > 1 {
            let size = |layer: &IncomingLayer| Ok(self.members.open(&layer.member)?.map_or(0, |member| member.size()));
            let sizes = absent.iter().map(|(_, layer, _)| size(layer)).collect::<Result<Vec<_>>>()?;
            let (staged, stop) = (&*operation, Stop::default());
            let unpacked = unpack_at_once(staged, &sizes, &stop, &|number, helpers| {
                let (_, layer, image) = absent[number];
                let copy = self.copy(staged, layer)?;
                let unpacked = self.read_layer(layer, copy, Some(&stop), helpers, |archive| {
                    let unpacked = staged.unpack_aside(archive, Some(&layer.diff_id));
                    unpacked.map_err(|error| Error::store("unpack", error))
                });
                unpacked.map_err(|error| Error::wrap(image.label(), error))
            })?;
            known.extend(absent.iter().map(|(chain, ..)| *chain).zip(unpacked.into_iter().map(Known::Unpacked)));
        }
        Ok(known)
    }

    /// The blobs that are copied while their layers are unpacked: those of the first to bring a chain that is not there.
    fn copied(&self, images: &[Incoming], known: &HashMap<ChainId, Known>) -> Copied {
        let (mut seen, mut copied) = (BTreeSet::new(), Copied::new());
        for image in images {
            for (layer, chain) in image.layers.iter().zip(chains(image)) {
                let is_there = matches!(known.get(&chain), Some(Known::There(_)));
                if !is_there && seen.insert(chain) {
                    copied.extend(kept::blob_of(layer).map(|blob| (blob.digest, layer.diff_id)));
                }
            }
        }
        copied
    }

    /// Where the blob of a layer is copied to while it is read, if it is to be kept.
    fn copy(&self, operation: &Operation, layer: &IncomingLayer) -> Result<Option<File>> {
        let blob = kept::blob_of(layer).filter(|_| self.keeps_blobs);
        let copy = blob.map(|blob| operation.blob_file(&blob.digest)).transpose();
        copy.map(Option::flatten).map_err(|error| Error::store("stage", error))
    }

    /// Stages one image with what it lacks; says what its layers could not hold, as far as there is room for words.
    fn stage(
        &self,
        operation: &mut Operation,
        image: &Incoming,
        known: &mut HashMap<ChainId, Known>,
        room: &mut Room,
    ) -> Result<Vec<String>> {
        let staging = |error| Error::store("stage", error);
        let (mut skipped, mut more) = (image.notes.clone(), 0);
        let mut below: Option<LayerId> = None;
        for (layer, chain) in image.layers.iter().zip(chains(image)) {
            let applied = match known.remove(&chain) {
                Some(Known::There(there)) => there,
                Some(Known::Unpacked(unpacked)) => operation.put(unpacked, below, self.progress).map_err(staging)?,
                None => {
                    let copy = self.copy(operation, layer)?;
                    let worker = operation.store().workers(1);
                    self.read_layer(layer, copy, None, &Helpers::of(worker.count()), |archive| {
                        let applied = operation.apply_digested(archive, below, Some(&layer.diff_id));
                        applied.map_err(|error| Error::store("unpack", error))
                    })?
                }
            };
            let said = room.say(&applied.skipped);
            more += applied.skipped_more + (applied.skipped.len() - said.len()) as u64;
            skipped.extend(said);
            below = Some(applied.id);
            known.insert(chain, Known::There(applied));
        }
        let manifest = image.manifest.as_ref().map(|bytes| operation.blob(bytes)).transpose().map_err(staging)?;
        add_image(operation, &image.config, below, manifest, image.names.clone())?;
        if more > 0 {
            skipped.push(format!("{more} more that its layers cannot hold"));
        }
        Ok(skipped)
    }

    /// Hands the plain bytes of a layer to `apply`, and holds what was read to its descriptor.
    fn read_layer<'e, T>(
        &'e self,
        layer: &'e IncomingLayer,
        copy: Option<File>,
        stop: Option<&'e Stop>,
        helpers: &Helpers<'e>,
        apply: impl FnOnce(&mut dyn Digested) -> Result<T>,
    ) -> Result<T> {
        let member = self.members.open(&layer.member)?.ok_or_else(|| missing(&layer.member))?;
        let asked = self.asked(layer, &member, stop);
        let member = asked.reader(member);
        let what = format!("layer {}", layer.diff_id);
        let read = match kept::blob_of(layer) {
            Some(promise) => {
                let what = format!("{what}, blob {}", promise.digest);
                decompressed(
                    Tee::new(Verified::new(member, promise), copy),
                    &asked,
                    &self.windows,
                    helpers,
                    &what,
                    apply,
                )
            }
            // A blob with the DiffId for its digest is plain, and held to the DiffId anyway.
            None => decompressed(member, &asked, &self.windows, helpers, &what, apply),
        };
        read.map_err(|error| self.judge(error, layer, stop))
    }

    /// Who is asked while the layer in `member` is read.
    fn asked<'e>(&'e self, layer: &IncomingLayer, member: &Member, stop: Option<&'e Stop>) -> Asked<'e> {
        Asked::new(self.progress, Stage::Unpack, layer.diff_id.to_string(), Some(member.size()), stop)
    }

    /// Tells an archive that is malformed from one that only became so: bytes that are not those of the DiffId are
    /// [`ErrorKind::Corrupt`].
    fn judge(&self, error: Error, layer: &IncomingLayer, stop: Option<&Stop>) -> Error {
        if error.kind() != ErrorKind::InvalidInput {
            return error;
        }
        let Ok(Some(member)) = self.members.open(&layer.member) else { return error };
        let asked = self.asked(layer, &member, stop);
        let Ok(plain) = Decoder::new(asked.reader(member), self.windows.most) else { return error };
        let _turn = match self.windows.wait(plain.window(), &asked) {
            Ok(turn) => turn,
            Err(stopped) => return stopped,
        };
        let mut plain = DigestReader::new(asked.plain(plain));
        if let Err(failed) = io::copy(&mut plain, &mut io::sink()) {
            let failed = Error::io(format!("read layer {}", layer.diff_id), failed);
            return if failed.kind() == ErrorKind::Cancelled { failed } else { error };
        }
        match plain.finish() {
            (digest, ..) if digest == layer.diff_id => error,
            (digest, ..) => {
                let message = format!("layer {}: its archive has the digest {digest}", layer.diff_id);
                Error::new(ErrorKind::Corrupt, message).because(error)
            }
        }
    }
}
