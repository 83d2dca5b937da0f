//! A store whose journal is damaged: what is sound can be read, and nothing is changed.

use std::fs;
use std::path::PathBuf;

use plyfs_store::{ErrorKind, Store};
use plyfs_testkit::require_root;

use crate::Fixture;

/// The log of the journal and where in it the first commit's content is.
fn first_commit(fixture: &Fixture) -> (PathBuf, usize) {
    let entries = fs::read_dir(fixture.store.path().join("journal")).expect("a journal");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let log = paths.find(|path| path.extension().is_some_and(|e| e == "log")).expect("a log");
    let bytes = fs::read(&log).expect("readable");
    let first = bytes.iter().position(|byte| *byte != 0).expect("a commit");
    (log, first + 100)
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn root_a_store_with_a_damaged_journal_is_read_as_far_as_it_is_sound_and_takes_no_change() {
    require_root!();
    let fixture = Fixture::new();
    let lost = fixture.layer(None, &[("a", "1")]);
    let kept = fixture.layer(None, &[("b", "2")]);
    fixture.image("{}", Some(&kept), &["kept:1"]);
    let (log, place) = first_commit(&fixture);
    flip(&log, place);
    let before = fixture.names();

    let error = Store::open(fixture.store.path()).expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let store = Store::options().salvage(true).open(fixture.store.path()).expect("what is sound");
    let layers: Vec<_> = store.layers().expect("listed").iter().map(plyfs_store::Layer::id).collect();
    assert_eq!(layers, [kept.id()], "the damaged commit is left out, those behind it are there");
    assert_eq!(store.image("kept:1").expect("found").top(), Some(kept.id()));
    assert_eq!(store.layer(&lost.id().to_string()).expect_err("in the damaged commit").kind(), ErrorKind::NotFound);
    let name = log.file_name().expect("it has one").to_string_lossy().into_owned();
    assert!(store.damage().iter().any(|damage| damage.contains(&name)), "{:?}", store.damage());

    let error = store.untag(&"kept:1".parse().expect("a name")).expect_err("no change");
    assert_eq!((error.kind(), error.to_string().contains(&name)), (ErrorKind::Corrupt, true), "{error}");
    assert_eq!(store.reap().expect_err("no change").kind(), ErrorKind::Corrupt);
    drop(store);
    assert_eq!(fixture.names(), before);

    flip(&log, place);
    let whole = Store::options().salvage(true).open(fixture.store.path()).expect("opened");
    assert!(whole.damage().is_empty() && whole.is_writable(), "a sound journal is not salvaged");
    assert_eq!(whole.layers().expect("listed").len(), 2);
}
