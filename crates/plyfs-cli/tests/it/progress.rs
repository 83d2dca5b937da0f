//! The progress bar: for a person at a terminal, for nobody else.

use std::fs::File;

use plyfs_testkit::process::{Ran, run};

use crate::bench::{Bench, PLYFS, clean};

/// Runs a command line on the bench's store with a terminal for its streams.
fn at_a_terminal(bench: &Bench, args: &str) -> Ran {
    let line = format!("exec {PLYFS} --root {} {args}", bench.store().display());
    let mut script = clean("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(bench.temp.path());
    run(&mut script).success()
}

#[test]
fn root_long_work_shows_how_far_it_is_at_a_terminal_unless_quiet() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("script");
    let bench = Bench::new();
    let tree = bench.temp.dir("tree");
    File::create(tree.join("big")).and_then(|file| file.set_len(64 << 20)).expect("a sparse file");
    let shown = at_a_terminal(&bench, "import tree big:1").text();
    assert!(shown.contains("export tree"), "{shown:?}");
    let shown = at_a_terminal(&bench, "save big:1 -o big.tar").text();
    assert!(shown.contains("save ") && shown.contains("/67."), "the size is known: {shown:?}");
    assert!(!shown.contains('\u{2591}'), "no bar of another style before it: {shown:?}");
    let quiet = at_a_terminal(&bench, "--quiet save big:1 -o again.tar").text();
    assert_eq!(quiet, "");
    assert_eq!(bench.ok(["save", "big:1", "-o", "again.tar"]), "", "no terminal, no bar");
}
