//! The build cache: what it finds, and when it no longer does.

use plyfs_store::{Layer, PruneOptions};
use plyfs_testkit::require_root;

use crate::{Fixture, archive};

/// Publishes one layer under a key.
fn cached(fixture: &Fixture, parent: Option<&Layer>, files: &[(&str, &str)], key: &[u8]) -> Layer {
    let mut operation = fixture.store.operation().expect("an operation");
    let archive = archive(files);
    let applied = operation.apply(&mut archive.as_slice(), parent.map(Layer::id), None).expect("applied");
    operation.cache(parent.map(Layer::id), key, applied.id);
    operation.publish().expect("published");
    fixture.store.layer(&applied.id.to_string()).expect("the layer is there")
}

fn found(fixture: &Fixture, parent: Option<&Layer>, key: &[u8]) -> Option<plyfs_store::LayerId> {
    fixture.store.cached(parent, key).expect("looked up").map(|layer| layer.id())
}

#[test]
fn root_a_key_finds_the_layer_it_made_of_this_parent_and_of_no_other() {
    require_root!();
    let fixture = Fixture::new();
    let base = cached(&fixture, None, &[("base", "1")], b"FROM scratch");
    let app = cached(&fixture, Some(&base), &[("app", "1")], b"COPY app");
    assert_eq!(found(&fixture, None, b"FROM scratch"), Some(base.id()));
    assert_eq!(found(&fixture, Some(&base), b"COPY app"), Some(app.id()));
    for (parent, key) in [(None, &b"COPY app"[..]), (Some(&app), b"COPY app"), (Some(&base), b"COPY"), (None, b"")] {
        assert_eq!(found(&fixture, parent, key), None);
    }
    let again = plyfs_store::Store::open(fixture.store.path()).expect("opened");
    assert_eq!(again.cached(Some(&base), b"COPY app").expect("looked up").map(|layer| layer.id()), Some(app.id()));
}

#[test]
fn root_the_same_changeset_under_two_keys_is_one_layer_that_both_find() {
    require_root!();
    let fixture = Fixture::new();
    let first = cached(&fixture, None, &[("a", "1")], b"one");
    let second = cached(&fixture, None, &[("a", "1")], b"two");
    assert_eq!(first.id(), second.id());
    assert_eq!((found(&fixture, None, b"one"), found(&fixture, None, b"two")), (Some(first.id()), Some(first.id())));
}

#[test]
fn root_a_key_used_again_finds_the_newer_layer_whatever_becomes_of_the_older() {
    require_root!();
    let fixture = Fixture::new();
    let older = cached(&fixture, None, &[("a", "1")], b"key");
    let newer = cached(&fixture, None, &[("a", "2")], b"key");
    assert_eq!(found(&fixture, None, b"key"), Some(newer.id()));
    fixture.store.remove_layer(&older).expect("removed");
    assert_eq!(found(&fixture, None, b"key"), Some(newer.id()), "the older one takes no entry of the newer along");
}

#[test]
fn root_entries_go_with_their_layer() {
    require_root!();
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("base", "1")]);
    let image = fixture.image("{}", Some(&base), &["base:1"]);
    cached(&fixture, Some(&base), &[("app", "1")], b"one");
    cached(&fixture, Some(&base), &[("app", "1")], b"two");
    fixture.store.prune(PruneOptions::new()).expect("pruned");
    for key in [&b"one"[..], b"two"] {
        assert_eq!(found(&fixture, Some(&base), key), None);
    }
    // The same content comes back as another layer, and the key with it.
    let again = cached(&fixture, Some(&base), &[("app", "1")], b"one");
    assert_eq!(found(&fixture, Some(&base), b"one"), Some(again.id()));
    drop(image);
}
