//! Archives as others write them, and as nobody should.

use std::os::fd::AsFd;

use super::*;
use crate::archive::tar::TarWriter;
use crate::layout::*;
use crate::platform::host_architecture;
use plyfs_sys::report as chain;
use serde_json::{Value, json};

/// An archive in the making.
#[derive(Default)]
struct Build(Vec<(String, Vec<u8>)>);

impl Build {
    fn add(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.push((name.into(), bytes.as_ref().into()));
        self
    }

    /// Adds a blob and gives its descriptor.
    fn blob(&mut self, media_type: &str, bytes: impl AsRef<[u8]>) -> Value {
        let digest = Digest::of(bytes.as_ref());
        self.add(&blob_path(&digest), bytes.as_ref());
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.as_ref().len()})
    }

    /// Adds an image of one layer and gives the descriptor of its manifest.
    fn image(&mut self, layer: &str, annotations: Value) -> Value {
        let layers = [self.blob(MEDIA_LAYER, layer)];
        let config = self.blob(MEDIA_CONFIG, config(&[layer]));
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        let mut descriptor = self.blob(MEDIA_MANIFEST, manifest);
        descriptor["annotations"] = annotations;
        descriptor
    }

    fn index(&mut self, manifests: &[Value]) -> &mut Self {
        self.add(OCI_LAYOUT, OCI_LAYOUT_CONTENT);
        self.add(OCI_INDEX, json!({"schemaVersion": 2, "manifests": manifests}).to_string())
    }

    fn read(&self) -> Result<Vec<Incoming>> {
        self.read_for(&Wanted::default())
    }

    fn read_for(&self, wanted: &Wanted) -> Result<Vec<Incoming>> {
        let mut tar = TarWriter::new(Vec::new());
        for (name, bytes) in &self.0 {
            tar.file(name, bytes.len() as u64, &bytes[..]).expect("written");
        }
        let bytes = tar.finish().expect("written");
        let temp = tempfile::tempdir().expect("a temporary directory");
        let spool = plyfs_sys::fs::open_dir(temp.path()).expect("open");
        read(&Members::of_stream(&bytes[..], spool.as_fd(), &mut |_| Ok(()))?, wanted)
    }

    #[track_caller]
    fn refused(&self, kind: ErrorKind, word: &str) {
        let error = self.read().expect_err("refused");
        let text = chain(&error);
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(word), "{text} does not name {word}");
    }
}

