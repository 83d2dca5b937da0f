//! An operation stages layers, blobs and images aside and publishes them together.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use plyfs_diff::{Chain, Dialect, Skipped};
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs::{self, FileType};
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;

use crate::cache::CacheKey;
use crate::claims::Claims;
use crate::directory::unless_missing;
use crate::format::write_all;
use crate::layout::InStaging;
use crate::record::LayerRecord;
use crate::staged::StagedLayers;
use crate::{
    ChainId, DiffId, Digest, Error, ErrorKind, KeptBlob, Progress, Reference, Result, Store, chain_id, describe, key,
    layout,
};

/// How long an operation that is abandoned deletes what it had staged.
const TIDYING: Duration = Duration::from_millis(25);

/// What an image's record will say; its config's bytes are staged by [`Operation::blob`].
#[derive(Clone, Debug)]
pub struct NewImage {
    /// The config's digest.
    pub id: Digest,
    /// The uppermost layer; an image may have none.
    pub top: Option<LayerId>,
    /// The manifest's digest when it came with one.
    pub manifest: Option<Digest>,
    /// The names that will mean this image and no other.
    pub names: Vec<Reference>,
    /// When the config says it was built, as written there.
    pub built: Option<String>,
    /// The config's architecture.
    pub architecture: Option<String>,
    /// The config's operating system.
    pub os: Option<String>,
}

/// A layer as [`Operation::apply`] or [`Operation::put`] staged it, or as it was found to be there already.
#[derive(Clone, Debug)]
pub struct AppliedLayer {
    /// Its id, a parent for further layers of the same operation.
    pub id: LayerId,
    /// The digest of the uncompressed archive.
    pub diff_id: DiffId,
    /// The digest of the layer and its ancestors.
    pub chain_id: ChainId,
    /// What the archive held that a layer cannot.
    pub skipped: Vec<Skipped>,
    /// How much more that was than is listed.
    pub skipped_more: u64,
}

/// Something being put together in `staging/`: published whole, or dropped and gone.
///
/// It is alive while its directory is locked; a crash ends the lock and the next open takes everything back.
#[must_use = "an operation that is not published is taken back"]
#[derive(Debug)]
pub struct Operation {
    store: Store,
    name: String,
    lock: Lock,
    pub(crate) layers: StagedLayers,
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) images: Vec<NewImage>,
    pub(crate) cached: Vec<(CacheKey, LayerId)>,
    pub(crate) kept: Vec<(LayerId, KeptBlob)>,
    pub(crate) replaces_manifests: bool,
    /// How many bytes the layers hold of what they could not keep, and of what waits for their parents.
    pub(crate) held: AtomicUsize,
    claims: Option<Claims>,
    pub(crate) is_published: bool,
    is_abandoned: bool,
}

impl Store {
    /// Holds recovery off while something is made and locked in `staging`.
    pub(crate) fn begin(&self) -> Result<Lock> {
        let own = fs::open_dir_at(&self.0.root, layout::STAGING);
        own.and_then(|own| Lock::take(own, Sharing::Shared)).map_err(|e| self.explain("staging", e))
    }

    /// Begins an operation.
    pub fn operation(&self) -> Result<Operation> {
        self.require_writable()?;
        let failed = |e| self.explain("staging", e);
        // Recovery holds this exclusively: it never sees a directory that is made and not yet locked.
        let _beginning = self.begin()?;
        let name = LinkId::random().to_string();
        fs::make_dir_at(&self.0.staging, &name, Mode::RWXU).map_err(failed)?;
        let lock = fs::open_dir_at(&self.0.staging, &name).and_then(|fd| Lock::take(fd, Sharing::Exclusive));
        let lock = lock.map_err(failed)?;
        fs::make_dir_at(lock.as_file(), layout::SPOOL, Mode::RWXU).map_err(failed)?;
        Ok(Operation {
            store: self.clone(),
            name,
            lock,
            layers: StagedLayers::default(),
            blobs: BTreeSet::new(),
            images: Vec::new(),
            cached: Vec::new(),
            kept: Vec::new(),
            replaces_manifests: false,
            held: AtomicUsize::new(0),
            claims: None,
            is_published: false,
            is_abandoned: false,
        })
    }

