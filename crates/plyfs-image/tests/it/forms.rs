//! Every form that images come in: old and new archives, indexes, types, compressions, layers of every kind.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_image::{Error, ErrorKind, Loaded, Source};
use plyfs_store::{Progress, Stage, Step};
use plyfs_testkit::images::awkward;
use plyfs_testkit::oci::{LayerTar, sha256};
use plyfs_testkit::{require_root, require_tool};
use serde_json::{Value, json};

use crate::build::{Build, INDEX, LAYER, LAYER_GZIP, LAYER_ZSTD, architecture, config, gzip, layer, zstd};
use crate::support::{Place, story};

fn load(place: &Place, build: &Build) -> Result<Vec<Loaded>, Error> {
    let path = place.temp.join("image.tar");
    build.write(&path);
    place.try_load(&path)
}

/// Loads one image, and holds that its layers are these.
#[track_caller]
fn loads(build: &Build, plain: &[&[u8]]) -> (Place, Loaded) {
    let place = Place::new();
    let mut loaded = load(&place, build).unwrap_or_else(|error| panic!("{}", story(&error)));
    assert_eq!(loaded.len(), 1);
    let layers = loaded[0].image.layers().expect("listed");
    let diff_ids: Vec<_> = layers.iter().rev().map(|layer| layer.diff_id().expect("known").hex()).collect();
    assert_eq!(diff_ids, plain.iter().map(|layer| sha256(layer)).collect::<Vec<_>>());
    (place, loaded.remove(0))
}

/// Holds that an archive is refused, for which reason, and that nothing is left.
#[track_caller]
fn refused(build: &Build, kind: ErrorKind, words: &[&str]) {
    let place = Place::new();
    let error = load(&place, build).expect_err("it is to be refused");
    let story = story(&error);
    assert_eq!(error.kind(), kind, "{story}");
    words.iter().for_each(|word| assert!(story.contains(word), "{word} is missing: {story}"));
    place.assert_untouched();
}

#[test]
fn root_an_archive_of_docker_1_10_to_24_is_loaded_with_its_links_between_layers() {
    require_root!();
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two, &one]).to_string();
    let ids = ["a", "b", "c"].map(|letter| letter.repeat(64));
    let name = format!("{}.json", sha256(config.as_bytes()));
    let layers: Vec<_> = ids.iter().map(|id| format!("{id}/layer.tar")).collect();
    let manifest = json!([{ "Config": name, "RepoTags": ["localhost/old:1"], "Layers": layers }]).to_string();
    let mut tar = LayerTar::new();
    for (id, content) in ids.iter().zip([Some(&one), Some(&two), None]) {
        tar = tar.dir(format!("{id}/")).file(format!("{id}/VERSION"), "1.0").file(format!("{id}/json"), "{}");
        tar = match content {
            Some(content) => tar.file(format!("{id}/layer.tar"), content),
            // A layer that is there already is a link to where it is.
            None => tar.symlink(format!("{id}/layer.tar"), format!("../{}/layer.tar", ids[0])),
        };
    }
    let repositories = json!({ "localhost/old": { "1": ids[2] } }).to_string();
    let tar = tar.file(&name, &config).file("manifest.json", manifest).file("repositories", repositories).finish();
    let place = Place::new();
    let path = place.temp.join("old.tar");
    std::fs::write(&path, tar).expect("written");
    let loaded = place.load(&path).remove(0);
    assert_eq!(loaded.names[0].as_str(), "localhost/old:1");
    assert_eq!(loaded.image.layers().expect("listed").len(), 3);
}

