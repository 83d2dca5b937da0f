//! A process is killed behind every step of mounting and unmounting: never a second mount over one upper, nothing written
//! is lost, and whoever comes next goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use plyfs_mount::{Feature, Features};
use plyfs_store::{
    CheckOptions, Container, ContainerOptions, Durability, ErrorKind, MountOptions, Removal, Severity, Store,
    StoreOptions, Unmount,
};
use plyfs_testkit::process::wait_until;
use plyfs_testkit::require_root;
use plyfs_testkit::temp::{TempDir, mounts_below};

use crate::Fixture;
use crate::killed::{self, Cut, settled};
use crate::mounts::Unmounted;

const NAME: &str = "mount_cuts::root_a_process_killed_behind_any_step_of_a_mount_leaves_what_the_next_one_goes_on_from";

/// An operation on a container, and the steps it says it has.
struct Case {
    name: &'static str,
    operate: fn(&Container, &Path),
    steps: &'static [&'static str],
    /// As on a kernel before Linux 6.7.
    is_classic: bool,
    /// What it begins with.
    first: First,
    /// The program starts behind these words.
    behind: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum First {
    Unmounted,
    /// As after a power cut that took a new container's directories.
    Unmade,
    Mounted,
    MountedElsewhere,
}

const MOUNT: Case = Case {
    name: "mount",
    operate: |container, _| container.mount(&MountOptions::new()).expect("mounted").keep(),
    // A handle that did not create the container looks at its directories first.
    steps: &["create 2", "mount 1", "mount 2", "mount 3", "mount 4"],
    is_classic: false,
    first: First::Unmounted,
    behind: &[],
};

const UNMOUNT: Case = Case {
    name: "unmount",
    operate: |container, _| container.unmount(Unmount::Plain).expect("unmounted"),
    steps: &["unmount 1", "unmount 2", "unmount 3"],
    first: First::Mounted,
    ..MOUNT
};

const CLASSIC: &[&str] = &["create 2", "mount 1", "mount 3", "mount 4", "mount 5"];

const CASES: [Case; 11] = [
    MOUNT,
    Case { name: "mount-elsewhere", operate: mount_elsewhere, ..MOUNT },
    Case { name: "mount-classic", is_classic: true, steps: CLASSIC, ..MOUNT },
    Case { name: "mount-classic-elsewhere", is_classic: true, steps: CLASSIC, operate: mount_elsewhere, ..MOUNT },
    Case { name: "mount-unmade", first: First::Unmade, ..MOUNT },
    Case { name: "mount-apart", behind: APART, ..MOUNT },
    Case { name: "mount-apart-classic", behind: APART, is_classic: true, steps: CLASSIC, ..MOUNT },
    UNMOUNT,
    Case { name: "unmount-elsewhere", first: First::MountedElsewhere, ..UNMOUNT },
    Case { name: "detach", operate: |container, _| container.unmount(Unmount::Detach).expect("unmounted"), ..UNMOUNT },
    Case {
        name: "remove",
        operate: |container, _| container.remove(Removal::Force).expect("removed"),
        steps: &["unmount 1", "unmount 2", "unmount 3", "remove 1", "remove 2"],
        ..UNMOUNT
    },
];

impl Case {
    /// The steps it has on this kernel.
    fn steps(&self) -> &'static [&'static str] {
        if self.steps == MOUNT.steps && !makes_detached() { CLASSIC } else { self.steps }
    }
}

/// Says whether this kernel makes a mount before it has a place.
fn makes_detached() -> bool {
    static MAKES: OnceLock<bool> = OnceLock::new();
    *MAKES.get_or_init(|| {
        let scratch = TempDir::new();
        let opened = plyfs_sys::fs::open_dir(scratch.path()).expect("opened");
        Features::probe(&opened).expect("probed").has(Feature::FSOPEN | Feature::APPEND)
    })
}

/// A mount namespace that ends with the process.
const APART: &[&str] = &["unshare", "--mount", "--propagation", "private"];

fn mount_elsewhere(container: &Container, at: &Path) {
    container.mount(&MountOptions::new().at(at)).expect("mounted").keep();
}

/// A store with the container `c`, into which a file was written while it was mounted.
struct Begun {
    fixture: Fixture,
    container: Container,
    at: PathBuf,
    /// Every name in the store before the container was created.
    names: Vec<String>,
}

