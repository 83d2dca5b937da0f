//! Which images `images` lists and `prune` takes, and what `rmi --force` leaves.

use plyfs_testkit::require_root;
use serde_json::{Value, json};

use crate::bench::Bench;

/// `app:1` of 2024, and three images made of it since: `old:1`, `new:1` with a label, `new:2` with another value of it.
fn bench() -> Bench {
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    bench.ok(["commit", "web-1", "localhost/old:1"]);
    bench.ok(["commit", "web-1", "localhost/new:1", "--change", "LABEL team=core tier=1"]);
    bench.ok(["commit", "web-1", "quay.io/x/new:2", "--change", "LABEL team=other"]);
    bench.ok(["rm", "web-1"]);
    bench
}

/// The names of the images that these filters take.
fn listed(bench: &Bench, filters: &[&str]) -> Vec<String> {
    let flags = filters.iter().flat_map(|filter| ["--filter", filter]);
    let images = bench.ok(["--json", "images"].into_iter().chain(flags));
    let images: Value = serde_json::from_str(&images).expect("JSON");
    let names = images.as_array().expect("a list").iter().flat_map(|image| match image["names"].as_array() {
        Some(names) if !names.is_empty() => names.iter().map(|name| name.as_str().expect("text").to_owned()).collect(),
        _ => vec!["<none>".to_owned()],
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn root_images_are_listed_by_name_label_age_and_whether_they_have_a_name() {
    require_root!();
    let bench = bench();
    bench.ok(["tag", "new:1", "extra:1"]);
    bench.ok(["untag", "old:1"]);
    let all = ["<none>", "extra:1", "localhost/app:1", "localhost/new:1", "quay.io/x/new:2"];
    for (filters, expected) in [
        (&[][..], &all[..]),
        (&["reference=app"], &["localhost/app:1"]),
        (&["reference=*:1"], &["extra:1", "localhost/app:1", "localhost/new:1"]),
        (&["reference=quay.io/*/*", "reference=extra"], &["extra:1", "quay.io/x/new:2"]),
        (&["label=team"], &["extra:1", "localhost/new:1", "quay.io/x/new:2"]),
        (&["label=team=core", "label=tier"], &["extra:1", "localhost/new:1"]),
        (&["label!=team"], &["<none>", "localhost/app:1"]),
        (&["before=new:1"], &["<none>", "localhost/app:1"]),
        (&["since=new:1"], &["quay.io/x/new:2"]),
        (&["since=app:1", "before=quay.io/x/new:2"], &["<none>", "extra:1", "localhost/new:1"]),
        (&["dangling=true"], &["<none>"]),
        (&["dangling=false", "label!=team"], &["localhost/app:1"]),
    ] {
        assert_eq!(listed(&bench, filters), expected, "{filters:?}");
    }
    for (name, flags, expected) in [
        ("app", &[][..], &["localhost/app:1"][..]),
        ("extra:1", &[], &["extra:1"]),
        ("localhost/*", &["--filter", "label=team"], &["localhost/new:1"]),
        ("new", &["--filter", "reference=extra"], &[]),
        ("none", &[], &[]),
    ] {
        let told: Value =
            serde_json::from_str(&bench.ok(["--json", "images", name].iter().chain(flags))).expect("JSON");
        let names = told.as_array().expect("a list").iter().flat_map(|image| image["names"].as_array().expect("names"));
        assert_eq!(names.collect::<Vec<_>>(), expected, "{name}");
    }
    for (code, filter) in
        [(2, "name=x"), (2, "dangling=maybe"), (2, "reference"), (2, "since!=app:1"), (3, "since=none:1")]
    {
        bench.refused(code, ["images", "--filter", filter]);
    }
}

#[test]
fn root_a_prune_is_held_to_its_filters_and_says_beforehand_what_it_would_take() {
    require_root!();
    let bench = bench();
    for name in ["old:1", "new:1", "quay.io/x/new:2"] {
        bench.ok(["untag", name]);
    }
    let prune = |flags: &[&str]| -> Value {
        let told = bench.ok(["--json", "prune"].iter().chain(flags));
        serde_json::from_str(&told).expect("JSON")
    };
    let count = |pruned: &Value| pruned["images"].as_array().expect("a list").len();
    assert_eq!(count(&prune(&["--all", "--filter", "until=24h"])), 0, "all of them are younger");
    let told = prune(&["--filter", "label=team", "--dry-run"]);
    assert_eq!((&told["dry_run"], count(&told)), (&json!(true), 2));
    assert_eq!(listed(&bench, &["dangling=true"]).len(), 3, "nothing was removed");
    assert_eq!(count(&prune(&["--filter", "label=team=core"])), 1);
    assert_eq!(count(&prune(&["--filter", "label!=team", "--filter", "until=1h"])), 0, "both must fit");
    assert_eq!(count(&prune(&["--all", "--filter", "until=2100-01-01"])), 2);
    assert_eq!(listed(&bench, &[]), ["localhost/app:1"]);
    for filter in ["until=soon", "label", "reference=x", "until!=1h"] {
        bench.refused(2, ["prune", "--filter", filter]);
    }
}

#[test]
fn root_an_image_whose_config_cannot_be_read_fits_no_label_and_stops_nobody() {
    require_root!();
    for spoil in [|path| std::fs::write(path, "other bytes"), |path| std::fs::remove_file(path)]
        as [fn(std::path::PathBuf) -> _; 2]
    {
        let bench = bench();
        let id = id(&bench, "old:1");
        let hex = id.strip_prefix("sha256:").expect("a digest");
        spoil(bench.store().join("blobs/sha256").join(hex)).expect("spoilt");
        let ran = bench.run(["images", "--filter", "label!=team"]).success();
        assert!(ran.words().contains("passed over") && ran.words().contains(&id), "{}", ran.words());
        assert!(ran.text().contains("localhost/app:1") && !ran.text().contains("old:1"), "{}", ran.text());
        for name in ["old:1", "new:1"] {
            bench.ok(["untag", name]);
        }
        let kept: Value =
            serde_json::from_str(&bench.run(["--json", "prune", "--dry-run", "--filter", "label!=none"]).text())
                .expect("JSON");
        let reason = kept["kept"][0]["reason"].as_str().expect("one is kept");
        assert!(kept["kept"][0]["id"] == id && reason.starts_with("cannot be removed: its config: "), "{kept}");
        let ran = bench.run(["prune", "--filter", "label!=none"]).success();
        assert!(ran.words().contains(&format!("image {id} cannot be removed: its config: ")), "{}", ran.words());
        assert_eq!(listed(&bench, &["dangling=true"]), ["<none>"], "what is damaged stays, and the other one went");
    }
}

#[test]
fn root_rmi_by_force_takes_the_names_and_leaves_what_a_container_stands_on() {
    require_root!();
    let bench = bench();
    bench.ok(["create", "new:1", "web-1"]);
    bench.ok(["tag", "new:1", "extra:1"]);
    bench.refused(6, ["rmi", &id(&bench, "new:1")]);

    let id = id(&bench, "new:1");
    let ran = bench.run(["rmi", "--force", &id]).success();
    assert_eq!(ran.text(), "Untagged: extra:1\nUntagged: localhost/new:1");
    let words = ran.words();
    assert!(words.contains(&id) && words.contains("web-1"), "it says what stays and for whom: {words}");
    let mounted = bench.ok(["mount", "web-1"]);
    assert!(std::path::Path::new(&mounted).join("app/config").exists(), "the container is whole");
    bench.ok(["umount", "web-1"]);
    bench.ok(["commit", "web-1", "localhost/next:1"]);

    assert_eq!(bench.ok(["rmi", "--force", "old:1"]).lines().count(), 2, "what is free goes as without force");
    bench.ok(["rm", "web-1"]);
    bench.ok(["--quiet", "prune", "--all"]);
    assert_eq!(bench.run(["inspect", &id]).status.code(), Some(3), "it went once its container had gone");
    assert_eq!(bench.ok(["--json", "fsck"]), "[]");
}

fn id(bench: &Bench, name: &str) -> String {
    let image: Value = serde_json::from_str(&bench.ok(["inspect", name])).expect("JSON");
    image["Id"].as_str().expect("an id").to_owned()
}