#[test]
fn root_an_archive_of_docker_25_and_later_is_loaded_by_its_index_with_the_names_of_its_list() {
    require_root!();
    let (one, two) = (layer("one"), layer("two"));
    let mut build = Build::default();
    let blobs = [build.blob(LAYER, &*one), build.blob(LAYER, &*two)];
    let mut manifest = build.image(&[&one, &two], &blobs);
    // What docker writes beside: the name by parts, and the list of before on the same blobs.
    manifest["annotations"] =
        json!({ "io.containerd.image.name": "docker.io/library/app:1", "org.opencontainers.image.ref.name": "1" });
    // It is listed by each of its names.
    let mut again = manifest.clone();
    again["annotations"]["io.containerd.image.name"] = "docker.io/library/app:2".into();
    build.index(&[(None, manifest), (None, again)]);
    let path = |blob: &Value| format!("blobs/sha256/{}", &blob["digest"].as_str().expect("text")[7..]);
    let config = format!("blobs/sha256/{}", sha256(config(&[&one, &two]).to_string().as_bytes()));
    let layers: Vec<_> = blobs.iter().map(path).collect();
    let list = json!([{ "Config": config, "RepoTags": ["app:1", "app:2"], "Layers": layers, "LayerSources": {} }]);
    build.add("manifest.json", list.to_string());
    build.add("repositories", json!({ "app": { "1": "x" } }).to_string());
    let (_, loaded) = loads(&build, &[&one, &two]);
    assert_eq!(loaded.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["app:1", "app:2"]);
}

#[test]
fn root_an_archive_of_docker_before_1_10_is_refused_by_name() {
    require_root!();
    let mut build = Build::default();
    build.add(format!("{}/layer.tar", "a".repeat(64)), layer("one"));
    build.add("repositories", "{}");
    refused(&build, ErrorKind::Unsupported, &["docker before 1.10"]);
}

#[test]
fn root_docker_types_come_in_by_a_list_of_platforms_inside_an_index_and_attestations_are_passed_over() {
    require_root!();
    let (one, other) = (layer("one"), layer("other"));
    let mut build = Build::default();
    let docker = |build: &mut Build, plain: &[u8], architecture: &str| {
        let layers = [build.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip(plain))];
        let mut config = config(&[plain]);
        config["architecture"] = architecture.into();
        let config = build.blob("application/vnd.docker.container.image.v1+json", config.to_string());
        let media = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media, "config": config, "layers": layers });
        let mut manifest = build.blob(media, manifest.to_string());
        manifest["platform"] = json!({ "os": "linux", "architecture": architecture });
        manifest
    };
    let (ours, theirs) = (docker(&mut build, &one, architecture()), docker(&mut build, &other, "s390x"));
    let mut attestation = build.blob("application/vnd.oci.image.manifest.v1+json", "no image at all");
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let media = "application/vnd.docker.distribution.manifest.list.v2+json";
    let list = json!({ "schemaVersion": 2, "mediaType": media, "manifests": [attestation, theirs, ours] });
    let list = build.blob(media, list.to_string());
    let nested = build.blob(INDEX, json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [list] }).to_string());
    // Some say it by their platform alone.
    let mut silent = attestation.clone();
    silent.as_object_mut().expect("an object").remove("annotations");
    build.index(&[(Some("localhost/many:1"), nested), (None, attestation.clone()), (None, silent)]);
    loads(&build, &[&one]);

    let place = Place::new();
    let path = place.temp.join("image.tar");
    build.write(&path);
    let platform = |text: &str| {
        let source = Source::path(&path).expect("opened").platform(text.parse().expect("a platform"));
        plyfs_image::load(&place.store, source, Progress::none())
    };
    let chosen = platform("linux/s390x").expect("loaded").remove(0).image;
    assert_eq!(chosen.architecture(), Some("s390x"));
    let error = platform("linux/riscv64").expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let story = story(&error);
    assert!(["localhost/many:1", "riscv64", "s390x"].iter().all(|word| story.contains(word)), "{story}");
}