    /// The names in the directories of all operations; dead ones count too, until they are taken back. Where one cannot be
    /// looked into that is an error: what it names would go, or be taken for nobody's.
    pub(crate) fn staged_names(&self) -> Result<Vec<String>> {
        let failed = |e| Error::call("staging", e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0.staging).map_err(failed)? {
            if InStaging::of(&entry) == Some(InStaging::Operation) {
                let listed = fs::open_dir_at(&self.0.staging, &entry.name).and_then(fs::read_dir);
                let staged = unless_missing(listed).map_err(failed)?.unwrap_or_default();
                names.extend(staged.into_iter().filter_map(|entry| entry.name.into_string().ok()));
            }
        }
        Ok(names)
    }
}

impl Operation {
    /// The store the operation belongs to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.lock.as_file().as_fd()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Opens a directory for temporary files; it goes with the operation.
    pub fn spool(&self) -> Result<OwnedFd> {
        fs::open_dir_at(self.dir(), layout::SPOOL).map_err(|e| self.failed("spool", e))
    }

    /// Makes this operation the only one, in all processes, that builds these chains; waits for others, and asks
    /// meanwhile whether to go on.
    ///
    /// Call it once, before the first [`Self::apply`], with every chain the operation may build, so that two
    /// loads of one image do the work once. The locks are taken in the order of the ids, hence never in a circle.
    pub fn claim(&mut self, chains: impl IntoIterator<Item = ChainId>, progress: Progress<'_>) -> Result<()> {
        assert!(self.claims.is_none(), "a second claim could wait in a circle");
        let known = self.store.snapshot()?;
        let mut absent = BTreeSet::new();
        for chain in chains {
            if known.get(&key::chain(&chain))?.is_none() {
                absent.insert(chain);
            }
        }
        if !absent.is_empty() {
            self.claims = Some(Claims::take(&self.store, &absent, progress)?);
        }
        Ok(())
    }

    /// The layer that is this changeset upon that chain, when it is staged here or published; nothing is read.
    ///
    /// A published one is kept from removal until the operation ends.
    pub fn reuse(&mut self, parent: Option<&ChainId>, diff_id: &DiffId) -> Result<Option<AppliedLayer>> {
        let chain_id = chain_id(parent, diff_id);
        let found = |id| AppliedLayer { id, diff_id: *diff_id, chain_id, skipped: Vec::new(), skipped_more: 0 };
        Ok(self.reuse_chain(&chain_id)?.map(found))
    }

    /// The published layer that is this chain, kept from now on; one whose directory is missing is
    /// [`ErrorKind::Corrupt`], for what stands on it could not be used.
    fn published(&self, chain_id: &ChainId) -> Result<Option<LayerId>> {
        match self.store.chain(chain_id)? {
            Some(id) if self.keep(id)? => self.store.tree(id).map(|_| Some(id)),
            _ => Ok(None),
        }
    }

    /// Keeps a published layer from removal while the operation lives; `false` when it is gone already.
    ///
    /// The marker is made first and the record looked up under the journal's lock after; removal lists the
    /// markers under the same lock. So either the removal sees the marker or this sees the layer gone.
    pub(crate) fn keep(&self, layer: LayerId) -> Result<bool> {
        let marker = layout::uses_marker(layer);
        self.marker(&marker)?;
        let is_there = self.store.commit(|records| Ok::<_, Error>(records.get(&key::layer(layer))?.is_some()))?;
        if !is_there {
            // What is gone is not used, and no lease can keep it.
            fs::unlink_at(self.dir(), &marker).map_err(|e| self.failed("staging", e))?;
        }
        Ok(is_there)
    }

    pub(crate) fn marker(&self, name: &str) -> Result<()> {
        let made = fs::open_at(self.dir(), name, OFlags::WRONLY | OFlags::CREATE, Mode::RUSR | Mode::WUSR);
        made.map(drop).map_err(|e| self.failed("staging", e))
    }

