//! The whole life of a container, verb by verb, and what is left after it: nothing.

use std::fs;
use std::process::Command;

use plyfs_testkit::oci::{Compression, sha256};
use plyfs_testkit::process::{Ran, run, run_reading};
use plyfs_testkit::temp::{exists, mounts_below};
use plyfs_testkit::tree::{Options, assert_same};

use crate::bench::{Bench, clean, read, two_layers};

#[test]
fn root_a_container_lives_from_import_to_nothing() {
    plyfs_testkit::require_root!();
    let bench = Bench::new();
    let tree = bench.temp.dir("tree/etc");
    fs::write(tree.join("motd"), "hello\n").expect("written");
    fs::write(tree.join("gone"), "x").expect("written");

    let base = bench.ok(["import", "tree", "base:1"]);
    assert!(base.starts_with("sha256:") && base.len() == 71, "{base}");
    assert_eq!(bench.ok(["create", "base:1", "web-1", "--label", "tier=front"]), "web-1");

    let merged = bench.ok(["mount", "web-1"]);
    assert_eq!(bench.ok(["mount", "web-1"]), merged, "mounting is idempotent");
    assert_eq!(mounts_below(bench.temp.path()).len(), 1, "one mount for one container");
    fs::write(format!("{merged}/etc/motd"), "changed\n").expect("written");
    fs::remove_file(format!("{merged}/etc/gone")).expect("removed");
    fs::write(format!("{merged}/new\nline"), "").expect("written");

    assert_eq!(bench.ok(["changes", "web-1"]), "C /etc\nD /etc/gone\nC /etc/motd\nA /new\\nline");
    bench.ok(["diff", "web-1", "-o", "diff.tar"]);
    let piped = bench.run(["diff", "web-1"]).success();
    assert_eq!(piped.stdout, fs::read(bench.temp.join("diff.tar")).expect("read"), "the same bytes to file and pipe");
    let commit = ["commit", "web-1", "localhost/base:2", "--message", "new words", "--author", "somebody"];
    let committed = bench.ok(commit);

    bench.ok(["umount", "web-1"]);
    bench.ok(["umount", "web-1"]);
    assert!(!exists(merged.as_ref()), "the mount point goes with the mount");

    bench.ok(["rename", "web-1", "web-2"]);
    assert_eq!(bench.ok(["--quiet", "containers"]), "web-2");
    assert_eq!(bench.ok(["rm", "web-2"]), "web-2");
    // By a name without its host, as the look-up allows.
    assert_eq!(bench.ok(["rmi", "base:2"]), format!("Untagged: localhost/base:2\nDeleted: {committed}"));
    bench.ok(["tag", "base:1", "again"]);
    assert_eq!(bench.ok(["rmi", "base:1"]), "Untagged: base:1", "one of two names is only taken away");
    assert_eq!(bench.ok(["rmi", &base]), format!("Untagged: again:latest\nDeleted: {base}"));
    assert_eq!(bench.ok(["--quiet", "prune", "--all"]), "0");
    assert_eq!(bench.ok(["fsck"]), "");
    for part in ["overlay2/l", "tarsplit", "blobs/sha256", "staging", "trash"] {
        let left: Vec<_> = fs::read_dir(bench.store().join(part)).expect("read").flatten().collect();
        assert!(left.is_empty(), "{part} still holds {left:?}");
    }
    let summary = bench.ok(["df", "--measure"]);
    let used = summary.lines().filter(|line| !line.starts_with("free"));
    assert!(used.skip(1).all(|line| line.contains(" 0 B ")), "{summary}");
}

