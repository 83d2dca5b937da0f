//! Removing images, and layers that nothing stands on: what may go, and what stays for which reason.

mod forecast;
mod unused;

use std::collections::BTreeSet;
use std::fmt;

use plyfs_diff::Usage;
use plyfs_journal::Transaction;
use plyfs_link::LayerId;

use self::unused::{Candidate, unused_images, unused_layers};
use crate::image::names_of;
use crate::image::retract_name;
use crate::sweep::Reach;
use crate::{Digest, Error, ErrorKind, Image, ImageId, Layer, LeaseId, Reference, Result, Store, User, key};

/// How many layers or images one journal record of a prune retracts at most. Each keeps a descriptor until it is moved.
const BATCH: usize = 64;

/// What [`Store::prune`] may remove.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "options do nothing until `prune`"]
pub struct PruneOptions {
    all: bool,
    added_before: Option<u64>,
    only: Option<BTreeSet<ImageId>>,
    dry_run: bool,
}

impl PruneOptions {
    /// Only layers that no image, no container and no other layer stands on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Images without a name that no container was made of, too.
    pub fn all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// Only what came into the store before this time, in seconds since the epoch.
    pub fn added_before(mut self, unix: u64) -> Self {
        self.added_before = Some(unix);
        self
    }

    /// Of the images without a name only these, and of the layers only those they stood on.
    pub fn only(mut self, images: impl IntoIterator<Item = ImageId>) -> Self {
        self.only = Some(images.into_iter().collect());
        self
    }

    /// Nothing is removed: the answer is what would be. What is read or built upon at that time is not known and counts
    /// as removed.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    fn takes_images(&self) -> bool {
        self.all || self.only.is_some()
    }

    fn takes_image(&self, image: &ImageId, added: Option<u64>) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(image)) && self.is_old_enough(added)
    }

    /// What cannot tell when it came is tried, and named with its reason.
    fn is_old_enough(&self, added: Option<u64>) -> bool {
        match (self.added_before, added) {
            (Some(before), Some(added)) => added < before,
            _ => true,
        }
    }
}

/// What a removal took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Images.
    pub images: Vec<ImageId>,
    /// Layers.
    pub layers: Vec<LayerId>,
    /// What those layers took, as recorded when they were published, with the compressed forms that were kept of them.
    pub reclaimed: Usage,
    /// What nothing stands on and yet is there, each with its reason.
    pub kept: Vec<Kept>,
}

impl Pruned {
    pub(crate) fn add(&mut self, other: Self) {
        self.images.extend(other.images);
        self.layers.extend(other.layers);
        self.reclaimed += other.reclaimed;
        self.kept.extend(other.kept);
    }
}

/// Something a removal left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// What it is.
    pub subject: Subject,
    /// Why it stays.
    pub reason: Reason,
}

impl Kept {
    /// Says that this is left, and why.
    #[must_use]
    pub fn new(subject: Subject, reason: Reason) -> Self {
        Self { subject, reason }
    }

    pub(crate) fn layer(layer: LayerId, reason: Reason) -> Self {
        Self { subject: Subject::Layer(layer), reason }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.reason)
    }
}

/// What a removal may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// A layer.
    Layer(LayerId),
    /// An image.
    Image(ImageId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(id) => write!(f, "layer {id}"),
            Self::Image(id) => write!(f, "image {id}"),
        }
    }
}

/// Why a removal left something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Its content is being read.
    Read,
    /// An operation that was begun builds upon it.
    BuiltUpon,
    /// A lease keeps it.
    Leased(LeaseId),
    /// It could not be removed; the text says why. The others were.
    Failed(String),
    /// It is gone, but its space is not returned yet; the text says why. The next [`Store::reap`] tries again.
    Unfinished(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("is being read"),
            Self::BuiltUpon => f.write_str("is being built upon"),
            Self::Leased(lease) => write!(f, "is kept by lease {lease}"),
            Self::Failed(why) => write!(f, "cannot be removed: {why}"),
            Self::Unfinished(why) => write!(f, "is gone but still takes space: {why}"),
        }
    }
}

impl Store {
    /// Removes an image, its names, and those of its layers that nothing else stands on. Durable on return;
    /// the space is returned by the next [`Store::reap`].
    ///
    /// An image a container was made of is [`ErrorKind::InUse`]. A layer that has to stay is named with its reason.
    ///
    /// 1. One journal record.
    /// 2. The directories are renamed into `trash`.
    ///
    /// A crash in between is finished by the next open.
    pub fn remove_image(&self, image: &Image) -> Result<Pruned> {
        self.require_root("removing an image")?;
        self.sweep(|records, sweep| {
            refuse_used(records, image)?;
            sweep.image_and_layers(records, &image.id())
        })
    }

