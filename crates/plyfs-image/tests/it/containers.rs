//! Images made here: of trees, of changesets, of what a container changed.

use std::time::{Duration, SystemTime};

use plyfs_image::{CommitOptions, Compression, ErrorKind, Format, ImportOptions, Source};
use plyfs_store::{ContainerOptions, Image, MountOptions, Parent, Progress};
use plyfs_testkit::images::many_layers;
use plyfs_testkit::oci::{Compression as Packed, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Options, assert_same};

use crate::support::{Place, story};

fn config(image: &Image) -> serde_json::Value {
    serde_json::from_slice(&image.config().expect("readable")).expect("json")
}

#[test]
fn root_a_directory_becomes_an_image_with_the_same_tree() {
    require_root!();
    let place = Place::new();
    let tree = place.temp.dir("tree");
    std::fs::create_dir(tree.join("etc")).expect("made");
    std::fs::write(tree.join("etc/hosts"), "127.0.0.1").expect("written");
    std::os::unix::fs::symlink("etc/hosts", tree.join("link")).expect("linked");
    std::fs::hard_link(tree.join("etc/hosts"), tree.join("hard")).expect("linked");
    let name: plyfs_store::Reference = "localhost/tree".parse().expect("a name");
    let source = Source::path(&tree).expect("opened");
    let image = plyfs_image::import(&place.store, source, ImportOptions::new().name(name.clone()), Progress::none())
        .expect("imported");

    let container = place.store.create(&image, ContainerOptions::new()).expect("created");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    assert_same(&tree, mount.path(), &Options::images().without_root());
    mount.unmount().expect("unmounted");
    assert_eq!(image.names(), [name]);
    assert_eq!(config(&image)["history"][0]["created_by"], "plyfs import");
    let layer = place.store.layer(&image.top().expect("a layer").to_string()).expect("there");
    layer.write_archive(std::io::sink()).expect("its DiffId is the digest of its archive");
}

#[test]
fn root_a_directory_that_the_store_lies_in_is_refused_before_anything_is_read() {
    require_root!();
    let place = Place::new();
    std::fs::write(place.temp.join("file"), "x").expect("written");
    for around in [place.temp.path(), place.store.path(), std::path::Path::new("/")] {
        let source = Source::path(around).expect("opened");
        let error = plyfs_image::import(&place.store, source, ImportOptions::new(), Progress::none());
        let error = error.expect_err("it would be copied into itself");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", story(&error));
        assert!(story(&error).contains(&place.store.path().display().to_string()), "{}", story(&error));
        place.assert_untouched();
    }
    let beside = place.temp.dir("beside");
    let source = Source::path(&beside).expect("opened");
    plyfs_image::import(&place.store, source, ImportOptions::new(), Progress::none()).expect("it lies beside");
}

#[test]
fn root_a_changeset_upon_a_parent_deletes_by_its_whiteouts() {
    require_root!();
    let place = Place::new();
    let parent = place.load(many_layers(3).docker_archive()).remove(0).image;
    let changeset = LayerTar::new().file("new", "new").whiteout("layers", "1").finish();
    for packed in [Packed::None, Packed::Gzip, Packed::Zstd] {
        let bytes = packed.apply(&changeset);
        let source = Source::reader(&bytes[..]);
        let image = plyfs_image::import(&place.store, source, ImportOptions::new().parent(&parent), Progress::none())
            .expect("imported");
        let container = place.store.create(&image, ContainerOptions::new()).expect("created");
        let mount = container.mount(&MountOptions::new()).expect("mounted");
        assert!(mount.path().join("new").exists() && !mount.path().join("layers/1").exists(), "{packed:?}");
        assert!(mount.path().join("layers/2").exists(), "{packed:?}");
        mount.unmount().expect("unmounted");
        let diff_ids = config(&image)["rootfs"]["diff_ids"].as_array().expect("a list").len();
        assert_eq!(diff_ids, 4, "{packed:?}");
    }
    assert_eq!(place.store.layers().expect("listed").len(), 4, "the same changeset is one layer");
}