#[test]
fn root_a_container_that_was_saved_in_any_format_loads_elsewhere_as_the_same_image() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let merged = bench.ok(["mount", "web-1"]);
    fs::write(format!("{merged}/etc/motd"), "changed\n").expect("written");
    fs::remove_file(format!("{merged}/etc/gone")).expect("removed");
    let id = bench.ok(["commit", "web-1", "localhost/app:2"]);

    for (number, (format, compression)) in
        [("docker-archive", "none"), ("oci-archive", "zstd"), ("oci", "gzip"), ("docker-archive", "gzip")]
            .into_iter()
            .enumerate()
    {
        let (saved, other) = (format!("saved-{number}"), bench.temp.join(format!("store-{number}")));
        let other = other.to_str().expect("plain");
        bench.ok(["save", "app:2", "-o", &saved, "--format", format, "--compression", compression]);
        assert_eq!(bench.ok(["--root", other, "load", &saved]), "localhost/app:2", "{format} {compression}");
        assert_eq!(bench.ok(["--root", other, "--quiet", "images"]), id, "{format} {compression}");
        bench.ok(["--root", other, "create", "app:2", "copy"]);
        let copy = bench.ok(["--root", other, "mount", "copy"]);
        assert_same(&merged, &copy, &Options::images());
    }
}

#[test]
fn root_save_and_load_work_through_a_pipe_and_give_back_the_bytes_loaded() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let other = bench.temp.join("other");
    let mut save = bench.command(["save", "app:1", "-o", "-"]);
    let mut saving = save.stdout(writer).spawn().expect("started");
    drop(save);
    let mut load = bench.command(["--root", other.to_str().expect("plain"), "load", "-"]);
    let loaded = run_reading(&mut load, reader).success();
    assert!(saving.wait().expect("waited").success());
    assert_eq!(loaded.text(), "localhost/app:1");

    bench.ok(["save", "app:1", "-o", "again.tar"]);
    let members = plyfs_testkit::oci::read_archive(&bench.temp.join("again.tar"));
    for layer in two_layers().layers {
        let kept = members.iter().any(|(_, content)| sha256(content) == sha256(&layer));
        assert!(kept, "the layer's archive is not in what was saved");
    }
}

#[test]
fn root_loading_twice_stores_nothing_twice_and_the_store_may_be_asked_how_much() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let layers = bench.ok(["--quiet", "layers"]);
    two_layers().write_oci_archive(Compression::Gzip, &bench.temp.join("app.oci"));
    assert_eq!(bench.ok(["load", "app.oci"]), "localhost/app:1");
    assert_eq!(bench.ok(["load", "-i", "app.oci"]), "localhost/app:1", "as docker and podman spell it");
    assert_eq!(bench.run(["load", "app.oci", "--input", "app.oci"]).status.code(), Some(2));
    assert_eq!(bench.ok(["--quiet", "layers"]), layers);
    assert_eq!(layers.lines().count(), 2);
}

#[test]
fn root_a_mount_may_be_elsewhere_and_says_so_to_who_wants_it_here() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1", "--read-only"]);
    let at = bench.temp.dir("at");
    let at = at.to_str().expect("plain");
    assert_eq!(bench.ok(["mount", "web-1", "--at", at]), at);
    assert_eq!(bench.ok(["mount", "web-1"]), at, "it is mounted, and there is where");
    assert_eq!(read(format!("{at}/etc/motd")), "hello\n");
    let refused = fs::write(format!("{at}/etc/motd"), "x").expect_err("created read-only");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let elsewhere = bench.temp.dir("elsewhere");
    let words = bench.refused(6, ["mount", "web-1", "--at", elsewhere.to_str().expect("plain")]);
    assert!(words.contains("is mounted at [TEMP]/at"), "{words}");
    bench.ok(["umount", "web-1"]);
}

#[test]
fn root_a_busy_mount_stays_until_it_is_detached() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let merged = bench.ok(["mount", "web-1"]);
    let open = fs::File::open(format!("{merged}/etc/motd")).expect("opened");
    let words = bench.refused(7, ["umount", "web-1"]);
    assert!(words.contains("hint: `plyfs umount --detach web-1`"), "{words}");
    bench.ok(["umount", "--detach", "web-1"]);
    assert!(mounts_below(bench.temp.path()).is_empty());
    drop(open);
}

