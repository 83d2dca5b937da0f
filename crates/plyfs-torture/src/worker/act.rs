//! What each operation is in calls of the facade, and which refusals the work of others explains.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use plyfs::prelude::*;
use plyfs::{
    Archive, CheckOptions, CommitOptions, Container, ContainerOptions, ErrorKind, Kept, LayerId, LeaseOptions,
    MountOptions, Progress, PruneOptions, Reason, Removal, Source, Store, Subject, Unmount,
};
use plyfs_testkit::oci::LayerTar;

use super::{Worker, open, verify};
use crate::model::{Model, Op, Shared, edits};
use crate::recipe::{Recipe, content};

/// How an operation ended, when nothing is wrong.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done; a commit made the image of this id.
    Done(Option<String>),
    /// It was refused, and the work of others explains it.
    Refused(&'static str),
}

const DONE: Outcome = Outcome::Done(None);

/// Does one operation.
pub(super) fn act(worker: &mut Worker, op: &Op) -> Result<Outcome> {
    let store = &worker.store;
    match op {
        Op::Load { n } => return explained(load(store, &worker.dir, &worker.owner, *n), &[ErrorKind::Conflict]),
        Op::Create { container, image } => create(store, container, image)?,
        Op::Write { container, seed } => {
            let held = worker.notes.model.containers.get(container).context("the model lost a container")?;
            verify::shows(store, container, &held.files)?;
            write(&store.container(container)?, &edits(&held.files, *seed))?;
        }
        Op::Keep { container } => store.container(container)?.mount(&MountOptions::new())?.keep(),
        Op::Unmount { container } => store.container(container)?.unmount(Unmount::Plain)?,
        Op::Commit { container, name } => return Ok(Outcome::Done(Some(commit(store, container, name)?))),
        Op::Rename { from, to } => drop(store.container(from)?.rename(to.parse()?)?),
        Op::Tag { image, name } => store.tag(&store.image(image)?, &name.parse()?)?,
        Op::Untag { name } => store.untag(&name.parse()?)?,
        Op::RemoveImage { image } => drop(store.remove_image(&store.image(image)?)?),
        Op::Remove { container } => store.container(container)?.remove(Removal::Force)?,
        Op::Save { image } => save(store, image)?,
        Op::Prune { all } => prune(worker, *all)?,
        Op::Reap => drop(store.reap()?),
        Op::Check => drop(store.check(CheckOptions::quick())?),
        Op::Usage => drop(store.measure()?),
        // Nobody stands on it: a prune may take it before it is looked up.
        Op::Apply { seed } => return explained(apply(store, *seed), &[ErrorKind::NotFound]),
        Op::Lease { seed } => return Ok(Outcome::Done(Some(lease(store, *seed)?))),
        Op::Renew { lease } => return explained(renew(store, lease, LONG), &ASKED),
        Op::Expire { lease } => return explained(renew(store, lease, Duration::ZERO), &ASKED),
        Op::Release { lease } => return explained(release(store, lease), &ASKED),
        Op::Reopen => worker.store = open(&worker.dir, worker.slot)?,
        Op::Verify => worker.verify()?,
        Op::Shared(op) => return shared(worker, op),
    }
    Ok(DONE)
}

/// Uses what the cut operation was about once, so that nothing half made stays behind; `before` is the state that
/// it began in.
pub(super) fn mend(worker: &Worker, op: &Op, before: &Model) -> Result<()> {
    let store = &worker.store;
    match op {
        Op::Write { container, seed } => {
            // Some of it may be written; again, all of it is.
            let held = before.containers.get(container).context("the model lost a container")?;
            write(&store.container(container)?, &edits(&held.files, *seed))
        }
        Op::Create { container, .. }
        | Op::Keep { container }
        | Op::Unmount { container }
        | Op::Shared(Shared::Create { container, .. } | Shared::Write { container, .. }) => {
            explained(use_once(store, container), &OF_OTHERS).map(drop)
        }
        _ => Ok(()),
    }
}

fn use_once(store: &Store, container: &str) -> plyfs::Result<()> {
    Ok(store.container(container)?.mount(&MountOptions::new())?.unmount()?)
}

fn load(store: &Store, dir: &Path, owner: &str, n: u64) -> plyfs::Result<()> {
    let recipe = Recipe::new(owner, n);
    // Of the OCI archives, which are the odd ones, every other load keeps the blobs.
    let source = Source::path(recipe.archive(dir, n))?.keep_blobs(n % 4 == 1);
    let loaded = store.load(source, Progress::none())?;
    assert_eq!(loaded.len(), 1, "{} is one image", recipe.plain.name);
    assert_eq!(loaded[0].image.id().to_string(), recipe.id(), "{}", recipe.plain.name);
    Ok(())
}

fn create(store: &Store, name: &str, image: &str) -> plyfs::Result<()> {
    let image = store.image(image)?;
    store.create(&image, ContainerOptions::new().name(name.parse()?).label("of", "torture"))?;
    Ok(())
}

fn write(container: &Container, edits: &[(String, Option<u64>)]) -> Result<()> {
    let mount = container.mount(&MountOptions::new())?;
    for (path, seed) in edits {
        let path = mount.path().join(path);
        match seed {
            Some(seed) => fs::write(&path, content(*seed)).with_context(|| format!("write {}", path.display()))?,
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                _ => {}
            },
        }
    }
    Ok(mount.unmount()?)
}

