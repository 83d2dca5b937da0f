//! What each operation syncs, as the kernel was asked for it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use plyfs_store::{ContainerOptions, Digest, Durability, Layer, MountOptions, NewImage, Parent, Removal, Store};
use plyfs_testkit::process::run;
use plyfs_testkit::{require_root, require_tool};

use crate::Fixture;

const ROLE: &str = "PLYFS_TEST_SYNC_ROLE";
const NAME: &str = "durability::root_every_operation_syncs_what_it_promises_and_no_more";

/// Runs one operation on the store in a process of its own; the answer is what it synced, a line each.
fn trace(fixture: &Fixture, durability: &str, role: &str) -> Vec<String> {
    let calls = traced(fixture, durability, role, "trace=fsync,fdatasync,syncfs,msync,sync");
    calls.into_iter().filter(|call| call.contains("sync") && call.ends_with("= 0")).collect()
}

/// The same; the answer is the calls that `traced` names.
fn traced(fixture: &Fixture, durability: &str, role: &str, traced: &str) -> Vec<String> {
    let log = fixture.dir.join("trace");
    let here = std::env::current_exe().expect("a test knows itself");
    let _ = run(Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-e", traced, "-e", "signal=none", "-o"])
        .args([log.as_os_str(), here.as_os_str(), OsStr::new("--exact"), OsStr::new(NAME)])
        .env(ROLE, format!("{durability} {role} {}", fixture.store.path().display())))
    .success();
    let text = fs::read_to_string(&log).expect("a trace");
    text.lines().map(|line| line.split_once(' ').expect("a process id").1.trim().to_owned()).collect()
}

/// The other process.
fn act(role: &str) {
    let mut words = role.splitn(3, ' ');
    let durability = match words.next() {
        Some("file-system") => Durability::FileSystem,
        Some("files") => Durability::Files,
        _ => Durability::None,
    };
    let role = words.next().expect("a role");
    let store = Store::options().durability(durability).open(words.next().expect("a path")).expect("opened");
    match role {
        "load" => load(&store),
        "load-15" => load_of(&store, 15),
        "load-17" => load_of(&store, 17),
        "load-70" => load_of(&store, 70),
        "reap" => drop(store.reap().expect("reaped")),
        "create" => {
            let options = ContainerOptions::new().name("c".parse().expect("a name"));
            let mount = store.create(Parent::Empty, options).expect("created").mount(&MountOptions::new());
            mount.expect("mounted").keep();
        }
        "remove" => store.container("c").and_then(|c| c.remove(Removal::Force)).expect("removed"),
        other => panic!("no role {other}"),
    }
}

/// One load of three layers and an image.
fn load(store: &Store) {
    let mut operation = store.operation().expect("an operation");
    let mut parent = None;
    for layer in 0..3 {
        let archive = crate::archive(&[(&format!("dir/file-{layer}"), "data"), ("etc/motd", &layer.to_string())]);
        parent = Some(operation.apply(&mut archive.as_slice(), parent, None).expect("applied").id);
    }
    let id = operation.blob(b"{\"config\":1}").expect("staged");
    let (manifest, names) = (None, vec!["svc:1".parse().expect("a name")]);
    operation.image(NewImage { id, top: parent, manifest, names, built: None, architecture: None, os: None });
    operation.publish().expect("published");
}

/// One load of one layer of so many mebibytes.
fn load_of(store: &Store, mebibytes: u64) {
    let size = mebibytes << 20;
    let mut header = crate::archive(&[("file", "")])[..512].to_vec();
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.chain(std::io::repeat(0).take(size + 1024));
    let mut operation = store.operation().expect("an operation");
    operation.apply(&mut archive, None, None).expect("applied");
    operation.publish().expect("published");
}

/// The calls that were not on a file of the journal.
fn outside(calls: &[String]) -> Vec<&String> {
    calls.iter().filter(|call| !call.contains("/journal")).collect()
}

#[test]
fn root_every_operation_syncs_what_it_promises_and_no_more() {
    require_root!();
    require_tool!("strace");
    if let Ok(role) = std::env::var(ROLE) {
        return act(&role);
    }
    for durability in ["file-system", "files", "none"] {
        let fixture = Fixture::new();

        let calls = trace(&fixture, durability, "load");
        match durability {
            "file-system" => {
                let data = calls.iter().position(|call| call.starts_with("syncfs(")).expect("the data");
                assert_eq!(outside(&calls).len(), 1, "one sync a load, not a layer or a file: {calls:#?}");
                assert!(calls[data + 1..].iter().any(|call| call.contains("/journal")), "data before name: {calls:#?}");
            }
            "files" => assert_files_synced(&fixture.store.layers().expect("listed"), &calls),
            _ => assert_eq!(calls, [""; 0]),
        }

        let calls = trace(&fixture, durability, "create");
        assert_eq!(outside(&calls), [""; 0], "what a container needs follows from its record");
        assert_eq!(calls.len(), usize::from(durability != "none"), "one sync, the journal's: {calls:#?}");
        let calls = trace(&fixture, durability, "remove");
        assert_eq!(calls.len(), usize::from(durability != "none"), "one sync, the journal's: {calls:#?}");
    }
}

