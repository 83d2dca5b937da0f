//! A store that ends with its test, and the questions the tests ask of one.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plyfs::prelude::*;
use plyfs::{
    CheckOptions, Container, ContainerOptions, Durability, Image, Mount, MountOptions, Progress, Source, Store,
    StoreUsage,
};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Field, Options, Tree};

/// Waits until no other test of this program runs; each takes its turn.
///
/// A test that starts a program forks, and until the fork has become the program it holds whatever another test has
/// open: a mount would be busy and a lock taken, for no reason of theirs.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner) // of a test that failed
}

/// A store in a directory of its own; whatever is mounted goes with it.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) store: Store,
    // Last: removed after the store is closed.
    pub(crate) dir: TempDir,
}

impl Scratch {
    /// Makes an empty store that waits for no disk: what these tests ask about is not power.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let options = Store::options().durability(Durability::None);
        let store = options.ensure(dir.join("store")).expect("an empty directory becomes a store");
        Self { store, dir }
    }

    /// Loads the one image of an archive or layout.
    #[track_caller]
    pub(crate) fn load(&self, path: impl AsRef<Path>) -> Image {
        load(&self.store, path.as_ref())
    }

    /// Creates a container.
    #[track_caller]
    pub(crate) fn create(&self, image: &Image, name: &str) -> Container {
        let options = ContainerOptions::new().name(name.parse().expect("a good name"));
        self.store.create(image, options).unwrap_or_else(|e| panic!("create {name}: {}", plyfs::report(&e)))
    }
}

/// Loads the one image of an archive or layout.
#[track_caller]
pub(crate) fn load(store: &Store, path: &Path) -> Image {
    let source = Source::path(path).unwrap_or_else(|e| panic!("{}", plyfs::report(&e)));
    let loaded = store.load(source, Progress::none()).unwrap_or_else(|e| panic!("{}", plyfs::report(&e)));
    let [one] = <[_; 1]>::try_from(loaded).expect("the archive holds one image");
    // skopeo and umoci name an image of a layout by its tag alone, which is no name here.
    let skipped: Vec<_> = one.skipped.iter().filter(|note| !note.starts_with("the tag ")).collect();
    assert_eq!(skipped, [""; 0], "nothing may be left out of {}", path.display());
    one.image
}

/// Mounts a container at its own place.
#[track_caller]
pub(crate) fn mount(container: &Container) -> Mount {
    container.mount(&MountOptions::new()).unwrap_or_else(|e| panic!("mount: {}", plyfs::report(&e)))
}

/// The tree an image mounts to.
#[track_caller]
pub(crate) fn mounted_tree(scratch: &Scratch, image: &Image) -> Tree {
    let container = scratch.create(image, "for-a-look");
    let mounted = mount(&container);
    let tree = Tree::of(mounted.path());
    mounted.unmount().expect("nobody is inside");
    container.remove(plyfs::Removal::Unmounted).expect("nobody uses it");
    scratch.store.reap().expect("the trash is ours");
    tree
}

/// Runs a script in the mounted root, by `chroot`.
pub(crate) fn chroot(root: &Path, script: &str) -> Command {
    let mut command = plyfs_testkit::peers::tool("chroot");
    command.arg(root).args(["/bin/sh", "-euc", script]).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// What `df` says, without what the whole file system has left, which others change too.
#[track_caller]
pub(crate) fn usage(store: &Store) -> StoreUsage {
    let mut usage = store.measure().expect("records can be added up");
    (usage.total_bytes, usage.free_bytes, usage.total_inodes, usage.free_inodes) = (0, 0, 0, 0);
    usage
}

/// Claims that records and directories agree and that every layer gives its DiffID, and that nothing waits to be
/// taken back.
#[track_caller]
pub(crate) fn assert_whole(store: &Store) {
    let findings = store.check(CheckOptions::data()).expect("a store can be looked at");
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [""; 0], "the store is not whole");
    for place in ["staging", "trash"] {
        assert_eq!(names(&store.path().join(place)), [""; 0], "{place} holds something");
    }
}

/// The names in a directory, sorted.
#[track_caller]
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything a store's directory holds but the journal, whose bytes may differ where its records do not.
#[track_caller]
pub(crate) fn remains(store: &Store) -> Tree {
    let mut tree = Tree::of(store.path());
    tree.entries.retain(|path, _| !path.starts_with(b"journal/"));
    tree
}

/// How two looks at one store are compared: a directory's time tells of what came and went.
pub(crate) fn no_trace() -> Options {
    Options::new().ignoring(Field::Mtime)
}
