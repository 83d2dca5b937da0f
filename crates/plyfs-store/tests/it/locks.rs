//! Locks are waited for in the order that ARCHITECTURE.md has, whatever is done: so nobody waits in a circle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plyfs_store::{
    ChainId, CheckOptions, ContainerOptions, MountOptions, NewImage, Progress, PruneOptions, Removal, Store,
};
use plyfs_testkit::{require_root, require_tool};

use crate::{Fixture, archive, killed};

const NAME: &str = "locks::root_locks_are_waited_for_in_their_order";

/// What a lock's place among the others is.
#[derive(Debug)]
enum Place {
    /// Waited for, behind those of smaller numbers.
    At(u32),
    /// Never waited for.
    Anywhere,
}

/// The place of a lock on a path below the store.
fn place(path: &str) -> Place {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [""] => Place::At(0),
        ["overlay2", _] => Place::At(1),
        ["staging"] => Place::At(2),
        ["staging", "claims"] => Place::At(4),
        ["staging", name] if name.ends_with(".lease") => Place::Anywhere,
        ["staging", _] => Place::At(3),
        ["overlay2", _, "work"] => Place::At(5),
        ["overlay2", _, "diff"] => Place::At(6),
        ["journal", "lock"] => Place::At(7),
        ["journal"] => Place::At(8),
        ["journal.new", "lock"] => Place::At(9),
        ["journal.new"] => Place::At(10),
        ["trash"] | ["journal" | "journal.new", "merging"] => Place::Anywhere,
        _ => panic!("a lock on {path}, which the table has not"),
    }
}

/// One of everything that locks, on one thread.
fn all(path: &Path) {
    let store = Store::options().threads(0).open(path).expect("opened");
    let mut load = store.operation().expect("an operation");
    load.claim([ChainId::from(plyfs_store::Digest::of(b"a chain"))], Progress::none()).expect("claimed");
    let top = load.apply(&mut archive(&[("a", "1")]).as_slice(), None, None).expect("applied").id;
    let id = load.blob(b"{}").expect("staged");
    let (names, built, architecture, os) = (vec!["app:1".parse().expect("a name")], None, None, None);
    load.image(NewImage { id, top: Some(top), manifest: None, names, built, architecture, os });
    load.publish().expect("published");
    let image = store.image("app:1").expect("found");
    drop(store.lease(std::time::Duration::from_secs(60)).expect("a lease"));
    let container = store.create(&image, ContainerOptions::new()).expect("created");
    container.mount(&MountOptions::new()).expect("mounted").unmount().expect("unmounted");
    drop(container.view().expect("a view"));
    container.export(std::io::sink(), Progress::none()).expect("exported");
    container.remove(Removal::Unmounted).expect("removed");
    drop(store.operation().expect("an operation that is taken back"));
    store.repair(&CheckOptions::data(), Progress::none()).expect("repaired");
    store.remove_image(&image).expect("removed");
    store.prune(PruneOptions::new().all(true)).expect("pruned");
    store.reap().expect("reaped");
    drop(store);
    fs::remove_file(path.join("journal/head")).expect("lost");
    let read = |_: &mut (dyn std::io::Read + Send)| Err(std::io::Error::other("none is kept"));
    Store::options().threads(0).rebuild_with(path, &|_| None, &read, Progress::none()).expect("rebuilt");
}

#[test]
fn root_locks_are_waited_for_in_their_order() {
    require_root!();
    require_tool!("strace");
    if let Some(path) = killed::role() {
        return all(Path::new(&path));
    }
    let fixture = Fixture::new();
    fixture.layer(None, &[("kept", "1")]);
    let (path, log) = (fixture.store.path().display().to_string(), fixture.dir.join("trace").display().to_string());
    let strace = ["strace", "-f", "-y", "-o", &log, "-e", "trace=flock,fcntl,close"];
    assert!(!killed::start(&strace, NAME, &path).is_killed);

    let mut held: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waited = 0;
    let trace = fs::read_to_string(&log).expect("a trace");
    for line in trace.lines().filter(|line| line.ends_with("= 0")) {
        // `123 flock(4</store/staging>, LOCK_SH) = 0`
        let Some((number, rest)) = line.split_once('(').and_then(|(_, rest)| rest.split_once('<')) else { continue };
        let Some((target, asked)) = rest.split_once('>') else { continue };
        let Some(below) = target.strip_prefix(&path) else { continue };
        let below = below.trim_start_matches('/');
        if line.contains(" close(") || asked.contains("LOCK_UN") {
            held.remove(number);
            continue;
        }
        if !asked.contains("LOCK_") && !asked.contains("F_WRLCK") {
            continue;
        }
        if !asked.contains("LOCK_NB") {
            let Place::At(mine) = place(below) else { panic!("{below} is waited for: {line}") };
            let ahead = held.values().find(|held| matches!(place(held), Place::At(other) if other > mine));
            assert_eq!(ahead, None, "held when {below} is waited for: {line}");
            waited += 1;
        }
        held.insert(number, below);
    }
    assert!(waited > 30, "{waited} locks were waited for:\n{trace}");
}
