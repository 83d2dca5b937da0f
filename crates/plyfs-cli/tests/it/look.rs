//! `ls`, `cat`, `stat` and `find`: what is inside, without a mount.

use std::fs;
use std::os::unix::fs::symlink;

use plyfs_testkit::temp::mounts_below;

use crate::bench::Bench;

/// A container over two layers, with something changed, removed, moved and linked.
fn edited() -> Bench {
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let merged = bench.temp.path().join(bench.ok(["mount", "web-1"]));
    fs::remove_file(merged.join("etc/gone")).expect("removed");
    fs::write(merged.join("etc/motd"), "changed\n").expect("written");
    symlink("/etc", merged.join("conf")).expect("linked");
    symlink("/../../etc/motd", merged.join("etc/climbing")).expect("linked");
    symlink("none", merged.join("dangling")).expect("linked");
    for path in ["etc", "etc/motd", "conf", "etc/climbing", "dangling", ""] {
        let time = "1000000000.5";
        let mut touch = std::process::Command::new("touch");
        let done = touch.args(["-h", "-d", &format!("@{time}")]).arg(merged.join(path)).status();
        assert!(done.expect("touch runs").success());
    }
    bench.ok(["umount", "web-1"]);
    bench
}

#[test]
fn root_a_container_is_looked_into_without_a_mount() {
    plyfs_testkit::require_root!();
    let bench = edited();
    insta::assert_snapshot!("ls_root", bench.ok(["ls", "web-1"]));
    insta::assert_snapshot!("ls_through_a_link", bench.ok(["ls", "web-1", "conf"]));
    assert_eq!(bench.ok(["ls", "--quiet", "web-1", "/conf/"]), "climbing\nmotd");
    assert_eq!(bench.ok(["ls", "--quiet", "app:1", "etc"]), "gone\nmotd", "the image is as it was");
    assert_eq!(bench.ok(["cat", "web-1", "/etc/climbing", "app/config"]), "changed\nport=80");
    assert_eq!(bench.ok(["cat", "app:1", "etc/motd"]), "hello");
    assert!(mounts_below(bench.temp.path()).is_empty(), "nothing was mounted");
}

#[test]
fn root_stat_says_which_layer_shows_a_path() {
    plyfs_testkit::require_root!();
    let bench = edited();
    insta::assert_snapshot!("stat_link", bench.plain(&bench.ok(["stat", "web-1", "conf"])));
    let of = |what: &str, path: &str| -> serde_json::Value {
        serde_json::from_str(&bench.ok(["--json", "stat", what, path])).expect("JSON")
    };
    let container = bench.ok(["--json", "inspect", "web-1"]);
    let upper = of("web-1", "etc/motd")["layer"].as_str().expect("a layer").to_owned();
    assert!(container.contains(&format!("{upper}/diff")), "{upper} is the container's own");
    let (base, app) = (of("web-1", "bin")["layer"].clone(), of("web-1", "app/config")["layer"].clone());
    assert_ne!(base, app);
    assert_eq!(of("app:1", "etc/motd")["layer"], base);
    let motd = of("web-1", "etc/motd");
    assert_eq!((&motd["type"], &motd["mode"], &motd["size_bytes"]), (&"file".into(), &"0644".into(), &8.into()));
    assert_eq!(
        (&motd["modified"], &motd["modified_nanoseconds"]),
        (&"2001-09-09T01:46:40Z".into(), &500_000_000.into())
    );
}

#[test]
fn root_find_lists_what_fits() {
    plyfs_testkit::require_root!();
    let bench = edited();
    let all = "/\n/app\n/app/config\n/bin\n/conf\n/dangling\n/etc\n/etc/climbing\n/etc/motd";
    assert_eq!(bench.ok(["find", "web-1"]), all);
    assert_eq!(bench.ok(["find", "web-1", "/conf"]), "/etc\n/etc/climbing\n/etc/motd");
    assert_eq!(bench.ok(["find", "web-1", "--name", "c*[gf]*", "--type", "l"]), "/conf\n/etc/climbing");
    assert_eq!(bench.ok(["find", "web-1", "--max-depth", "1", "--type", "d"]), "/\n/app\n/bin\n/etc");
    assert_eq!(bench.ok(["find", "web-1", "--max-depth", "0"]), "/");
    let json: serde_json::Value = serde_json::from_str(&bench.ok(["--json", "find", "web-1"])).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(9));
}

#[test]
fn root_what_cannot_be_looked_at_is_refused() {
    plyfs_testkit::require_root!();
    let bench = edited();
    let said = [
        (3, &["ls", "none"][..]),
        (3, &["ls", "web-1", "/etc/none"]),
        (3, &["cat", "web-1", "etc/motd", "dangling"]),
        (5, &["cat", "web-1", "/etc"]),
        (5, &["cat", "web-1", "etc/motd/x"]),
        (5, &["ls", "web-1", "etc/motd/"]),
        (3, &["stat", "web-1", "/../../root"]),
        (3, &["find", "web-1", "x"]),
    ]
    .map(|(code, args)| format!("{}\n{}", args.join(" "), bench.refused(code, args)));
    insta::assert_snapshot!(said.join("\n\n"));
}
