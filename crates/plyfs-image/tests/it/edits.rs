//! A good image with one thing wrong in one of its documents: a line each, refused by field, and nothing left.
//!
//! Everything above the edited document is put right, so that the edit is all that is wrong.

use plyfs_image::ErrorKind::{self, Corrupt, InvalidInput, Unsupported};
use plyfs_store::{CheckOptions, Image};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Field, Options, Tree, assert_same_trees};
use serde_json::{Value, json};

use crate::build::{Build, CONFIG, INDEX, LAYER_GZIP, MANIFEST, architecture, config, gzip, layer};
use crate::support::{Place, story};

/// The documents of an image, by what the tables call them.
const NAME: &str = "localhost/edited:1";

/// What is done to a document.
enum Edit {
    /// Sets the value at a JSON pointer; the last part may be new.
    Set(&'static str, Value),
    /// Takes it out.
    Cut(&'static str),
    /// Replaces text, for what JSON values cannot express.
    Text(&'static str, String),
    /// Is the whole document.
    All(String),
}
use Edit::{All, Cut, Set, Text};

impl Edit {
    fn apply(&self, document: &str) -> String {
        match self {
            All(text) => text.clone(),
            Text(from, to) => {
                assert!(document.contains(from), "{from} is not in {document}");
                document.replacen(from, to, 1)
            }
            Set(..) | Cut(_) => self.change(serde_json::from_str(document).expect("JSON")).to_string(),
        }
    }

    fn change(&self, mut document: Value) -> Value {
        let (Set(pointer, _) | Cut(pointer)) = self else { unreachable!("texts are not parsed") };
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is not there"));
        match (parent, self) {
            (Value::Object(parent), Set(_, value)) => drop(parent.insert(key.to_owned(), value.clone())),
            (Value::Object(parent), _) => drop(parent.remove(key).unwrap_or_else(|| panic!("{pointer} is not there"))),
            (Value::Array(parent), Set(_, value)) => parent[key.parse::<usize>().expect("a number")] = value.clone(),
            (Value::Array(parent), _) => drop(parent.remove(key.parse().expect("a number"))),
            (other, _) => panic!("{pointer}: {other} has no members"),
        }
        document
    }
}

/// An OCI archive with an index, an index in it, a manifest and a config, of which one is edited.
fn oci(which: &str, edit: &Edit) -> Build {
    let edited = |name: &str, document: Value| match name == which {
        true => edit.apply(&document.to_string()),
        false => document.to_string(),
    };
    let layers = [layer("one"), layer("two")];
    let mut build = Build::default();
    let blobs: Vec<_> = layers.iter().map(|plain| build.blob(LAYER_GZIP, gzip(plain))).collect();
    let config = build.blob(CONFIG, edited("config", config(&[&layers[0], &layers[1]])));
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs });
    let mut manifest = build.blob(MANIFEST, edited("manifest", manifest));
    manifest["platform"] = json!({ "os": "linux", "architecture": architecture() });
    let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
    let mut nested = build.blob(INDEX, edited("nested", nested));
    nested["annotations"] = json!({ "org.opencontainers.image.ref.name": NAME });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [nested] });
    build.add("index.json", edited("index", index));
    build.add("oci-layout", edited("layout", json!({ "imageLayoutVersion": "1.0.0" })));
    build
}

/// A docker-archive, of which the list or the config is edited.
fn docker(which: &str, edit: &Edit) -> Build {
    let layers = [layer("one"), layer("two")];
    let config = config(&[&layers[0], &layers[1]]).to_string();
    let config = if which == "config" { edit.apply(&config) } else { config };
    let name = format!("{}.json", plyfs_testkit::oci::sha256(config.as_bytes()));
    let list = json!([{ "Config": name, "RepoTags": [NAME], "Layers": ["one.tar", "two.tar"] }]).to_string();
    let mut build = Build::default();
    build.add(name, config);
    build.add("one.tar", &*layers[0]);
    build.add("two.tar", &*layers[1]);
    build.add("manifest.json", if which == "list" { edit.apply(&list) } else { list });
    build
}

/// A store that holds another image, to see that nothing changes in it.
struct Shop {
    place: Place,
    image: Image,
}