    pub(crate) fn reuse_chain(&self, chain_id: &ChainId) -> Result<Option<LayerId>> {
        match self.layers.of_chain(chain_id) {
            Some(layer) => Ok(Some(layer.id)),
            None => self.published(chain_id),
        }
    }

    /// The record of a parent, staged here or published; a published one is kept from now on.
    pub(crate) fn parent(&self, id: LayerId) -> Result<LayerRecord> {
        if let Some(staged) = self.layers.get(id) {
            return Ok(staged.clone());
        }
        if !self.keep(id)? {
            return Err(Error::absent(format!("layer {id}")));
        }
        self.store.layer_record(id)
    }

    /// The trees below a layer, uppermost first, whether staged here or published.
    pub(crate) fn chain(&self, below: Option<&LayerRecord>) -> Result<Chain> {
        let layers = below.map(|below| self.down_from(below, |layer| layer.id)).transpose()?.unwrap_or_default();
        let trees = layers.into_iter().map(|layer| self.tree(layer)).collect::<Result<_>>()?;
        Ok(Chain::new(trees, Dialect::Trusted))
    }

    /// What is asked of a layer and of all below it, uppermost first: those that are staged here stand on those that are
    /// published.
    fn down_from<T>(&self, top: &LayerRecord, ask: impl Fn(&LayerRecord) -> T) -> Result<Vec<T>> {
        let mut answers = vec![ask(top)];
        let mut next = top.parent;
        while let Some(staged) = next.and_then(|id| self.layers.get(id)) {
            answers.push(ask(staged));
            next = staged.parent;
        }
        answers.extend(self.store.ancestry(next)?.iter().map(ask));
        Ok(answers)
    }

    pub(crate) fn tree(&self, id: LayerId) -> Result<OwnedFd> {
        if self.layers.get(id).is_none() {
            return self.store.tree(id);
        }
        let open = || fs::open_dir_at(fs::open_dir_at(self.dir(), id.to_string())?, plyfs_link::DIFF);
        open().map_err(|e| self.failed(&format!("layer {id}"), e))
    }

    /// Writes `link`, and with a parent `lower` and `work`, as Docker lays a layer out.
    pub(crate) fn write_identity(&self, layer: &LayerRecord, below: Option<&LayerRecord>) -> Result<()> {
        let lower = below.map(|below| self.lower_of(below)).transpose()?;
        let write = || -> plyfs_sys::Result<()> {
            let directory = fs::open_dir_at(self.dir(), layer.id.to_string())?;
            if lower.is_some() {
                fs::ensure_dir_at(&directory, plyfs_link::WORK, Mode::RWXU)?;
            }
            write_identity(&directory, layer.link, lower.as_deref())
        };
        write().map_err(|e| self.failed(&format!("layer {}", layer.id), e))
    }

    /// Writes the layer's record behind its tar-split record, for a store that loses its journal.
    pub(crate) fn describe(&self, layer: &LayerRecord) -> Result<()> {
        let name = layout::staged_tar_split(layer.id);
        let written = fs::open_at(self.dir(), &name, OFlags::WRONLY | OFlags::APPEND, Mode::empty())
            .and_then(|file| write_all(&file, &name, &describe::frame(layer)));
        written.map_err(|e| self.failed(&format!("layer {}", layer.id), e))
    }

    /// The `lower` of a child of this layer.
    fn lower_of(&self, below: &LayerRecord) -> Result<String> {
        crate::layer::lower_text(&self.down_from(below, |layer| layer.link)?)
    }

    pub(crate) fn discard_staged(&self, id: LayerId) -> Result<()> {
        let aside = format!("{}/{id}", layout::SPOOL);
        let dropped = fs::rename_at(self.dir(), id.to_string(), self.dir(), aside)
            .and_then(|()| fs::unlink_at(self.dir(), layout::staged_tar_split(id)));
        dropped.map_err(|e| self.failed(&format!("layer {id}"), e))
    }

