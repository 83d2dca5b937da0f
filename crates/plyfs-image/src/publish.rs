//! The end of every verb that makes an image: its config, its record, and the moment they exist.

use jiff::Timestamp;
use plyfs_diff::Skipped;
use plyfs_store::{AppliedLayer, Digest, Image, LayerId, NewImage, Operation, Progress, Reference, Stage, Store};

use crate::config::{self, Facts};
use crate::create::{self, Made};
use crate::error::{Error, ErrorKind, Result};
use crate::instruction::Instruction;

pub(crate) mod as_layer;

/// An image that was made of a container, a tree or a changeset.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Built {
    /// The image.
    pub image: Image,
    /// What its layer does not hold of what it was made of.
    pub skipped: Vec<Skipped>,
    /// How much more that is than is listed.
    pub skipped_more: u64,
}

/// Publishes what `work` stages in a new operation; durable on return.
///
/// What was staged until an error is deleted first. Whoever cancels waits for no more than a moment of that, and the rest
/// is deleted by the store's next [`Store::reap`].
pub(crate) fn publish<T>(
    store: &Store,
    progress: Progress<'_>,
    work: impl FnOnce(&mut Operation) -> Result<T>,
) -> Result<T> {
    let mut operation = store.operation().map_err(|error| Error::store("stage", error))?;
    let staged = work(&mut operation).and_then(|done| {
        let asked = progress.report(Stage::Publish, "all", 0, None);
        asked.map(|()| done).map_err(|error| Error::store("publish", error))
    });
    match staged {
        Ok(done) => operation.publish().map(|()| done).map_err(|error| Error::store("publish", error)),
        Err(error) => {
            if error.kind() == ErrorKind::Cancelled {
                operation.abandon();
            }
            Err(error)
        }
    }
}

/// What a new image stands on.
pub(crate) enum Base {
    /// An image with this config, which is continued.
    Config(Vec<u8>),
    /// Layers with these DiffIds, lowest first.
    Layers(Vec<Digest>),
}

/// What is said of a new image beside its layer.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    /// By what command.
    pub created_by: &'a str,
    /// By whom.
    pub author: Option<&'a str>,
    /// Why.
    pub comment: Option<&'a str>,
    /// When.
    pub created: Timestamp,
    /// What it is called.
    pub name: Option<&'a Reference>,
    /// What is changed in its config.
    pub changes: &'a [Instruction],
}

impl Base {
    /// Reads the config of an image to be continued.
    pub(crate) fn image(image: &Image) -> Result<Self> {
        let config = image.config().map_err(|error| Error::store(format!("image {}", image.id()), error));
        config.map(Self::Config)
    }
}

/// Stages an image that has `top` upon `base`.
pub(crate) fn stage_image(
    operation: &mut Operation,
    base: &Base,
    top: &AppliedLayer,
    words: &Words<'_>,
) -> Result<Digest> {
    let made = Made {
        diff_id: top.diff_id,
        created: words.created,
        created_by: words.created_by,
        author: words.author,
        comment: words.comment,
        changes: words.changes,
    };
    let config = match base {
        Base::Config(parent) => create::on_image(parent, &made)?,
        Base::Layers(below) => create::on_layers(below, &made)?,
    };
    // What is made here must come in again.
    config::check(&config)?;
    add_image(operation, &config, Some(top.id), None, words.name.cloned().into_iter().collect())
}

/// Adds an image with this config to what will be published; its id.
pub(crate) fn add_image(
    operation: &mut Operation,
    config: &[u8],
    top: Option<LayerId>,
    manifest: Option<Digest>,
    names: Vec<Reference>,
) -> Result<Digest> {
    let id = operation.blob(config).map_err(|error| Error::store("stage", error))?;
    let Facts { created, architecture, os } = config::facts(config)?;
    operation.image(NewImage { id, top, manifest, names, built: created, architecture, os });
    Ok(id)
}

/// The image that was just published; one that is gone already was removed by somebody.
pub(crate) fn published(store: &Store, id: &Digest) -> Result<Image> {
    store.image_by_id(id).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::Conflict, format!("image {id} was removed as soon as it was there"))
        }
        _ => Error::store("look up the new image", error),
    })
}
