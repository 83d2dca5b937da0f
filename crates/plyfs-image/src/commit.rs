//! What a container changed becomes the top layer of a new image.

use jiff::Timestamp;
use plyfs_diff::ExportOptions;
use plyfs_store::{Container, Digest, Image, Progress, Reference, Store};

use crate::error::{Error, ErrorKind, Result};
use crate::instruction::Instruction;
use crate::publish::as_layer::as_layer;
use crate::publish::{Base, Built, Words, publish, published, stage_image};

/// What is said of an image that a container becomes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct CommitOptions {
    name: Option<Reference>,
    message: Option<String>,
    author: Option<String>,
    created: Option<Timestamp>,
    export: ExportOptions,
    changes: Vec<Instruction>,
    cache_key: Option<Vec<u8>>,
}

impl CommitOptions {
    /// No name, message or author, and the present time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name, which is taken from the image that has it.
    pub fn name(mut self, name: Reference) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the message kept in the image's history.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Sets the author.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// Changes what the image's config says of its containers: entrypoint, environment, labels and the like.
    ///
    /// May be called again; instructions are followed in the order they were given.
    pub fn change(mut self, instruction: Instruction) -> Self {
        self.changes.push(instruction);
        self
    }

    /// Makes [`Store::cached`] find the new layer by the container's parent and this key: an instruction, say, and the
    /// digests of what it copies.
    pub fn cache_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.cache_key = Some(key.into());
        self
    }

    /// Gives files that changed later than this many seconds after the epoch this time, as `SOURCE_DATE_EPOCH` asks for.
    pub fn clamp_mtime(mut self, seconds: i64) -> Self {
        self.export = self.export.clamp_mtime(seconds);
        self
    }

    /// Sets the time the image states, so that the same changes give the same image; by default the present.
    ///
    /// A time outside the years -9999 to 9999 is [`ErrorKind::InvalidInput`].
    pub fn created(mut self, time: std::time::SystemTime) -> Result<Self> {
        let time = Timestamp::try_from(time);
        let time = time.map_err(|error| Error::new(ErrorKind::InvalidInput, "time of creation").because(error))?;
        self.created = Some(time);
        Ok(self)
    }
}

/// Makes an image of the container's image and what the container changed; durable on return.
///
/// The container stays as it is, and may be mounted; a file that changes while it is read is
/// [`ErrorKind::Conflict`]. The config of its image is continued, known fields and unknown ones. What no layer can hold, such
/// as a socket, is left out; [`commit_telling`] says what.
#[doc(alias = "Diff")]
pub fn commit(container: &Container, options: CommitOptions, progress: Progress<'_>) -> Result<Image> {
    commit_telling(container, options, progress).map(|built| built.image)
}

/// Does what [`commit`] does, and says what was left out.
pub fn commit_telling(container: &Container, options: CommitOptions, progress: Progress<'_>) -> Result<Built> {
    let named = |error| Error::wrap(format!("commit {}", container.name()), error);
    commit_container(container, &options, progress).map_err(named)
}

fn commit_container(container: &Container, options: &CommitOptions, progress: Progress<'_>) -> Result<Built> {
    let store = container.store();
    let base = base(store, container)?;
    let (mut skipped, mut skipped_more) = (Vec::new(), 0);
    let id = publish(store, progress, |operation| {
        let top = as_layer(operation, container.parent(), |out| {
            let exported = container.export_buffers(out, &options.export, progress);
            let made = exported.map_err(|error| Error::store("export", error))?;
            (skipped, skipped_more) = (made.skipped, made.skipped_more);
            Ok((made.diff_id, made.size))
        })?;
        if let Some(key) = &options.cache_key {
            operation.cache(container.parent(), key, top.id);
        }
        let words = Words {
            created_by: "plyfs commit",
            author: options.author.as_deref(),
            comment: options.message.as_deref(),
            created: options.created.unwrap_or_else(Timestamp::now),
            name: options.name.as_ref(),
            changes: &options.changes,
        };
        stage_image(operation, &base, &top, &words)
    })?;
    Ok(Built { image: published(store, &id)?, skipped, skipped_more })
}

/// What the container stands on.
fn base(store: &Store, container: &Container) -> Result<Base> {
    if let Some(image) = container.image() {
        let image = store.image_by_id(&image).map_err(|error| Error::store("its image", error))?;
        return Base::image(&image);
    }
    let Some(parent) = container.parent() else { return Ok(Base::Layers(Vec::new())) };
    let failed = |error| Error::store(format!("layer {parent}"), error);
    let chain = store.layer(&parent.to_string()).and_then(|layer| layer.chain()).map_err(failed)?;
    let diff_id = |layer: &plyfs_store::Layer| -> Result<Digest> {
        let unknown = || Error::new(ErrorKind::Unsupported, format!("layer {} has no DiffId", layer.id()));
        layer.diff_id().ok_or_else(unknown)
    };
    chain.iter().rev().map(diff_id).collect::<Result<_>>().map(Base::Layers)
}
