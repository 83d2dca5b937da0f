//! A tree or a changeset from outside becomes one layer.

use std::io::Read;

use plyfs_diff::{Chain, Digest, ExportOptions};
use plyfs_store::{AppliedLayer, Image, Layer, LayerId, Operation, Progress, Reference, Stage, Store};

use crate::asked::Asked;
use crate::error::{Error, ErrorKind, Result};
use crate::instruction::Instruction;
use crate::publish::as_layer::as_layer;
use crate::publish::{Base, Built, Words, publish, published, stage_image};
use crate::source::{Source, Tree};
use crate::unpack::unpack;

/// What is said of an image that a tree or a changeset becomes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct ImportOptions {
    name: Option<Reference>,
    parent: Option<Image>,
    message: Option<String>,
    changes: Vec<Instruction>,
}

impl ImportOptions {
    /// No name, upon nothing, with a message that says where it came from.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name, which is taken from the image that has it.
    pub fn name(mut self, name: impl Into<Option<Reference>>) -> Self {
        self.name = name.into();
        self
    }

    /// Puts the layer upon those of this image, whose config is continued.
    pub fn parent<'a>(mut self, parent: impl Into<Option<&'a Image>>) -> Self {
        self.parent = parent.into().cloned();
        self
    }

    /// Sets the message kept in the image's history.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Changes what the image's config says of its containers: entrypoint, environment, labels and the like.
    ///
    /// May be called again; instructions are followed in the order they were given.
    pub fn change(mut self, instruction: Instruction) -> Self {
        self.changes.push(instruction);
        self
    }
}

/// Makes an image of one layer more than its parent has, or of one layer, from a tar archive or a directory.
///
/// The archive may be compressed, and is a changeset: upon a parent its whiteouts delete. A directory is taken
/// as it is, and without root only as far as it can be read; one that the store lies in is
/// [`ErrorKind::InvalidInput`], as is an archive without a single byte. What no layer can hold, such as a socket, is left out;
/// [`import_telling`] says what. Durable on return.
pub fn import(store: &Store, source: Source<'_>, options: ImportOptions, progress: Progress<'_>) -> Result<Image> {
    import_telling(store, source, options, progress).map(|built| built.image)
}

/// Does what [`import`] does, and says what was left out.
pub fn import_telling(
    store: &Store,
    source: Source<'_>,
    options: ImportOptions,
    progress: Progress<'_>,
) -> Result<Built> {
    let from = source.name().to_owned();
    let run = || {
        let (mut skipped, mut skipped_more) = (Vec::new(), 0);
        let id = publish(store, progress, |operation| {
            let parent = options.parent.as_ref();
            let mut top = stage(operation, source, parent.and_then(Image::top), progress)?;
            if top.diff_id == Digest::of("") {
                // Of a sender that failed before its first byte; an archive of nothing still has its end.
                return Err(Error::new(ErrorKind::InvalidInput, "no tar archive: there is nothing in it"));
            }
            (skipped, skipped_more) = (std::mem::take(&mut top.skipped), top.skipped_more);
            let base = parent.map_or_else(|| Ok(Base::Layers(Vec::new())), Base::image)?;
            let comment = options.message.unwrap_or_else(|| format!("Imported from {from}"));
            let words = Words {
                created_by: "plyfs import",
                author: None,
                comment: Some(&comment),
                created: jiff::Timestamp::now(),
                name: options.name.as_ref(),
                changes: &options.changes,
            };
            stage_image(operation, &base, &top, &words)
        })?;
        Ok(Built { image: published(store, &id)?, skipped, skipped_more })
    };
    run().map_err(|error| Error::wrap(format!("import {from}"), error))
}

/// Makes one layer of a changeset archive, which may be compressed, upon `parent`; durable on return.
///
/// Where the store has the same changeset upon the same chain, that layer is the answer. A layer that nothing
/// stands on goes with the next prune.
#[doc(alias = "ApplyDiff")]
pub fn apply(
    store: &Store,
    archive: impl Read + Send,
    parent: Option<&Layer>,
    progress: Progress<'_>,
) -> Result<Layer> {
    apply_source(store, Source::reader(archive), parent, progress)
}

/// Makes one layer of a changeset as [`apply`] does, or of a directory as it is, upon `parent`; durable on return.
///
/// A descriptor that stalls is given up when the source says so, or when the caller cancels.
pub fn apply_source(
    store: &Store,
    source: Source<'_>,
    parent: Option<&Layer>,
    progress: Progress<'_>,
) -> Result<Layer> {
    let stage = |operation: &mut _| stage(operation, source, parent.map(Layer::id), progress);
    let applied = publish(store, progress, stage)?;
    store.layer(&applied.id.to_string()).map_err(|error| Error::store("look up the new layer", error))
}

fn stage<'a>(
    operation: &mut Operation,
    source: Source<'a>,
    parent: Option<LayerId>,
    progress: Progress<'a>,
) -> Result<AppliedLayer> {
    let (name, window) = (source.name().to_owned(), source.window());
    match source.tree(progress)? {
        Tree::Stream { archive, size, unwanted } => {
            let asked = Asked::new(progress, Stage::Unpack, name, size, None);
            unpack(operation, archive, &asked, &unwanted, parent, window)
        }
        Tree::Directory(directory) => {
            let store = operation.store();
            if store.lies_in(&directory).map_err(|error| Error::store("read the directory", error))? {
                let message =
                    format!("the store {} lies in it, and would be copied into itself", store.path().display());
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            let (mut skipped, mut skipped_more) = (Vec::new(), 0);
            let mut applied = as_layer(operation, parent, |out| {
                let out = progress.reader(out, Stage::Export, name, None);
                let exported = plyfs_diff::export_buffers(&directory, &Chain::empty(), out, &ExportOptions::default());
                let exported = exported.map_err(|error| Error::diff("read the directory", error))?;
                (skipped, skipped_more) = (exported.skipped, exported.skipped_more);
                Ok((exported.diff_id, exported.size))
            })?;
            applied.skipped.extend(skipped);
            applied.skipped_more += skipped_more;
            Ok(applied)
        }
    }
}