#[test]
fn root_a_layer_of_several_gzip_members_or_zstd_frames_is_read_to_its_end() {
    require_root!();
    let plain = layer("one");
    let pieces: Vec<&[u8]> = plain.chunks(plain.len() / 3).collect();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"table"].concat();
    let members: Vec<u8> = pieces.iter().flat_map(|piece| gzip(piece)).collect();
    let frames: Vec<u8> = pieces.iter().flat_map(|piece| [skipped.clone(), zstd(piece)].concat()).collect();
    for (media, blob) in [
        (LAYER_GZIP, members),
        (LAYER_ZSTD, [&frames[..], &skipped].concat()),
        // What it is called does not matter, what it is does.
        (LAYER_GZIP, zstd(&plain)),
        (LAYER, gzip(&plain)),
    ] {
        let mut build = Build::default();
        let blobs = [build.blob(media, blob)];
        let manifest = build.image(&[&plain], &blobs);
        build.index(&[(Some("localhost/pieces:1"), manifest)]);
        loads(&build, &[&plain]);
    }
}

#[test]
fn root_zstd_chunked_as_skopeo_writes_it_gives_the_same_layers() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let awkward = awkward();
    let place = Place::new();
    let to = place.temp.join("chunked");
    let (from, to_name) =
        (format!("docker-archive:{}", awkward.docker_archive().display()), format!("oci:{}:1", to.display()));
    let mut skopeo = plyfs_testkit::peers::skopeo();
    skopeo.args(["copy", "-q", "--dest-compress", "--dest-compress-format", "zstd:chunked", &from, &to_name]);
    plyfs_testkit::process::output(&mut skopeo);
    let blobs = std::fs::read_dir(to.join("blobs/sha256")).expect("listed").flatten();
    let tables = blobs.filter(|blob| {
        let bytes = std::fs::read(blob.path()).expect("readable");
        bytes.windows(4).any(|word| word == [0x50, 0x2a, 0x4d, 0x18])
    });
    assert!(tables.count() >= 3, "the layers have tables in frames to be skipped");
    let chunked = place.load(&to).remove(0).image;
    let plain = Place::new().load(awkward.docker_archive()).remove(0).image;
    assert_eq!(chunked.id(), plain.id());
    assert_eq!(chunked.usage().expect("known").apparent, plain.usage().expect("known").apparent);
}

#[test]
fn root_a_directory_as_skopeo_writes_it_gives_the_same_image() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let awkward = awkward();
    let from = format!("docker-archive:{}", awkward.docker_archive().display());
    let plain = Place::new().load(awkward.docker_archive()).remove(0).image.id();
    for (types, format) in [("v2s2", "gzip"), ("oci", "zstd")] {
        let place = Place::new();
        let to = place.temp.join("dir");
        let mut skopeo = plyfs_testkit::peers::skopeo();
        let to_name = format!("dir:{}", to.display());
        skopeo.args(["copy", "-q", "--format", types, "--dest-compress", "--dest-compress-format", format]);
        plyfs_testkit::process::output(skopeo.args([&from, &to_name]));
        let loaded = place.load(&to).remove(0);
        assert_eq!((loaded.image.id(), loaded.names.len()), (plain, 0), "{format}");
        std::fs::write(to.join(loaded.image.id().hex()), "{}").expect("spoilt");
        let error = Place::new().try_load(&to).expect_err("another config");
        assert!(error.kind() == ErrorKind::Corrupt && story(&error).contains("config"), "{}", story(&error));
    }
}

#[test]
fn root_what_is_no_image_is_refused_by_its_type() {
    require_root!();
    let plain = layer("one");
    for (config_type, layer_type, word) in [
        ("application/vnd.cncf.helm.config.v1+json", LAYER, "vnd.cncf.helm.config"),
        ("application/vnd.oci.empty.v1+json", LAYER, "vnd.oci.empty"),
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "encrypted",
        ),
        ("application/vnd.oci.image.config.v1+json", "application/vnd.in-toto+json", "in-toto"),
    ] {
        let mut build = Build::default();
        let layers = [build.blob(layer_type, &*plain)];
        let config = build.blob(config_type, config(&[&plain]).to_string());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let manifest = build.blob(crate::build::MANIFEST, manifest.to_string());
        build.index(&[(Some("localhost/no:1"), manifest)]);
        refused(&build, ErrorKind::Unsupported, &[word, "localhost/no:1"]);
    }
    let mut build = Build::default();
    let schema_1 = build.blob("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}");
    build.index(&[(Some("localhost/no:1"), schema_1)]);
    refused(&build, ErrorKind::Unsupported, &["manifest.v1+prettyjws", "localhost/no:1"]);
}

