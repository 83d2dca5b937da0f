//! A builder with a cache: base, dependencies, application, each a layer upon the one before.
//!
//! ```text
//! cargo run --example build -- STORE CONTEXT
//! ```
//!
//! CONTEXT holds the directories `base`, `dependencies` and `application`. What a step copies decides its key, so a
//! second run builds only what changed and what stands on it. Mounting needs root.

#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plyfs::prelude::*;
use plyfs::{
    CommitOptions, ContainerOptions, Digest, Layer, MountOptions, Parent, Progress, Reference, Removal, Store,
};

/// What is built, lowest first; each copies the directory of its name to the root.
const STEPS: [&str; 3] = ["base", "dependencies", "application"];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [store, context] = &arguments[..] else {
        eprintln!("usage: build STORE CONTEXT");
        return ExitCode::from(2);
    };
    match run(store, Path::new(context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("build: {}", plyfs::report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, context: &Path) -> Result<(), Box<dyn Error>> {
    let store = Store::ensure(path)?;
    let (mut below, mut reused, mut saved) = (None, 0, 0);
    for step in STEPS {
        let key = key(step, &context.join(step))?;
        let (layer, took) = match store.cached(below.as_ref(), &key)? {
            Some(layer) => {
                reused += 1;
                saved += layer.usage().apparent;
                (layer, None)
            }
            None => {
                let started = Instant::now();
                (build(&store, below.as_ref(), &context.join(step), step, &key)?, Some(started.elapsed()))
            }
        };
        tell(step, &layer, took);
        below = Some(layer);
    }
    println!("reused {reused} of {} layers, {saved} bytes not copied again", STEPS.len());
    Ok(())
}

/// The instruction and the digest of what it copies: of the tree's changeset, which is the same for the same tree.
fn key(step: &str, directory: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let tree = File::open(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let exported =
        plyfs_diff::export(&tree, &plyfs_diff::Chain::empty(), std::io::sink(), &plyfs_diff::ExportOptions::new())?;
    let digest: Digest = exported.diff_id;
    Ok(format!("COPY {step} / {digest}").into_bytes())
}

/// Copies a directory into a container and keeps what that changed under the key.
fn build(store: &Store, below: Option<&Layer>, from: &Path, step: &str, key: &[u8]) -> Result<Layer, Box<dyn Error>> {
    let container = store.create(below.map_or(Parent::Empty, Parent::Layer), ContainerOptions::new())?;
    let built = || -> Result<Layer, Box<dyn Error>> {
        let mount = container.mount(&MountOptions::new())?;
        copy(from, mount.path())?;
        mount.unmount()?;
        let name: Reference = format!("localhost/build/{step}").parse()?;
        let options = CommitOptions::new().name(name).message(format!("COPY {step} /")).cache_key(key);
        let image = container.commit(options, Progress::none())?;
        let top = image.top().expect("a commit adds a layer");
        Ok(store.layer(&top.to_string())?)
    };
    let layer = built();
    container.remove(Removal::Force)?;
    store.reap()?;
    layer
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            fs::create_dir_all(&to)?;
            copy(&entry, &to)?;
        } else {
            fs::copy(&entry, &to)?;
        }
    }
    Ok(())
}

fn tell(step: &str, layer: &Layer, took: Option<Duration>) {
    let id = &layer.id().to_string()[..12];
    match took {
        Some(took) => println!("{step}: {id} built in {:.1} ms", took.as_secs_f64() * 1e3),
        None => println!("{step}: {id} reused"),
    }
}
