//! What `inspect` and `history` say, beside what a real docker says of the same image.

use plyfs::{NewImage, Store};
use plyfs_testkit::peers::Docker;
use plyfs_testkit::process::output;
use plyfs_testkit::{require_root, require_tool};
use serde_json::{Value, json};

use crate::bench::Bench;

/// What each has in places of its own.
const OF_ITS_OWN: [&str; 2] = ["GraphDriver", "Name"];

#[test]
fn root_every_field_that_docker_has_too_says_the_same() {
    require_root!();
    require_tool!("dockerd", "containerd", "docker");
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    // What sizes count in ways of their own: a file with two names, a link, and a file beyond one block.
    let tree = bench.temp.dir("tree");
    std::fs::write(tree.join("file"), [b'x'; 5000]).expect("written");
    std::fs::hard_link(tree.join("file"), tree.join("again")).expect("linked");
    std::os::unix::fs::symlink("file", tree.join("link")).expect("linked");
    bench.ok(["cp", "tree", "web-1:/tree"]);
    let changes = ["ENTRYPOINT [\"/bin/app\"]", "ENV LEVEL=debug", "LABEL team=core", "EXPOSE 80", "VOLUME /data"];
    let flags = changes.iter().flat_map(|change| ["--change", change]);
    let commit = ["commit", "web-1", "localhost/app:2", "--message", "why", "--author", "A. Author"];
    bench.ok(commit.into_iter().chain(flags));
    bench.ok(["save", "localhost/app:2", "-o", "two.tar"]);

    let docker = Docker::start();
    docker.load(&bench.temp.join("two.tar"));
    let said = output(docker.command().args(["image", "inspect", "localhost/app:2"]));
    let theirs = serde_json::from_str::<Value>(&said).expect("JSON")[0].take();
    let ours: Value = serde_json::from_str(&bench.ok(["inspect", "localhost/app:2"])).expect("JSON");
    let compared = compare(&ours, &theirs, "");
    for field in [
        "/Id",
        "/RepoTags",
        "/RepoDigests",
        "/Parent",
        "/Comment",
        "/Created",
        "/DockerVersion",
        "/Author",
        "/Config/Env",
        "/Config/Labels",
        "/Config/Entrypoint",
        "/Config/ExposedPorts",
        "/Config/Volumes",
        "/Architecture",
        "/Os",
        "/Size",
        "/RootFS/Type",
        "/RootFS/Layers",
    ] {
        assert!(compared.iter().any(|name| name == field), "{field} is in both: {compared:?}");
    }
    let layers = |value: &Value| value["RootFS"]["Layers"].as_array().map(Vec::len);
    assert_eq!(layers(&ours), Some(3));
    assert_eq!(ours["GraphDriver"]["Name"], theirs["GraphDriver"]["Name"]);

    let id = docker.create("localhost/app:2");
    let said = output(docker.command().args(["inspect", "--size", &id]));
    let theirs = serde_json::from_str::<Value>(&said).expect("JSON")[0].take();
    bench.ok(["create", "localhost/app:2", "web-2", "--label", "team=core"]);
    let ours: Value = serde_json::from_str(&bench.ok(["inspect", "web-2"])).expect("JSON");
    for field in [
        "/Image",
        "/Driver",
        "/Platform",
        "/HostConfig/ReadonlyRootfs",
        "/Config/Image",
        "/Config/Labels",
        "/SizeRw",
        "/SizeRootFs",
    ] {
        assert_eq!(ours.pointer(field), theirs.pointer(field), "{field}");
    }
    for field in ["LowerDir", "UpperDir", "WorkDir", "MergedDir"] {
        assert!(ours["GraphDriver"]["Data"][field].is_string() && theirs["GraphDriver"]["Data"][field].is_string());
    }

    let said = output(docker.command().args(["history", "--no-trunc", "--format", "{{json .}}", "localhost/app:2"]));
    let theirs: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ours: Value = serde_json::from_str(&bench.ok(["--json", "history", "localhost/app:2"])).expect("JSON");
    let told = |entries: &[Value], by: &str, why: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries.iter().map(|entry| (text(&entry[by]), text(&entry[why]))).collect()
    };
    let ours = told(ours.as_array().expect("a list"), "created_by", "comment");
    assert_eq!(ours, told(&theirs, "CreatedBy", "Comment"));
    assert_eq!(ours[0], ("plyfs commit".to_owned(), "why".to_owned()));
}

