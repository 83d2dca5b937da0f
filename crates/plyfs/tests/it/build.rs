//! The example of a builder: what a second build reuses.

use std::fs;
use std::path::Path;
use std::process::Command;

use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;

/// Builds the example with the packages and features that a test run of the workspace has built.
fn example() -> std::path::PathBuf {
    let here = std::env::current_exe().expect("a test knows itself");
    let profile = here.ancestors().nth(2).expect("tests lie in deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--quiet",
        "--workspace",
        "--exclude",
        "plyfs-python",
    ]);
    cargo.args(profile.ends_with("release").then_some("--release"));
    run(cargo.args(["--example", "build"])).success();
    profile.join("examples/build")
}

#[test]
fn root_a_changed_application_is_the_only_layer_built_again() {
    plyfs_testkit::require_root!();
    let temp = TempDir::new();
    let context = temp.path().join("context");
    let write = |name: &str, content: &str| {
        let path = context.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, content).expect("written");
    };
    write("base/etc/os-release", "NAME=base\n");
    write("dependencies/usr/lib/library.so", &"code".repeat(10_000));
    write("application/app/main", "version 1\n");
    let program = example();
    let build = || output(Command::new(&program).arg(temp.path().join("store")).arg(&context));
    let words = |printed: &str| -> Vec<String> {
        printed.lines().take(3).map(|line| line.split_whitespace().nth(2).unwrap_or_default().to_owned()).collect()
    };

    assert_eq!(words(&build()), ["built", "built", "built"]);
    let all = build();
    assert_eq!(words(&all), ["reused", "reused", "reused"]);
    assert!(all.ends_with(&format!("reused 3 of 3 layers, {} bytes not copied again", bytes(&context))), "{all}");

    write("application/app/main", "version 2\n");
    assert_eq!(words(&build()), ["reused", "reused", "built"]);
    write("base/etc/os-release", "NAME=other\n");
    assert_eq!(words(&build()), ["built", "built", "built"], "what stands on a changed layer is another chain");
}

/// The bytes of all files below a directory.
fn bytes(directory: &Path) -> u64 {
    let size = |path: &Path| if path.is_dir() { bytes(path) } else { path.metadata().expect("a file").len() };
    fs::read_dir(directory).expect("readable").map(|entry| size(&entry.expect("an entry").path())).sum()
}