#[test]
fn root_a_large_load_lets_the_disk_begin_before_its_end_where_all_is_synced_then() {
    require_root!();
    require_tool!("strace");
    // In the middle of a very large archive, and at the end of one that leaves 16 MiB to write.
    for (role, durability, syncs) in [
        ("load-70", "file-system", 2),
        ("load-70", "files", 0),
        ("load-70", "none", 0),
        ("load-17", "file-system", 2),
        ("load-15", "file-system", 1),
    ] {
        let fixture = Fixture::new();
        let calls = traced(&fixture, durability, role, "trace=syncfs");
        // Where two go on at a time, the end of each has a line of its own.
        let found: Vec<_> = calls.iter().filter(|call| call.starts_with("syncfs(")).collect();
        assert_eq!(found.len(), syncs, "{role} {durability}: {calls:#?}");
        // The one that counts hears of every write that failed: it goes through a descriptor the other does not use.
        let counts = found.iter().filter(|call| call.contains("/staging/")).count();
        assert_eq!(counts, usize::from(syncs > 0), "{role} {durability}: {calls:#?}");
    }
}

#[test]
fn root_what_is_reaped_is_synced_before_it_is_forgotten_through_a_descriptor_that_nobody_else_hears_through() {
    require_root!();
    require_tool!("strace");
    let reap = |durability| {
        let fixture = Fixture::new();
        let layer = fixture.layer(None, &[("a", "1")]);
        fixture.store.remove_layer(&layer).expect("removed");
        let calls = traced(&fixture, durability, "reap", "trace=openat,syncfs,fsync,fdatasync");
        let forgotten = calls.iter().position(|call| call.starts_with("fdatasync(") && call.contains("/journal"));
        let mut before = calls;
        let behind = before.split_off(forgotten.expect("the removal records go"));
        assert!(!behind.iter().any(|call| call.contains("/trash>)")), "{durability}: {behind:#?}");
        before
    };
    let calls = reap("file-system");
    let opened = calls.iter().filter(|call| call.starts_with("openat(") && call.ends_with("/trash>"));
    let opened: Vec<_> = opened.filter_map(|call| call.rsplit_once(" = ")).map(|(_, opened)| opened).collect();
    let syncs: Vec<_> = calls.iter().filter(|call| call.starts_with("syncfs(")).collect();
    assert_eq!(syncs.len(), 1, "{calls:#?}");
    let (stores, others) = opened.split_first().expect("the store opens it");
    assert!(others.iter().any(|own| syncs[0].starts_with(&format!("syncfs({own})"))), "{calls:#?}");
    assert!(!syncs[0].contains(stores), "{calls:#?}");

    let calls = reap("files");
    let is_synced = |part: &str| calls.iter().any(|call| call.starts_with("fsync(") && call.contains(part));
    assert!(["overlay2>)", "overlay2/l>)", "tarsplit>)", "trash>)"].into_iter().all(is_synced), "{calls:#?}");
}

#[test]
fn root_a_blob_that_takes_the_place_of_one_somebody_may_publish_is_synced_before() {
    require_root!();
    require_tool!("strace");
    for durability in ["file-system", "files", "none"] {
        let fixture = Fixture::new();
        let hex = Digest::of(b"{\"config\":1}").hex();
        fs::write(fixture.store.path().join("blobs/sha256").join(&hex), "placed by another").expect("written");
        let calls = traced(&fixture, durability, "load", "trace=fsync,renameat");
        let placed =
            calls.iter().position(|call| call.starts_with("renameat(") && call.contains(&format!("\"{hex}\"")));
        let before = &calls[..placed.unwrap_or_else(|| panic!("{durability}: {calls:#?}"))];
        let is_synced = before.iter().any(|call| call.starts_with("fsync(") && call.contains(&format!("{hex}.blob>)")));
        assert_eq!(is_synced, durability != "none", "{durability}: {calls:#?}");
    }
}

/// Every file and directory of these layers was synced before the journal's last sync, and nothing more.
fn assert_files_synced(layers: &[Layer], calls: &[String]) {
    assert!(calls.iter().all(|call| !call.starts_with("syncfs")), "a neighbour's data is waited for: {calls:#?}");
    let record = calls.iter().rposition(|call| call.contains("/journal")).expect("the record");
    let was_synced = |end: &str| {
        let end = format!("{end}>)");
        let found = calls.iter().position(|call| call.contains(&end));
        assert!(found.is_some_and(|at| at < record), "{end} before the record in {calls:#?}");
    };
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let directory = layer.path().parent().expect("the layer's directory").to_owned();
        let mut open = vec![directory.clone()];
        while let Some(path) = open.pop() {
            let inside = path.strip_prefix(&directory).expect("below it");
            // Docker's mark repeats the records and may be lost.
            if inside != Path::new("committed") {
                let name = Path::new(&layer.id().to_string()).join(inside).display().to_string();
                was_synced(name.trim_end_matches('/'));
            }
            if path.is_dir() {
                open.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("an entry").path()));
            }
        }
        was_synced(&format!("{}.tarsplit", layer.id()));
    }
    ["overlay2", "overlay2/l", "tarsplit", "blobs/sha256", "staging"].into_iter().for_each(was_synced);
}

#[test]
fn root_a_store_made_with_syncs_of_files_is_like_any_other() {
    require_root!();
    let fixture = Fixture::new();
    let path = fixture.dir.join("a/b/store");
    let store = Store::options().durability(Durability::Files).ensure(&path).expect("made");
    load(&store);
    let container = store.create(&store.layers().expect("listed")[0], ContainerOptions::new()).expect("created");
    container.remove(Removal::Unmounted).expect("removed");
    store.reap().expect("reaped");

    let again = Store::open(&path).expect("opened");
    assert_eq!(again.layers().expect("listed").len(), 3);
    assert!(again.check(plyfs_store::CheckOptions::data()).expect("checked").is_empty());
}