/// Holds every field of ours that theirs has too to be the same, but those of each one's own; the names of those compared.
#[track_caller]
fn compare(ours: &Value, theirs: &Value, at: &str) -> Vec<String> {
    let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else { return Vec::new() };
    let mut compared = Vec::new();
    for (name, value) in ours.iter().filter(|(name, _)| !OF_ITS_OWN.contains(&name.as_str())) {
        let Some(other) = theirs.get(name) else { continue };
        let path = format!("{at}/{name}");
        match (value, other) {
            // The fields of a config that are not set are left out here and empty there.
            (Value::Object(_), Value::Object(_)) if ["Config", "RootFS"].contains(&name.as_str()) => {
                compared.extend(compare(value, other, &path));
            }
            _ => {
                assert_eq!(value, other, "{path}");
                compared.push(path);
            }
        }
    }
    compared
}

#[test]
fn root_a_config_with_fields_that_nobody_reads_is_shown_and_one_that_cannot_be_is_told() {
    require_root!();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for (extra, labels, is_shown) in [("deep", "{}", true), ("Labels", &*deep, false)] {
        let bench = Bench::new();
        // No load takes such a config: it was put there by other means.
        let config = format!(
            r#"{{"{extra}":{deep},"config":{{"User":"7","Labels":{labels}}},"os":"linux","os.version":"6.1"}}"#
        );
        let store = Store::ensure(bench.store()).expect("a store");
        let mut operation = store.operation().expect("begun");
        let id = operation.blob(config.as_bytes()).expect("staged");
        let names = vec!["localhost/odd:1".parse().expect("a name")];
        operation.image(NewImage { id, top: None, manifest: None, names, built: None, architecture: None, os: None });
        operation.publish().expect("published");
        let ran = bench.run(["inspect", "localhost/odd:1"]).success();
        let image: Value = serde_json::from_str(&ran.text()).expect("JSON");
        assert_eq!((image["Config"]["User"] == "7", ran.words().contains("its config")), (is_shown, !is_shown));
        assert_eq!(image["OsVersion"], if is_shown { json!("6.1") } else { Value::Null });
        let ran = bench.run(["images", "--filter", "label!=none"]).success();
        assert_eq!((ran.text().contains("odd:1"), ran.words().contains("its config")), (is_shown, !is_shown));
    }
}

#[test]
fn root_an_import_takes_changes_and_a_message_and_a_bad_one_leaves_nothing() {
    require_root!();
    let bench = Bench::new();
    std::fs::create_dir(bench.temp.join("tree")).expect("made");
    std::fs::write(bench.temp.join("tree/app"), "x").expect("written");
    let changes = ["CMD /app", "USER 7", "LABEL a=b"];
    let flags = changes.iter().flat_map(|change| ["--change", change]);
    bench.ok(["import", "tree", "app:1", "--message", "by hand"].into_iter().chain(flags));
    let image: Value = serde_json::from_str(&bench.ok(["inspect", "app:1"])).expect("JSON");
    let expected = json!({ "Cmd": ["/bin/sh", "-c", "/app"], "User": "7", "Labels": { "a": "b" } });
    assert_eq!((&image["Config"], &image["Comment"]), (&expected, &json!("by hand")));

    bench.ok(["import", "tree", "app:2", "--parent", "app:1", "--change", "USER 8"]);
    let image: Value = serde_json::from_str(&bench.ok(["inspect", "app:2"])).expect("JSON");
    assert_eq!((&image["Config"]["User"], &image["Config"]["Labels"]), (&json!("8"), &json!({ "a": "b" })));
    bench.refused(5, ["import", "tree", "app:3", "--change", "RUN make"]);
}
