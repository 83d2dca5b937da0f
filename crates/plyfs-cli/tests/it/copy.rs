//! `cp` into and out of containers, as `docker cp` means paths, and never outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use plyfs_testkit::process::run;
use plyfs_testkit::temp::mounts_below;

use crate::bench::{Bench, PLYFS, clean, read};

/// A container, and a tree beside it to copy.
fn bench() -> Bench {
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    for (path, content) in [("src/file", "file"), ("src/sub/inner", "inner"), ("plain", "plain")] {
        let path = bench.temp.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }
    bench
}

fn listed(bench: &Bench, path: &str) -> String {
    bench.ok(["find", "web-1", path, "--type", "f"]).replace('\n', " ")
}

#[test]
fn root_paths_mean_what_docker_cp_means() {
    plyfs_testkit::require_root!();
    let bench = bench();
    let copied = |from: &str, to: &str| assert_eq!(bench.ok(["cp", from, to]), "", "{from} {to}");
    copied("plain", "web-1:/app"); // into a directory, under its own name
    copied("plain", "web-1:/app/renamed"); // as a new name
    copied("plain", "web-1:app/config"); // in the place of a file
    copied("src", "web-1:/new"); // a directory as a new name
    copied("src", "web-1:/app"); // into a directory
    copied("src/.", "web-1:/app"); // only what is in it
    copied("./src/", "web-1:/app/sub"); // a directory merges with the one that is there
    assert_eq!(listed(&bench, "/new"), "/new/file /new/sub/inner");
    assert_eq!(
        listed(&bench, "/app"),
        "/app/config /app/file /app/plain /app/renamed /app/src/file /app/src/sub/inner /app/sub/inner \
         /app/sub/src/file /app/sub/src/sub/inner"
    );
    assert_eq!(bench.ok(["cat", "web-1", "app/config"]), "plain");

    copied("web-1:/app/src", "out"); // a directory as a new name
    copied("web-1:/app/src", "."); // into a directory: merges with src
    copied("web-1:/app/src/.", "src/sub");
    copied("web-1:etc/motd", "plain");
    copied("app:1:/etc", "from-image");
    assert_eq!(read(bench.temp.join("out/sub/inner")), "inner");
    assert_eq!(read(bench.temp.join("src/sub/sub/inner")), "inner");
    assert_eq!(read(bench.temp.join("plain")), "hello\n");
    assert_eq!(read(bench.temp.join("from-image/gone")), "x");
    assert!(mounts_below(bench.temp.path()).is_empty(), "the mount of a copy ends with it");
}

#[test]
fn root_what_is_copied_in_is_copied_up_as_the_kernel_does() {
    plyfs_testkit::require_root!();
    let bench = bench();
    std::os::unix::fs::chown(bench.temp.join("plain"), Some(7), Some(8)).expect("an owner");
    fs::set_permissions(bench.temp.join("plain"), fs::Permissions::from_mode(0o4755)).expect("a mode");
    bench.ok(["cp", "plain", "web-1:/etc/motd"]);
    bench.ok(["cp", "-a", "plain", "web-1:/etc/kept"]);
    assert_eq!(bench.ok(["changes", "web-1"]), "C /etc\nA /etc/kept\nC /etc/motd");
    let stat = |path: &str| -> serde_json::Value {
        serde_json::from_str(&bench.ok(["--json", "stat", "web-1", path])).expect("JSON")
    };
    let facts = |path: &str| format!("{} {}:{}", stat(path)["mode"], stat(path)["uid"], stat(path)["gid"]);
    assert_eq!(facts("etc/motd"), "\"0755\" 0:0", "another owner must not get the set-id bit");
    assert_eq!(facts("etc/kept"), "\"4755\" 7:8");
    bench.ok(["cp", "-a", "web-1:/etc/kept", "back"]);
    let back = fs::metadata(bench.temp.join("back")).expect("copied");
    assert_eq!((back.mode() & 0o7777, back.uid(), back.gid()), (0o4755, 7, 8));

    let merged = PathBuf::from(bench.ok(["mount", "web-1"]));
    bench.ok(["cp", "src", "web-1:/while-mounted"]);
    assert_eq!(read(merged.join("while-mounted/sub/inner")), "inner", "through the mount that is there");
    assert_eq!(bench.ok(["mount", "web-1"]), merged.display().to_string(), "which stays");
}

#[test]
fn root_cve_2018_15664_no_link_inside_leads_a_copy_outside() {
    plyfs_testkit::require_root!();
    let bench = bench();
    let outside = bench.temp.dir("outside");
    fs::write(outside.join("secret"), "secret").expect("written");
    let merged = PathBuf::from(bench.ok(["mount", "web-1"]));
    symlink(&outside, merged.join("absolute")).expect("linked");
    symlink(format!("{}{}", "../".repeat(30), outside.display()), merged.join("climbing")).expect("linked");
    symlink(outside.join("new"), merged.join("file-link")).expect("linked");
    symlink("/proc/self/root", merged.join("magic")).expect("linked");
    fs::create_dir_all(merged.join(outside.strip_prefix("/").expect("absolute"))).expect("made");
    for link in ["absolute", "climbing"] {
        bench.ok(["cp", "plain", &format!("web-1:/{link}/{link}")]);
        bench.refused(3, ["cp", &format!("web-1:/{link}/secret"), "stolen"]);
    }
    bench.ok(["cp", "plain", "web-1:/file-link"]);
    bench.refused(3, ["cp", "plain", "web-1:/magic/x"]);
    let inside = merged.join(outside.strip_prefix("/").expect("absolute"));
    for name in ["absolute", "climbing", "new"] {
        assert_eq!(read(inside.join(name)), "plain", "links mean the container's root");
    }
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 1, "nothing came outside");
    bench.ok(["cp", "web-1:/absolute", "link"]);
    assert!(bench.temp.join("link").is_symlink(), "a link is copied itself");
}

