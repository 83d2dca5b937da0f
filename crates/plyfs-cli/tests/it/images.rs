//! What is said of images and changed of them: instructions, history, names.

use std::fs;
use std::path::Path;

use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::run;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::bench::{Bench, PLYFS, clean};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn root_a_commit_changes_the_config_as_a_dockerfile_would_and_podman_reads_it() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let changes = [
        r#"ENTRYPOINT ["/bin/app"]"#,
        "ENV LEVEL=debug",
        "LABEL team=core",
        "EXPOSE 8080",
        "USER 1000:1000",
        "WORKDIR /srv/app",
        "VOLUME /data",
    ];
    let flags = changes.iter().flat_map(|change| ["--change", change]);
    let commit: Vec<&str> = ["commit", "web-1", "localhost/app:2"].into_iter().chain(flags).collect();
    bench.ok(commit);
    let config = json_of(&bench.ok(["inspect", "localhost/app:2"]))["Config"].clone();
    assert_eq!(config["Entrypoint"], json!(["/bin/app"]));
    assert_eq!(config["WorkingDir"], "/srv/app");

    bench.ok(["save", "localhost/app:2", "-o", "app.tar", "--format", "oci-archive"]);
    let (root, run_root) = (bench.temp.join("podman"), bench.temp.join("podman-run"));
    let podman = |arguments: &[&str]| {
        let mut command = std::process::Command::new("podman");
        command.arg("--root").arg(&root).arg("--runroot").arg(&run_root).args(arguments);
        String::from_utf8(run(command.current_dir(bench.temp.path())).success().stdout).expect("text")
    };
    podman(&["load", "--quiet", "--input", "app.tar"]);
    let seen = json_of(&podman(&["image", "inspect", "localhost/app:2"]));
    let seen = &seen[0]["Config"];
    assert_eq!(seen["Entrypoint"], json!(["/bin/app"]), "{seen}");
    assert_eq!(seen["User"], "1000:1000");
    assert_eq!(seen["Labels"]["team"], "core");
    assert_eq!((&seen["ExposedPorts"], &seen["Volumes"]), (&json!({"8080/tcp": {}}), &json!({"/data": {}})));
    assert!(seen["Env"].as_array().expect("a list").contains(&"LEVEL=debug".into()), "{seen}");

    bench.run(["commit", "web-1", "app:3", "--change", "RUN make"]).code(5);
    assert!(!bench.ok(["--quiet", "images"]).contains("app:3"), "nothing came of it");
}

#[test]
fn root_an_image_is_saved_with_the_names_it_is_asked_for_by() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["tag", "app:1", "localhost/other:2"]);
    let id = json_of(&bench.ok(["inspect", "app:1"]))["Id"].as_str().expect("an id").to_owned();
    let saved = |images: &[&str]| {
        bench.ok([&["save", "-o", "app.tar"][..], images].concat());
        let members = plyfs_testkit::oci::read_archive(&bench.temp.join("app.tar"));
        let (_, manifest) = members.iter().find(|(name, _)| name == "manifest.json").expect("a manifest");
        json_of(&String::from_utf8_lossy(manifest))[0]["RepoTags"].clone()
    };
    assert_eq!(saved(&["app:1"]), json!(["localhost/app:1"]));
    assert_eq!(saved(&["other:2"]), json!(["localhost/other:2"]), "as it is found");
    assert_eq!(saved(&["app:1", "other:2"]), json!(["localhost/app:1", "localhost/other:2"]));
    assert_eq!(saved(&[&id]), json!([]), "its id is no name");
}

#[test]
fn root_a_history_has_an_entry_for_each_layer_newest_first() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    bench.ok(["commit", "web-1", "localhost/app:2", "--message", "new\nwords"]);
    let entries = json_of(&bench.ok(["--json", "history", "localhost/app:2"]));
    let layers = json_of(&bench.ok(["inspect", "localhost/app:2"]))["Layers"].clone();
    let told: Vec<_> = entries.as_array().expect("a list").iter().filter(|entry| !entry["layer"].is_null()).collect();
    let ids: Vec<_> = told.iter().rev().map(|entry| entry["layer"].clone()).collect();
    assert_eq!(Value::from(ids), layers, "{entries}");
    assert_eq!((&entries[0]["created_by"], &entries[0]["comment"]), (&json!("plyfs commit"), &json!("new\nwords")));
    let table = bench.ok(["history", "localhost/app:2"]);
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("new\\nwords")), "{table}");
}