#[test]
fn root_print_mounts_nothing_and_what_it_prints_mounts() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let printed = bench.ok(["mount", "web-1", "--print"]);
    assert!(mounts_below(bench.temp.path()).is_empty());
    let plain = bench.plain(&printed);
    insta::assert_snapshot!(plain);
    let options = printed.lines().find_map(|line| line.strip_prefix("options=")).expect("options");
    let at = bench.temp.dir("by-hand");
    let mounted = plyfs_testkit::temp::Mounted::overlay(&at, options);
    assert_eq!(read(mounted.path().join("app/config")), "port=80\n");
}

#[test]
fn root_the_environment_names_the_store_unless_the_command_line_does() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let plyfs = |root: &str| {
        let mut command = clean(crate::bench::PLYFS);
        command.current_dir(bench.temp.path()).env("PLYFS_ROOT", root);
        command
    };
    assert_ne!(run(plyfs("store").args(["--quiet", "images"])).success().text(), "");
    run(plyfs("elsewhere").arg("images")).code(3);
    let store = bench.store();
    run(plyfs("elsewhere").args(["images", "--root", store.to_str().expect("plain")])).success();
    assert!(!bench.temp.join("elsewhere").exists(), "reading makes no store");
}

#[test]
fn root_listings_and_the_tree_read_as_here() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    bench.ok(["create", "app:1", "web-2"]);
    bench.ok(["commit", "web-1", "app:2"]);
    bench.ok(["tag", "app:2", "second"]);
    let names = |command: &str| -> Vec<String> {
        let text = bench.ok([command]);
        text.lines().map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names("images"), ["NAME", "app:2", "second:latest", "localhost/app:1"]);
    assert_eq!(names("containers"), ["NAME", "web-1", "web-2"]);
    let tree = bench.plain(&bench.ok(["tree"]));
    // Sizes are the file system's business.
    let shape: Vec<_> = tree
        .lines()
        .map(|line| line.split("  ").filter(|part| !part.ends_with("B")).collect::<Vec<_>>().join("  "))
        .collect();
    insta::assert_snapshot!(shape.join("\n"), @r"
    [SHORT-ID]
    └── [SHORT-ID]  image localhost/app:1  containers web-1, web-2
        └── [SHORT-ID]  images app:2, second:latest
    ");
    assert_eq!(bench.ok(["tree", "app:1"]), bench.ok(["tree"]), "all stands on the one image");
    assert_eq!(bench.ok(["--quiet", "tree"]).lines().count(), 3);
}

#[test]
fn root_changes_and_diff_tell_any_two_trees_apart() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let merged = std::path::PathBuf::from(bench.ok(["mount", "web-1"]));
    fs::write(merged.join("etc/motd"), "changed\n").expect("written");
    fs::remove_file(merged.join("etc/gone")).expect("removed");
    fs::create_dir(merged.join("new")).expect("made");
    bench.ok(["umount", "web-1"]);
    bench.ok(["commit", "web-1", "app:2"]);
    bench.ok(["unpack", "app:2", "tree"]);

    let forth = "C /etc\nD /etc/gone\nC /etc/motd\nA /new";
    let back = "C /etc\nA /etc/gone\nC /etc/motd\nD /new";
    for (newer, older) in [("web-1", "app:1"), ("app:2", "app:1"), ("./tree", "app:1")] {
        assert_eq!(bench.ok(["changes", older, newer]), forth, "{older} to {newer}");
        assert_eq!(bench.ok(["changes", newer, older]), back, "{newer} to {older}");
    }
    assert_eq!(bench.ok(["changes", "web-1"]), forth, "of a container, what it changed");
    for (one, other) in [("web-1", "app:2"), ("app:2", "./tree"), ("./tree", "./tree")] {
        assert_eq!(bench.ok(["changes", one, other]), "", "{one} and {other} are one tree");
    }
    let json: serde_json::Value =
        serde_json::from_str(&bench.ok(["--json", "changes", "app:1", "app:2"])).expect("JSON");
    assert_eq!(json[3], serde_json::json!({ "kind": "added", "path": "/new" }));

    // The changeset between them makes the one of the other.
    bench.ok(["diff", "app:1", "./tree", "-o", "between.tar"]);
    let listed = bench.ok(["import", "between.tar", "app:3", "--parent", "app:1"]);
    assert!(listed.starts_with("sha256:"), "{listed}");
    assert_eq!(bench.ok(["changes", "app:3", "./tree"]), "");
    let words = bench.refused(3, ["changes", "tree", "app:1"]);
    assert!(words.contains("a directory begins with a dot or a slash"), "{words}");
}