/// The descriptor of an image for a platform without its system: `arm/v7`.
fn on(mut descriptor: Value, platform: &str) -> Value {
    let (architecture, variant) = platform.split_once('/').map_or((platform, None), |(name, of)| (name, Some(of)));
    descriptor["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
    descriptor
}

fn config(layers: &[&str]) -> String {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string()
}

fn names(images: &[Incoming]) -> Vec<Vec<&str>> {
    images.iter().map(|image| image.names.iter().map(Reference::as_str).collect()).collect()
}

fn docker(config_name: &str, config: &str, tags: &[&str], layers: &[&str]) -> Build {
    let mut build = Build::default();
    build.add(config_name, config);
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": layers}]);
    build.add(DOCKER_MANIFEST, manifest.to_string());
    build
}

#[test]
fn a_docker_archive_gives_its_images_with_names_and_layers_in_order() {
    let config = config(&["one", "two"]);
    let mut build = docker("c.json", &config, &["a", "b:1", "<none>:<none>"], &["1/layer.tar", "2/layer.tar"]);
    build.add("1/layer.tar", "one").add("2/layer.tar", "two");
    let images = build.read().expect("images");
    assert_eq!(names(&images), [["a:latest", "b:1"]]);
    assert_eq!(images[0].id, Digest::of(&config));
    let layers: Vec<_> = images[0].layers.iter().map(|layer| (layer.diff_id, layer.member.as_str())).collect();
    assert_eq!(layers, [(Digest::of("one"), "1/layer.tar"), (Digest::of("two"), "2/layer.tar")]);
}

#[test]
fn a_docker_archive_that_is_wrong_is_refused_and_says_where() {
    let good = config(&["one"]);
    docker("c.json", &good, &["a"], &["1/layer.tar"]).refused(ErrorKind::Corrupt, "1/layer.tar");
    docker("c.json", &good, &["a"], &[]).refused(ErrorKind::Corrupt, "DiffId");
    docker("c.json", &good, &["A B"], &["l"]).add("l", "one").refused(ErrorKind::InvalidInput, "A B");
    docker("c.json", &good, &["a"], &["../l"]).refused(ErrorKind::InvalidInput, "../l");
    docker("../c.json", &good, &["a"], &["l"]).refused(ErrorKind::InvalidInput, "../c.json");
    docker("c.json", "[", &["a"], &["l"]).refused(ErrorKind::InvalidInput, "config");
    let other = Digest::of("other");
    // As docker, as go-containerregistry (kaniko, crane, ko) and as docker since 25 name it.
    for named in [format!("{}.json", other.hex()), other.to_string(), blob_path(&other)] {
        docker(&named, &good, &["a"], &["l"]).add("l", "one").refused(ErrorKind::Corrupt, &named);
    }
    Build::default().add(DOCKER_MANIFEST, "[]").refused(ErrorKind::InvalidInput, "no image");
    Build::default().add(DOCKER_MANIFEST, "{}").refused(ErrorKind::InvalidInput, DOCKER_MANIFEST);
    Build::default().add(DOCKER_REPOSITORIES, "{}").refused(ErrorKind::Unsupported, "1.10");
    Build::default().add("file", "x").refused(ErrorKind::InvalidInput, "index.json");
}

#[test]
fn an_oci_layout_gives_each_image_once_with_all_its_names() {
    let mut build = Build::default();
    let one = build.image("one", json!({ANNOTATION_REF_NAME: "localhost/one:1"}));
    let again = build.image("one", json!({ANNOTATION_REF_NAME: "one:2"}));
    let docker25 =
        build.image("two", json!({ANNOTATION_REF_NAME: "1", ANNOTATION_IMAGE_NAME: "docker.io/library/two:1"}));
    let tagged = build.image("three", json!({ANNOTATION_REF_NAME: "latest"}));
    let odd = build.image("four", json!({ANNOTATION_REF_NAME: "a+b/C:1"}));
    build.index(&[one, docker25, again, tagged, odd]);
    let images = build.read().expect("images");
    let expected: [&[&str]; 4] = [&["localhost/one:1", "one:2"], &["docker.io/library/two:1"], &[], &[]];
    assert_eq!(names(&images), expected);
    assert!(images[2].notes[0].contains("\"latest\""), "{:?}", images[2].notes);
    assert!(images[3].notes[0].contains("\"a+b/C:1\""), "{:?}", images[3].notes);
}

#[test]
fn a_directory_of_skopeo_gives_its_image_and_says_what_is_wrong() {
    let with = |change: &dyn Fn(&mut Build)| {
        let mut oci = Build::default();
        oci.image("one", Value::Null);
        // The same documents, each by its digits; the manifest is the last of them.
        let (mut build, (_, manifest)) = (Build::default(), oci.0.pop().expect("a manifest"));
        build.add(DIR_VERSION, "Directory Transport Version: 1.1\n").add(DOCKER_MANIFEST, manifest);
        for (name, bytes) in &oci.0 {
            build.add(name.rsplit('/').next().expect("digits"), bytes);
        }
        change(&mut build);
        build
    };
    let images = with(&|_| ()).read().expect("an image");
    assert_eq!((names(&images), images[0].layers[0].diff_id), (vec![vec![]], Digest::of("one")));
    assert!(images[0].layers[0].promise.is_some() && images[0].manifest.is_some());
    let config = Digest::of(config(&["one"])).hex();
    with(&|build| build.0.retain(|(name, _)| *name != config)).refused(ErrorKind::Corrupt, &config);
    with(&|build| _ = build.add(&config, "{}")).refused(ErrorKind::Corrupt, "config");
    with(&|build| build.0.retain(|(name, _)| *name != Digest::of("one").hex())).refused(ErrorKind::Corrupt, "missing");
    let list = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": []}).to_string();
    with(&|build| _ = build.add(DOCKER_MANIFEST, &list)).refused(ErrorKind::Unsupported, "a list of images");
}

#[test]
fn names_come_from_manifest_json_when_both_lists_are_there() {
    let mut build = Build::default();
    let one = build.image("one", json!({ANNOTATION_REF_NAME: "1", ANNOTATION_IMAGE_NAME: "docker.io/library/one:1"}));
    build.index(&[one]);
    let id = Digest::of(config(&["one"]));
    let entry = json!([{"Config": blob_path(&id), "RepoTags": ["one:1"], "Layers": [blob_path(&Digest::of("one"))]}]);
    build.add(DOCKER_MANIFEST, entry.to_string());
    let images = build.read().expect("images");
    assert_eq!(names(&images), [["one:1"]]);
    assert!(images[0].layers[0].promise.is_some(), "the index was followed");
}

#[test]
fn a_nested_index_gives_the_image_for_this_machine() {
    let mut build = Build::default();
    let platform = |mut descriptor: Value, os: &str, architecture: &str| {
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    };
    let other = platform(build.image("other", Value::Null), "linux", "pdp11");
    let here = platform(build.image("here", Value::Null), "linux", host_architecture());
    let about = platform(
        build.image("about", json!({ANNOTATION_REFERENCE_TYPE: "attestation-manifest"})),
        "unknown",
        "unknown",
    );
    let index = |of: &[&Value]| json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": of}).to_string();
    let inner = build.blob(MEDIA_INDEX, index(&[&other, &about, &here]));
    let mut outer = build.blob(MEDIA_INDEX, index(&[&inner]));
    outer["annotations"] = json!({ANNOTATION_REF_NAME: "multi:1"});
    build.index(&[outer]);
    let images = build.read().expect("images");
    assert_eq!(names(&images), [["multi:1"]]);
    assert_eq!(images[0].layers[0].diff_id, Digest::of("here"));

    let only = build.blob(MEDIA_INDEX, index(&[&other]));
    build.index(&[only]).refused(ErrorKind::Unsupported, host_architecture());
    build.index(&[other.clone(), here, about]);
    assert_eq!(build.read().expect("images").len(), 1, "at the top too, another platform's image is left out");
    build.index(&[other]);
    assert_eq!(build.read().expect("images").len(), 1, "unless it is the only one");
}

#[test]
fn the_platform_asked_for_is_taken_and_one_that_is_not_there_is_named() {
    let mut build = Build::default();
    let mut platform = |name: &str, architecture: &str, variant: Option<&str>| {
        let mut descriptor = build.image(name, Value::Null);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
        descriptor
    };
    let all = [
        platform("intel", "amd64", None),
        platform("arm", "arm64", Some("v8")),
        platform("old", "arm", Some("v6")),
        platform("newer", "arm", Some("v7")),
    ];
    let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all}).to_string();
    let nested = build.blob(MEDIA_INDEX, index);
    build.index(&[nested]);
    let wanted = |text: &str| Wanted(Some(text.parse().expect("a platform")));
    for (text, layer) in [("amd64", "intel"), ("aarch64", "arm"), ("linux/arm/v6", "old"), ("linux/arm", "newer")] {
        let images = build.read_for(&wanted(text)).expect(text);
        assert_eq!(images[0].layers[0].diff_id, Digest::of(layer), "{text}");
    }
    let error = chain(&build.read_for(&wanted("riscv64")).expect_err("it is not there"));
    assert!(error.contains("riscv64") && error.contains("linux/arm/v7"), "{error}");
}

