//! Images of as many layers as the kernel mounts, under the limit of open files that a shell has.

use std::process::Command;

use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::run;

use crate::bench::{Bench, PLYFS, clean};

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
