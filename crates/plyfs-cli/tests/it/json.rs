//! The shapes of `--json`: field names and types, which scripts rely on.

use serde_json::Value;

use crate::bench::Bench;

/// The value with every leaf replaced by its type, and of an array only its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => "null".into(),
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
        &["info"],
        &["load", "app.tar"],
        &["create", "app:1", "web-2"],
        &["mount", "web-1"],
        &["mount", "web-1", "--print"],
        &["diff", "web-1", "-o", "out.tar"],
        &["commit", "web-1", "app:2"],
        &["inspect", "web-1"],
        &["inspect", "app:1"],
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
    let layer = bench.ok(["--quiet", "layers"]).lines().next().map(str::to_owned).expect("a layer");
    let shape = serde_json::to_string_pretty(&shape(&json(&bench, &["inspect", &layer]))).expect("plain data");
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
