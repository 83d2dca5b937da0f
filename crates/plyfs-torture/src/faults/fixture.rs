//! The stores that operations begin with, made once and copied for each fault.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use plyfs::prelude::*;
use plyfs::{Container, ContainerOptions, MountOptions, Progress, Removal, Source, Store, StoreOptions};
use plyfs_testkit::oci::LayerTar;

use crate::recipe::{Recipe, content};
use crate::turn;

/// What a store is like before the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two images, two containers, a layer that nobody stands on; nothing is under way.
    Rest,
    /// The same, and a container removed and not reaped, and a load that died halfway.
    Dirty,
    /// The same as the first, and a journal whose next record starts a new log.
    FullLog,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Rest, Self::Dirty, Self::FullLog];

    /// The name of its directory.
    #[must_use]
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Dirty => "dirty",
            Self::FullLog => "full-log",
        }
    }
}

/// One of the images of these stores, loaded or to be loaded.
#[must_use]
pub(super) fn image(n: u64) -> Recipe {
    Recipe::new("fault", n)
}

fn options() -> StoreOptions {
    Store::options()
}

/// Makes all of them below `dir`.
pub(super) fn make(dir: &Path) -> Result<()> {
    for kind in Kind::ALL {
        let root = dir.join(kind.directory());
        fs::create_dir(&root).with_context(|| format!("make {}", root.display()))?;
        match kind {
            Kind::Rest => rest(&root)?,
            Kind::Dirty => {
                let aside = dir.join("aside");
                copy(&dir.join(Kind::Rest.directory()), &aside)?;
                dirty(&aside, &root)?;
                fs::remove_dir_all(&aside)?;
            }
            Kind::FullLog => {
                fs::remove_dir(&root)?;
                copy(&dir.join(Kind::Rest.directory()), &root)?;
                fill_log(&root)?;
            }
        }
    }
    Ok(())
}

fn rest(root: &Path) -> Result<()> {
    let store = options().ensure(root.join("store"))?;
    for n in [0, 1] {
        store.load(Source::path(image(n).archive(root, n))?, Progress::none())?;
    }
    let base = store.image(&image(0).plain.name)?;
    for name in ["one", "two"] {
        let container = store.create(&base, ContainerOptions::new().name(name.parse()?).label("a", "b"))?;
        let mount = container.mount(&MountOptions::new())?;
        if name == "one" {
            fs::write(mount.path().join("base/written"), content(77))?;
            fs::write(mount.path().join("own/f1"), content(78))?;
            fs::remove_file(mount.path().join("own/f2"))?;
            fs::create_dir(mount.path().join("new"))?;
        }
        mount.unmount()?;
    }
    let loose = LayerTar::new().file("loose", content(3)).finish();
    store.apply(loose.as_slice(), None, Progress::none())?;
    store.reap()?;
    Ok(())
}

/// Copies the store while a load is under way in it: the copy's staging entry has no holder.
fn dirty(aside: &Path, root: &Path) -> Result<()> {
    let store = options().open(aside.join("store"))?;
    let container: Container =
        store.create(&store.image(&image(0).plain.name)?, ContainerOptions::new().name("gone".parse()?))?;
    container.remove(Removal::Unmounted)?;
    let mut operation = store.operation()?;
    let archive = LayerTar::new().dir("half").file("half/a", content(4)).finish();
    operation.apply(&mut archive.as_slice(), None, None)?;
    operation.blob(b"{}")?;
    fs::remove_dir(root)?;
    copy(aside, root)?;
    drop(operation);
    Ok(())
}

/// Writes records until one more of the same kind starts a new log.
fn fill_log(root: &Path) -> Result<()> {
    let store = options().open(root.join("store"))?;
    let image = store.image(&image(0).plain.name)?;
    let name = "fault/tagged:1".parse()?;
    let head = || fs::read(root.join("store/journal/head"));
    let write_until_new = || -> Result<u64> {
        let before = head()?;
        for writes in 1..20_000 {
            store.tag(&image, &name)?;
            if head()? != before {
                return Ok(writes);
            }
        }
        anyhow::bail!("the log is never full")
    };
    write_until_new()?;
    // From new log to new log it takes as many each time.
    let period = write_until_new()?;
    for _ in 0..period - 1 {
        store.tag(&image, &name)?;
    }
    store.untag(&name)?;
    Ok(())
}

/// Copies a directory with all attributes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.args(["--archive", "--no-target-directory"]).args([from, to]);
    let status = turn::spawn(&mut command)?.wait()?;
    ensure!(status.success(), "cp {} {}: {status}", from.display(), to.display());
    Ok(())
}
