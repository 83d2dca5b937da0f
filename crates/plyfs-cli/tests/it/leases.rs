//! `lease`, `leases` and `release`: what nothing uses stays while a lease says so, and goes when it ended.

use std::time::Duration;

use plyfs::{LeaseOptions, Store};
use serde_json::Value;

use crate::bench::Bench;

fn json(bench: &Bench, args: &[&str]) -> Value {
    serde_json::from_str(&bench.ok(["--json"].iter().chain(args))).expect("JSON")
}

#[test]
fn root_a_leased_image_outlives_its_name_and_its_leased_layers_the_image() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let image = bench.ok(["--quiet", "images"]);
    let lease = bench.ok(["lease", "app:1", "--for", "1h30m"]);
    let listed = json(&bench, &["leases"]);
    assert_eq!(listed[0]["id"], lease.as_str());
    assert_eq!(listed[0]["images"], serde_json::json!([image]));
    assert_eq!(listed[0]["layers"].as_array().map(Vec::len), Some(1), "its uppermost layer, and so all below");
    let table = bench.ok(["leases"]);
    assert!(table.contains("in 1 hour") && table.contains("1 image, 1 layer"), "{table}");

    bench.ok(["untag", "app:1"]);
    let ran = bench.run(["prune", "--all"]).success();
    assert_eq!(ran.text(), "0");
    assert!(ran.words().contains(&format!("image {image} is kept by lease {lease}")), "{}", ran.words());
    bench.run(["rmi", &image]).success();
    let layers = json(&bench, &["layers"]);
    assert_eq!(layers.as_array().map(Vec::len), Some(2), "{layers}");
    assert_eq!(json(&bench, &["df"])["reclaimable"]["allocated_bytes"], 0);

    assert_eq!(bench.ok(["release", &lease]), lease);
    assert_eq!(bench.ok(["--quiet", "leases"]), "");
    let ran = bench.run(["prune"]).success();
    assert!(ran.words().starts_with("removed 0 images and 2 layers"), "{}", ran.words());
    assert_eq!(bench.ok(["fsck"]), "");
}

#[test]
fn root_a_lease_that_ran_out_is_not_listed_and_keeps_nothing() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let layer = json(&bench, &["layers"])[0]["id"].as_str().expect("an id").to_owned();
    let store = Store::open(bench.store()).expect("opened");
    let held = store.lease(LeaseOptions::new(Duration::ZERO).survives_holder(true)).expect("a lease");
    held.hold(&store.layer(&layer).expect("there")).expect("held");
    let lease = held.id().to_string();
    drop((held, store));
    assert_eq!(bench.ok(["--quiet", "leases"]), "");
    bench.run(["rmi", "app:1"]).success();
    assert_eq!(json(&bench, &["layers"]), serde_json::json!([]));
    let ran = bench.run(["release", &lease]);
    assert_eq!(ran.status.code(), Some(3), "{}", ran.words());
    assert!(ran.words().contains(&lease), "{}", ran.words());
}

#[test]
fn root_what_cannot_be_leased_or_released_is_refused_and_leaves_no_lease() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let store = Store::open(bench.store()).expect("opened");
    let held = store.lease(LeaseOptions::new(Duration::from_secs(60)).survives_holder(true)).expect("a lease");
    let id = held.id().to_string();
    for (args, code, told) in [
        (&["lease", "app:1", "missing:1"][..], 3, "missing:1"),
        (&["lease", "web-1"], 2, "web-1 is a container"),
        (&["lease", "app:1", "--for", "soon"], 2, "numbers with h, m or s"),
        (&["lease", "app:1", "--for", "0s"], 2, "a second or more"),
        (&["lease", "app:1", "--for", "300ms"], 2, "a second or more"),
        (&["release", "xyz"], 5, "xyz"),
        (&["release", &id], 6, "is held"),
    ] {
        let ran = bench.run(args);
        assert_eq!(ran.status.code(), Some(code), "{args:?}: {}", ran.words());
        assert!(ran.words().contains(told), "{args:?}: {}", ran.words());
    }
    assert_eq!(bench.ok(["--quiet", "leases"]), id, "only the one that is held");
    assert!(bench.ok(["leases"]).contains("and held"));
    held.release().expect("released");
}
