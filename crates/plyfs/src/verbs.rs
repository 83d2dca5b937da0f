//! What images add to a store and to a container, as methods of both.

use std::collections::BTreeMap;
use std::io::Read;

use plyfs_image::{Archive, Built, CommitOptions, HistoryEntry, ImportOptions, LabelFilter, Loaded, Source};
use plyfs_store::{Container, Image, Layer, Progress, PruneOptions, Pruned, Rebuilt, Store, StoreOptions};

use crate::Result;

/// Moving images in and out of a [`Store`].
pub trait Images {
    /// Loads every image of an archive or layout. Durable on return; on an error nothing is kept.
    ///
    /// One that is cancelled deletes what it unpacked for 25 ms; what is then left is in `trash`, seen by nobody, until the
    /// next [`Store::reap`].
    fn load(&self, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>>;

    /// Writes images as an archive or layout; the same images give the same bytes.
    fn save(&self, images: &[&Image], archive: Archive<'_>, progress: Progress<'_>) -> Result<()>;

    /// Makes one changeset, compressed or not, a layer upon `parent` or nothing. Durable on return.
    #[doc(alias = "ApplyDiff")]
    fn apply(&self, archive: impl Read + Send, parent: Option<&Layer>, progress: Progress<'_>) -> Result<Layer>;

    /// The same of any source: what is a pipe can then be given up while it stalls, and a directory is taken as it is.
    fn apply_source(&self, source: Source<'_>, parent: Option<&Layer>, progress: Progress<'_>) -> Result<Layer>;

    /// Makes a tar archive or a directory one layer, upon a parent or nothing, and an image of it.
    /// Durable on return.
    fn import(&self, source: Source<'_>, options: ImportOptions, progress: Progress<'_>) -> Result<Image>;

    /// Does what [`Self::import`] does, and says what no layer can hold of it: a socket, an access list.
    fn import_telling(&self, source: Source<'_>, options: ImportOptions, progress: Progress<'_>) -> Result<Built>;

    /// Prunes as [`Store::prune`] does, of the images without a name only those that fit all of these labels, and of the
    /// layers only those they stood on. Without labels it is that prune.
    ///
    /// An image whose config cannot be read fits none, whatever is asked, and is told in [`Pruned::kept`].
    fn prune_labelled(&self, options: PruneOptions, labels: &[LabelFilter]) -> Result<Pruned>;
}

impl Images for Store {
    fn load(&self, source: Source<'_>, progress: Progress<'_>) -> Result<Vec<Loaded>> {
        Ok(plyfs_image::load(self, source, progress)?)
    }

    fn save(&self, images: &[&Image], archive: Archive<'_>, progress: Progress<'_>) -> Result<()> {
        Ok(plyfs_image::save(self, images, archive, progress)?)
    }

    fn apply(&self, archive: impl Read + Send, parent: Option<&Layer>, progress: Progress<'_>) -> Result<Layer> {
        Ok(plyfs_image::apply(self, archive, parent, progress)?)
    }

    fn apply_source(&self, source: Source<'_>, parent: Option<&Layer>, progress: Progress<'_>) -> Result<Layer> {
        Ok(plyfs_image::apply_source(self, source, parent, progress)?)
    }

    fn import(&self, source: Source<'_>, options: ImportOptions, progress: Progress<'_>) -> Result<Image> {
        Ok(plyfs_image::import(self, source, options, progress)?)
    }

    fn import_telling(&self, source: Source<'_>, options: ImportOptions, progress: Progress<'_>) -> Result<Built> {
        Ok(plyfs_image::import_telling(self, source, options, progress)?)
    }

    fn prune_labelled(&self, options: PruneOptions, labels: &[LabelFilter]) -> Result<Pruned> {
        Ok(plyfs_image::prune_labelled(self, options, labels)?)
    }
}

/// Turning what a [`Container`] changed into an image.
pub trait Commit {
    /// Makes what the container changed a new layer, and an image of it. Durable on return.
    fn commit(&self, options: CommitOptions, progress: Progress<'_>) -> Result<Image>;

    /// Does what [`Self::commit`] does, and says what no layer can hold of it: a socket, an access list.
    fn commit_telling(&self, options: CommitOptions, progress: Progress<'_>) -> Result<Built>;
}

impl Commit for Container {
    fn commit(&self, options: CommitOptions, progress: Progress<'_>) -> Result<Image> {
        Ok(plyfs_image::commit(self, options, progress)?)
    }

    fn commit_telling(&self, options: CommitOptions, progress: Progress<'_>) -> Result<Built> {
        Ok(plyfs_image::commit_telling(self, options, progress)?)
    }
}

/// Telling how an [`Image`] came to be.
pub trait History {
    /// The instructions its config tells of, newest first, each with the layer it made and what that takes.
    fn history(&self) -> Result<Vec<HistoryEntry>>;
}

impl History for Image {
    fn history(&self) -> Result<Vec<HistoryEntry>> {
        Ok(plyfs_image::history(self)?)
    }
}

/// Telling what an [`Image`] is labelled with.
pub trait Labels {
    /// The labels its config says.
    fn labels(&self) -> Result<BTreeMap<String, String>>;
}

impl Labels for Image {
    fn labels(&self) -> Result<BTreeMap<String, String>> {
        Ok(plyfs_image::labels(self)?)
    }
}

/// Making a store's journal anew.
pub trait Rebuild {
    /// Makes the journal of the store at `path` anew from its directories and blobs, for a journal that is lost or
    /// damaged. Durable on return; the old journal is kept in the store's `aside/`. One that is sound is
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    ///
    /// Layers and images come back as they were; names, labels and options lived in the journal alone and are
    /// listed as lost. A container comes back under a made-up name with all that was written to it. No other
    /// process may have the store open.
    fn rebuild(self, path: impl AsRef<std::path::Path>, progress: Progress<'_>) -> Result<Rebuilt>;
}

impl Rebuild for StoreOptions {
    fn rebuild(self, path: impl AsRef<std::path::Path>, progress: Progress<'_>) -> Result<Rebuilt> {
        Ok(plyfs_image::rebuild(self, path, progress)?)
    }
}