#[test]
fn root_a_foreign_layer_is_read_where_it_is_there_and_refused_by_name_where_not() {
    require_root!();
    let plain = layer("one");
    for media in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let mut build = Build::default();
        let mut foreign = build.blob(media, gzip(&plain));
        foreign["urls"] = json!(["https://example.com/layer"]);
        let manifest = build.image(&[&plain], &[foreign]);
        build.index(&[(Some("localhost/foreign:1"), manifest)]);
        loads(&build, &[&plain]);
        build.members.remove(0);
        refused(&build, ErrorKind::Unsupported, &["localhost/foreign:1", "foreign layer", media, "example.com/layer"]);
    }
}

#[test]
fn root_layers_repeated_shared_and_empty_are_stacked_as_they_are_listed() {
    require_root!();
    let (one, empty) = (layer("one"), vec![0; 1024]);
    let mut build = Build::default();
    // An empty layer is an archive of nothing, or nothing at all (rule 45).
    let nothing: Vec<u8> = Vec::new();
    let blobs = [
        build.blob(LAYER_GZIP, gzip(&one)),
        build.blob(LAYER_GZIP, gzip(&empty)),
        build.blob(LAYER_GZIP, gzip(&one)),
        build.blob(LAYER, &*nothing),
    ];
    let first = build.image(&[&one, &empty, &one, &nothing], &blobs);
    let second = build.image(&[&one, &empty], &blobs[..2]);
    let none = build.image(&[], &[]);
    build.index(&[(Some("localhost/a:1"), first), (Some("localhost/b:1"), second), (Some("localhost/c:1"), none)]);
    let place = Place::new();
    let loaded = load(&place, &build).unwrap_or_else(|error| panic!("{}", story(&error)));
    let depths: Vec<_> = loaded.iter().map(|loaded| loaded.image.layers().expect("listed").len()).collect();
    assert_eq!(depths, [4, 2, 0]);
    assert_eq!(place.store.layers().expect("listed").len(), 4, "two of them are shared");
}

#[test]
fn root_a_pipe_is_read_once_whatever_the_order_of_its_members_and_kept_in_no_more_than_its_size() {
    require_root!();
    let (one, two) = (layer("one"), layer("two"));
    let mut build = Build::default();
    let blobs = [build.blob(LAYER_GZIP, gzip(&one)), build.blob(LAYER, &*two)];
    let manifest = build.image(&[&one, &two], &blobs);
    build.index(&[(Some("localhost/piped:1"), manifest)]);
    let mut orders = vec![build.members.clone(), build.members.iter().rev().cloned().collect()];
    orders[1].rotate_left(2);
    for members in orders {
        let place = Place::new();
        let path = place.temp.join("image.tar");
        Build { members }.write(&path);
        let bytes = std::fs::read(&path).expect("readable");
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let (size, kept) = (bytes.len() as u64, AtomicU64::new(0));
        let note = |step: &Step<'_>| {
            if step.stage == Stage::Receive {
                kept.fetch_max(step.done, Ordering::Relaxed);
            }
            ControlFlow::Continue(())
        };
        let loaded = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).expect("it reads to the end"));
            plyfs_image::load(&place.store, Source::reader(reader), Progress::new(&note))
        });
        let kept = kept.into_inner();
        assert!(0 < kept && kept < size, "{kept} bytes were kept of {size}");
        let loaded = loaded.unwrap_or_else(|error| panic!("{}", story(&error)));
        assert_eq!(loaded[0].image.layers().expect("listed").len(), 2);
        assert_eq!(std::fs::read_dir(place.store.path().join("staging")).expect("listed").count(), 0);
    }
}