impl Begun {
    fn new(first: First) -> Self {
        let dir = TempDir::new();
        let fixture = Fixture { store: options().ensure(dir.join("store")).expect("a new store"), dir };
        let layer = fixture.layer(None, &[("etc/motd", "hello")]);
        // What the kernel can do is found, and the layer marked as one that others stand on.
        fixture.store.info().expect("told");
        fixture.store.create(&layer, ContainerOptions::new()).and_then(|c| c.remove(Removal::Unmounted)).expect("done");
        settled(fixture.store.path()).expect("reaped");
        let names = fixture.names();
        let named = ContainerOptions::new().name("c".parse().expect("a name"));
        let container = fixture.store.create(&layer, named).expect("created");
        let at = fixture.dir.dir("at");
        let begun = Self { fixture, container, at, names };
        begun.begin(first);
        begun
    }

    fn begin(&self, first: First) {
        let directory = self.fixture.directory(self.container.id());
        let options = match first {
            First::Unmade => {
                let link = fs::read_to_string(directory.join("link")).expect("read");
                fs::remove_dir_all(directory).expect("taken");
                return fs::remove_file(self.fixture.store.path().join("overlay2/l").join(link)).expect("taken");
            }
            First::MountedElsewhere => MountOptions::new().at(&self.at),
            First::Unmounted | First::Mounted => MountOptions::new(),
        };
        let mount = self.container.mount(&options).expect("mounted");
        fs::write(mount.path().join("data"), "mine").expect("written");
        mount.keep();
        if first == First::Unmounted {
            unmounted(&self.container);
        }
    }
}

fn options() -> StoreOptions {
    Store::options().durability(Durability::None)
}

/// Unmounts, as soon as no fork of another test holds what is open inside: it does until it is another program.
fn unmounted(container: &Container) {
    let mut last = Ok(());
    wait_until(Duration::from_secs(20), || {
        last = container.unmount(Unmount::Plain);
        !matches!(&last, Err(error) if error.kind() == ErrorKind::Busy)
    });
    last.expect("nobody is inside");
}

/// The other process: one operation, killed behind its `cut`th step.
fn act(role: &str) {
    let mut words = role.splitn(3, '/');
    let mut word = || words.next().expect("a role");
    let (name, cut) = (word(), word().parse().expect("a number"));
    let dir = Path::new("/").join(word());
    let case = CASES.iter().find(|case| case.name == name).expect("a case");
    let options = options().at_each_step(killed::step);
    let refused = if case.is_classic { Feature::FSOPEN | Feature::APPEND } else { Feature::empty() };
    let store = options.without(refused).open(dir.join("store")).expect("opened");
    let container = store.container("c").expect("found");
    killed::after(cut);
    (case.operate)(&container, &dir.join("at"));
}

fn start(case: &Case, begun: &Begun, cut: usize) -> Cut {
    killed::start(case.behind, NAME, &format!("{}/{cut}{}", case.name, begun.fixture.dir.path().display()))
}

#[test]
fn root_a_process_killed_behind_any_step_of_a_mount_leaves_what_the_next_one_goes_on_from() {
    require_root!();
    if let Some(role) = killed::role() {
        return act(&role);
    }
    // Side by side: each waits for the disk most of the time.
    std::thread::scope(|scope| {
        for case in &CASES {
            scope.spawn(|| cut_everywhere(case));
        }
        scope.spawn(cut_twice);
        scope.spawn(cut_and_unmounted);
    });
}

fn cut_everywhere(case: &Case) {
    let mut reached = BTreeSet::new();
    for cut in 1.. {
        assert!(cut < 10, "{} never ends", case.name);
        let begun = Begun::new(case.first);
        let _clean = Unmounted(&begun.fixture);
        let Cut { is_killed, last } = start(case, &begun, cut);
        judge(case, &begun, &format!("{} killed behind {last:?}", case.name));
        if !is_killed {
            break;
        }
        reached.insert(last);
    }
    assert_eq!(reached, case.steps().iter().map(ToString::to_string).collect(), "{}: every step", case.name);
}

/// The mount that follows a killed one is killed too.
fn cut_twice() {
    for (first, second) in (2..=MOUNT.steps().len()).flat_map(|first| [2, 4, 5].map(|second| (first, second))) {
        let begun = Begun::new(MOUNT.first);
        let _clean = Unmounted(&begun.fixture);
        let (before, then) = (start(&MOUNT, &begun, first), start(&MOUNT, &begun, second));
        assert!(before.is_killed);
        // A mount that is there needs none of the steps.
        let is_there = ["mount 4", "mount 5"].contains(&before.last.as_str());
        assert_eq!(then.is_killed, !is_there, "behind {}", before.last);
        judge(&MOUNT, &begun, &format!("mount killed behind {} and {:?}", before.last, then.last));
    }
}

