//! Images out of a store, into archives and layouts.

use std::cell::OnceCell;
use std::os::fd::AsFd;

use plyfs_store::{Image, Layer, Operation, Progress, Stage, Store};

use crate::archive::{self, Archive, Outgoing, OutgoingLayer};
use crate::error::{Error, ErrorKind, Result};
use crate::members::temporary_file;

/// Writes images with all their names, layers they share once.
///
/// Every layer is the archive that came in, byte for byte, and held to its DiffId while it is written; configs
/// are the bytes received. The same images, format and compression give the same bytes. After an error what was
/// written is to be dropped. Durability is the caller's: nothing is synced.
///
/// Compressed members are put together in the store's staging directory first, since an archive states sizes
/// before content; in a store that may only be read they are compressed twice instead.
pub fn save(store: &Store, images: &[&Image], archive: Archive<'_>, progress: Progress<'_>) -> Result<()> {
    let run = || {
        let outgoing = images.iter().map(|image| outgoing(image, progress)).collect::<Result<Vec<_>>>()?;
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

fn outgoing<'a>(image: &Image, progress: Progress<'a>) -> Result<Outgoing<'a>> {
    let named = |error| Error::store(format!("image {}", image.id()), error);
    let layers = image.layers().map_err(named)?;
    let layers = layers.into_iter().rev().map(|layer| outgoing_layer(layer, progress));
    Ok(Outgoing {
        id: image.id(),
        config: image.config().map_err(named)?,
        names: image.names().to_vec(),
        layers: layers.collect::<Result<_>>()?,
    })
}

fn outgoing_layer(layer: Layer, progress: Progress<'_>) -> Result<OutgoingLayer<'_>> {
    let unknown = || Error::new(ErrorKind::Unsupported, format!("layer {} has no archive", layer.id()));
    let (diff_id, size) = (layer.diff_id().ok_or_else(unknown)?, layer.archive_size());
    let write = move |out: &mut dyn std::io::Write| {
        let out = progress.reader(out, Stage::Save, diff_id.to_string(), size);
        let written = layer.write_archive(out);
        written.map(drop).map_err(|error| Error::store(format!("layer {diff_id}"), error))
    };
    Ok(OutgoingLayer { diff_id, size, write: Box::new(write) })
}