    /// Takes a name from an image, and with its last one removes it, as [`Self::remove_image`] does. Durable on return.
    ///
    /// Which name is the last is decided where nobody can give another: a name that somebody gives the image meanwhile
    /// keeps it. Where it stays, [`Pruned::images`] is empty. A name that means another image by now is
    /// [`ErrorKind::Conflict`].
    pub fn remove_image_name(&self, image: &Image, name: &Reference) -> Result<Pruned> {
        self.require_root("removing an image")?;
        self.sweep(|records, sweep| {
            retract_name(records, name, Some(image.id()))?;
            if !names_of(records, &image.id())?.is_empty() {
                return Ok(());
            }
            refuse_used(records, image)?;
            sweep.image_and_layers(records, &image.id())
        })
    }

    /// Removes a layer that nothing stands on; else it is [`ErrorKind::InUse`]. Durable on return, in the steps of
    /// [`Self::remove_image`].
    pub fn remove_layer(&self, layer: &Layer) -> Result<Pruned> {
        self.require_root("removing a layer")?;
        let id = layer.id();
        self.sweep(|records, sweep| {
            if records.get(&key::layer(id))?.is_none() {
                return Err(Error::absent(format!("layer {id}")));
            }
            if let Some(user) = first_user(records, id)? {
                return Err(Error::new(ErrorKind::InUse, format!("layer {id} is used by {}", describe(&user))));
            }
            sweep.chain(records, id, Reach::OneLayer)?;
            match sweep.pruned.kept.pop() {
                Some(kept) => Err(Error::new(ErrorKind::InUse, kept.to_string())),
                None => Ok(()),
            }
        })
    }

    /// Removes what nothing uses. Durable on return; the space is returned by the next [`Store::reap`].
    ///
    /// What may go is marked in one state of the records, without a lock and without looking at any directory, and
    /// looked at again under the journal's lock before it goes. What nothing uses and yet has to stay is named with its
    /// reason; it keeps nothing else.
    ///
    /// 1. One journal record for each 64 images or layers, children before parents.
    /// 2. Behind each, their directories are renamed into `trash`.
    ///
    /// A crash leaves what is retracted to the next open, and the rest to the next prune.
    pub fn prune(&self, options: PruneOptions) -> Result<Pruned> {
        if options.dry_run {
            return self.forecast(&options);
        }
        self.require_root("pruning")?;
        let mut pruned = self.sweep(|_, _| Ok(()))?;
        let images = unused_images(&self.snapshot()?, &options, &|_| true, &mut pruned)?;
        for images in images.chunks(BATCH) {
            pruned.add(self.prune_images(images)?);
        }
        let mut next = match options.only {
            Some(_) => images.iter().filter_map(Candidate::top).collect::<BTreeSet<_>>().into_iter().collect(),
            None => unused_layers(&self.snapshot()?, &options, &|_| true, &mut pruned)?,
        };
        while !next.is_empty() {
            let batch = next.split_off(next.len().saturating_sub(BATCH));
            let mut left = Vec::new();
            pruned.add(self.sweep(|records, sweep| {
                for layer in &batch {
                    left.extend(sweep.chain(records, *layer, Reach::UpTo(BATCH))?);
                }
                Ok(())
            })?);
            next.extend(left);
        }
        Ok(pruned)
    }

    /// Removes these images and leaves their layers to the prune.
    fn prune_images(&self, images: &[Candidate]) -> Result<Pruned> {
        self.sweep(|records, sweep| {
            for image in images {
                // It may have got a name, a container or a lease since it was marked.
                if !is_image_used(records, &image.id)? {
                    sweep.image(records, &image.id)?;
                }
            }
            Ok(())
        })
    }
}

fn refuse_used(records: &Transaction<'_>, image: &Image) -> Result<()> {
    if records.get(&key::image(&image.id()))?.is_none() {
        return Err(Error::absent(format!("image {}", image.id())));
    }
    let Some(entry) = records.scan(&key::image_containers(&image.id())).next() else { return Ok(()) };
    let container = LayerId::from_bytes(key::id_behind(&entry?.0)?);
    let name = records.get(&key::container_directory(container))?.unwrap_or_default();
    let name = String::from_utf8_lossy(&name).into_owned();
    let message = format!("image {} is used by container {name}", image.id());
    Err(Error::new(ErrorKind::InUse, message))
}

/// Who stands on a layer: the first of those that do, or the first lease that keeps it where nobody does.
pub(crate) fn first_user(records: &Transaction<'_>, layer: LayerId) -> Result<Option<User>> {
    let mut first = None;
    for entry in records.scan(&key::users(layer)) {
        match key::parse_user(&entry?.0)? {
            User::Lease(lease) => first = first.or(Some(User::Lease(lease))),
            user => return Ok(Some(user)),
        }
    }
    Ok(first)
}

fn describe(user: &User) -> String {
    match user {
        User::Layer(id) => format!("layer {id}"),
        User::Image(id) => format!("image {id}"),
        User::Container(id) => format!("a container in {id}"),
        User::Lease(id) => format!("lease {id}"),
    }
}

fn is_image_used(records: &Transaction<'_>, image: &Digest) -> Result<bool> {
    if !names_of(records, image)?.is_empty() {
        return Ok(true);
    }
    for relation in [key::image_containers(image), key::image_leases(image)] {
        if records.scan(&relation).next().transpose()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