#[test]
fn the_variant_that_suits_best_is_taken_wherever_it_stands() {
    let layer = |variants: &[&str], asked: &str| -> Option<Digest> {
        let mut build = Build::default();
        let all: Vec<_> = variants.iter().map(|variant| on(build.image(variant, Value::Null), variant)).collect();
        let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all}).to_string();
        let nested = build.blob(MEDIA_INDEX, index);
        let wanted = Wanted(Some(asked.parse().expect("a platform")));
        let taken = |build: &Build| Some(build.read_for(&wanted).ok()?[0].layers[0].diff_id);
        build.index(&all);
        let listed = taken(&build);
        build.0.retain(|(name, _)| name != OCI_INDEX);
        build.index(&[nested]);
        assert_eq!(listed, taken(&build), "{variants:?} in a list and in an index");
        listed
    };
    for (variants, asked, expected) in [
        (&["amd64/v3", "amd64", "amd64/v2"][..], "amd64", Some("amd64")),
        (&["amd64/v3", "amd64"], "linux/amd64/v2", Some("amd64")),
        (&["amd64/v3", "amd64/v2", "amd64"], "linux/amd64/v2", Some("amd64/v2")),
        (&["amd64/v3", "amd64/v2"], "amd64", None),
        (&["arm/v5", "arm/v7", "arm/v6"], "arm", Some("arm/v7")),
        (&["arm/v5", "arm/v6", "arm64"], "linux/arm/v7", Some("arm/v6")),
        (&["arm64/v9", "arm64/v8"], "arm64", Some("arm64/v8")),
    ] {
        assert_eq!(layer(variants, asked), expected.map(Digest::of), "{asked} of {variants:?}");
    }
}

