//! Compressed layers that a load was asked to keep: the same blobs go out, and nothing is read that need not be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use plyfs_image::{Archive, Compression, Error, ErrorKind, Format, Loaded, Source};
use plyfs_store::{CheckOptions, Digest, Image, Progress, Stage, Step, Store};
use plyfs_testkit::images::many_layers;
use plyfs_testkit::oci::{self, LayerTar, Plain, read_archive, write_archive};
use plyfs_testkit::{require_root, require_tool};
use serde_json::Value;

use crate::build::{Build, LAYER_GZIP, gzip, layer};
use crate::support::{Place, story};

fn try_keep(place: &Place, path: &Path) -> Result<Vec<Loaded>, Error> {
    plyfs_image::load(&place.store, Source::path(path)?.keep_blobs(true), Progress::none())
}

#[track_caller]
fn keep(place: &Place, path: &Path) -> Image {
    let loaded = try_keep(place, path).unwrap_or_else(|error| panic!("{}", story(&error)));
    loaded.into_iter().next().expect("an image").image
}

/// The blobs of an archive or a layout by their digests.
fn blobs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    if path.is_dir() {
        let files = std::fs::read_dir(path.join("blobs/sha256")).expect("listed").flatten();
        let read = |file: std::fs::DirEntry| std::fs::read(file.path()).expect("readable");
        return files.map(|file| (file.file_name().into_string().expect("hex"), read(file))).collect();
    }
    let blob = |(name, bytes): (String, Vec<u8>)| Some((name.strip_prefix("blobs/sha256/")?.to_owned(), bytes));
    read_archive(path).into_iter().filter_map(blob).collect()
}

fn saved(place: &Place, images: &[&Image], format: Format, name: &str) -> std::path::PathBuf {
    let path = place.temp.join(name);
    let archive = match format {
        Format::OciArchive => Archive::oci(std::fs::File::create(&path).expect("a new file")),
        _ => Archive::layout(&path),
    };
    let saved = plyfs_image::save(&place.store, images, archive, Progress::none());
    saved.unwrap_or_else(|error| panic!("{}", story(&error)));
    path
}

#[test]
fn root_what_was_kept_goes_out_as_the_same_blobs_and_the_same_manifest() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let awkward = plyfs_testkit::images::awkward();
    let plain = many_layers(3);
    let plain_path = plyfs_testkit::temp::TempDir::new();
    let layers = (1..=3).map(|n| LayerTar::new().file(format!("f{n}"), n.to_string()).finish()).collect();
    Plain::new("localhost/plain:1", layers).write_oci_archive(oci::Compression::None, &plain_path.join("plain.tar"));
    for source in [
        awkward.oci_archive(),
        awkward.zstd_archive(),
        awkward.oci_layout(),
        awkward.zstd_layout(),
        plain.oci_archive(),
        plain_path.join("plain.tar"),
    ] {
        let place = Place::new();
        let image = keep(&place, &source);
        for (format, name) in [(Format::OciArchive, "out.tar"), (Format::OciLayout, "out")] {
            let out = saved(&place, &[&image], format, name);
            assert!(blobs(&out) == blobs(&source), "{} as {format}", source.display());
            let again = Place::new();
            assert_eq!(keep(&again, &out).manifest_digest(), image.manifest_digest());
        }
        assert_eq!(place.store.check(CheckOptions::data()).expect("checked"), []);
        assert_eq!(place.store.usage().expect("added up").kept_blobs.apparent, kept_bytes(&place), "df counts them");
        place.store.remove_image(&image).expect("removed");
        place.store.reap().expect("reaped");
        assert_eq!(std::fs::read_dir(place.store.path().join("blobs/sha256")).expect("listed").count(), 0);
    }
}

/// The bytes of all blobs but configs and manifests.
fn kept_bytes(place: &Place) -> u64 {
    let documents: Vec<_> = place
        .store
        .images()
        .expect("listed")
        .iter()
        .flat_map(|image| [Some(image.id()), image.manifest_digest()].into_iter().flatten().map(|digest| digest.hex()))
        .collect();
    let files = std::fs::read_dir(place.store.path().join("blobs/sha256")).expect("listed").flatten();
    let files = files.filter(|file| !documents.contains(&file.file_name().to_string_lossy().into_owned()));
    files.map(|file| file.metadata().expect("there").len()).sum()
}

