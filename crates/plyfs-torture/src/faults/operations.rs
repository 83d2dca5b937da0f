//! The operations that are made to fail, as a table: what each needs, and what it does.
//!
//! An operation is prepared first, at full speed and without faults; the answer of what it then does is text, so that
//! an answer that a fault made wrong is told from a right one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use plyfs::prelude::*;
use plyfs::{
    Archive, CheckOptions, CommitOptions, ContainerOptions, ImportOptions, LeaseOptions, MountOptions, Progress,
    PruneOptions, Reference, Removal, Result, Source, Store, Unmount,
};
use plyfs_mount::Feature;
use plyfs_testkit::oci::{LayerTar, sha256};

use super::fixture::{Kind, image};
use crate::recipe::content;

/// The operation itself, ready to go.
pub(super) type Ready = Box<dyn FnOnce() -> Result<String>>;

/// One operation.
pub(super) struct Operation {
    /// What `--op` takes.
    pub(super) name: &'static str,
    /// The store it begins with.
    pub(super) kind: Kind,
    /// Prepares it in the store below this directory.
    pub(super) prepare: fn(&Path) -> Result<Ready>,
}

/// Every operation.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "open", kind: Kind::Dirty, prepare: open },
    Operation { name: "load", kind: Kind::Rest, prepare: |dir| load(dir, 3) },
    Operation { name: "load-oci", kind: Kind::Rest, prepare: |dir| load(dir, 4) },
    Operation { name: "apply", kind: Kind::Rest, prepare: apply },
    Operation { name: "import", kind: Kind::Rest, prepare: import },
    Operation { name: "create", kind: Kind::Rest, prepare: create },
    Operation { name: "create-all", kind: Kind::Rest, prepare: create_all },
    Operation { name: "mount", kind: Kind::Rest, prepare: mount },
    Operation { name: "mount-classic", kind: Kind::Rest, prepare: mount_classic },
    Operation { name: "unmount", kind: Kind::Rest, prepare: unmount },
    Operation { name: "commit", kind: Kind::Rest, prepare: commit },
    Operation { name: "rename", kind: Kind::Rest, prepare: rename },
    Operation { name: "tag", kind: Kind::Rest, prepare: tag },
    Operation { name: "untag", kind: Kind::Rest, prepare: untag },
    Operation { name: "remove", kind: Kind::Rest, prepare: |dir| remove(dir, false) },
    Operation { name: "remove-mounted", kind: Kind::Rest, prepare: |dir| remove(dir, true) },
    Operation { name: "rmi", kind: Kind::Rest, prepare: remove_image },
    Operation { name: "prune", kind: Kind::Rest, prepare: prune },
    Operation { name: "lease", kind: Kind::Rest, prepare: lease },
    Operation { name: "release", kind: Kind::Rest, prepare: release },
    Operation { name: "reap", kind: Kind::Dirty, prepare: reap },
    Operation { name: "save", kind: Kind::Rest, prepare: save },
    Operation { name: "export", kind: Kind::Rest, prepare: export },
    Operation { name: "changes", kind: Kind::Rest, prepare: changes },
    Operation { name: "usage", kind: Kind::Rest, prepare: usage },
    Operation { name: "check", kind: Kind::Rest, prepare: check },
    Operation { name: "checkpoint", kind: Kind::FullLog, prepare: checkpoint },
];

fn opened(dir: &Path) -> Result<Store> {
    Ok(Store::open(dir.join("store"))?)
}

/// An operation without an answer.
fn done(_: impl Sized) -> String {
    String::new()
}

fn open(dir: &Path) -> Result<Ready> {
    let path = dir.join("store");
    Ok(Box::new(move || Ok(Store::open(path).map(done)?)))
}

fn load(dir: &Path, n: u64) -> Result<Ready> {
    let (store, archive) = (opened(dir)?, image(n).archive(dir, n));
    Ok(Box::new(move || store.load(Source::path(&archive)?, Progress::none()).map(done)))
}

fn apply(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let archive = LayerTar::new().dir("d").file("d/a", content(1)).symlink("d/b", "a").link("d/c", "d/a").finish();
    Ok(Box::new(move || store.apply(archive.as_slice(), None, Progress::none()).map(done)))
}

fn import(dir: &Path) -> Result<Ready> {
    let (store, tree) = (opened(dir)?, dir.join("tree"));
    fs::create_dir_all(tree.join("d")).expect("an empty directory takes it");
    fs::write(tree.join("d/a"), content(2)).expect("an empty directory takes it");
    for path in ["d/a", "d", "."] {
        // Two runs make the same layer.
        let file = File::open(tree.join(path)).expect("it was just made");
        file.set_modified(std::time::UNIX_EPOCH).expect("it is ours");
    }
    let name: Reference = "fault/imported:1".parse()?;
    Ok(Box::new(move || {
        store.import(Source::path(&tree)?, ImportOptions::new().name(name.clone()), Progress::none()).map(done)
    }))
}

fn create(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let (image, options) = (store.image(&image(0).plain.name)?, ContainerOptions::new().name("new".parse()?));
    Ok(Box::new(move || Ok(store.create(&image, options).map(done)?)))
}

