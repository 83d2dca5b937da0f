//! Single verbs by name, for racing two of them: in threads of one process, or in a process each.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use plyfs::prelude::*;
use plyfs::{
    Archive, CheckOptions, CommitOptions, ContainerOptions, Durability, MountOptions, Progress, PruneOptions, Removal,
    Source, Store,
};
use plyfs_testkit::oci::LayerTar;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// The owner of the images that verbs load.
pub const OWNER: &str = "race";

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the verb of the facade, its fields the names it is given")]
pub enum Verb {
    Load {
        n: u64,
    },
    Create {
        name: String,
        image: String,
    },
    Mount {
        name: String,
    },
    Commit {
        name: String,
        image: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    Tag {
        image: String,
        name: String,
    },
    RemoveImage {
        image: String,
    },
    Save {
        image: String,
    },
    Prune,
    Reap,
    Repair,
    /// Makes the journal anew; for a store that nobody else has open.
    Rebuild,
    /// Stages half a load and waits for its end.
    Half,
}

impl Verb {
    /// Looks up what it needs, waits for `go`, and does it.
    ///
    /// Two that wait for each other there meet where the store decides, not where they look things up.
    pub fn run(&self, store: &Store, dir: &Path, go: impl FnOnce()) -> plyfs::Result<()> {
        match self {
            Self::Load { n } => {
                let archive = Recipe::new(OWNER, *n).archive(dir, *n);
                go();
                store.load(Source::path(archive)?, Progress::none())?;
            }
            Self::Create { name, image } => {
                let (image, options) = (store.image(image)?, ContainerOptions::new().name(name.parse()?));
                go();
                store.create(&image, options)?;
            }
            Self::Mount { name } => {
                let container = store.container(name)?;
                go();
                container.mount(&MountOptions::new())?.keep();
            }
            Self::Commit { name, image } => {
                let (container, options) = (store.container(name)?, CommitOptions::new().name(image.parse()?));
                go();
                container.commit(options, Progress::none())?;
            }
            Self::Rename { from, to } => {
                let container = store.container(from)?;
                go();
                container.rename(to.parse()?)?;
            }
            Self::Remove { name } => {
                let container = store.container(name)?;
                go();
                container.remove(Removal::Unmounted)?;
            }
            Self::Tag { image, name } => {
                let image = store.image(image)?;
                go();
                store.tag(&image, &name.parse()?)?;
            }
            Self::RemoveImage { image } => {
                let image = store.image(image)?;
                go();
                store.remove_image(&image)?;
            }
            Self::Save { image } => {
                let image = store.image(image)?;
                go();
                store.save(&[&image], Archive::docker(io::sink()), Progress::none())?;
            }
            _ => {
                go();
                return self.run_alone(store, dir);
            }
        }
        Ok(())
    }

    /// Does what needs nothing looked up.
    fn run_alone(&self, store: &Store, dir: &Path) -> plyfs::Result<()> {
        match self {
            Self::Prune => drop(store.prune(PruneOptions::new().all(true))?),
            Self::Reap => drop(store.reap()?),
            Self::Repair => drop(store.repair(&CheckOptions::quick(), Progress::none())?),
            Self::Rebuild => {
                let options = Store::options().durability(Durability::None);
                options.rebuild(dir.join("store"), Progress::none())?;
            }
            Self::Half => half(store)?,
            other => unreachable!("{other:?} looks something up"),
        }
        Ok(())
    }
}

/// Does what a load does up to its publishing, says so, and waits for a kill.
fn half(store: &Store) -> plyfs::Result<()> {
    let mut operation = store.operation()?;
    let archive = LayerTar::new().dir("half").file("half/a", b"half").finish();
    operation.apply(&mut archive.as_slice(), None, None)?;
    operation.blob(b"{}")?;
    say("half");
    // Ends when the other side goes, should it not kill.
    let _ = io::stdin().lock().read(&mut [0]);
    Ok(())
}

/// Is a process of a race: opens the store, says it is ready, waits for a byte, does it, says how it went.
pub fn process(dir: &Path, verb: &str) -> Result<()> {
    let verb: Verb = serde_json::from_str(verb).context("a verb")?;
    // Who rebuilds one finds its journal damaged.
    let store = Store::options().durability(Durability::None).salvage(true).open(dir.join("store"))?;
    say("ready");
    io::stdin().lock().read_exact(&mut [0])?;
    match verb.run(&store, dir, || {}) {
        Ok(()) => say("done"),
        Err(error) => say(&format!("{} {}", error.kind().name(), plyfs::report(&error))),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the racer's starter listens")]
fn say(line: &str) {
    println!("{line}");
}
