//! Leases: what is built under one stays, for as long as it says and no longer.

use std::process::Command;
use std::time::Duration;

use plyfs_store::{ContainerOptions, ErrorKind, Layer, LeaseId, LeaseOptions, PruneOptions, Reason, Removal, Store};
use plyfs_testkit::process::run;
use plyfs_testkit::require_root;

use crate::{Fixture, archive};

const HOUR: Duration = Duration::from_secs(3600);

fn build(store: &Store, parent: Option<&Layer>, content: &str) -> Layer {
    let mut operation = store.operation().expect("an operation");
    let bytes = archive(&[("a", content)]);
    let applied = operation.apply(&mut bytes.as_slice(), parent.map(Layer::id), None).expect("applied");
    operation.publish().expect("published");
    store.layer(&applied.id.to_string()).expect("the layer is there")
}

fn prune(store: &Store) -> plyfs_store::Pruned {
    store.prune(PruneOptions::new().all(true)).expect("pruned")
}

#[test]
fn root_what_is_built_under_a_lease_stays_until_it_ends() {
    require_root!();
    let fixture = Fixture::new();
    let before = fixture.names();
    let loose = build(&fixture.store, None, "loose");
    let lease = fixture.store.lease(HOUR).expect("a lease");
    let base = build(lease.store(), None, "base");
    let top = build(lease.store(), Some(&base), "top");

    assert_eq!(fixture.store.check(plyfs_store::CheckOptions::quick()).expect("checked"), [], "the journal is whole");
    let pruned = prune(&fixture.store);
    assert_eq!(pruned.layers, [loose.id()]);
    assert_eq!(pruned.kept.len(), 1, "the layer below stays for the one above: {:?}", pruned.kept);
    assert_eq!(pruned.kept[0].to_string(), format!("layer {} is kept by lease {}", top.id(), lease.id()));
    let error = fixture.store.remove_layer(&top).expect_err("leased");
    assert_eq!(
        (error.kind(), error.to_string().contains(&lease.id().to_string())),
        (ErrorKind::InUse, true),
        "{error}"
    );

    lease.release().expect("released");
    assert_eq!(prune(&fixture.store).layers, [top.id(), base.id()]);
    fixture.store.reap().expect("reaped");
    assert_eq!(fixture.names(), before, "the lease's own file too");
}

#[test]
fn root_what_was_there_already_and_what_is_held_by_hand_stay_too() {
    require_root!();
    let fixture = Fixture::new();
    let (found, held) = (build(&fixture.store, None, "found"), build(&fixture.store, None, "held"));
    let lease = fixture.store.lease(HOUR).expect("a lease");
    assert_eq!(build(lease.store(), None, "found").id(), found.id(), "stored once");
    lease.hold(&held).expect("held");

    assert_eq!(prune(&fixture.store).layers, []);
    // A container that comes and goes takes nothing of the lease with it.
    let container = fixture.store.create(&held, ContainerOptions::new()).expect("created");
    assert_eq!(prune(&fixture.store).kept.len(), 1, "only the other one is there for the lease alone");
    container.remove(Removal::Unmounted).expect("removed");
    assert_eq!(prune(&fixture.store).layers, []);

    drop(lease);
    assert_eq!(prune(&fixture.store).layers.len(), 2);
}

#[test]
fn root_a_layer_that_was_gone_when_it_was_asked_for_is_nothing_a_lease_has_to_keep() {
    require_root!();
    let fixture = Fixture::new();
    let gone = build(&fixture.store, None, "gone");
    fixture.store.remove_layer(&gone).expect("removed");
    let lease = fixture.store.lease(HOUR).expect("a lease");
    let mut operation = lease.store().operation().expect("an operation");
    let bytes = archive(&[("a", "over it")]);
    let error = operation.apply(&mut bytes.as_slice(), Some(gone.id()), None).expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let made = operation.apply(&mut bytes.as_slice(), None, None).expect("applied").id;
    operation.publish().expect("published");
    assert_eq!(lease.store().leased(lease.id()).expect("listed"), [plyfs_store::Subject::Layer(made)]);
}

#[test]
fn root_what_only_a_lease_keeps_is_stored_and_not_reclaimable_until_it_ends() {
    require_root!();
    let fixture = Fixture::new();
    let loose = build(&fixture.store, None, "loose");
    let lease = fixture.store.lease(HOUR).expect("a lease");
    let base = build(lease.store(), None, "base");
    let top = build(lease.store(), Some(&base), "top");
    let leased = base.usage() + top.usage();

    let usage = fixture.store.usage().expect("added up");
    assert_eq!((usage.stored, usage.reclaimable), (leased + loose.usage(), loose.usage()));
    assert_eq!(usage.reclaimable, prune(&fixture.store).reclaimed, "what is called reclaimable is what a prune takes");

    lease.release().expect("released");
    assert_eq!(fixture.store.usage().expect("added up").reclaimable, leased);
}

