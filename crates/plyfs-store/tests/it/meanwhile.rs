//! What one process does between two steps of another's, and the record of which nobody knows yet whether it will stay.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use plyfs_store::{CheckOptions, ErrorKind, Image, Operation, PruneOptions, Store};
use plyfs_testkit::process::wait_until;
use plyfs_testkit::{require_root, require_tool};
use rustix::fs::FlockOperation;

use crate::{Fixture, archive, killed};

/// An image that was removed and came again while others were in the trash: its blob is to be removed unless it is used.
fn come_again(fixture: &Fixture) -> Image {
    let trash = fs::File::open(fixture.store.path().join("trash")).expect("open");
    rustix::fs::flock(&trash, FlockOperation::LockExclusive).expect("nobody else reaps");
    fixture.store.remove_image(&fixture.image("{}", None, &["svc:1"])).expect("removed");
    fixture.image("{}", None, &["svc:1"])
}

/// Removes the image in this process, which dies in the middle of it where it was told so.
fn remove(path: &str) {
    let store = Store::options().at_each_step(killed::step).open(path).expect("opened");
    store.remove_image(&store.image("svc:1").expect("found")).expect("removed");
}

#[test]
fn root_a_blob_is_there_until_no_power_cut_can_bring_its_image_back() {
    const NAME: &str = "meanwhile::root_a_blob_is_there_until_no_power_cut_can_bring_its_image_back";
    require_root!();
    require_tool!("strace");
    if let Some(role) = killed::role() {
        return match role.split_once(':').expect("a role") {
            ("remove", path) => remove(path),
            (_, path) => {
                let store = Store::open(path).expect("opened");
                assert!(killed::start(&[], NAME, &format!("remove:{path}")).is_killed, "its record was synced");
                drop(store.reap());
            }
        };
    }
    let fixture = Fixture::new();
    let (image, path) = (come_again(&fixture), fixture.store.path());
    let (journal, durable) = (path.join("journal"), fixture.dir.join("durable"));
    copy(&journal, &durable);

    // Both die when they are about to sync: the one its record, the other what it has seen of that.
    let log = fixture.dir.join("trace").display().to_string();
    let strace = ["strace", "-f", "-o", &log, "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=KILL"];
    assert!(killed::start(&strace, NAME, &format!("reap:{}", path.display())).is_killed);
    fs::remove_dir_all(&journal).expect("what was not synced is lost");
    fs::rename(&durable, &journal).expect("what was is there");

    let store = Store::open(path).expect("opened");
    let found = store.image("svc:1").expect("its removal is undone");
    assert_eq!((found.id(), found.config().expect("it is whole")), (image.id(), b"{}".to_vec()));
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("the same");
    for entry in fs::read_dir(from).expect("listed").map(|entry| entry.expect("an entry")) {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn root_a_blob_whose_image_is_removed_while_the_trash_is_emptied_is_not_forgotten() {
    const NAME: &str = "meanwhile::root_a_blob_whose_image_is_removed_while_the_trash_is_emptied_is_not_forgotten";
    static REMOVED: Mutex<Option<PathBuf>> = Mutex::new(None);
    require_root!();
    if let Some(path) = killed::role() {
        killed::after(1);
        return remove(&path);
    }
    // Whoever removes the image is killed before it drops the blob.
    let reaping = Store::options().at_each_step(|step| {
        if step == "reap 2" {
            let path = REMOVED.lock().expect("held by this test alone").take().expect("told before");
            assert_eq!(killed::start(&[], NAME, &path.display().to_string()).last, "remove 1");
        }
    });
    let fixture = Fixture::new();
    let path = fixture.store.path();
    come_again(&fixture);
    let store = reaping.open(path).expect("opened");
    *REMOVED.lock().expect("held by this test alone") = Some(path.to_owned());

    store.reap().expect("reaped");

    store.image("svc:1").expect_err("it was removed meanwhile");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), [], "somebody knows of the blob");
    fixture.store.reap().expect("reaped");
    assert_eq!(fs::read_dir(path.join("blobs/sha256")).expect("listed").count(), 0);
}

#[test]
fn root_who_waited_to_read_a_layer_while_it_was_removed_is_told_that_it_is_gone() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    // What a removal does between its record and its end.
    let tree = fs::File::open(layer.path()).expect("open");
    rustix::fs::flock(&tree, FlockOperation::LockExclusive).expect("nobody reads it yet");
    let inode = tree.metadata().expect("open").ino();
    let waits = |line: &str| line.contains(": -> FLOCK") && line.contains(&format!(":{inode} "));
    let is_waiting = || fs::read_to_string("/proc/locks").expect("read").lines().any(waits);

    let viewed = std::thread::scope(|scope| {
        let reader = scope.spawn(|| layer.view().map(drop));
        assert!(wait_until(Duration::from_secs(60), is_waiting), "it waits for the lock");
        let trash = fixture.store.path().join("trash").join(layer.id().to_string());
        fs::rename(fixture.directory(layer.id()), trash).expect("moved");
        drop(tree);
        reader.join().expect("no panic")
    });

    let error = viewed.expect_err("it is in the trash");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

#[test]
fn root_nothing_is_removed_where_it_cannot_be_seen_what_is_built_upon() {
    const NAME: &str = "meanwhile::root_nothing_is_removed_where_it_cannot_be_seen_what_is_built_upon";
    require_root!();
    require_tool!("strace");
    if let Some(path) = killed::role() {
        let store = Store::open(path).expect("opened");
        let error = store.prune(PruneOptions::new()).expect_err("it cannot be looked into");
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        return;
    }
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let mut operation = fixture.store.operation().expect("an operation");
    let upon =
        |operation: &mut Operation| operation.apply(&mut archive(&[("b", "2")]).as_slice(), Some(base.id()), None);
    let built = upon(&mut operation).expect("applied");
    let staged = fs::read_dir(fixture.store.path().join("staging")).expect("listed").next().expect("the operation's");
    let (staged, log) = (staged.expect("an entry").file_name(), fixture.dir.join("trace").display().to_string());
    let staged = staged.to_str().expect("a random id");

    // Opening the store looks at it too.
    let inject = "inject=openat:error=EMFILE:when=2+";
    let strace = ["strace", "-f", "-P", staged, "-o", &log, "-e", "trace=openat", "-e", inject];
    assert!(!killed::start(&strace, NAME, &fixture.store.path().display().to_string()).is_killed);

    assert!(fs::read_to_string(&log).expect("a trace").contains("(INJECTED)"));
    operation.publish().expect("its parent is there");
    assert_eq!(fixture.store.layer(&built.id.to_string()).expect("found").chain().expect("whole").len(), 2);
}