    /// Stages bytes that are kept as received: a config or a manifest. The answer is their digest.
    ///
    /// What is neither an image's id nor its manifest once all is published goes with the next [`Store::reap`].
    pub fn blob(&mut self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.blobs.insert(digest) {
            let name = layout::staged_blob(&digest.hex());
            let written = fs::create_file_at(self.dir(), &name, Mode::RUSR | Mode::WUSR)
                .and_then(|file| write_all(file, &name, bytes));
            written.map_err(|e| self.failed("staging", e))?;
        }
        Ok(digest)
    }

    /// Gives images that are there already the manifests staged for them; without it they keep their own.
    pub fn replace_manifests(&mut self) {
        self.replaces_manifests = true;
    }

    /// Adds an image whose layers and config are staged or published.
    pub fn image(&mut self, image: NewImage) {
        self.images.push(image);
    }

    pub(crate) fn failed(&self, doing: &str, error: plyfs_sys::CallError) -> Error {
        self.store.explain(doing, error)
    }

    /// Takes everything back without waiting until it is deleted: what is not gone soon lies in `trash` until the next
    /// [`Store::reap`], as what a container had does. For an operation that somebody cancelled.
    pub fn abandon(mut self) {
        self.is_abandoned = true;
    }

    /// Ends the claims; whoever waits for them finds the chains published or builds them.
    pub(crate) fn release(&mut self) {
        if let Some(claims) = self.claims.take() {
            claims.release(&self.store);
        }
    }
}

impl Drop for Operation {
    /// Takes everything back, best effort: what stays is taken back by the next open.
    fn drop(&mut self) {
        if self.is_published {
            return self.release();
        }
        let _ = self.store.take_back(self.lock.as_file(), &self.name);
        if self.is_abandoned {
            self.release();
        }
        // Layers that were in their places already lie in the trash by their own names.
        let placed = self.layers.iter().map(|layer| layer.id.to_string());
        let own: Vec<_> = placed.chain([self.name.clone()]).collect();
        let patience = if self.is_abandoned { TIDYING } else { Duration::MAX };
        let _ = self.store.delete_aside(&own, patience);
        // Whoever waits for the claims to build the same finds the space that this had taken.
        self.release();
    }
}

/// Writes the files that make a layer's directory describe itself, where they are not there whole.
///
/// They repeat the records, for people and for tools that know Docker's driver; plyfs mounts by the records.
/// A power cut can leave them empty, or zeros at their full length (ext4 sets the length before the data is on the disk),
/// hence the look into them.
pub(crate) fn write_identity(directory: &OwnedFd, link: LinkId, lower: Option<&str>) -> plyfs_sys::Result<()> {
    ensure_file(directory, plyfs_link::LINK, link.as_str())?;
    lower.map_or(Ok(()), |lower| ensure_file(directory, plyfs_link::LOWER, lower))
}

fn ensure_file(directory: &OwnedFd, name: &str, content: &str) -> plyfs_sys::Result<()> {
    let mode = Mode::from_raw_mode(0o644);
    let file = match fs::create_file_at(directory, name, mode) {
        Err(error) if error.kind() == ErrorKind::Exists => {
            if holds(directory, name, content)? {
                return Ok(());
            }
            fs::remove_tree(directory, name)?;
            fs::create_file_at(directory, name, mode)?
        }
        created => created?,
    };
    write_all(&file, name, content.as_bytes())?;
    if fs::stat(&file)?.st_mode & 0o7777 == mode.as_raw_mode() {
        return Ok(());
    }
    fs::chmod_at(directory, name, mode)
}

/// Says whether what is there is a regular file with exactly this content.
fn holds(directory: &OwnedFd, name: &str, content: &str) -> plyfs_sys::Result<bool> {
    let there = fs::stat_at(directory, name)?;
    let is_candidate = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
        && usize::try_from(there.st_size) == Ok(content.len());
    if !is_candidate {
        return Ok(false);
    }
    let file = fs::open_at(directory, name, OFlags::RDONLY, Mode::empty())?;
    let mut bytes = vec![0; content.len()];
    // A regular file gives all that is asked for in one call.
    let count = retry_on_intr(|| rustix::io::read(&file, bytes.as_mut_slice()));
    let count = count.map_err(|errno| plyfs_sys::CallError::new("read", name, errno))?;
    Ok(&bytes[..count] == content.as_bytes())
}