#[test]
fn root_a_layer_gets_its_blob_when_it_is_loaded_again_and_is_then_not_read_any_more() {
    require_root!();
    let many = many_layers(5);
    let place = Place::new();
    let image = place.load(many.docker_archive()).remove(0).image;
    let layers = place.store.layers().expect("listed").len();
    let read = Mutex::new(Vec::new());
    let note = |step: &Step<'_>| {
        read.lock().expect("not poisoned").push(step.stage);
        ControlFlow::Continue(())
    };
    let load = || {
        read.lock().expect("not poisoned").clear();
        let source = Source::path(many.oci_archive()).expect("opened").keep_blobs(true);
        plyfs_image::load(&place.store, source, Progress::new(&note)).unwrap_or_else(|e| panic!("{}", story(&e)));
        let read = read.lock().expect("not poisoned");
        (read.contains(&Stage::Receive), read.contains(&Stage::Unpack))
    };
    assert_eq!(load(), (true, false), "read for their blobs, and not unpacked again");
    assert_eq!(load(), (false, false), "nothing is read once they are kept");
    assert_eq!(place.store.layers().expect("listed").len(), layers);
    let image = place.store.image_by_id(&image.id()).expect("there");
    assert!(blobs(&saved(&place, &[&image], Format::OciArchive, "out.tar")) == blobs(&many.oci_archive()));
    // The same layers in another form: both are kept, and the last manifest is the image's.
    let zstd = keep(&place, &many.zstd_layout());
    assert!(blobs(&saved(&place, &[&zstd], Format::OciLayout, "zstd")) == blobs(&many.zstd_layout()));
    // Back to the first form, of which every blob is there: nothing is kept anew but the manifest.
    let gzip = keep(&place, &many.oci_archive());
    assert!(blobs(&saved(&place, &[&gzip], Format::OciArchive, "again.tar")) == blobs(&many.oci_archive()));
}

#[test]
fn root_an_image_of_plain_layers_that_came_without_a_manifest_gets_the_one_that_is_to_be_kept() {
    require_root!();
    let place = Place::new();
    let layers = (1..=3).map(|n| LayerTar::new().file(format!("f{n}"), n.to_string()).finish()).collect();
    let plain = Plain::new("localhost/plain:1", layers);
    let (docker, oci) = (place.temp.join("docker.tar"), place.temp.join("oci.tar"));
    plain.write_docker_archive(&docker);
    plain.write_oci_archive(oci::Compression::None, &oci);
    // Said otherwise than plyfs would say it.
    let digest = place.load(&oci).remove(0).image.manifest_digest().expect("it has one").hex();
    let members = with_manifest(&oci, &digest, |manifest, _| manifest["annotations"]["by"] = "hand".into());
    write_archive(&oci, &members);
    let place = Place::new();
    assert_eq!(place.load(&docker)[0].image.manifest_digest(), None);
    let image = keep(&place, &oci);
    assert!(blobs(&saved(&place, &[&image], Format::OciArchive, "out.tar")) == blobs(&oci));
}

#[test]
fn root_a_manifest_that_is_gone_or_damaged_is_made_anew_of_the_forms_that_are_there() {
    require_root!();
    let many = many_layers(3);
    for spoil in [|path| std::fs::write(path, "other bytes"), |path| std::fs::remove_file(path)] as [fn(&Path) -> _; 2]
    {
        let place = Place::new();
        let blob = |digest: Digest| place.store.path().join("blobs/sha256").join(digest.hex());
        keep(&place, &many.oci_archive());
        let image = keep(&place, &many.zstd_layout());
        spoil(&blob(image.manifest_digest().expect("it has one"))).expect("spoilt");
        // Of the lowest layer the form that would be taken is gone too.
        let layers = image.layers().expect("listed");
        let [gone, left] = [0, 1].map(|form| layers[2].blobs()[form].digest);
        std::fs::remove_file(blob(gone)).expect("removed");
        let out = saved(&place, &[&image], Format::OciArchive, "out.tar");
        assert!(blobs(&out).contains_key(&left.hex()));
        assert_eq!(Place::new().load(out)[0].image.id(), image.id());
        std::fs::remove_file(blob(left)).expect("removed");
        let to = Archive::oci(std::io::sink());
        let error = plyfs_image::save(&place.store, &[&image], to, Progress::none()).expect_err("no form is left");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", story(&error));
    }
}