impl Shop {
    fn new() -> Self {
        let place = Place::new();
        let image = place.load(plyfs_testkit::images::many_layers(2).docker_archive()).remove(0).image;
        Self { place, image }
    }

    /// Holds that the archive is refused for this reason, in one line that names the field, and leaves nothing.
    #[track_caller]
    fn refuses(&self, build: &Build, kind: ErrorKind, words: &[&str], line: &str) {
        let path = self.place.temp.join("edited.tar");
        build.write(&path);
        let before = Tree::of(self.place.store.path());
        let error = match self.place.try_load(&path) {
            Err(error) => error,
            Ok(_) => panic!("{line}: it was loaded"),
        };
        let story = story(&error);
        assert_eq!(error.kind(), kind, "{line}: {story}");
        for word in words.iter().chain(&["edited.tar"]) {
            assert!(story.contains(word), "{line}: {word:?} is missing: {story}");
        }
        assert!(story.len() < 1500 && !story.contains('\n'), "{line}: {story}");
        assert!(!story.contains("struct ") && !story.contains("enum "), "{line} tells of types of ours: {story}");
        // Times of directories tell that something was in them for a while, and a reader's lock leaves no trace.
        let options = Options::new().ignoring(Field::Mtime);
        assert_same_trees(&before, &Tree::of(self.place.store.path()), &options);
    }
}

const ANOTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn root_an_oci_image_with_one_field_wrong_is_refused_by_that_field_and_leaves_nothing() {
    require_root!();
    let text = |length: usize| "x".repeat(length);
    let deep = |open: &str, depth: usize| open.repeat(depth);
    let many = |value: Value, count: usize| Value::from(vec![value; count]);
    let descriptor = json!({ "mediaType": MANIFEST, "digest": ANOTHER, "size": 3 });
    let lines: Vec<(&str, Edit, ErrorKind, &[&str])> = vec![
        ("layout", Set("/imageLayoutVersion", json!("2.0.0")), Unsupported, &["oci-layout", "2.0.0"]),
        ("layout", Set("/imageLayoutVersion", json!(1)), InvalidInput, &["oci-layout", "imageLayoutVersion"]),
        ("layout", All("1".into()), InvalidInput, &["oci-layout"]),
        ("index", All(String::new()), InvalidInput, &["index.json"]),
        ("index", All("[]".into()), InvalidInput, &["index.json"]),
        ("index", All(deep("[", 100_000)), InvalidInput, &["index.json"]),
        ("index", All(deep("{\"manifests\":", 100_000)), InvalidInput, &["index.json"]),
        ("index", All(format!("\"{}\"", text(5 << 20))), InvalidInput, &["index.json", "are the most"]),
        ("index", Text("\"manifests\"", "\"manifests\":[],\"manifests\"".into()), InvalidInput, &["duplicate key"]),
        ("index", Set("/schemaVersion", json!(1)), Unsupported, &["index.json", "schema version 1"]),
        ("index", Set("/schemaVersion", json!("2")), InvalidInput, &["index.json", "schemaVersion"]),
        ("index", Set("/mediaType", json!(MANIFEST)), InvalidInput, &["index.json", "of type"]),
        ("index", Set("/manifests", json!({})), InvalidInput, &["index.json", "manifests"]),
        ("index", Set("/manifests", json!([])), InvalidInput, &["no image in the archive"]),
        ("index", Set("/manifests", many(descriptor, 5000)), InvalidInput, &["index.json", "5000 manifests"]),
        ("index", Set("/config", json!({})), InvalidInput, &["both an index and a manifest"]),
        ("index", Set("/layers", json!([])), InvalidInput, &["both an index and a manifest"]),
        ("index", Set("/manifests/0/mediaType", json!("text/plain")), Unsupported, &[NAME, "text/plain"]),
        ("index", Set("/manifests/0/mediaType", json!(MANIFEST)), InvalidInput, &[NAME, "index and a manifest"]),
        ("index", Cut("/manifests/0/mediaType"), Unsupported, &[NAME, "of type \"\""]),
        ("index", Set("/manifests/0/mediaType", json!(7)), InvalidInput, &["manifests[0].mediaType"]),
        ("index", Cut("/manifests/0/digest"), InvalidInput, &["manifests[0]", "digest"]),
        ("index", Set("/manifests/0/digest", json!("../../etc/passwd")), InvalidInput, &["is no sha256 digest"]),
        ("index", Set("/manifests/0/digest", json!(text(4000))), InvalidInput, &[NAME, "is no sha256 digest"]),
        ("index", Set("/manifests/0/digest", json!(format!("sha512:{}", text(128)))), Unsupported, &["sha512"]),
        ("index", Set("/manifests/0/digest", json!(ANOTHER)), Corrupt, &[NAME, "00000000", "is missing"]),
        ("index", Cut("/manifests/0/size"), InvalidInput, &["manifests[0]", "size"]),
        ("index", Set("/manifests/0/size", json!(-1)), InvalidInput, &["manifests[0].size", "-1"]),
        ("index", Set("/manifests/0/size", json!(1.5)), InvalidInput, &["manifests[0].size"]),
        ("index", Set("/manifests/0/size", json!("9")), InvalidInput, &["manifests[0].size"]),
        ("index", Set("/manifests/0/size", json!(1)), Corrupt, &[NAME, "where its descriptor says 1"]),
        ("index", Set("/manifests/0/size", json!(u64::MAX)), InvalidInput, &[NAME, "are the most"]),
        (
            "index",
            Text("\"size\":", "\"size\":99999999999999999999,\"x\":".into()),
            InvalidInput,
            &["manifests[0].size"],
        ),
        ("index", Set("/manifests/0/annotations", json!([])), InvalidInput, &["manifests[0].annotations"]),
        ("index", Set("/manifests/0/annotations/x", json!({})), InvalidInput, &["manifests[0].annotations", "x"]),
        (
            "index",
            Text("\"annotations\":{", "\"annotations\":{\"a\":\"1\",\"a\":\"2\",".into()),
            InvalidInput,
            &["manifests[0].annotations", "duplicate key"],
        ),
        (
            "index",
            Set("/manifests/0/platform", json!("linux")),
            InvalidInput,
            &["manifests[0].platform: ", "expected an object"],
        ),
        ("index", Set("/manifests/0/platform", json!({ "os": 1 })), InvalidInput, &["manifests[0].platform.os"]),
        ("nested", All("null".into()), InvalidInput, &[NAME, "index sha256:"]),
        ("nested", Set("/manifests", json!([])), Unsupported, &[NAME, "no image in it"]),
        ("nested", Set("/mediaType", json!("x/y")), InvalidInput, &[NAME, "of type", "x/y"]),
        ("nested", Cut("/manifests/0/mediaType"), Unsupported, &[NAME, "of type \"\""]),
        ("nested", Set("/manifests/0/platform/architecture", json!("vax")), Unsupported, &[NAME, "linux/vax"]),
        ("nested", Set("/manifests/0/platform/os", json!("plan9")), Unsupported, &[NAME, "plan9/"]),
        ("nested", Set("/manifests/0/platform/architecture", json!(text(9000))), Unsupported, &[NAME, "linux/xxx"]),
        ("nested", Set("/manifests/0/size", json!(2)), Corrupt, &[NAME, "manifest sha256:", "says 2"]),
        ("nested", Set("/manifests/0/digest", json!("sha256:")), InvalidInput, &[NAME, "is no sha256 digest"]),
        ("manifest", All("{}".into()), Unsupported, &[NAME, "schema version 0"]),
        ("manifest", All("{".into()), InvalidInput, &[NAME, "manifest sha256:"]),
        ("manifest", Set("/schemaVersion", json!(1)), Unsupported, &[NAME, "schema version 1"]),
        ("manifest", Set("/schemaVersion", json!(null)), InvalidInput, &[NAME, "schemaVersion"]),
        ("manifest", Set("/mediaType", json!("a/b")), InvalidInput, &[NAME, "a/b"]),
        ("manifest", Set("/manifests", json!([])), InvalidInput, &[NAME, "both an index and a manifest"]),
        ("manifest", Text("\"layers\"", "\"layers\":[],\"layers\"".into()), InvalidInput, &[NAME, "duplicate key"]),
        ("manifest", Cut("/config"), InvalidInput, &[NAME, "no config"]),
        ("manifest", Set("/config", json!("x")), InvalidInput, &[NAME, "config: invalid type"]),
        ("manifest", Set("/config/mediaType", json!("a/b+json")), Unsupported, &[NAME, "artifact", "a/b+json"]),
        ("manifest", Set("/config/size", json!(3)), Corrupt, &[NAME, "config", "says 3"]),
        ("manifest", Set("/config/size", json!(5 << 20)), InvalidInput, &[NAME, "config", "are the most"]),
        ("manifest", Set("/config/digest", json!(ANOTHER)), Corrupt, &[NAME, "config", "is missing"]),
        ("manifest", Set("/config/digest", json!("sha256:..")), InvalidInput, &[NAME, "config", "is no sha256 digest"]),
        ("manifest", Set("/layers", json!([])), Corrupt, &[NAME, "rootfs.diff_ids", "for 0 layers"]),
        ("manifest", Cut("/layers/1"), Corrupt, &[NAME, "2 DiffIds for 1 layers"]),
        ("manifest", Set("/layers", json!("x")), InvalidInput, &[NAME, "layers: invalid type"]),
        ("manifest", Set("/layers", many(json!({ "digest": ANOTHER, "size": 1 }), 501)), Unsupported, &["501 layers"]),
        ("manifest", Set("/layers/1/mediaType", json!("a/b")), Unsupported, &[NAME, "a layer of type \"a/b\""]),
        ("manifest", Set("/layers/1/size", json!(true)), InvalidInput, &[NAME, "layers[1].size"]),
        ("manifest", Set("/layers/1/size", json!(7)), Corrupt, &[NAME, "layer sha256:", "says 7"]),
        (
            "manifest",
            Set("/layers/1/size", json!(u64::MAX)),
            Corrupt,
            &[NAME, "layer sha256:", "says 18446744073709551615"],
        ),
        ("manifest", Set("/layers/1/digest", json!(ANOTHER)), Corrupt, &[NAME, "layer sha256:", "is missing"]),
        ("manifest", Set("/layers/1/digest", json!("sha256:a/../b")), InvalidInput, &[NAME, "layers[1]", "no sha256"]),
        ("manifest", Set("/layers/1/digest", json!("SHA256:00")), InvalidInput, &[NAME, "layers[1]", "no sha256"]),
        ("manifest", Set("/layers/1/annotations", json!(7)), InvalidInput, &[NAME, "layers[1].annotations"]),
        ("manifest", Set("/layers/1/urls", json!("x")), InvalidInput, &[NAME, "layers[1].urls"]),
        ("manifest", All("[2, \"\", null, [], null]".into()), InvalidInput, &[NAME, "no JSON object"]),
        ("manifest", Text("{", format!("{{\"z\":{}", deep("[", 1000))), InvalidInput, &[NAME, "recursion limit"]),
        ("config", All("[1]".into()), InvalidInput, &[NAME, "config"]),
        ("config", Text("{}", "{\"User\":\"a\",\"User\":\"b\"}".into()), InvalidInput, &[NAME, "config: config: dup"]),
        ("config", Text("{", "{\"author\":1,\"author\":2,".into()), InvalidInput, &[NAME, "duplicate key \"author\""]),
        ("config", Text("{", "{\"z\":1e999,".into()), InvalidInput, &[NAME, "config: z: number out of range"]),
        ("config", All("{}".into()), InvalidInput, &[NAME, "config", "rootfs"]),
        ("config", Set("/os", json!("windows")), Unsupported, &[NAME, "config: os", "windows"]),
        ("config", Set("/os", json!(1)), InvalidInput, &[NAME, "config: os"]),
        ("config", Set("/os", json!("linux\u{0}")), Unsupported, &[NAME, "config: os"]),
        ("config", Set("/architecture", json!(text(200))), InvalidInput, &[NAME, "config: architecture"]),
        ("config", Set("/architecture", json!([])), InvalidInput, &[NAME, "config: architecture"]),
        ("config", Set("/created", json!(text(200))), InvalidInput, &[NAME, "config: created"]),
        ("config", Set("/created", json!(7)), InvalidInput, &[NAME, "config: created"]),
        ("config", Set("/history", many(json!({}), 100_000)), InvalidInput, &[NAME, "config: history: more than"]),
        ("config", Set("/history", json!({})), InvalidInput, &[NAME, "config: history"]),
        ("config", Set("/config/Labels", json!({ "a": 1 })), InvalidInput, &[NAME, "config: config.Labels.a"]),
        ("config", Cut("/rootfs"), InvalidInput, &[NAME, "config: no rootfs"]),
        ("config", Set("/rootfs/type", json!("layers+base")), Unsupported, &[NAME, "rootfs.type", "layers+base"]),
        ("config", Cut("/rootfs/type"), Unsupported, &[NAME, "rootfs.type"]),
        ("config", Set("/rootfs/diff_ids", json!(null)), Corrupt, &[NAME, "rootfs.diff_ids", "0 DiffIds for 2 layers"]),
        ("config", Set("/rootfs/diff_ids", json!({})), InvalidInput, &[NAME, "rootfs.diff_ids"]),
        ("config", Set("/rootfs/diff_ids/1", json!(1)), InvalidInput, &[NAME, "rootfs.diff_ids[1]"]),
        ("config", Set("/rootfs/diff_ids/1", json!("sha256:zz")), InvalidInput, &[NAME, "rootfs.diff_ids[1]"]),
        ("config", Set("/rootfs/diff_ids/1", json!("md5:00")), Unsupported, &[NAME, "rootfs.diff_ids[1]", "md5"]),
        ("config", Set("/rootfs/diff_ids/1", json!(ANOTHER)), Corrupt, &[NAME, ANOTHER, "has the digest"]),
        ("config", Cut("/rootfs/diff_ids/1"), Corrupt, &[NAME, "1 DiffIds for 2 layers"]),
        ("config", Set("/rootfs/diff_ids", many(json!(ANOTHER), 501)), Unsupported, &[NAME, "501 layers"]),
        ("config", Text("\"os\"", "\"os\":\"linux\",\"os\"".into()), InvalidInput, &[NAME, "config", "duplicate key"]),
    ];
    let shop = Shop::new();
    for (document, edit, kind, words) in &lines {
        let line = match edit {
            Set(pointer, value) => format!("{document}{pointer} = {:.60}", value.to_string()),
            Cut(pointer) => format!("{document}{pointer} taken out"),
            Text(from, to) => format!("{document}: {from} -> {to}"),
            All(text) => format!("{document}: {text:.60}"),
        };
        shop.refuses(&oci(document, edit), *kind, words, &line);
    }
    // The locks are free, what was there is whole, and the same image without an edit comes in.
    let good = shop.place.temp.join("good.tar");
    oci("none", &All(String::new())).write(&good);
    assert_eq!(shop.place.load(&good)[0].names[0].as_str(), NAME);
    shop.image.config().expect("the other image is whole");
    assert_eq!(shop.place.store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_docker_archive_with_one_field_wrong_is_refused_by_that_field_and_leaves_nothing() {
    require_root!();
    let lines: Vec<(&str, Edit, ErrorKind, &[&str])> = vec![
        ("list", All("{}".into()), InvalidInput, &["manifest.json"]),
        ("list", All("[]".into()), InvalidInput, &["no image in the archive"]),
        ("list", All("[7]".into()), InvalidInput, &["manifest.json", "[0]"]),
        ("list", All("[".repeat(50_000)), InvalidInput, &["manifest.json"]),
        ("list", Cut("/0/Config"), InvalidInput, &["manifest.json", "[0]", "Config"]),
        ("list", Set("/0/Config", json!(1)), InvalidInput, &["manifest.json", "[0].Config"]),
        ("list", Set("/0/Config", json!("no.json")), Corrupt, &[NAME, "config", "no.json", "is missing"]),
        ("list", Set("/0/Config", json!("../../etc/passwd")), InvalidInput, &[NAME, "climbs"]),
        ("list", Set("/0/Config", json!("one.tar")), InvalidInput, &[NAME, "config"]),
        ("list", Set("/0/RepoTags", json!("x")), InvalidInput, &["manifest.json", "[0].RepoTags"]),
        ("list", Set("/0/RepoTags/0", json!("UPPER:1")), InvalidInput, &["manifest.json: RepoTags", "UPPER"]),
        ("list", Set("/0/RepoTags/0", json!("a b")), InvalidInput, &["manifest.json: RepoTags"]),
        ("list", Set("/0/RepoTags/0", json!("x".repeat(9000))), InvalidInput, &["manifest.json: RepoTags"]),
        ("list", Set("/0/RepoTags", vec![json!("a:1"); 2000].into()), InvalidInput, &["RepoTags", "2000 names"]),
        ("list", Set("/0/Layers", json!(["one.tar"])), Corrupt, &[NAME, "2 DiffIds for 1 layers"]),
        ("list", Set("/0/Layers", vec![json!("one.tar"); 10_000].into()), Corrupt, &[NAME, "for 10000 layers"]),
        ("list", Set("/0/Layers", vec![json!("one.tar"); 100_000].into()), InvalidInput, &["[0].Layers: more than"]),
        ("list", Set("/0/RepoTags", vec![json!("a:1"); 100_000].into()), InvalidInput, &["[0].RepoTags: more than"]),
        ("list", Set("/0/Layers/0", json!(null)), InvalidInput, &["manifest.json", "[0].Layers[0]"]),
        ("list", Set("/0/Layers/0", json!("gone.tar")), Corrupt, &[NAME, "gone.tar", "is missing"]),
        ("list", Set("/0/Layers/0", json!("/../one.tar")), InvalidInput, &[NAME, "climbs"]),
        ("list", Set("/0/Layers/0", json!("")), Corrupt, &[NAME, "is missing"]),
        ("list", Set("/0/Layers/0", json!("two.tar")), Corrupt, &[NAME, "has the digest"]),
        ("list", Set("/0/Layers/0", json!("manifest.json")), Corrupt, &[NAME, "layer sha256:"]),
        ("list", Text("\"Layers\"", "\"Layers\":[],\"Layers\"".into()), InvalidInput, &["duplicate key"]),
        ("config", All("x".into()), InvalidInput, &[NAME, "config"]),
        ("config", Set("/rootfs/diff_ids/0", json!(ANOTHER)), Corrupt, &[NAME, ANOTHER, "has the digest"]),
        ("config", Set("/created", json!("9".repeat(500))), InvalidInput, &[NAME, "config: created"]),
    ];
    let shop = Shop::new();
    for (number, (document, edit, kind, words)) in lines.iter().enumerate() {
        shop.refuses(&docker(document, edit), *kind, words, &format!("{document}, line {number}"));
    }
    let good = shop.place.temp.join("good.tar");
    docker("none", &All(String::new())).write(&good);
    assert_eq!(shop.place.load(&good)[0].names[0].as_str(), NAME);
    assert_eq!(shop.place.store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_indexes_that_lead_back_to_themselves_or_nest_too_deep_are_refused() {
    require_root!();
    let shop = Shop::new();
    // A circle cannot be made of true digests, so it is made of a blob that is not what it is called.
    let mut build = Build::default();
    let name = format!("blobs/sha256/{}", &ANOTHER[7..]);
    let around = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": INDEX, "digest": ANOTHER, "size": 100 }] });
    build.add(name, around.to_string());
    build.index(&[(Some(NAME), json!({ "mediaType": INDEX, "digest": ANOTHER, "size": around.to_string().len() }))]);
    shop.refuses(&build, Corrupt, &[NAME, "index sha256:0000", "the bytes have the digest"], "a circle");

    let mut build = oci("none", &All(String::new()));
    build.members.retain(|(name, _)| !["index.json", "oci-layout"].contains(&name.as_str()));
    let plain = [layer("one")];
    let blobs = [build.blob(LAYER_GZIP, gzip(&plain[0]))];
    let mut inner = build.image(&[&plain[0]], &blobs);
    for _ in 0..6 {
        inner = build.blob(INDEX, json!({ "schemaVersion": 2, "manifests": [inner] }).to_string());
    }
    build.index(&[(Some(NAME), inner)]);
    shop.refuses(&build, InvalidInput, &[NAME, "indexes nest too deep"], "six indexes");
}