#[test]
fn where_no_image_of_an_index_is_for_the_wanted_platform_the_error_says_what_there_is_instead() {
    let said = |choices: &dyn Fn(&mut Build) -> Vec<Value>| {
        let mut build = Build::default();
        let all = choices(&mut build);
        let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all}).to_string();
        let nested = build.blob(MEDIA_INDEX, index);
        let error = build.index(&[nested]).read_for(&Wanted(Some("amd64".parse().expect("one")))).expect_err("none");
        let text = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
        text.split_once(": ").expect("behind the index").1.to_owned()
    };
    let absent = || on(Build::default().image("gone", Value::Null), "amd64");
    let gone =
        absent()["digest"].as_str().map(|digest| format!("manifest {digest} for linux/amd64")).expect("a digest");
    let with_absent = said(&|build| vec![absent(), on(build.image("here", Value::Null), "arm64")]);
    assert_eq!(with_absent, format!("{gone} is not in the archive, which has images for linux/arm64"));

    let about = |build: &mut Build| build.image("about", json!({ANNOTATION_REFERENCE_TYPE: "attestation-manifest"}));
    assert_eq!(said(&|build| vec![about(build)]), "no image in it, only attestations");
    assert_eq!(said(&|_| Vec::new()), "no image in it");

    let on_none = |os: &str, build: &mut Build| {
        let mut image = build.image("here", Value::Null);
        image["platform"] = json!({"os": os, "architecture": ""});
        image
    };
    for (os, shown) in [("", "(no os)/(no architecture)"), ("linux", "linux/(no architecture)")] {
        assert_eq!(
            said(&|build| vec![on_none(os, build)]),
            format!("no image for linux/amd64 in it, but images for {shown}")
        );
    }
}

#[test]
fn of_images_of_one_name_for_other_platforms_none_is_taken_for_the_wanted_one() {
    let mut build = Build::default();
    let name = || json!({ANNOTATION_IMAGE_NAME: "docker.io/library/multi:latest", ANNOTATION_REF_NAME: "latest"});
    let all = ["pdp11", "vax"].map(|name_it| on(build.image(name_it, name()), name_it));
    build.index(&all).refused(ErrorKind::Unsupported, "linux/pdp11, linux/vax");
}

#[test]
fn images_whose_tags_are_the_same_and_whose_names_are_not_are_no_choice() {
    let mut build = Build::default();
    let mut image = |name: &str, architecture: &str| {
        let name =
            json!({ANNOTATION_IMAGE_NAME: format!("docker.io/library/{name}:latest"), ANNOTATION_REF_NAME: "latest"});
        on(build.image(architecture, name), architecture)
    };
    let all = [image("one", host_architecture()), image("two", "pdp11")];
    let images = build.index(&all).read().expect("both");
    assert_eq!(names(&images), [["docker.io/library/one:latest"], ["docker.io/library/two:latest"]]);
}

#[test]
fn an_index_that_does_not_say_what_its_images_are_for_is_chosen_from_by_their_configs() {
    let mut build = Build::default();
    let mut image = |architecture: &str| {
        let layers = [build.blob(MEDIA_LAYER, architecture)];
        let config = config(&[architecture]).replacen('{', &format!(r#"{{"architecture":"{architecture}","#), 1);
        let config = build.blob(MEDIA_CONFIG, config);
        build.blob(MEDIA_MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string())
    };
    let gone = json!({"mediaType": MEDIA_MANIFEST, "digest": Digest::of("gone").to_string(), "size": 9});
    let all = [gone, image("pdp11"), image(host_architecture())];
    let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all[..3]}).to_string();
    let nested = build.blob(MEDIA_INDEX, index);
    build.index(&[nested]);
    let images = build.read().expect("an image");
    assert_eq!(images[0].layers[0].diff_id, Digest::of(host_architecture()));
    assert!(
        chain(&build.read_for(&Wanted(Some("s390x".parse().expect("one")))).expect_err("none")).contains("linux/pdp11")
    );
}

