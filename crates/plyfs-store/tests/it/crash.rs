//! What an interrupted operation leaves is taken back, and nothing else is.

use std::fs;
use std::os::unix::fs::symlink;

use plyfs_store::{CheckOptions, ErrorKind, FindingKind, LayerId, LinkId, Progress, Store};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::Mounted;

use crate::{Fixture, archive};

#[test]
fn root_an_operation_that_is_dropped_leaves_nothing() {
    require_root!();
    let fixture = Fixture::new();
    let before = fixture.names();
    let mut operation = fixture.store.operation().expect("an operation");
    let bytes = archive(&[("a", "1")]);
    let applied = operation.apply(&mut bytes.as_slice(), None, None).expect("applied");
    operation.blob(b"{}").expect("staged");
    operation.apply(&mut bytes.as_slice(), Some(applied.id), None).expect("applied");
    drop(operation);
    assert_eq!(fixture.names(), before);
}

#[test]
fn root_a_failed_apply_leaves_nothing_and_a_wrong_digest_names_both() {
    require_root!();
    let fixture = Fixture::new();
    let before = fixture.names();
    let bytes = archive(&[("a", "1")]);
    let wrong = plyfs_store::Digest::of(b"something else");

    let mut operation = fixture.store.operation().expect("an operation");
    let error = operation.apply(&mut bytes.as_slice(), None, Some(&wrong)).expect_err("another digest");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    for digest in [wrong, plyfs_store::Digest::of(&bytes)] {
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
    operation.apply(&mut &bytes[..512], None, None).expect_err("a truncated archive");
    drop(operation);

    assert_eq!(fixture.names(), before);
}

/// Puts a layer where a publish puts it, with the staging entry of a dead process, but without its record.
fn half_published(store: &Store) -> (LayerId, LinkId) {
    let (layer, link) = (LayerId::random(), LinkId::random());
    let staged = store.path().join("staging").join(LinkId::random().to_string());
    fs::create_dir_all(staged.join("spool")).expect("staged");
    fs::write(staged.join(format!("{layer}.{link}")), "").expect("named");
    let home = store.path().join("overlay2");
    fs::create_dir_all(home.join(layer.to_string()).join("diff")).expect("placed");
    fs::write(home.join(layer.to_string()).join("link"), link.as_str()).expect("placed");
    symlink(format!("../{layer}/diff"), home.join("l").join(link.as_str())).expect("linked");
    fs::write(store.path().join("tarsplit").join(layer.to_string()), "").expect("placed");
    let blob = plyfs_store::Digest::of(b"a config nobody published");
    fs::write(staged.join(format!("{}.blob", blob.hex())), "").expect("staged");
    fs::write(store.path().join("blobs/sha256").join(blob.hex()), "a config nobody published").expect("placed");
    (layer, link)
}

#[test]
fn root_what_a_dead_operation_put_into_place_is_taken_back_at_open() {
    require_root!();
    let fixture = Fixture::new();
    let kept = fixture.layer(None, &[("a", "1")]);
    let before = fixture.names();
    half_published(&fixture.store);
    assert_ne!(fixture.names(), before);

    let store = Store::open(fixture.store.path()).expect("opened");
    store.reap().expect("reaped");

    assert_eq!(fixture.names(), before);
    store.layer(&kept.id().to_string()).expect("what was published stays");
    assert!(store.check(CheckOptions::data()).expect("checked").is_empty());
}

#[test]
fn root_what_cannot_be_taken_back_locks_nobody_out_and_is_tried_again() {
    require_root!();
    let fixture = Fixture::new();
    let before = fixture.names();
    let path = fixture.store.path();
    let dead: Vec<_> = (0..3).map(|_| half_published(&fixture.store)).collect();
    let stuck = dead[1].0.to_string();
    let home = path.join("overlay2").join(&stuck);
    let mount = Mounted::tmpfs(&home);
    let operations = || fs::read_dir(path.join("staging")).expect("listed").map(|entry| entry.expect("an entry"));

    let store = Store::open(path).expect("the rest of the store is sound");

    let left: Vec<_> = operations().collect();
    assert_eq!(left.len(), 1, "the others are taken back: {left:?}");
    let found = store.check(CheckOptions::quick()).expect("checked");
    let subject = format!("staging/{}", left[0].file_name().display());
    assert!(found.len() == 1 && found[0].subject == subject && found[0].kind == FindingKind::StagingStale, "{found:?}");
    let blobs = fs::read_dir(path.join("blobs/sha256")).expect("listed").count();
    assert_eq!(blobs, 0, "what comes behind the layer is taken back");
    let repaired = store.repair(&CheckOptions::quick(), Progress::none()).expect("repaired");
    let told = &repaired.acts[0].done;
    assert!(told.contains("could not be repaired") && told.contains(&format!("layer {stuck}")), "{repaired:?}");
    assert_eq!(repaired.left, found);

    drop(mount);
    Store::open(path).expect("opened").reap().expect("reaped");
    assert_eq!(fixture.names(), before);
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_staging_entry_whose_layers_were_published_takes_nothing_back() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let before = fixture.names();
    let staged = fixture.store.path().join("staging").join(LinkId::random().to_string());
    fs::create_dir_all(&staged).expect("left behind");
    fs::write(staged.join(format!("{}.{}", layer.id(), layer.link())), "").expect("left behind");

    Store::open(fixture.store.path()).expect("opened").reap().expect("reaped");

    assert_eq!(fixture.names(), before);
    assert!(fixture.store.check(CheckOptions::data()).expect("checked").is_empty());
}

#[test]
fn root_a_living_operation_is_left_alone() {
    require_root!();
    let fixture = Fixture::new();
    let mut operation = fixture.store.operation().expect("an operation");
    let bytes = archive(&[("a", "1")]);
    let applied = operation.apply(&mut bytes.as_slice(), None, None).expect("applied");

    let other = Store::open(fixture.store.path()).expect("opened meanwhile");
    other.reap().expect("reaped meanwhile");

    operation.publish().expect("published");
    other.layer(&applied.id.to_string()).expect("seen by the other");
}

#[test]
fn root_a_store_that_was_never_finished_is_made_anew() {
    require_root!();
    let fixture = Fixture::new();
    let path = fixture.dir.join("unfinished");
    Store::ensure(&path).expect("made");
    fs::remove_file(path.join("plyfs.toml")).expect("as if the crash came before the last step");

    assert_eq!(Store::open(&path).expect_err("no store").kind(), ErrorKind::NotFound);
    Store::ensure(&path).expect("made anew");
}

#[test]
fn root_check_names_what_is_missing_and_what_is_too_much() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let home = fixture.store.path().join("overlay2");
    fs::remove_file(home.join("l").join(layer.link().as_str())).expect("damaged");
    fs::write(home.join(layer.id().to_string()).join("link"), "").expect("damaged");
    let stray = LayerId::random();
    fs::create_dir(home.join(stray.to_string())).expect("stray");
    fs::write(layer.path().join("a"), "2").expect("tampered");

    let findings = fixture.store.check(CheckOptions::data()).expect("checked");

    let text = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for expected in
        [format!("l/{} is missing", layer.link()), "its file link".to_owned(), stray.to_string(), "a".to_owned()]
    {
        assert!(text.contains(&expected), "{expected} in\n{text}");
    }
    assert_eq!(findings.len(), 4, "{text}");
    assert!(findings.windows(2).all(|pair| pair[0].severity >= pair[1].severity), "worst first");
}