#[test]
fn root_copies_that_cannot_be_are_refused() {
    plyfs_testkit::require_root!();
    let bench = bench();
    // A container that was mounted once shows no other traces of a mount.
    bench.ok(["cp", "plain", "web-1:/first"]);
    let said = [
        (2, &["cp", "plain", "src"][..]),
        (2, &["cp", "web-1:/etc", "web-1:/x"]),
        (2, &["cp", "web-1:", "x"]),
        (3, &["cp", "none:/etc", "x"]),
        (3, &["cp", "web-1:/none", "x"]),
        (3, &["cp", "none", "web-1:/x"]),
        (3, &["cp", "plain", "web-1:/no/such/dir/x"]),
        (2, &["cp", "plain", "app:1:/x"]),
        (5, &["cp", "plain", "web-1:/no-dir/"]),
        (5, &["cp", "src", "web-1:/etc/motd"]),
        (5, &["cp", "web-1:/etc", "plain"]),
        (5, &["cp", "web-1:/etc/motd/", "x"]),
    ]
    .map(|(code, args)| format!("{}\n{}", args.join(" "), bench.refused(code, args)));
    insta::assert_snapshot!(said.join("\n\n"));
    bench.ok(["cp", "src", "web-1:/etc/sub"]);
    fs::remove_dir_all(bench.temp.join("src/sub")).expect("removed");
    fs::write(bench.temp.join("src/sub"), "a file now").expect("written");
    let words = bench.run(["cp", "src/.", "web-1:/etc/sub"]).code(4).words();
    assert!(words.contains("\"sub\" is a directory"), "{words}");
    assert!(mounts_below(bench.temp.path()).is_empty(), "a copy that failed leaves no mount");
}

#[test]
fn root_a_dash_is_an_archive_on_standard_output_or_input() {
    plyfs_testkit::require_root!();
    let bench = bench();
    let sh = |line: &str| {
        let line = format!("set -o pipefail; {}", line.replace("plyfs ", &format!("{PLYFS} --root store ")));
        let ran = run(clean("bash").args(["-c", &line]).current_dir(bench.temp.path())).success();
        assert_eq!(ran.words(), "", "{line}");
        ran.text()
    };
    assert_eq!(sh("plyfs cp web-1:/etc - | tar t"), "etc/\netc/gone\netc/motd");
    assert_eq!(sh("plyfs cp app:1:/etc/. - | tar t"), "gone\nmotd");
    assert_eq!(sh("plyfs cp web-1:etc/motd - | tar xO motd"), "hello");

    sh("chown -R 7:8 src && tar c src plain | plyfs cp - web-1:/app");
    assert_eq!(listed(&bench, "/app"), "/app/config /app/plain /app/src/file /app/src/sub/inner");
    assert_eq!(
        sh("plyfs cp web-1:/app/src - | tar tv --numeric-owner | grep -c ' 7/8 '"),
        "4",
        "owners are the archive's"
    );
    sh("plyfs cp app:1:/etc - | plyfs cp - web-1:/app/src");
    assert_eq!(bench.ok(["cat", "web-1", "app/src/etc/motd"]), "hello");
    assert!(mounts_below(bench.temp.path()).is_empty(), "the mount of a copy ends with it");
    assert_eq!(bench.ok(["fsck"]), "", "nothing is left of what was unpacked aside");
}

#[test]
fn root_an_archive_that_cannot_be_copied_changes_nothing() {
    plyfs_testkit::require_root!();
    let bench = bench();
    bench.ok(["--quiet", "mount", "web-1"]);
    let mut tar = clean("tar");
    let whole = tar.args(["c", "src", "plain"]).current_dir(bench.temp.path()).output().expect("tar").stdout;
    let refused = |to: &str, archive: &[u8], code: i32| {
        fs::write(bench.temp.join("in.tar"), archive).expect("written");
        let line = format!("{PLYFS} --root store cp - {to} < in.tar");
        let ran = run(clean("sh").args(["-c", &line]).current_dir(bench.temp.path())).code(code);
        assert_eq!(bench.ok(["changes", "web-1"]), "", "{to}");
        bench.plain(&ran.words())
    };
    let torn = refused("web-1:/app", &whole[..1800], 8);
    assert!(torn.contains("archive"), "{torn}");
    let missing = refused("web-1:/none", &whole, 3);
    assert!(missing.contains("copy to /none"), "{missing}");
    let image = refused("app:1:/app", &whole, 2);
    assert!(image.contains("is no container"), "{image}");
    let file = refused("web-1:/app/config", &whole, 5);
    assert!(file.contains("copy to /app/config"), "{file}");
}
