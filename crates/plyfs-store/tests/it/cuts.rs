//! Every operation is killed behind every durable step: the store is whole, as before or as after, and nothing is left.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use plyfs_store::{
    CheckOptions, ContainerOptions, Digest, Durability, Layer, LeaseOptions, NewImage, PruneOptions, Removal, Store,
};
use plyfs_testkit::require_root;

use crate::killed::{self, Cut, settled};
use crate::{Fixture, archive, names};

const NAME: &str = "cuts::root_every_operation_killed_behind_every_step_is_whole_or_absent_and_leaves_nothing";

/// An operation and the steps it says it has.
type Operation = (&'static str, fn(&Store), &'static [&'static str]);

const OPERATIONS: [Operation; 14] = [
    ("make", |_| {}, &["make 1", "make 2", "make 3", "make 4"]),
    ("load", load, &["stage 1", "stage 2", "publish 1", "publish 2", "publish 3", "publish 4", "publish 5"]),
    ("commit", commit, &["stage 1", "stage 2", "publish 1", "publish 2", "publish 3", "publish 4", "publish 5"]),
    ("create", create, &["create 1", "create 2", "create 3"]),
    ("create all", create_all, &["create 1", "create 2", "create 3"]),
    ("rename", rename, &["rename 1"]),
    ("tag", tag, &["tag 1"]),
    ("untag", untag, &["untag 1"]),
    ("remove", remove, &["remove 1", "remove 2"]),
    ("remove image", remove_image, &["remove 1", "remove 2"]),
    ("prune", prune, &["remove 1", "remove 2"]),
    ("reap", reap, &["remove 1", "remove 2", "reap 1", "reap 2", "reap 3"]),
    ("lease", lease, &["lease 1", "lease 2"]),
    ("release", release, &["release 1", "release 2"]),
];

/// Publishes a config with these layers' uppermost as an image, and keeps the form that one came in.
fn image(operation: &mut plyfs_store::Operation, config: &[u8], top: plyfs_store::LayerId, name: &str) {
    let id = operation.blob(config).expect("staged");
    let manifest = Some(operation.blob(&[config, b"manifest"].concat()).expect("staged"));
    let blob = [config, b"blob"].concat();
    let file = operation.blob_file(&Digest::of(&blob)).expect("staged");
    file.expect("it is the first").write_all(&blob).expect("written");
    operation.keep_blob(top, Digest::of(&blob)).expect("kept");
    let names = vec![name.parse().expect("a name")];
    operation.image(NewImage { id, top: Some(top), manifest, names, built: None, architecture: None, os: None });
}

fn load(store: &Store) {
    let mut operation = store.operation().expect("an operation");
    let base = store.image("base:1").expect("found").top();
    let first = operation.apply(&mut archive(&[("new/a", "1")]).as_slice(), base, None).expect("applied").id;
    let second = operation.apply(&mut archive(&[("new/b", "2")]).as_slice(), Some(first), None).expect("applied").id;
    image(&mut operation, b"loaded", second, "loaded:1");
    operation.publish().expect("published");
}

fn commit(store: &Store) {
    let container = store.container("used").expect("found");
    let mut changes = Vec::new();
    container.export(&mut changes, plyfs_store::Progress::none()).expect("exported");
    let mut operation = store.operation().expect("an operation");
    let top = operation.apply(&mut changes.as_slice(), container.parent(), None).expect("applied").id;
    image(&mut operation, b"committed", top, "committed:1");
    operation.publish().expect("published");
}

fn create(store: &Store) {
    let image = store.image("base:1").expect("found");
    store.create(&image, ContainerOptions::new().name("new".parse().expect("a name"))).expect("created");
}

fn create_all(store: &Store) {
    let image = store.image("base:1").expect("found");
    let wanted = ["new", "newer"].map(|name| ContainerOptions::new().name(name.parse().expect("a name")));
    store.create_all(&image, wanted).expect("created");
}

fn rename(store: &Store) {
    store.container("used").and_then(|c| c.rename("renamed".parse().expect("a name"))).expect("renamed");
}

fn tag(store: &Store) {
    // A name that meant another image.
    store.tag(&store.image("base:1").expect("found"), &"spare:1".parse().expect("a name")).expect("tagged");
}

fn untag(store: &Store) {
    store.untag(&"spare:1".parse().expect("a name")).expect("untagged");
}

fn remove(store: &Store) {
    store.container("used").and_then(|c| c.remove(Removal::Force)).expect("removed");
}

fn remove_image(store: &Store) {
    store.remove_image(&store.image("spare:1").expect("found")).expect("removed");
}

fn prune(store: &Store) {
    store.prune(PruneOptions::new().all(true)).expect("pruned");
}

fn reap(store: &Store) {
    remove_image(store);
    store.reap().expect("reaped");
}

fn lease(store: &Store) {
    let lease = store.lease(LeaseOptions::new(Duration::from_secs(3600)).survives_holder(true)).expect("a lease");
    drop(lease);
}

fn release(store: &Store) {
    let lease = store.open_lease(store.leases().expect("listed")[0].id).expect("still there");
    lease.release().expect("released");
}

/// A store that has something for every operation.
fn fixture() -> Fixture {
    let dir = plyfs_testkit::temp::TempDir::new();
    let options = Store::options().durability(Durability::None);
    let fixture = Fixture { store: options.ensure(dir.join("store")).expect("a new store"), dir };
    let base = fixture.layer(None, &[("etc/motd", "hello")]);
    let spare = fixture.layer(Some(&base), &[("spare", "1")]);
    let _loose = fixture.layer(Some(&base), &[("loose", "1")]);
    let publish = |config: &[u8], top: &Layer, name: &str| {
        let mut operation = fixture.store.operation().expect("an operation");
        image(&mut operation, config, top.id(), name);
        operation.publish().expect("published");
    };
    publish(b"base", &base, "base:1");
    publish(b"spare", &spare, "spare:1");
    let used = ContainerOptions::new().name("used".parse().expect("a name"));
    let used = fixture.store.create(&fixture.store.image("base:1").expect("found"), used).expect("created");
    std::fs::write(fixture.directory(used.id()).join("diff/data"), "mine").expect("written");
    lease(&fixture.store);
    fixture
}

/// The other process: one operation, killed behind its `cut`th step.
fn act(role: &str) {
    let mut words = role.splitn(4, '/');
    let mut word = || words.next().expect("a role");
    let (which, durability, cut) = (word().to_owned(), word() == "files", word().parse().expect("a number"));
    let durability = if durability { Durability::Files } else { Durability::FileSystem };
    killed::after(cut);
    let path = std::path::Path::new("/").join(word());
    let store = Store::options().durability(durability).at_each_step(killed::step).ensure(path).expect("opened");
    let (.., operate, _) = OPERATIONS.iter().find(|(name, ..)| *name == which).expect("an operation");
    operate(&store);
}

/// What a store holds, with random ids told apart by nothing.
fn projection(store: &Store) -> Vec<String> {
    // What a crash took from a new container is made by its next use.
    let containers = store.containers().expect("listed");
    containers.iter().for_each(|c| drop(c.mount_spec().unwrap_or_else(|e| panic!("{}: {e:?}", c.name()))));
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
    let mut all: Vec<_> = names(store.path()).iter().map(|name| masked(name)).collect();
    // Looking puts something into the trash too, and `settled` claimed that it was emptied.
    all.retain(|name| !name.ends_with("/committed") && name != "overlay2/empty" && !name.starts_with("trash/"));
    all.sort();
    all.extend(containers.iter().map(|container| format!("container {}", container.name())));
    for image in store.images().expect("listed") {
        let names: Vec<_> = image.names().iter().map(ToString::to_string).collect();
        all.push(format!("image {} {}", image.id(), names.join(" ")));
    }
    all.push(format!("{} leases", store.leases().expect("listed").len()));
    all
}

fn masked(name: &str) -> String {
    let part = |part: &str| match part.len() {
        64 => "ID".to_owned(),
        26 => "LINK".to_owned(),
        _ => part.to_owned(),
    };
    name.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn root_every_operation_killed_behind_every_step_is_whole_or_absent_and_leaves_nothing() {
    require_root!();
    if let Some(role) = killed::role() {
        return act(&role);
    }
    // Side by side: each waits for the disk most of the time.
    std::thread::scope(|scope| {
        for operation in OPERATIONS {
            for durability in ["file-system", "files"] {
                // What is synced matters only where something is published.
                if durability == "file-system" || operation.2.contains(&"publish 1") {
                    scope.spawn(move || cut_everywhere(operation, durability));
                }
            }
        }
    });
}

fn cut_everywhere((which, _, steps): Operation, durability: &str) {
    let mut before = None;
    let mut seen = Vec::new();
    let mut reached = BTreeSet::new();
    for cut in 1.. {
        assert!(cut < 100, "{which} never ends");
        let fixture = fixture();
        let path = if which == "make" { fixture.dir.join("new") } else { fixture.store.path().to_owned() };
        if which != "make" && before.is_none() {
            before = Some(projection(&settled(&path).expect("opened")));
        }
        let role = format!("{which}/{durability}/{cut}{}", path.display());
        let Cut { is_killed, last } = killed::start(&[], NAME, &role);
        if which == "make" {
            // Until its last step there is none; then there is, and making it again changes nothing.
            let is_there = Store::open(&path).is_ok();
            assert!(!is_there || last.ends_with("make 4"), "{which}, cut {cut} behind {last}");
            Store::ensure(&path).unwrap_or_else(|e| panic!("{which}, cut {cut} behind {last}: {e:?}"));
        }
        let store = settled(&path).unwrap_or_else(|e| panic!("{which}, cut {cut} behind {last}: {e:?}"));
        seen.push((last.clone(), projection(&store)));
        if !is_killed {
            break;
        }
        reached.insert(last);
    }
    let after = seen.last().expect("it ran once").1.clone();
    let before = before.unwrap_or_else(|| after.clone());
    let mut is_done = false;
    for (step, state) in &seen {
        assert!(*state == after || (!is_done && *state == before), "{which} cut behind {step}: {state:#?}");
        is_done |= *state == after;
    }
    let steps = steps.iter().map(ToString::to_string).collect();
    assert_eq!(reached, steps, "{which}: every step was cut");
}