#[test]
fn of_an_index_whose_other_images_were_left_out_of_the_archive_what_is_there_is_the_choice() {
    let mut build = Build::default();
    let mut gone = Build::default();
    let arm = |build: &mut Build, variant: &str| on(build.image(variant, Value::Null), &format!("arm/{variant}"));
    let all = [arm(&mut build, "v5"), arm(&mut build, "v6"), arm(&mut gone, "v7")];
    let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all}).to_string();
    let nested = build.blob(MEDIA_INDEX, index);
    build.index(&[nested]);
    let wanted = |platform: &str| Wanted(Some(platform.parse().expect("a platform")));
    let images = build.read_for(&wanted("arm")).expect("an image");
    assert_eq!(images[0].layers[0].diff_id, Digest::of("v6"), "the best of those that are there");
    let error = build.read_for(&wanted("s390x")).expect_err("none");
    let text = chain(&error);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
    assert!(text.ends_with("but images for linux/arm/v5, linux/arm/v6"), "{text}");

    let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": all[2..]}).to_string();
    let nested = build.blob(MEDIA_INDEX, index);
    build.index(&[nested]);
    let error = build.read_for(&wanted("arm")).expect_err("none of it is there");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
}

#[test]
fn what_is_about_an_image_is_passed_over_beside_it_and_refused_by_name_alone() {
    let mut build = Build::default();
    let image = build.image("one", json!({ANNOTATION_REF_NAME: "one:1"}));
    let config = build.blob("application/vnd.oci.empty.v1+json", "{}");
    let signature = json!({"schemaVersion": 2, "config": config, "layers": [], "subject": image}).to_string();
    let signature = build.blob(MEDIA_MANIFEST, signature);
    let images = build.index(&[signature.clone(), image]).read().expect("an image");
    assert_eq!(names(&images), [["one:1"]]);
    build.0.retain(|(name, _)| name != OCI_INDEX);
    build.index(&[signature]).refused(ErrorKind::Unsupported, "application/vnd.oci.empty.v1+json");
}

#[test]
fn a_name_that_two_images_have_is_that_of_the_later_one() {
    let mut build = Build::default();
    let before = build.image("one", json!({ANNOTATION_REF_NAME: "svc:1"}));
    let extra = json!({ANNOTATION_REF_NAME: "svc:2"});
    let (kept, after) = (build.image("one", extra), build.image("two", json!({ANNOTATION_REF_NAME: "svc:1"})));
    let images = build.index(&[before, kept, after]).read().expect("images");
    let expected: [&[&str]; 2] = [&["svc:2"], &["svc:1"]];
    assert_eq!(names(&images), expected);
    assert!(images[0].notes[0].contains("svc:1"), "{:?}", images[0].notes);

    let mut build = docker("c.json", &config(&["one"]), &["svc:1"], &["l"]);
    build.add("d.json", config(&["two"])).add("l", "one").add("m", "two").0.retain(|(name, _)| name != DOCKER_MANIFEST);
    let entry = |config: &str, tag: &str, layer: &str| json!({"Config": config, "RepoTags": [tag], "Layers": [layer]});
    let list = json!([entry("c.json", "svc:1", "l"), entry("d.json", "svc:1", "m"), entry("c.json", "svc:2", "l")]);
    let images = build.add(DOCKER_MANIFEST, list.to_string()).read().expect("images");
    assert_eq!(names(&images), [["svc:2"], ["svc:1"]]);
}

