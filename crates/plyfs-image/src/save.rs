//! Images out of a store, into archives and layouts.

use std::cell::OnceCell;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use plyfs_diff::Digest;
use plyfs_store::{Image, KeptBlob, Layer, Operation, Progress, Stage, Store};

use crate::archive::{self, Archive, KeptForm, Outgoing, OutgoingLayer};
use crate::compression::{MAGIC_LEN, suffix_of};
use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result};
use crate::members::temporary_file;

/// Writes images with their names, or those of them that [`Archive::names`] has, layers they share once.
///
/// Until it is done their layers are kept from removal, also those that are not written yet.
///
/// Every layer is the archive that came in, byte for byte, and held to its DiffId while it is written; configs are the bytes
/// received. Into the OCI formats, layers whose blobs were kept go as those, held to their digests, and an image of which all
/// layers were kept, or came plain, with the manifest it came with; unless a compression or a level is asked for. The same
/// images, format and compression give the same bytes. After an error what was written to a writer is to be dropped; in the
/// directory of a layout nothing is left but what was there. Durability is the caller's: nothing is synced.
///
/// Compressed members are put together in the store's staging directory first, since an archive states sizes
/// before content; in a store that may only be read they are compressed twice instead.
pub fn save(store: &Store, images: &[&Image], archive: Archive<'_>, progress: Progress<'_>) -> Result<()> {
    let run = || {
        let hold = |image: &&Image| image.hold().map_err(|error| Error::store("keep the layers", error));
        let _held = images.iter().map(hold).collect::<Result<Vec<_>>>()?;
        let outgoing = images.iter().map(|image| outgoing(image, &archive, progress)).collect::<Result<Vec<_>>>()?;
        let operation = OnceCell::new();
        let scratch = || {
            if operation.get().is_none() {
                operation.set(staging(store)?).expect("set by nobody else");
            }
            let Some(operation) = operation.get().and_then(Option::as_ref) else { return Ok(None) };
            let spool = operation.spool().map_err(|error| Error::store("stage", error))?;
            temporary_file(spool.as_fd()).map(Some)
        };
        let workers = store.workers(usize::MAX);
        archive::write(&outgoing, archive, workers.count(), &scratch)
    };
    run().map_err(|error| Error::wrap("save", error))
}

/// An operation for temporary files, or `None` in a store that may only be read.
fn staging(store: &Store) -> Result<Option<Operation>> {
    match store.operation() {
        Ok(operation) => Ok(Some(operation)),
        Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::ReadOnly) => Ok(None),
        Err(error) => Err(Error::store("stage", error)),
    }
}

fn outgoing<'a>(image: &Image, archive: &Archive<'_>, progress: Progress<'a>) -> Result<Outgoing<'a>> {
    let takes_kept = archive.takes_kept();
    let named = |error| Error::store(format!("image {}", image.id()), error);
    let layers = image.layers().map_err(named)?;
    // What would not be written is not looked at, and cannot keep an image from being saved.
    let layers = layers.into_iter().rev().map(|layer| outgoing_layer(layer, takes_kept, progress));
    Ok(Outgoing {
        id: image.id(),
        config: image.config().map_err(named)?,
        manifest: if takes_kept { manifest(image).map_err(named)? } else { None },
        names: image.names().iter().filter(|name| archive.takes_name(name)).cloned().collect(),
        layers: layers.collect::<Result<_>>()?,
    })
}

/// The manifest it came with; one that is damaged or gone is made anew.
fn manifest(image: &Image) -> plyfs_store::Result<Option<Vec<u8>>> {
    let Some(digest) = image.manifest_digest() else { return Ok(None) };
    match image.store().blob(&digest) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => Ok(None),
        bytes => bytes.map(Some),
    }
}

fn outgoing_layer(layer: Layer, takes_kept: bool, progress: Progress<'_>) -> Result<OutgoingLayer<'_>> {
    let unknown = || Error::new(ErrorKind::Unsupported, format!("layer {} has no archive", layer.id()));
    let (diff_id, size) = (layer.diff_id().ok_or_else(unknown)?, layer.archive_size());
    let blobs = if takes_kept { layer.blobs() } else { &[] };
    let kept = blobs.iter().map(|blob| kept_form(&layer, diff_id, blob, progress)).collect();
    let open = move || {
        let archive = layer.archive().map_err(|error| Error::store(format!("layer {diff_id}"), error))?;
        let archive = progress.reader(archive, Stage::Save, diff_id.to_string(), size);
        Ok(Box::new(archive) as Box<dyn Read + Send>)
    };
    Ok(OutgoingLayer { diff_id, size, open: Box::new(open), kept })
}

/// A compressed form of a layer, which is opened once it is asked about or written.
fn kept_form<'a>(layer: &Layer, diff_id: Digest, blob: &KeptBlob, progress: Progress<'a>) -> KeptForm<'a> {
    let promise = Promise { digest: blob.digest, size: blob.usage.apparent };
    let what = format!("layer {diff_id}");
    let layer = layer.clone();
    let open = Rc::new(move || layer.blob(&promise.digest).map_err(|error| Error::store(what.clone(), error)));
    let failed = move |error| Error::io(format!("layer {diff_id}"), error);
    let start = Rc::clone(&open);
    let suffix = move || {
        let mut bytes = Vec::new();
        start()?.take(MAGIC_LEN as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(suffix_of(&bytes))
    };
    let write = move |out: &mut dyn Write| {
        let mut blob = progress.reader(open()?, Stage::Save, diff_id.to_string(), Some(promise.size));
        io::copy(&mut blob, out).map(drop).map_err(failed)
    };
    KeptForm { promise, suffix: Box::new(suffix), write: Box::new(write) }
}