#[test]
fn root_a_changeset_that_is_bad_becomes_nothing() {
    require_root!();
    let place = Place::new();
    let good = Packed::Gzip.apply(&LayerTar::new().file("file", vec![7; 100_000]).finish());
    let source = Source::reader(&good[..good.len() / 2]);
    let error = plyfs_image::import(&place.store, source, ImportOptions::new(), Progress::none()).expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", story(&error));
    assert!(story(&error).contains("gzip"), "{}", story(&error));
    let plain = LayerTar::new().file("file", "x").file("lost", "y").finish();
    let source = Source::reader(&plain[..700]);
    let error = plyfs_image::import(&place.store, source, ImportOptions::new(), Progress::none()).expect_err("cut off");
    assert!(story(&error).contains("ends at byte 700, inside the last block of a file"), "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn root_what_a_container_changed_becomes_the_top_layer() {
    require_root!();
    let place = Place::new();
    let parent = place.load(many_layers(3).docker_archive()).remove(0).image;
    let container = place.store.create(&parent, ContainerOptions::new()).expect("created");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    std::fs::write(mount.path().join("new"), "new").expect("written");
    std::fs::remove_file(mount.path().join("layers/1")).expect("removed");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let options = || {
        let options = CommitOptions::new().name("localhost/next:1".parse().expect("a name")).message("why");
        options.author("who").created(time).expect("a time")
    };
    let image = plyfs_image::commit(&container, options(), Progress::none()).expect("committed while mounted");

    let next = place.store.create(&image, ContainerOptions::new()).expect("created");
    let seen = next.mount(&MountOptions::new()).expect("mounted");
    assert_same(mount.path(), seen.path(), &Options::images());
    seen.unmount().expect("unmounted");
    let new = config(&image);
    assert_eq!(new["created"], "2023-11-14T22:13:20Z");
    assert_eq!(new["author"], "who");
    assert_eq!(new["config"], config(&parent)["config"], "what it runs is the parent's");
    let history = new["history"].as_array().expect("a list");
    assert_eq!((history.len(), &history[3]["comment"]), (4, &"why".into()));
    assert_eq!(image.created(), Some("2023-11-14T22:13:20Z"));

    let again = plyfs_image::commit(&container, options(), Progress::none()).expect("committed again");
    assert_eq!(again.id(), image.id(), "the same changes at the same time are the same image");
    mount.unmount().expect("unmounted");
    let long = options().message("x".repeat(5 << 20));
    let error = plyfs_image::commit(&container, long, Progress::none()).expect_err("no load would take its config");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", story(&error));
    assert!(story(&error).contains("config: 5") && story(&error).contains("are the most"), "{}", story(&error));
    assert_eq!(place.store.images().expect("listed").len(), 2, "nothing is left of it");
    let saved = place.save(&[&image], Format::OciArchive, Compression::Gzip, "next.tar");
    assert_eq!(Place::new().load(saved)[0].image.id(), image.id());
}

#[test]
fn root_a_container_over_nothing_or_over_a_layer_becomes_an_image() {
    require_root!();
    let place = Place::new();
    let container = place.store.create(Parent::Empty, ContainerOptions::new()).expect("created");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    std::fs::write(mount.path().join("first"), "1").expect("written");
    mount.unmount().expect("unmounted");
    let first = plyfs_image::commit(&container, CommitOptions::new(), Progress::none()).expect("committed");
    assert_eq!(first.layers().expect("listed").len(), 1);

    let layer = first.layers().expect("listed").remove(0);
    let container = place.store.create(&layer, ContainerOptions::new()).expect("created");
    let second = plyfs_image::commit(&container, CommitOptions::new(), Progress::none()).expect("committed");
    let diff_ids = config(&second)["rootfs"]["diff_ids"].clone();
    assert_eq!(diff_ids[0], layer.diff_id().expect("known").to_string());
    assert_eq!(diff_ids.as_array().expect("a list").len(), 2, "a container without changes adds an empty layer");
}

#[test]
fn root_a_changeset_alone_becomes_a_layer_once() {
    require_root!();
    let place = Place::new();
    let changeset = LayerTar::new().file("file", "content").finish();
    let [one, two] = [0, 1].map(|_| {
        let bytes = Packed::Gzip.apply(&changeset);
        plyfs_image::apply(&place.store, &bytes[..], None, Progress::none()).expect("applied")
    });
    assert_eq!(one.id(), two.id());
    assert_eq!(std::fs::read(one.path().join("file")).expect("readable"), b"content");
}
