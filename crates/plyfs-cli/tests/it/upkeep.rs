//! What is left over, and how it goes: nameless images, interrupted loads, trash of a killed process.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use plyfs_testkit::oci::{LayerTar, Plain, write_archive};
use plyfs_testkit::peers::tool;
use plyfs_testkit::process::{Process, output, run, wait_until};
use plyfs_testkit::temp::Mounted;
use serde_json::{Value, json};

use crate::bench::{Bench, two_layers};

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("read {}: {e}", dir.display()));
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A docker-archive of two images, one of which has two names and the other none.
fn mixed_archive() -> (Plain, Plain, Vec<(String, Vec<u8>)>) {
    let image = |content: &str| Plain::new("x", vec![LayerTar::new().file("f", content).finish()]);
    let (named, nameless) = (image("named"), image("nameless"));
    let mut members = named.docker_members();
    members.extend(nameless.docker_members());
    members.retain(|(name, _)| name != "manifest.json");
    let entry = |image: &Plain, names: Value| {
        let layer = format!("{}.tar", plyfs_testkit::oci::sha256(&image.layers[0]));
        json!({ "Config": format!("{}.json", image.id()), "RepoTags": names, "Layers": [layer] })
    };
    let manifest = json!([entry(&named, json!(["b:1", "a:1"])), entry(&nameless, Value::Null)]);
    members.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
    (named, nameless, members)
}

#[test]
fn root_a_nameless_image_is_loaded_listed_and_pruned_by_its_id() {
    plyfs_testkit::require_root!();
    let bench = Bench::new();
    let (named, nameless, members) = mixed_archive();
    write_archive(&bench.temp.join("mixed.tar"), &members);

    let loaded = bench.ok(["load", "mixed.tar"]);
    let nameless = format!("sha256:{}", nameless.id());
    let mut lines: Vec<_> = loaded.lines().collect();
    lines[..2].sort_unstable();
    assert_eq!(lines, ["a:1", "b:1", &nameless]);
    assert!(bench.ok(["images"]).lines().any(|line| line.starts_with("<none>  ")));

    let ran = bench.run(["prune"]).success();
    assert_eq!(ran.text(), "0", "an image without a name is still an image");
    assert_eq!(ran.words(), "removed 0 images and 0 layers, 0 B");
    let listed: Value = serde_json::from_str(&bench.ok(["--json", "images"])).expect("JSON");
    let own = listed.as_array().expect("a list").iter().find(|image| image["id"] == nameless.as_str()).expect("listed");
    let ran = bench.run(["prune", "--all"]).success();
    assert_eq!(ran.text(), own["usage"]["allocated_bytes"].to_string());
    assert!(ran.words().starts_with("removed 1 image and 1 layer, "), "{}", ran.words());
    assert_eq!(bench.ok(["--quiet", "images"]), format!("sha256:{}", named.id()));
    assert_eq!(names_in(&bench.store().join("trash")), [""; 0], "the space is returned before the command ends");
}

#[test]
fn root_what_an_interrupted_load_staged_goes_with_the_next_command_of_any_kind() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let whole = {
        let image = Plain::new("localhost/big:1", vec![LayerTar::new().file("big", vec![7; 1 << 20]).finish()]);
        image.write_docker_archive(&bench.temp.join("big.tar"));
        fs::read(bench.temp.join("big.tar")).expect("read")
    };
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let load = Process::spawn_reading(&mut bench.command(["load", "-"]), reader);
    writer.write_all(&whole[..whole.len() / 2]).expect("the load reads");
    let staging = bench.store().join("staging");
    assert!(wait_until(Duration::from_secs(20), || !names_in(&staging).is_empty()), "the load stages");
    load.terminate();
    let ended = load.wait_within(Duration::from_secs(20));
    assert_eq!(ended.status.code(), None, "ended by the signal: {:?}", ended.status);

    assert_eq!(bench.ok(["--quiet", "images"]).lines().count(), 1);
    for part in ["staging", "trash"] {
        assert_eq!(names_in(&bench.store().join(part)), [""; 0], "{part}");
    }
    assert_eq!(bench.ok(["fsck"]), "");
}

#[test]
fn root_df_sums_what_its_rows_say_and_a_mangled_container_hides_no_other() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    for name in ["whole", "mangled"] {
        bench.ok(["create", "app:1", name]);
        let merged = bench.ok(["mount", name]);
        fs::write(format!("{merged}/big"), vec![7; 100_000]).expect("written");
        bench.ok(["umount", name]);
    }
    let df = || -> Value { serde_json::from_str(&bench.ok(["--json", "df", "--measure"])).expect("JSON") };
    let sum = |df: &Value, field: &str| -> u64 {
        let rows = df["containers"].as_array().expect("a list").iter();
        rows.map(|row| row[field]["allocated_bytes"].as_u64().expect("a number")).sum()
    };
    let before = df();
    assert!(sum(&before, "own") >= 200_000, "{before}");
    for (field, total) in [("own", "containers_own"), ("as_copy", "as_copies")] {
        assert_eq!(before[total]["allocated_bytes"].as_u64(), Some(sum(&before, field)), "{before}");
    }

    let id: Value = serde_json::from_str(&bench.ok(["inspect", "mangled"])).expect("JSON");
    let diff = bench.store().join("overlay2").join(id["Id"].as_str().expect("an id")).join("diff");
    fs::remove_dir_all(&diff).expect("damaged");
    fs::write(&diff, "no directory").expect("damaged");
    let ran = bench.run(["--json", "df", "--measure"]).success();
    assert!(ran.words().contains("mangled is counted as nothing"), "{}", ran.words());
    let after: Value = serde_json::from_str(&ran.text()).expect("JSON");
    assert_eq!(after["containers_own"]["allocated_bytes"].as_u64(), Some(sum(&before, "own") / 2), "{after}");
}

#[test]
fn root_df_warns_when_inodes_run_out_before_bytes() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("mkfs.ext4");
    let bench = Bench::new();
    let (image, disk) = (bench.temp.join("image"), bench.temp.dir("disk"));
    fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image file");
    output(tool("mkfs.ext4").args(["-q", "-m", "0", "-N", "256"]).arg(&image));
    output(tool("mount").args(["-o", "loop"]).arg(&image).arg(&disk));
    let mounted = Mounted::at(&disk);
    two_layers().write_docker_archive(&bench.temp.join("app.tar"));
    let store = mounted.path().join("store");
    let on_it = |args: &[&str]| run(bench.command(["--root"]).arg(&store).args(args)).success();
    on_it(&["load", "app.tar"]);
    let plenty = on_it(&["df"]);
    assert_eq!(plenty.words(), "", "most are left");

    let df: Value = serde_json::from_str(&on_it(&["--json", "df"]).text()).expect("JSON");
    let left = df["free_inodes"].as_u64().expect("a number");
    for number in 0..left - 10 {
        fs::File::create(mounted.path().join(format!("f{number}"))).expect("an inode is left");
    }

    let short = on_it(&["df"]);
    assert!(short.words().contains("inodes are scarcer than bytes: 10 left, "), "{}", short.words());
    assert!(short.text().lines().any(|line| line.starts_with("free ") && line.contains(" 10 ")), "{}", short.text());
    let df: Value = serde_json::from_str(&on_it(&["--json", "df"]).text()).expect("JSON");
    assert_eq!((&df["free_inodes"], &df["is_short_of_inodes"]), (&json!(10), &json!(true)));
}
