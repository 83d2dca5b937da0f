//! Many containers in one transaction: all or none.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_store::{CheckOptions, Container, ContainerOptions, ErrorKind, MountOptions, Parent, Store};
use plyfs_testkit::{require_root, require_tool};

use crate::Fixture;

fn named(name: &str) -> ContainerOptions {
    ContainerOptions::new().name(name.parse().expect("a name"))
}

fn listed(store: &Store) -> Vec<String> {
    store.containers().expect("listed").iter().map(|container| container.name().to_string()).collect()
}

#[test]
fn root_many_containers_are_made_by_one_record_and_each_is_a_container_as_any() {
    require_root!();
    static RECORDS: AtomicUsize = AtomicUsize::new(0);
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let image = fixture.image("{}", Some(&base), &["base:1"]);
    let count = |step: &str| {
        RECORDS.fetch_add(usize::from(step == "create 1"), Ordering::SeqCst);
    };
    let store = Store::options().at_each_step(count).open(fixture.store.path()).expect("opened");

    let wanted = (0..100).map(|number| named(&format!("c{number:03}")).label("of", "many"));
    let created = store.create_all(&image, wanted).expect("created");

    assert_eq!(RECORDS.load(Ordering::SeqCst), 1, "one sync pays for all");
    assert_eq!(created.iter().map(|c| c.name().to_string()).collect::<Vec<_>>(), listed(&store), "in the order given");
    let mounts = created.iter().map(|container| container.mount(&MountOptions::new()).expect("mounted"));
    for mount in mounts.collect::<Vec<_>>() {
        assert_eq!(fs::read_to_string(mount.path().join("a")).expect("read"), "1");
        fs::write(mount.path().join("own"), "mine").expect("written");
        mount.unmount().expect("unmounted");
    }
    assert!(created.iter().all(|c| c.image() == Some(image.id()) && c.labels().contains_key("of")));
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_none_is_made_when_one_cannot_be_and_the_error_names_it() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let _taken = fixture.store.create(&base, named("taken")).expect("created");
    let before = fixture.names();
    let heavy = named("heavy").label("a", "x".repeat(64 * 1024));
    let cases = [
        (vec![named("a"), named("taken"), named("b")], ErrorKind::Exists, "container taken"),
        (
            vec![named("a"), named("twice"), named("twice")],
            ErrorKind::InvalidInput,
            "container twice: the name is given",
        ),
        (vec![named("a"), heavy], ErrorKind::InvalidInput, "container heavy: 65537 bytes of labels"),
        (vec![ContainerOptions::new(); 1025], ErrorKind::InvalidInput, "more than 1024 containers"),
    ];
    for (wanted, kind, message) in cases {
        let error = fixture.store.create_all(&base, wanted).expect_err(message);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!((listed(&fixture.store), fixture.names()), (vec!["taken".to_owned()], before.clone()), "{message}");
    }
    assert_eq!(fixture.store.create_all(Parent::Empty, []).expect("none is no error").len(), 0);
}

#[test]
fn root_directories_that_cannot_be_made_take_all_of_them_back() {
    require_root!();
    require_tool!("chattr");
    static LINKS: OnceLock<std::path::PathBuf> = OnceLock::new();
    // Behind the first container no link can be made any more.
    let freeze = |step: &str| {
        if let ("create 3", Some(links)) = (step, LINKS.get()) {
            plyfs_testkit::process::output(Command::new("chattr").arg("+i").arg(links));
        }
    };
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let before = fixture.names();
    let store = Store::options().at_each_step(freeze).open(fixture.store.path()).expect("opened");
    let links = LINKS.get_or_init(|| store.path().join("overlay2/l"));

    let created = store.create_all(&base, [named("first"), named("second"), named("third")]);
    plyfs_testkit::process::output(Command::new("chattr").arg("-i").arg(links));

    let error = created.expect_err("a frozen directory");
    assert!(error.to_string().contains("container second"), "{error}");
    assert_eq!(listed(&store), Vec::<String>::new());
    // The first one's link could not go; its removal is a record, and is finished as any.
    store.reap().expect("reaped");
    let mut left = fixture.names();
    left.retain(|name| !name.ends_with("/committed"));
    assert_eq!(left, before);
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_of_two_that_want_one_name_at_once_one_gets_all_and_the_other_nothing() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    for round in 0..20 {
        let want = |who: &str| {
            let own = (0..4).map(|number| named(&format!("r{round}-{who}{number}")));
            fixture.store.create_all(&base, own.chain([named(&format!("r{round}-shared"))]))
        };
        let (a, b) = std::thread::scope(|scope| {
            let a = scope.spawn(|| want("a"));
            let b = want("b");
            (a.join().expect("no panic"), b)
        });
        let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        let won: Vec<_> = won.expect("one of both").iter().map(Container::id).collect();
        assert_eq!(lost.expect_err("the name is taken").kind(), ErrorKind::Exists);
        let mut there: Vec<_> = fixture.store.containers().expect("listed").iter().map(Container::id).collect();
        there.retain(|id| won.contains(id));
        assert_eq!((there.len(), fixture.store.containers().expect("listed").len()), (5, 5 * (round + 1)));
    }
}
