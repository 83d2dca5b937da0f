//! The shapes of `--json`: field names and types, which scripts rely on.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bench::Bench;

/// The value with every leaf replaced by its type, and the items of an array by one that stands for all of them.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().map(shape).reduce(both).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => "null".into(),
    }
}

/// The shape that two shapes have in common: leaves of different types are listed, sorted.
fn both(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let known = one.remove(&name);
                one.insert(name, known.map_or_else(|| value.clone(), |known| both(known, value.clone())));
            }
            one.sort_keys();
            one.into()
        }
        (Value::Array(one), Value::Array(other)) => one.into_iter().chain(other).reduce(both).into_iter().collect(),
        (Value::String(one), Value::String(other)) => {
            let types: BTreeSet<_> = one.split(" or ").chain(other.split(" or ")).collect();
            types.into_iter().collect::<Vec<_>>().join(" or ").into()
        }
        (one, other) => panic!("{one} and {other} in one listing"),
    }
}

#[track_caller]
fn json(bench: &Bench, args: &[&str]) -> Value {
    let printed = bench.ok(std::iter::once(&"--json").chain(args));
    serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{args:?}: {e}: {printed}"))
}

#[test]
fn root_every_listing_is_an_array_of_objects_with_stable_fields() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    for listing in ["images", "layers", "containers", "tree", "fsck"] {
        assert!(json(&bench, &[listing]).is_array(), "{listing}");
    }
    bench.ok(["create", "app:1", "web-1", "--label", "a=b"]);
    bench.ok(["mount", "web-1"]);
    std::fs::write(bench.ok(["mount", "web-1"]) + "/new", "x").expect("written");
    let commands = [
        &["images"][..],
        &["layers"],
        &["containers"],
        &["tree"],
        &["changes", "web-1"],
        &["df"],
        &["df", "--measure"],
        &["lease", "app:1"],
        &["leases"],
        &["info"],
        &["load", "app.tar"],
        &["create", "app:1", "web-2"],
        &["mount", "web-1"],
        &["mount", "web-1", "--print"],
        &["diff", "web-1", "-o", "out.tar"],
        &["commit", "web-1", "app:2"],
        &["inspect", "web-1"],
        &["inspect", "app:1"],
        &["ls", "web-1"],
        &["find", "web-1", "--type", "f"],
        &["stat", "web-1", "new"],
        &["changes", "app:1", "app:2"],
        &["export", "web-1", "-o", "all.tar"],
        &["unpack", "app:2", "unpacked"],
        &["rm", "web-2"],
        &["rmi", "app:2"],
        &["prune"],
    ];
    let shapes = commands.map(|args| {
        let shape = serde_json::to_string_pretty(&shape(&json(&bench, args))).expect("plain data");
        format!("{}\n{shape}\n", args.join(" "))
    });
    let shapes = shapes.join("\n");
    insta::assert_snapshot!(shapes);
    // The upper one: its depth is known, its place in the list is not.
    let layers = json(&bench, &["layers"]);
    let upper = layers.as_array().expect("a list").iter().find(|layer| !layer["parent"].is_null());
    let layer = upper.and_then(|layer| layer["id"].as_str()).expect("a layer with a parent");
    let shape = serde_json::to_string_pretty(&shape(&json(&bench, &["inspect", layer]))).expect("plain data");
    insta::assert_snapshot!("inspect_layer", shape);
}

#[test]
fn root_json_says_what_tables_round() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let df = json(&bench, &["df"]);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is no number"));
    assert_eq!(number(&df["stored"]["apparent_bytes"]), 15, "hello, x, port=80 and their newlines");
    assert_eq!(number(&df["containers"][0]["as_copy"]["apparent_bytes"]), 15);
    assert_eq!(number(&df["shared"]["apparent_bytes"]), 15, "the image and the container");
    assert_eq!(number(&df["reclaimable"]["allocated_bytes"]), 0);
    let image = &json(&bench, &["images"])[0];
    assert_eq!(image["names"][0], "localhost/app:1");
    assert_eq!(image["created"], "2024-01-01T00:00:00Z");
    let inspected = json(&bench, &["inspect", "web-1"]);
    let lower = inspected["GraphDriver"]["Data"]["LowerDir"].as_str().expect("text");
    assert_eq!(lower.split(':').count(), 2);
    assert!(lower.split(':').all(|path| std::path::Path::new(path).is_dir()), "{lower}");
    for name in ["UpperDir", "WorkDir"] {
        let path = inspected["GraphDriver"]["Data"][name].as_str().expect("text");
        assert!(std::path::Path::new(path).is_dir(), "{path}");
    }
}