fn commit(store: &Store, container: &str, name: &str) -> plyfs::Result<String> {
    let options = CommitOptions::new().name(name.parse()?).message("torture");
    Ok(store.container(container)?.commit(options, Progress::none())?.id().to_string())
}

fn save(store: &Store, image: &str) -> plyfs::Result<()> {
    let image = store.image(image)?;
    store.save(&[&image], Archive::docker(io::sink()), Progress::none())
}

/// Makes a layer that nobody stands on.
fn apply(store: &Store, seed: u64) -> plyfs::Result<()> {
    let archive = LayerTar::new().file(format!("loose{seed}"), content(seed)).finish();
    store.apply(archive.as_slice(), None, Progress::none())?;
    Ok(())
}

/// Longer than any run: a lease of this length ends when it is told to.
const LONG: Duration = Duration::from_secs(30 * 86400);

/// Whoever asks whether a lease is held locks its file for an instant.
const ASKED: [ErrorKind; 1] = [ErrorKind::InUse];

/// Makes a layer that nobody stands on and that a lease keeps; the ids of both.
fn lease(store: &Store, seed: u64) -> plyfs::Result<String> {
    let lease = store.lease(LeaseOptions::new(LONG).survives_holder(true))?;
    let archive = LayerTar::new().file(format!("loose{seed}"), content(seed)).finish();
    let layer = lease.store().apply(archive.as_slice(), None, Progress::none())?;
    Ok(format!("{} {}", lease.id(), layer.id()))
}

/// Lets a lease last this long from now on, without a holder.
fn renew(store: &Store, lease: &str, lasts: Duration) -> plyfs::Result<()> {
    Ok(store.open_lease(lease.parse()?)?.renew(lasts)?)
}

fn release(store: &Store, lease: &str) -> plyfs::Result<()> {
    Ok(store.open_lease(lease.parse()?)?.release()?)
}

/// A prune takes nothing that a lease of this worker keeps, and names each such thing.
fn prune(worker: &Worker, all: bool) -> Result<()> {
    let pruned = worker.store.prune(PruneOptions::new().all(all))?;
    for (lease, layer) in &worker.notes.model.leases {
        let id: LayerId = layer.parse()?;
        ensure!(!pruned.layers.contains(&id), "a prune took layer {layer}, which lease {lease} keeps");
        let named = |kept: &Kept| kept.subject == Subject::Layer(id) && matches!(kept.reason, Reason::Leased(_));
        ensure!(pruned.kept.iter().any(named), "a prune does not name layer {layer}, which lease {lease} keeps");
    }
    Ok(())
}

/// Any worker may have made, renamed or removed what this one looks for.
const OF_OTHERS: [ErrorKind; 5] =
    [ErrorKind::NotFound, ErrorKind::Exists, ErrorKind::InUse, ErrorKind::Busy, ErrorKind::Conflict];

fn shared(worker: &Worker, op: &Shared) -> Result<Outcome> {
    let store = &worker.store;
    let done = match op {
        Shared::Load { n } => load(store, &worker.dir, "shared", *n),
        Shared::Create { container, image } => create(store, container, image),
        Shared::Write { container, seed } => write_shared(store, container, *seed),
        Shared::Commit { container, name } => commit(store, container, name).map(drop),
        Shared::Rename { from, to } => rename(store, from, to),
        Shared::Tag { image, name } => tag(store, image, name),
        Shared::Untag { name } => untag(store, name),
        Shared::RemoveImage { image } => remove_image(store, image),
        Shared::Remove { container } => remove(store, container),
        Shared::Save { image } => save(store, image),
    };
    explained(done, &OF_OTHERS)
}

fn rename(store: &Store, from: &str, to: &str) -> plyfs::Result<()> {
    store.container(from)?.rename(to.parse()?)?;
    Ok(())
}

fn tag(store: &Store, image: &str, name: &str) -> plyfs::Result<()> {
    Ok(store.tag(&store.image(image)?, &name.parse()?)?)
}

fn untag(store: &Store, name: &str) -> plyfs::Result<()> {
    Ok(store.untag(&name.parse()?)?)
}

fn remove_image(store: &Store, image: &str) -> plyfs::Result<()> {
    store.remove_image(&store.image(image)?)?;
    Ok(())
}

fn remove(store: &Store, container: &str) -> plyfs::Result<()> {
    Ok(store.container(container)?.remove(Removal::Force)?)
}

/// Another worker may end the mount under the writer: its files may fail, the store's calls may be refused.
fn write_shared(store: &Store, container: &str, seed: u64) -> plyfs::Result<()> {
    let mount = store.container(container)?.mount(&MountOptions::new())?;
    let _ = fs::write(mount.path().join(format!("shared{}", seed % 5)), content(seed));
    Ok(mount.unmount()?)
}

/// Tells a refusal that others explain from one that nothing does.
fn explained(done: plyfs::Result<()>, kinds: &[ErrorKind]) -> Result<Outcome> {
    match done {
        Ok(()) => Ok(DONE),
        Err(error) if kinds.contains(&error.kind()) => Ok(Outcome::Refused(error.kind().name())),
        Err(error) => Err(error.into()),
    }
}