#[test]
fn root_one_command_creates_and_mounts_many_containers_or_none() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let names: Vec<String> = (0..20).map(|number| format!("web-{number:02}")).collect();
    let create: Vec<&str> =
        ["create", "app:1", "--mount"].into_iter().chain(names.iter().map(String::as_str)).collect();

    let paths = bench.ok(&create);

    let paths: Vec<&str> = paths.lines().collect();
    assert_eq!(
        (paths.len(), mounts_below(bench.temp.path()).len()),
        (20, 20),
        "each is mounted when the command has ended"
    );
    assert!(paths.iter().all(|path| exists(format!("{path}/etc/motd").as_ref())), "{paths:?}");
    assert_eq!(bench.ok(["--quiet", "containers"]), names.join("\n"), "in the order given, which is also sorted");
    let refused = bench.refused(4, ["create", "app:1", "--mount", "new-1", "web-07", "new-2"]);
    assert!(refused.contains("container web-07"), "{refused}");
    assert_eq!(bench.ok(["--quiet", "containers"]), names.join("\n"), "none of three is made where one cannot be");
    names.iter().for_each(|name| drop(bench.ok(["umount", name])));
    assert_eq!(bench.ok(["create", "app:1", "one", "two"]), "one\ntwo", "without --mount the names are printed");
    assert_eq!(mounts_below(bench.temp.path()).len(), 0);
    assert_eq!(bench.ok(["fsck"]), "");
}

/// Runs the command with faults in its system calls, as strace injects them.
fn with_faults(bench: &Bench, faults: &[&str], args: &[&str]) -> Ran {
    let command = bench.command(args);
    let mut strace = Command::new("strace");
    strace.current_dir(bench.temp.path()).args(["-f", "-o", "/dev/null"]);
    strace.args(faults.iter().flat_map(|fault| ["-e", fault]));
    run(strace.arg(command.get_program()).args(command.get_args()))
}

#[test]
fn root_a_mount_that_fails_in_the_middle_is_named_and_what_the_command_made_is_taken_back() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("strace");
    let bench = Bench::with_image();
    // What the kernel can do is found by then, and what a first container leaves is left.
    bench.ok(["create", "app:1", "first", "--mount"]);
    bench.ok(["umount", "first"]);
    let create = ["create", "app:1", "--mount", "one", "two", "three", "four"];
    let parts = |name: &str| fs::read_dir(bench.store().join(name)).expect("a directory").count();
    let counted = || ["overlay2", "overlay2/l", "staging", "trash"].map(parts);
    let before = counted();

    let ran = with_faults(&bench, &["inject=move_mount:error=ENOMEM:when=3"], &create).failure();

    assert_eq!(ran.text(), "", "nothing is mounted");
    let words = ran.words();
    assert!(
        words.lines().count() == 1 && words.contains("container three: ") && words.contains("move_mount("),
        "{words}"
    );
    assert_eq!(bench.ok(["--quiet", "containers"]), "first");
    assert_eq!(mounts_below(bench.temp.path()).len(), 0);
    assert_eq!(counted(), before, "nothing of it is left");

    // The first one is worked in by then, as far as the kernel says.
    let busy = "inject=umount2:error=EBUSY:when=1..7";
    let ran = with_faults(&bench, &["inject=move_mount:error=ENOMEM:when=3", busy], &create).failure();

    let words = ran.words();
    assert!(words.contains("warning: container one stays: ") && words.contains("container three: "), "{words}");
    assert_eq!(bench.ok(["--quiet", "containers"]), "first\none", "and no other");
    assert_eq!(mounts_below(bench.temp.path()).len(), 1, "it is mounted still");
    bench.ok(["umount", "one"]);
    assert_eq!(bench.ok(["fsck"]), "");
}