/// Nothing is mounted, and an unmount takes away all the same what is left of it.
fn cut_and_unmounted() {
    let begun = Begun::new(MOUNT.first);
    let _clean = Unmounted(&begun.fixture);
    let cut = MOUNT.steps().iter().position(|step| *step == "mount 3").expect("a step") + 1;
    assert_eq!(start(&MOUNT, &begun, cut).last, "mount 3");
    unmounted(&begun.container);
    is_without_a_trace(&begun, "unmounted behind mount 3");
}

/// Looks at what a killed process left, goes on with it, and takes it away.
fn judge(case: &Case, begun: &Begun, what: &str) {
    let store = options().open(begun.fixture.store.path()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let mounts = mounts_below(begun.fixture.dir.path());
    let mut found = store.check(CheckOptions::quick()).expect("checked");
    // What a crash may take from a new container by design is noted until its next use.
    found.retain(|finding| case.first != First::Unmade || finding.severity != Severity::Note);
    assert_eq!(found, [], "{what}");
    match store.container("c") {
        Ok(container) => {
            says_what_is_there(case, &container, &mounts, what);
            next_mount_works(case, begun, &container, what);
        }
        Err(error) => {
            assert_eq!((error.kind(), case.name), (ErrorKind::NotFound, "remove"), "{what}");
            assert!(mounts.is_empty(), "{what}: {mounts:?}");
        }
    }
    let store = settled(store.path()).expect("reaped");
    assert_eq!(store.check(CheckOptions::quick()).expect("checked"), [], "{what}");
    assert_eq!(begun.fixture.names(), begun.names, "{what}: nothing is left");
}

/// The mount table, the container and a mount that wants another place agree.
fn says_what_is_there(case: &Case, container: &Container, mounts: &[PathBuf], what: &str) {
    assert!(mounts.len() <= 1, "{what}: {mounts:?}");
    if !case.behind.is_empty() {
        assert_eq!(mounts.len(), 0, "{what}: it was in a namespace of its own");
        // Which ends a moment after its last process.
        wait_until(Duration::from_secs(20), || container.mounted_at().is_ok_and(|at| at.is_none()));
    }
    assert_eq!(container.mounted_at().expect("asked").as_ref(), mounts.first(), "{what}");
    let Some(at) = mounts.first() else { return };
    let other = TempDir::new();
    let error = container.mount(&MountOptions::new().at(other.path())).expect_err("it is mounted");
    assert_eq!(error.kind(), ErrorKind::InUse, "{what}");
    assert!(error.to_string().contains(&*at.to_string_lossy()), "{what}: {error}");
}

/// A mount without a wish is the one that is there or a new one, has all that was written, and ends without a trace.
fn next_mount_works(case: &Case, begun: &Begun, container: &Container, what: &str) {
    let mount = container.mount(&MountOptions::new()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    assert_eq!(mounts_below(begun.fixture.dir.path()), [mount.path()], "{what}: one over one upper (rule 65)");
    let read =
        |name: &str| fs::read_to_string(mount.path().join(name)).unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
    assert_eq!(read("etc/motd"), "hello", "{what}");
    if case.first != First::Unmade {
        assert_eq!(read("data"), "mine", "{what}");
    }
    fs::write(mount.path().join("more"), "later").expect("written");
    mount.keep();
    unmounted(container);

    is_without_a_trace(begun, what);
    let upper = begun.fixture.directory(container.id()).join("diff");
    assert_eq!(fs::read_to_string(upper.join("more")).expect("in the upper"), "later", "{what}");
    container.remove(Removal::Unmounted).unwrap_or_else(|e| panic!("{what}: {e:?}"));
}

/// Neither mount nor mount point nor mark.
fn is_without_a_trace(begun: &Begun, what: &str) {
    let directory = begun.fixture.directory(begun.container.id());
    assert!(mounts_below(begun.fixture.dir.path()).is_empty(), "{what}");
    assert!(!directory.join("merged").exists(), "{what}");
    let opened = plyfs_sys::fs::open_dir(&directory).expect("opened");
    assert_eq!(plyfs_sys::xattr::get(&opened, "trusted.plyfs.mount").expect("asked"), None, "{what}: the mark is gone");
}
