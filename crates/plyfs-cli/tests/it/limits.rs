//! Images of as many layers as the kernel mounts, under the limit of open files that a shell has; and no other thread.

use std::process::Command;

use plyfs_testkit::oci::{Compression, LayerTar, Plain};
use plyfs_testkit::process::{Ran, run};

use crate::bench::{Bench, PLYFS, clean, two_layers};

/// The most lowers that OverlayFS takes (rule 62).
const LAYERS: usize = 500;

/// The command under these limits of open files, the soft and the hard one.
fn limited(bench: &Bench, limits: &str, args: &[&str]) -> Command {
    let mut command = clean("prlimit");
    command.arg(format!("--nofile={limits}")).args([PLYFS, "--root"]).arg(bench.store()).args(args);
    command
}

#[test]
fn root_two_trees_of_500_layers_are_compared_under_the_usual_limit_of_open_files() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("prlimit");
    let bench = Bench::new();
    let layer = |number: usize| LayerTar::new().dir("etc").file(format!("etc/{number}"), number.to_string()).finish();
    Plain::new("localhost/deep:1", (0..LAYERS).map(layer).collect()).write_docker_archive(&bench.temp.join("deep.tar"));
    bench.ok(["load", "deep.tar"]);
    bench.ok(["create", "localhost/deep:1", "web-1"]);
    std::fs::write(std::path::Path::new(&bench.ok(["mount", "web-1"])).join("etc/0"), "changed")
        .expect("it can be written");
    bench.ok(["umount", "web-1"]);

    let compare = ["changes", "localhost/deep:1", "web-1"];
    let ran = run(&mut limited(&bench, "1024:4096", &compare)).success();
    assert_eq!((ran.text(), ran.words()), ("C /etc\nC /etc/0".to_owned(), String::new()));

    // Where more cannot be had, the error names the limit and what it is.
    let ran = run(&mut limited(&bench, "1024:1024", &compare)).failure();
    assert_eq!(ran.text(), "");
    assert!(ran.words().contains("too many open files: this process may hold 1024 (RLIMIT_NOFILE)"), "{}", ran.words());
}

/// Runs the command where no thread can be started.
fn alone(bench: &Bench, args: &[&str]) -> Ran {
    let mut strace = clean("strace");
    strace.current_dir(bench.temp.path()).args([
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=clone,clone3",
    ]);
    strace.args(["-e", "inject=clone,clone3:error=EAGAIN", PLYFS, "--root"]).arg(bench.store()).args(args);
    run(&mut strace)
}

#[test]
fn root_without_a_thread_to_be_had_work_is_done_by_one_or_fails_in_words_and_leaves_nothing() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("strace");
    let bench = Bench::new();
    for (compression, name) in [(Compression::Gzip, "gzip.tar"), (Compression::Zstd, "zstd.tar")] {
        two_layers().write_oci_archive(compression, &bench.temp.join(name));
        assert_eq!(alone(&bench, &["load", name]).success().text(), "localhost/app:1", "{name}");
        bench.ok(["rmi", "app:1"]);
    }
    bench.ok(["load", "gzip.tar"]);
    bench.ok(["create", "app:1", "web-1"]);
    std::fs::write(std::path::Path::new(&bench.ok(["mount", "web-1"])).join("etc/motd"), "changed")
        .expect("it can be written");
    bench.ok(["umount", "web-1"]);

    let compare = ["changes", "app:1", "web-1"];
    assert_eq!(alone(&bench, &compare).success().text(), bench.ok(compare));
    let diff = |output: &'static str| ["diff", "app:1", "web-1", "-o", output];
    bench.ok(diff("many.tar"));
    assert_eq!(alone(&bench, &diff("one.tar")).success().words(), "");
    let bytes = |name: &str| std::fs::read(bench.temp.join(name)).expect("written");
    assert!(bytes("one.tar") == bytes("many.tar"), "the same bytes");

    let save = |output: &'static str| ["save", "app:1", "--compression", "gzip", "-o", output];
    bench.ok(save("many.tar"));
    assert_eq!(alone(&bench, &save("one.tar")).success().words(), "");
    assert!(bytes("one.tar") == bytes("many.tar"), "the same bytes");

    // Through a file, since nobody unpacks meanwhile.
    assert_eq!(alone(&bench, &["commit", "web-1", "one:1"]).success().words(), "");
    bench.ok(["commit", "web-1", "many:1"]);
    assert_eq!(bench.ok(["changes", "one:1", "many:1"]), "");

    // What one thread reads while another writes needs both.
    let ran = alone(&bench, &["save", "app:1", "--format", "docker-archive", "-o", "x.tar"]).code(7);
    assert!(ran.words().contains("start a thread: resource temporarily unavailable"), "{}", ran.words());
    assert!(!bench.temp.join("x.tar").exists());
    assert_eq!(bench.ok(["fsck", "--data"]), "");
    assert_eq!(bench.ok(["--quiet", "images"]).lines().count(), 3);
}