#[test]
fn root_a_nameless_image_under_a_lease_stays() {
    require_root!();
    let fixture = Fixture::new();
    let lease = fixture.store.lease(HOUR).expect("a lease");
    let under = Fixture { store: lease.store().clone(), dir: plyfs_testkit::temp::TempDir::new() };
    let image = under.image("{}", None, &[]);

    let pruned = prune(&fixture.store);
    assert_eq!((pruned.images.len(), pruned.kept.len()), (0, 1));
    assert_eq!(pruned.kept[0].reason, Reason::Leased(lease.id()));
    lease.release().expect("released");
    assert_eq!(prune(&fixture.store).images, [image.id()]);
}

#[test]
fn root_a_lease_lives_with_its_holder_or_as_long_as_it_says() {
    require_root!();
    let fixture = Fixture::new();
    // Over by the clock from the beginning: who holds it keeps it all the same.
    let held = fixture.store.lease(Duration::ZERO).expect("a lease");
    let layer = build(held.store(), None, "held");
    assert_eq!(prune(&fixture.store).layers, []);
    assert!(fixture.store.leases().expect("listed").iter().all(|lease| lease.is_held));
    drop(held);
    assert_eq!(prune(&fixture.store).layers, [layer.id()], "it ends with its holder");

    let mut surviving = fixture.store.lease(LeaseOptions::new(Duration::ZERO).survives_holder(true)).expect("a lease");
    let layer = build(surviving.store(), None, "surviving");
    surviving.renew(HOUR).expect("renewed");
    let id = surviving.id();
    drop(surviving);
    let again = Store::open(fixture.store.path()).expect("opened, which sweeps up lock files");
    assert_eq!(prune(&again).layers, [], "it survives its holder");
    let mut back = again.open_lease(id).expect("still there");
    let error = fixture.store.open_lease(id).expect_err("held");
    assert_eq!((error.kind(), error.to_string().contains(&id.to_string())), (ErrorKind::InUse, true), "{error}");
    back.renew(Duration::ZERO).expect("renewed");
    drop(back);
    assert_eq!(fixture.store.leases().expect("listed"), [], "over");
    assert_eq!(fixture.store.open_lease(id).expect_err("over").kind(), ErrorKind::NotFound);
    assert_eq!(prune(&fixture.store).layers, [layer.id()], "it expires");
}

#[test]
fn root_publishing_under_a_lease_that_ended_is_refused_and_leaves_nothing() {
    require_root!();
    let fixture = Fixture::new();
    let before = fixture.names();
    let lease = fixture.store.lease(HOUR).expect("a lease");
    let mut operation = lease.store().operation().expect("an operation");
    operation.apply(&mut archive(&[("a", "1")]).as_slice(), None, None).expect("applied");
    let id = lease.id();
    lease.release().expect("released");

    let error = operation.publish().expect_err("the lease is gone");

    assert_eq!((error.kind(), error.to_string().contains(&id.to_string())), (ErrorKind::NotFound, true), "{error}");
    fixture.store.reap().expect("reaped");
    assert_eq!(fixture.names(), before);
}

const ROLE: &str = "PLYFS_TEST_LEASE_ROLE";

#[test]
fn root_a_killed_holder_keeps_what_it_asked_to_survive_and_nothing_else() {
    require_root!();
    let name = "lease::root_a_killed_holder_keeps_what_it_asked_to_survive_and_nothing_else";
    if let Some(path) = std::env::var_os(ROLE) {
        let store = Store::open(path).expect("opened");
        let bound = store.lease(HOUR).expect("a lease");
        build(bound.store(), None, "bound");
        let surviving = store.lease(LeaseOptions::new(HOUR).survives_holder(true)).expect("a lease");
        build(surviving.store(), None, "surviving");
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).expect("killed");
    }
    let fixture = Fixture::new();
    let here = std::env::current_exe().expect("a test knows itself");
    let child = run(Command::new(here).args(["--exact", name]).env(ROLE, fixture.store.path()));
    assert!(plyfs_testkit::process::was_killed(child.status), "{child:?}");

    let pruned = prune(&fixture.store);

    assert_eq!((pruned.layers.len(), pruned.kept.len()), (1, 1), "{pruned:?}");
    let leases = fixture.store.leases().expect("listed");
    assert_eq!(leases.iter().map(|lease| (lease.survives_holder, lease.is_held)).collect::<Vec<_>>(), [(true, false)]);
    let reopened = fixture.store.open_lease(leases[0].id).expect("for whoever comes next");
    reopened.release().expect("released");
    assert_eq!(prune(&fixture.store).layers.len(), 1);
    assert!("no lease".parse::<LeaseId>().is_err());
}