#[test]
fn root_a_manifest_of_dockers_type_is_never_written_under_an_oci_descriptor() {
    require_root!();
    let many = many_layers(3);
    let place = Place::new();
    let digest = place.load(many.oci_archive())[0].image.manifest_digest().expect("it has one").hex();
    let members = with_manifest(&many.oci_archive(), &digest, |manifest, descriptor| {
        for document in [manifest, descriptor] {
            document["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
        }
    });
    let mixed = place.temp.join("mixed.tar");
    write_archive(&mixed, &members);
    let image = keep(&place, &mixed);
    let out = saved(&place, &[&image], Format::OciArchive, "out.tar");
    assert_eq!(Place::new().load(out)[0].image.id(), image.id(), "it is read again");
}

#[test]
fn root_a_compression_that_is_asked_for_is_made_anew_and_docker_gets_plain_layers() {
    require_root!();
    let many = many_layers(3);
    let place = Place::new();
    let image = keep(&place, &many.zstd_layout());
    let gzip = place.save(&[&image], Format::OciArchive, Compression::Gzip, "gzip.tar");
    let is_gzip = |blob: &&Vec<u8>| blob.starts_with(&[0x1f, 0x8b]);
    assert_eq!(blobs(&gzip).values().filter(is_gzip).count(), 3);
    let mut bytes = Vec::new();
    plyfs_image::save(&place.store, &[&image], Archive::docker(&mut bytes), Progress::none()).expect("saved");
    std::fs::write(place.temp.join("docker.tar"), bytes).expect("written");
    let expected = crate::support::layers_of_docker_archive(&many.docker_archive());
    assert_eq!(crate::support::layers_of_docker_archive(&place.temp.join("docker.tar")), expected);
}

#[test]
fn root_layers_repeated_and_shared_are_kept_once_and_go_with_the_last_image() {
    require_root!();
    let place = Place::new();
    let [one, two, three] = ["1", "2", "3"].map(|text| LayerTar::new().file("f", text).finish());
    let first = Plain::new("localhost/first:1", vec![one.clone(), two.clone(), one.clone()]);
    let second = Plain::new("localhost/second:1", vec![one.clone(), two, one, three]);
    let (first_path, second_path) = (place.temp.join("first.tar"), place.temp.join("second.tar"));
    first.write_oci_archive(oci::Compression::Gzip, &first_path);
    second.write_oci_archive(oci::Compression::Gzip, &second_path);
    let (first, second) = (keep(&place, &first_path), keep(&place, &second_path));
    let out = saved(&place, &[&first, &second], Format::OciArchive, "both.tar");
    let mut expected = blobs(&first_path);
    expected.extend(blobs(&second_path));
    assert!(blobs(&out) == expected);
    place.store.remove_image(&first).expect("removed");
    place.store.reap().expect("reaped");
    assert!(blobs(&saved(&place, &[&second], Format::OciArchive, "second-again.tar")) == blobs(&second_path));
    assert_eq!(place.store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_rebuild_finds_what_was_kept_again_and_holds_it_to_its_layer() {
    require_root!();
    let many = many_layers(3);
    for source in [many.oci_archive(), many.zstd_layout()] {
        let place = Place::new();
        let image = keep(&place, &source);
        std::fs::remove_dir_all(place.store.path().join("journal")).expect("lost");
        let rebuilt = plyfs_image::rebuild(Store::options(), place.store.path(), Progress::none()).expect("rebuilt");
        assert!(!rebuilt.lost.iter().any(|lost| lost.contains("blob")), "{:?}", rebuilt.lost);
        let place = Place { store: Store::open(place.store.path()).expect("opened"), ..place };
        let image = place.store.image_by_id(&image.id()).expect("there");
        assert!(blobs(&saved(&place, &[&image], Format::OciArchive, "out.tar")) == blobs(&source));
    }
}

#[test]
fn root_a_rebuild_finds_a_kept_layer_whose_manifest_is_gone_by_what_it_holds() {
    require_root!();
    let many = many_layers(3);
    let place = Place::new();
    let image = keep(&place, &many.oci_archive());
    let kept = |store: &Store| -> Vec<_> {
        let image = store.image_by_id(&image.id()).expect("there");
        image.layers().expect("listed").iter().map(|layer| layer.blobs().to_vec()).collect()
    };
    let before = kept(&place.store);
    assert!(before.iter().all(|blobs| blobs.len() == 1), "{before:?}");
    let manifest = image.manifest_digest().expect("it has one");
    std::fs::remove_file(place.store.path().join("blobs/sha256").join(manifest.hex())).expect("lost");
    let stranger = place.store.path().join("blobs/sha256").join(oci::sha256(b"no layer at all"));
    std::fs::write(&stranger, "no layer at all").expect("written");
    std::fs::remove_dir_all(place.store.path().join("journal")).expect("lost");

    let rebuilt = plyfs_image::rebuild(Store::options(), place.store.path(), Progress::none()).expect("rebuilt");

    let lost: Vec<_> = rebuilt.lost.iter().filter(|lost| lost.contains("blob")).collect();
    assert!(lost.len() == 1 && lost[0].contains(&oci::sha256(b"no layer at all")), "{:?}", rebuilt.lost);
    let store = Store::open(place.store.path()).expect("opened");
    assert_eq!(kept(&store), before);
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_kept_blob_that_is_damaged_is_refused_when_it_is_saved() {
    require_root!();
    for (kind, spoil) in [
        (ErrorKind::Corrupt, (|path| std::fs::write(path, "other bytes")) as fn(&Path) -> _),
        (ErrorKind::NotFound, |path| std::fs::remove_file(path)),
    ] {
        let place = Place::new();
        let image = keep(&place, &many_layers(3).oci_archive());
        let blob = image.layers().expect("listed")[1].blobs()[0].digest;
        spoil(&place.store.path().join("blobs/sha256").join(blob.hex())).expect("spoilt");
        let to = Archive::oci(std::io::sink());
        let error = plyfs_image::save(&place.store, &[&image], to, Progress::none()).expect_err("spoilt");
        assert_eq!(error.kind(), kind, "{}", story(&error));
        assert!(story(&error).contains(&blob.to_string()), "{}", story(&error));
        let anew = place.save(&[&image], Format::OciArchive, Compression::Zstd, "anew.tar");
        assert_eq!(Place::new().load(anew)[0].image.id(), image.id(), "the layer itself is whole");
    }
}

/// The members of an OCI archive whose manifest, of this digest, and its descriptor are changed.
fn with_manifest(path: &Path, digest: &str, change: impl Fn(&mut Value, &mut Value)) -> Vec<(String, Vec<u8>)> {
    let mut members = read_archive(path);
    let json = |bytes: &Vec<u8>| serde_json::from_slice::<Value>(bytes).expect("json");
    let at = |name: &str| members.iter().position(|(member, _)| member.ends_with(name)).expect("there");
    let (manifest_at, index_at) = (at(digest), at("index.json"));
    let (mut manifest, mut index) = (json(&members[manifest_at].1), json(&members[index_at].1));
    change(&mut manifest, &mut index["manifests"][0]);
    let bytes = serde_json::to_vec(&manifest).expect("json");
    index["manifests"][0]["digest"] = format!("sha256:{}", oci::sha256(&bytes)).into();
    index["manifests"][0]["size"] = bytes.len().into();
    members[manifest_at] = (format!("blobs/sha256/{}", oci::sha256(&bytes)), bytes);
    members[index_at].1 = serde_json::to_vec(&index).expect("json");
    members
}

#[test]
fn root_a_manifest_that_lists_another_blob_for_a_layer_that_is_there_is_refused_and_nothing_is_kept() {
    require_root!();
    let many = many_layers(3);
    let place = Place::new();
    let image = place.load(many.oci_archive()).remove(0).image;
    // Of three layers two blobs change places, and what lists them is put right.
    let digest = image.manifest_digest().expect("it has one").hex();
    let members = with_manifest(&many.oci_archive(), &digest, |manifest, _| {
        manifest["layers"].as_array_mut().expect("a list").swap(0, 1);
    });
    let lying = place.temp.join("lying.tar");
    write_archive(&lying, &members);
    let error = try_keep(&place, &lying).expect_err("it lies");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", story(&error));
    assert!(story(&error).contains("it holds layer sha256:"), "{}", story(&error));
    assert!(place.store.layers().expect("listed").iter().all(|layer| layer.blobs().is_empty()));
    assert_eq!(std::fs::read_dir(place.store.path().join("staging")).expect("listed").count(), 0);
    assert_eq!(place.store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_blob_that_two_images_of_an_archive_list_for_two_layers_is_kept_for_neither() {
    require_root!();
    let place = Place::new();
    let (one, two) = (layer("one"), layer("two"));
    place.load({
        let mut build = Build::default();
        let blobs = [build.blob(LAYER_GZIP, gzip(&two))];
        let manifest = build.image(&[&two], &blobs);
        build.index(&[(Some("localhost/there:1"), manifest)]);
        build.write(&place.temp.join("there.tar"));
        place.temp.join("there.tar")
    });
    // The first brings a layer and its blob; the second says that the blob is the layer that is there.
    let mut build = Build::default();
    let blobs = [build.blob(LAYER_GZIP, gzip(&one))];
    let (first, second) = (build.image(&[&one], &blobs), build.image(&[&two], &blobs));
    build.index(&[(Some("localhost/first:1"), first), (Some("localhost/second:1"), second)]);
    let lying = place.temp.join("lying.tar");
    build.write(&lying);

    let error = try_keep(&place, &lying).expect_err("it lies");

    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", story(&error));
    assert!(["localhost/second:1", "its blob", "holds layer"].iter().all(|word| story(&error).contains(word)));
    let layers = place.store.layers().expect("listed");
    assert_eq!((layers.len(), layers[0].blobs().len()), (1, 0), "nothing came of it");
    assert_eq!(place.store.check(CheckOptions::data()).expect("checked"), []);
}