/// An archive of so many images, listed in turn as often, each time with all of these names.
fn rivals(count: usize, rounds: usize, tags: &[String]) -> Vec<Incoming> {
    let (mut build, mut entries) = (Build::default(), Vec::new());
    build.add("l", "one");
    for number in 0..count {
        build.add(&format!("{number}.json"), config(&[&number.to_string()]));
        entries.push(json!({"Config": format!("{number}.json"), "RepoTags": tags, "Layers": ["l"]}));
    }
    let list: Value = entries.iter().cycle().take(count * rounds).cloned().collect();
    build.add(DOCKER_MANIFEST, list.to_string()).read().expect("images")
}

#[test]
fn a_name_that_is_taken_again_and_again_is_said_once_of_who_loses_it() {
    let images = rivals(2, 100, &["b:1".into(), "a:1".into()]);
    let expected: [&[&str]; 2] = [&[], &["b:1", "a:1"]];
    assert_eq!(names(&images), expected);
    assert_eq!((images[0].notes.len(), images[1].notes.len()), (2, 0), "{:?}", images[0].notes);
}

#[test]
fn what_is_said_of_lost_names_is_bounded_and_the_rest_counted() {
    let tags: Vec<_> = (0..MAX_NAMES).map(|number| format!("{}/{number}:1", "x".repeat(90))).collect();
    let images = rivals(36, 1, &tags);
    let notes = || images.iter().flat_map(|image| &image.notes);
    let bytes: usize = notes().map(|note| size_of::<String>() + note.len()).sum();
    assert!((4 << 20..(4 << 20) + (8 << 10)).contains(&(bytes + 256)), "{bytes} bytes");
    let count = |note: &String| {
        note.strip_suffix(" more names that it does not get").map_or(1, |n| n.parse().expect("a count"))
    };
    assert_eq!(notes().map(count).sum::<usize>(), 35 * MAX_NAMES, "said or counted");
    assert_eq!(images[35].names.len(), MAX_NAMES);
}