fn create_all(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let image = store.image(&image(0).plain.name)?;
    let wanted = ["new", "newer"].map(|name| name.parse().map(|name| ContainerOptions::new().name(name)));
    let wanted = wanted.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Box::new(move || Ok(store.create_all(&image, wanted).map(done)?)))
}

fn mount(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    Ok(Box::new(move || {
        container.mount(&MountOptions::new())?.keep();
        Ok(String::new())
    }))
}

/// By `mount(2)`, as before Linux 6.7.
fn mount_classic(dir: &Path) -> Result<Ready> {
    let older = Store::options().without(Feature::FSOPEN | Feature::APPEND);
    let container = older.open(dir.join("store"))?.container("one")?;
    Ok(Box::new(move || {
        container.mount(&MountOptions::new())?.keep();
        Ok(String::new())
    }))
}

fn unmount(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    container.mount(&MountOptions::new())?.keep();
    Ok(Box::new(move || Ok(container.unmount(Unmount::Plain).map(done)?)))
}

fn commit(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    // A fixed time: two runs make the same image.
    let options = CommitOptions::new().name("fault/committed:1".parse()?).created(std::time::UNIX_EPOCH)?;
    Ok(Box::new(move || container.commit(options, Progress::none()).map(done)))
}

fn rename(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    let name = "renamed".parse()?;
    Ok(Box::new(move || Ok(container.rename(name).map(done)?)))
}

fn tag(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let (image, name) = (store.image(&image(0).plain.name)?, "fault/tagged:1".parse()?);
    Ok(Box::new(move || Ok(store.tag(&image, &name).map(done)?)))
}

fn untag(dir: &Path) -> Result<Ready> {
    let (store, name) = (opened(dir)?, image(1).plain.name.parse()?);
    Ok(Box::new(move || Ok(store.untag(&name).map(done)?)))
}

fn remove(dir: &Path, mounted: bool) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    if mounted {
        container.mount(&MountOptions::new())?.keep();
    }
    Ok(Box::new(move || Ok(container.remove(Removal::Force).map(done)?)))
}

fn remove_image(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let image = store.image(&image(1).plain.name)?;
    Ok(Box::new(move || Ok(kept(&store.remove_image(&image)?))))
}

/// What a removal names as kept, because it could not be had.
fn kept(pruned: &plyfs::Pruned) -> String {
    pruned.kept.iter().map(|kept| format!("kept: {kept:?}; ")).collect()
}

fn prune(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    Ok(Box::new(move || Ok(kept(&store.prune(PruneOptions::new().all(true))?))))
}

/// A lease that outlives its process and keeps a layer that nothing else does.
fn lease(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let layer = store.apply(LayerTar::new().file("a", content(3)).finish().as_slice(), None, Progress::none())?;
    Ok(Box::new(move || {
        let lease = store.lease(LeaseOptions::new(Duration::from_secs(3600)).survives_holder(true))?;
        Ok(lease.hold(&layer).map(done)?)
    }))
}

fn release(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let layer = store.apply(LayerTar::new().file("a", content(3)).finish().as_slice(), None, Progress::none())?;
    let lease = store.lease(LeaseOptions::new(Duration::from_secs(3600)).survives_holder(true))?;
    lease.hold(&layer)?;
    let id = lease.id();
    drop(lease);
    Ok(Box::new(move || Ok(store.open_lease(id)?.release().map(done)?)))
}

fn reap(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    Ok(Box::new(move || Ok(store.reap().map(done)?)))
}

fn save(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let image = store.image(&image(0).plain.name)?;
    let file = File::create(dir.join("saved.tar")).expect("the directory takes a file");
    Ok(Box::new(move || {
        let mut tee = Tee { file, written: Vec::new() };
        store.save(&[&image], Archive::docker(&mut tee), Progress::none())?;
        Ok(sha256(&tee.written))
    }))
}

/// A file whose content is known without reading it back, which a fault would hit as well.
struct Tee {
    file: File,
    written: Vec<u8>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written.extend(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn export(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    Ok(Box::new(move || {
        let mut bytes = Vec::new();
        container.export(&mut bytes, Progress::none())?;
        Ok(sha256(&bytes))
    }))
}

fn changes(dir: &Path) -> Result<Ready> {
    let container = opened(dir)?.container("one")?;
    Ok(Box::new(move || {
        let changes = container.changes()?.map(|change| change.map(|change| change.to_string()));
        Ok(changes.collect::<Result<Vec<_>, _>>()?.join(" "))
    }))
}

fn usage(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    Ok(Box::new(move || {
        let usage = store.measure()?;
        Ok(format!("{:?} {:?} {:?}", usage.stored, usage.containers_own, usage.as_copies))
    }))
}

fn check(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    Ok(Box::new(move || {
        let findings = store.check(CheckOptions::data())?;
        // What cannot be read is a finding and no failure of the check.
        let lines: Vec<_> = findings.iter().map(|finding| format!("finding: {finding}")).collect();
        Ok(lines.join("; "))
    }))
}

fn checkpoint(dir: &Path) -> Result<Ready> {
    let store = opened(dir)?;
    let (image, name) = (store.image(&image(0).plain.name)?, "fault/tagged:1".parse()?);
    Ok(Box::new(move || {
        for _ in 0..3 {
            store.tag(&image, &name)?;
        }
        Ok(String::new())
    }))
}
