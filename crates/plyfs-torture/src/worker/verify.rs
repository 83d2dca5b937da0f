//! What a worker claims of its own part of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use plyfs::{MountOptions, Store, Subject};

use crate::model::Model;
use crate::recipe::{Files, content};

/// The names of a worker as the store has them.
#[derive(Debug)]
pub(super) struct Seen {
    /// Image names and the ids they mean.
    pub(super) names: BTreeMap<String, String>,
    /// Containers and the images they were made of.
    containers: BTreeMap<String, String>,
    /// Those leases of the worker that live.
    leases: BTreeSet<String>,
}

impl Seen {
    /// Looks for all names that begin as `owner`'s do, and for the leases it knows of: others have no name of their own.
    pub(super) fn of(store: &Store, owner: &str, known: &Model) -> Result<Self> {
        let mut names = BTreeMap::new();
        for image in store.images()? {
            let own = image.names().iter().filter(|name| name.repository().starts_with(&format!("{owner}/")));
            names.extend(own.map(|name| (name.to_string(), image.id().to_string())));
        }
        let containers = store.containers()?.into_iter().filter_map(|container| {
            let own = container.name().as_str().starts_with(&format!("{owner}-"));
            own.then(|| (container.name().to_string(), container.image().map(|id| id.to_string()).unwrap_or_default()))
        });
        let leases = store.leases()?.into_iter().map(|lease| lease.id.to_string());
        let leases = leases.filter(|id| known.leases.contains_key(id)).collect();
        Ok(Self { names, containers: containers.collect(), leases })
    }

    /// Says whether that is what the model says.
    pub(super) fn agrees(&self, model: &Model) -> bool {
        let containers = model.containers.iter().map(|(name, held)| (name, &held.image));
        self.names == model.names && self.containers.iter().eq(containers) && self.leases.iter().eq(model.leases.keys())
    }
}

/// Claims that every name means what it should, that images can be read and saved, and containers show their files.
pub(super) fn all(store: &Store, owner: &str, model: &Model) -> Result<()> {
    let seen = Seen::of(store, owner, model)?;
    ensure!(seen.agrees(model), "the store does not hold what was acknowledged\nseen: {seen:?}\nexpected: {model:?}");
    for (name, id) in &model.names {
        let image = store.image(name)?;
        ensure!(image.id().to_string() == *id, "{name} means {}, not {id}", image.id());
        image.config().with_context(|| format!("config of {name}"))?;
        for layer in image.layers()? {
            layer.write_archive(io::sink()).with_context(|| format!("content of {name}"))?;
        }
    }
    for (lease, layer) in &model.leases {
        let kept = store.layer(layer).with_context(|| format!("what lease {lease} keeps"))?;
        let leased = store.leased(lease.parse()?)?;
        ensure!(leased == [Subject::Layer(kept.id())], "lease {lease} keeps {leased:?}, not layer {layer}");
    }
    model.containers.iter().try_for_each(|(name, held)| shows(store, name, &held.files))
}

/// Claims that a container shows exactly these files.
pub(super) fn shows(store: &Store, name: &str, files: &Files) -> Result<()> {
    let mount = store.container(name)?.mount(&MountOptions::new())?;
    let mut there = Vec::new();
    walk(mount.path(), mount.path(), &mut there)?;
    there.sort();
    if !there.iter().eq(files.keys()) {
        bail!("container {name} shows {there:?}, not {:?}", files.keys().collect::<Vec<_>>());
    }
    for (path, seed) in files {
        let bytes = fs::read(mount.path().join(path)).with_context(|| format!("read {path} of {name}"))?;
        ensure!(bytes == content(*seed), "container {name}: {path} has other content than was written ({seed:x})");
    }
    Ok(mount.unmount()?)
}

/// Lists the files below `dir`, relative to `root`.
fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, found)?;
        } else {
            let below = path.strip_prefix(root).expect("it was found below the root");
            found.push(below.display().to_string());
        }
    }
    Ok(())
}
