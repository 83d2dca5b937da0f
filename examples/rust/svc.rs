//! The task of the README: load an image, change a file in a container, see what changed, keep it as a new image, and
//! save that.
//!
//! ```text
//! cargo run --example svc -- STORE ARCHIVE [OUT]
//! ```
//!
//! STORE is made when it is missing; OUT is STORE.svc-2.tar unless it is given. Mounting needs root.

#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use plyfs::prelude::*;
use plyfs::{Archive, CommitOptions, Container, ContainerOptions, MountOptions, Progress, Removal, Source, Store};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (path, archive, out) = match &arguments[..] {
        [path, archive] => (path, archive, format!("{path}.svc-2.tar")),
        [path, archive, out] => (path, archive, out.clone()),
        _ => {
            eprintln!("usage: svc STORE ARCHIVE [OUT]");
            return ExitCode::from(2);
        }
    };
    match run(path, archive, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("svc: {}", plyfs::report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, archive: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let store = Store::ensure(path)?;
    let loaded = store.load(Source::path(archive)?, Progress::none())?;
    let image = &loaded[0].image;
    println!("loaded {}", image.names().first().map_or(image.id().to_string(), ToString::to_string));

    let container = store.create(image, ContainerOptions::new())?;
    if let Err(error) = live(&store, &container, out) {
        // The container goes whatever happened; the first error is the one to tell.
        let _ = container.remove(Removal::Force);
        return Err(error);
    }
    container.remove(Removal::Unmounted)?;
    store.reap()?;
    Ok(())
}

/// The life of one container, from its creation to what is kept of it.
fn live(store: &Store, container: &Container, out: &str) -> Result<(), Box<dyn Error>> {
    let mount = container.mount(&MountOptions::new())?;
    let app = mount.path().join("app");
    fs::create_dir_all(&app)?;
    fs::write(app.join("config.properties"), "port=81\n")?;
    mount.unmount()?;

    for change in container.changes()? {
        println!("{}", change?);
    }
    let options = CommitOptions::new().name("svc:2".parse()?).message("new port").author("the Rust example");
    let next = container.commit(options, Progress::none())?;
    println!("{} is {}", next.names()[0], next.id());
    store.save(&[&next], Archive::oci(fs::File::create(out)?), Progress::none())?;
    Ok(())
}