#[test]
fn root_blobs_are_kept_when_asked_counted_and_saved_as_they_came() {
    plyfs_testkit::require_root!();
    let bench = Bench::new();
    let plain = crate::bench::two_layers();
    plain.write_oci_archive(plyfs_testkit::oci::Compression::Zstd, &bench.temp.join("app.tar"));
    bench.ok(["load", "app.tar"]);
    let kept = |bench: &Bench| json_of(&bench.ok(["--json", "df"]))["kept_blobs"]["inodes"].clone();
    assert_eq!((kept(&bench), bench.ok(["df"]).contains("kept blobs")), (json!(0), false));
    bench.ok(["load", "--keep-blobs", "app.tar"]);
    assert_eq!((kept(&bench), bench.ok(["df"]).contains("kept blobs")), (json!(2), true));
    bench.ok(["save", "app:1", "-o", "again.tar", "--format", "oci-archive"]);
    let blobs = |name: &str| {
        let members = plyfs_testkit::oci::read_archive(&bench.temp.join(name));
        members.into_iter().filter(|(name, _)| name.starts_with("blobs/")).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(blobs("again.tar"), blobs("app.tar"));
    let before = json_of(&bench.ok(["--json", "df"]));
    let reclaimed = json_of(&bench.ok(["--json", "rmi", "app:1"]))["reclaimed_bytes"].clone();
    let bytes = |field: &str| before[field]["allocated_bytes"].as_u64().expect("a number");
    assert_eq!(reclaimed, json!(bytes("stored") + bytes("kept_blobs")));
    assert_eq!(kept(&bench), 0);
}

#[test]
fn root_layers_and_archives_packed_by_xz_or_bzip2_come_in_as_the_plain_ones() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("xz", "bzip2");
    let bench = Bench::with_image();
    let expected = json_of(&bench.ok(["inspect", "app:1"]));
    for program in ["xz", "bzip2"] {
        let packed = |bytes: &[u8]| {
            let path = bench.temp.join("plain");
            std::fs::write(&path, bytes).expect("written");
            run(std::process::Command::new(program).arg("-c").arg(&path)).success().stdout
        };
        let mut members = crate::bench::two_layers().docker_members();
        for (_, bytes) in members.iter_mut().filter(|(name, _)| name.ends_with(".tar")) {
            *bytes = packed(bytes);
        }
        let archive = bench.temp.join("packed.tar");
        plyfs_testkit::oci::write_archive(&archive, &members);
        std::fs::write(bench.temp.join("whole"), packed(&std::fs::read(&archive).expect("readable"))).expect("written");
        for source in ["packed.tar", "whole"] {
            let other = bench.temp.join(format!("{program}-{source}"));
            let plyfs = |args: &[&str]| {
                let mut command = crate::bench::clean(crate::bench::PLYFS);
                command.current_dir(bench.temp.path()).arg("--root").arg(&other).args(args);
                run(&mut command).success().text()
            };
            assert_eq!(plyfs(&["load", source]), "localhost/app:1");
            let loaded = json_of(&plyfs(&["inspect", "app:1"]));
            assert_eq!(
                (&loaded["Id"], &loaded["RootFS"]),
                (&expected["Id"], &expected["RootFS"]),
                "{program} {source}"
            );
        }
    }
}

#[test]
fn root_a_name_that_is_taken_away_leaves_its_image() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let id = bench.ok(["--quiet", "images"]);
    assert_eq!(bench.ok(["untag", "app:1"]), "localhost/app:1");
    assert_eq!(bench.ok(["--quiet", "images"]), id);
    bench.run(["untag", id.as_str(), "app:1"]).code(2);
}

#[test]
fn root_a_load_needs_no_descriptor_for_each_layer_beside_those_of_its_chain() {
    plyfs_testkit::require_root!();
    let bench = Bench::new();
    let layer = |number: usize| LayerTar::new().file(format!("file{number}"), "x").finish();
    Plain::new("localhost/tall:1", (0..200).map(layer).collect()).write_docker_archive(&bench.temp.join("tall.tar"));
    let mut shell = clean("sh");
    shell.args(["-c", "ulimit -n 250; exec \"$@\"", "sh", PLYFS, "--root"]).arg(bench.store());
    let ran = run(shell.arg("load").arg(bench.temp.join("tall.tar"))).success();
    assert_eq!(ran.text(), "localhost/tall:1");
}

#[test]
fn root_commit_diff_and_import_say_what_no_layer_can_hold() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let mounted = bench.ok(["create", "app:1", "web-1", "--mount"]);
    for root in [Path::new(&mounted), &bench.temp.dir("tree")] {
        mknodat(CWD, root.join("socket"), FileType::Socket, Mode::RWXU, 0).expect("made");
        fs::write(root.join(".wh.name"), "kept by nobody").expect("written");
    }
    let lost = ["\".wh.name\": the name would mean a deletion", "\"socket\": a socket cannot be archived"];
    for args in [
        &["commit", "web-1", "localhost/app:2"][..],
        &["diff", "web-1", "-o", "diff.tar"],
        &["import", "tree", "localhost/tree:1"],
    ] {
        let words = bench.run(args).success().words();
        let said: Vec<_> = words.lines().filter_map(|line| line.strip_prefix("plyfs: warning: ")).collect();
        assert_eq!(said, lost, "{args:?}");
    }
}
