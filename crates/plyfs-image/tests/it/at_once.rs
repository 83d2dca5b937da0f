//! Layers unpacked at once are the layers they would be one after another.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_image::{ErrorKind, Source};
use plyfs_store::{Image, Progress, Step};
use plyfs_testkit::images::{awkward, many_layers, spoil};
use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, assert_same};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Place, story};

/// What a record says of each layer, by chain.
fn recorded(image: &Image) -> BTreeMap<String, String> {
    let layers = image.layers().expect("listed");
    let record = |layer: &plyfs_store::Layer| {
        format!("{:?} {:?} {:?} {:?}", layer.diff_id(), layer.depth(), layer.archive_size(), layer.usage())
    };
    layers.iter().map(|layer| (format!("{:?}", layer.chain_id()), record(layer))).collect()
}

#[track_caller]
fn assert_same_layers(one: &Image, other: &Image) {
    assert_eq!(recorded(one), recorded(other));
    for (a, b) in one.layers().expect("listed").iter().zip(other.layers().expect("listed")) {
        assert_same(a.path(), b.path(), &Options::images());
        let read = |layer: &plyfs_store::Layer| {
            let mut bytes = Vec::new();
            layer.write_archive(&mut bytes).map(|_| bytes).expect("its archive")
        };
        assert!(read(a) == read(&b), "layer {:?} comes out as it came in", a.diff_id());
    }
}

/// Layers of which each needs the one below: parents it does not describe, a linked directory, a target it has not.
fn dependent(path: &Path) {
    let layers = [
        LayerTar::new().dir("usr").dir("usr/lib").file("usr/lib/a", "a").symlink("lib", "usr/lib").file("gone", "x"),
        LayerTar::new().file("usr/lib/b", "b").whiteout("", "gone").whiteout("", "never-there"),
        LayerTar::new().file("lib/through-the-link", "c").link("lib/other-name", "usr/lib/a"),
        LayerTar::new().whiteout("usr", "lib").dir("usr/lib").file("usr/lib/anew", "d"),
    ];
    let image = Plain::new("localhost/dependent:1", layers.into_iter().map(LayerTar::finish).collect());
    image.write_docker_archive(path);
}

#[test]
fn root_however_many_threads_unpack_an_image_its_layers_are_the_same() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let temp = TempDir::new();
    let dependent_archive = temp.join("dependent.tar");
    dependent(&dependent_archive);
    let archives =
        [awkward().oci_archive(), awkward().docker_archive(), many_layers(12).docker_archive(), dependent_archive];
    for archive in &archives {
        let (alone, together) = (Place::with_threads(0), Place::with_threads(4));
        let one = alone.load(archive).remove(0).image;
        let other = together.load(archive).remove(0).image;
        assert_same_layers(&one, &other);
    }
}

#[test]
fn root_one_bad_layer_among_several_stops_all_and_is_the_one_named() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let place = Place::with_threads(4);
    let bad = place.temp.join("bad");
    spoil::layer_with_a_flipped_bit(&awkward().oci_archive(), &bad);
    let error = place.try_load(&bad).expect_err("a layer is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", story(&error));
    assert!(!story(&error).contains("another layer failed"), "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn root_a_load_that_is_cancelled_while_layers_are_unpacked_leaves_nothing() {
    require_root!();
    let place = Place::with_threads(4);
    let (steps, items) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let callback = |step: &Step<'_>| {
        items.lock().expect("not poisoned").push(step.item.to_owned());
        if steps.fetch_add(1, Ordering::Relaxed) < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let source = Source::path(many_layers(12).docker_archive()).expect("opened");
    let error = plyfs_image::load(&place.store, source, Progress::new(&callback)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
    place.assert_untouched();
}