#[test]
fn a_document_named_a_thousand_times_is_held_once_and_many_large_ones_are_refused() {
    let large = config(&["one"]).replacen('{', &format!(r#"{{"pad":"{}","#, "x".repeat(3 << 20)), 1);
    let mut build = Build::default();
    let (layers, blob) = ([build.blob(MEDIA_LAYER, "one")], build.blob(MEDIA_CONFIG, &large));
    let mut manifest = |number: usize| {
        let manifest =
            json!({"schemaVersion": 2, "config": blob, "layers": layers, "annotations": {"n": number.to_string()}});
        build.blob(MEDIA_MANIFEST, manifest.to_string())
    };
    let (same, others) = (manifest(0), (0..20).map(&mut manifest).collect::<Vec<_>>());
    let named = (0..1000).map(|number| {
        let mut named = same.clone();
        named["annotations"] = json!({ANNOTATION_REF_NAME: format!("svc:{number}")});
        named
    });
    let images = build.index(&named.collect::<Vec<_>>()).read().expect("one image");
    assert_eq!((images.len(), images[0].names.len()), (1, 1000));
    build.0.retain(|(name, _)| name != OCI_INDEX);
    build.index(&others).refused(ErrorKind::InvalidInput, "documents take more than");

    let mut build = docker("c.json", &large, &[], &["l"]);
    let entry = |config: &str, tag: String| json!({"Config": config, "RepoTags": [tag], "Layers": ["l"]});
    let list: Vec<_> = (0..1000).map(|number| entry("c.json", format!("svc:{number}"))).collect();
    build.add("l", "one").add(DOCKER_MANIFEST, json!(list).to_string());
    build.0.remove(1);
    let images = build.read().expect("one image");
    assert_eq!((images.len(), images[0].names.len()), (1, 1000));
    let list: Vec<_> = (0..20).map(|depth| entry(&format!("{}c.json", "./".repeat(depth)), "svc:1".into())).collect();
    build.add(DOCKER_MANIFEST, json!(list).to_string()).refused(ErrorKind::InvalidInput, "documents take more than");
}

#[test]
fn an_image_for_another_platform_than_asked_for_is_refused() {
    let config = config(&["one"]).replace(r#""os":"linux""#, r#""os":"linux","architecture":"arm64""#);
    let mut build = docker("c.json", &config, &["a"], &["l"]);
    build.add("l", "one");
    assert_eq!(build.read().expect("nobody asked").len(), 1);
    assert_eq!(build.read_for(&Wanted(Some("arm64".parse().expect("one")))).expect("it is").len(), 1);
    let error = build.read_for(&Wanted(Some("amd64".parse().expect("one")))).expect_err("another");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(chain(&error).contains("linux/arm64"), "{}", chain(&error));
}

#[test]
fn an_image_that_says_nowhere_what_it_is_for_is_refused_where_a_platform_was_asked_for() {
    let arm = || Wanted(Some("linux/arm64".parse().expect("a platform")));
    let refused = |build: &Build, words: &[&str]| {
        assert_eq!(build.read().expect("nobody asked").len(), 1);
        let error = build.read_for(&arm()).expect_err("refused");
        let text = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text} does not name {words:?}");
    };
    let silent = config(&["one"]);
    for config in
        [silent.replace(r#""os":"linux","#, ""), silent.clone(), silent.replacen('{', r#"{"architecture":"","#, 1)]
    {
        let mut build = docker("c.json", &config, &["np:1"], &["l"]);
        refused(build.add("l", "one"), &["image np:1: config: architecture: ", "linux/arm64"]);
    }

    // By a descriptor, which is asked where the config is silent.
    let mut build = Build::default();
    let image = build.image("one", json!({ANNOTATION_REF_NAME: "np:1"}));
    refused(build.index(std::slice::from_ref(&image)), &["image np:1: config: architecture: "]);
    build.0.retain(|(name, _)| name != OCI_INDEX);
    refused(build.index(&[on(image.clone(), "amd64")]), &["image np:1: an image for linux/amd64"]);
    build.0.retain(|(name, _)| name != OCI_INDEX);
    assert_eq!(build.index(&[on(image, "arm64/v8")]).read_for(&arm()).expect("its descriptor says so").len(), 1);
}

#[test]
fn a_layout_that_is_wrong_is_refused_and_says_where() {
    let with = |change: &dyn Fn(&mut Build, &mut Value)| {
        let mut build = Build::default();
        let mut image = build.image("one", Value::Null);
        change(&mut build, &mut image);
        build.index(&[image]);
        build
    };
    let layer = Digest::of("one");
    let remove = |build: &mut Build, digest: &Digest| build.0.retain(|(name, _)| *name != blob_path(digest));
    with(&|build, _| remove(build, &layer)).refused(ErrorKind::Corrupt, &layer.hex());
    with(&|build, _| remove(build, &Digest::of(config(&["one"])))).refused(ErrorKind::Corrupt, "config");
    with(&|build, _| build.0.push((blob_path(&layer), b"longer".into()))).refused(ErrorKind::Corrupt, &layer.hex());
    with(&|_, image| image["size"] = 7.into()).refused(ErrorKind::Corrupt, "7");
    with(&|_, image| image["size"] = (5u64 << 30).into()).refused(ErrorKind::InvalidInput, "manifest");
    with(&|_, image| image["digest"] = "sha256:../../x".into()).refused(ErrorKind::InvalidInput, "../../x");
    with(&|_, image| image["digest"] = "sha512:00".into()).refused(ErrorKind::Unsupported, "sha512");
    with(&|_, image| image["mediaType"] = "application/x".into()).refused(ErrorKind::Unsupported, "application/x");
    with(&|build, image| {
        let digest: Digest = image["digest"].as_str().expect("text").parse().expect("a digest");
        let (_, bytes) = build.0.iter_mut().find(|(name, _)| *name == blob_path(&digest)).expect("the manifest");
        bytes[0] ^= 1;
    })
    .refused(ErrorKind::Corrupt, "manifest sha256:");
    Build::default()
        .add(OCI_LAYOUT, r#"{"imageLayoutVersion":"2.0"}"#)
        .add(OCI_INDEX, "{}")
        .refused(ErrorKind::Unsupported, "2.0");
    Build::default().index(&[]).refused(ErrorKind::InvalidInput, "no image");
}

#[test]
fn indexes_that_nest_without_end_are_refused() {
    let mut build = Build::default();
    let mut inner = build.image("one", Value::Null);
    for _ in 0..=MAX_INDEX_DEPTH + 1 {
        inner = build.blob(MEDIA_INDEX, json!({"schemaVersion": 2, "manifests": [inner]}).to_string());
    }
    build.index(&[inner]).refused(ErrorKind::InvalidInput, "nest");
}
