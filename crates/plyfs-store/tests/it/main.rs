//! The store as its users see it, on a real file system with real mounts.

mod apart;
mod cache;
mod crash;
mod create;
mod cuts;
mod durability;
mod fsck;
mod fsck_content;
mod holds;
mod kept;
mod kernel;
mod killed;
mod lease;
mod life;
mod locks;
mod lost_writes;
mod meanwhile;
mod misleading;
mod mount_cuts;
mod mounts;
mod rebuild;
mod refusals;
mod removal;
mod replaced;
mod salvage;
mod small_disks;
mod trash;

use plyfs_store::{Layer, LayerId, Store};
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::temp::TempDir;

/// A store in a directory of its own, both gone at the end.
struct Fixture {
    store: Store,
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new();
        let store = Store::ensure(dir.join("store")).expect("a new store");
        Self { store, dir }
    }

    /// Publishes one layer that holds these files.
    fn layer(&self, parent: Option<&Layer>, files: &[(&str, &str)]) -> Layer {
        let mut operation = self.store.operation().expect("an operation");
        let archive = archive(files);
        let applied = operation.apply(&mut archive.as_slice(), parent.map(Layer::id), None).expect("applied");
        operation.publish().expect("published");
        self.store.layer(&applied.id.to_string()).expect("the layer is there")
    }

    /// Every name in the store but the journal's, which grows, and what was found of the kernel.
    fn names(&self) -> Vec<String> {
        names(self.store.path())
    }

    fn directory(&self, id: LayerId) -> std::path::PathBuf {
        self.store.path().join("overlay2").join(id.to_string())
    }
}

/// Copies of the descriptors of this process that are open on `path`, as a fork has them until it is another program.
fn as_a_fork_has(path: &std::path::Path) -> Vec<std::os::fd::OwnedFd> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    let own = own.expect("this process");
    let open = std::fs::read_dir("/proc/self/fd").expect("listed").filter_map(|entry| {
        let entry = entry.ok().filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|open| open == path))?;
        entry.file_name().to_str()?.parse().ok()
    });
    // All found before the first is copied: a copy is open too.
    let open: Vec<_> = open.collect();
    let copy = |fd| rustix::process::pidfd_getfd(&own, fd, rustix::process::PidfdGetfdFlags::empty());
    open.into_iter().map(|fd| copy(fd).expect("a copy")).collect()
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    files.iter().fold(LayerTar::new(), |tar, (name, content)| tar.file(name, content.as_bytes())).finish()
}

fn names(root: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path.clone());
            }
            names.push(path.strip_prefix(root).expect("below the root").display().to_string());
        }
    }
    names.retain(|name| !name.starts_with("journal") && name != "kernel");
    names.sort();
    names
}
