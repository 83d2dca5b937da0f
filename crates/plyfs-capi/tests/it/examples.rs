//! The examples, compiled without a warning and run on a real image, each checked by what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plyfs_testkit::process::{output, run};
use plyfs_testkit::{images, temp};

use crate::stage::{Stage, workspace};

/// What every compiler may say of the C example.
const STRICT: [&str; 6] = ["-std=c11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Runs a built example on the image, and holds it to what the task of the README leaves.
fn does_the_task(mut example: Command, stage: &Stage) {
    let image = images::small();
    let (store, out) = (stage.join("store"), stage.join("out.tar"));
    let printed = output(example.arg(&store).arg(image.oci_archive()).arg(&out));

    let lines: Vec<_> = printed.lines().collect();
    let [loaded, changed @ .., committed] = &lines[..] else { panic!("too little was printed: {printed}") };
    assert_eq!(*loaded, format!("loaded {}", image.name()));
    assert_eq!(changed, ["C /app", "C /app/config.properties"]);
    assert!(committed.starts_with("svc:2 is sha256:"), "{committed}");
    assert_eq!(temp::mounts_below(&store), Vec::<PathBuf>::new(), "a mount was left");

    let store = plyfs_store(&store);
    assert!(store.containers().expect("the store is whole").is_empty(), "a container was left");
    assert_eq!(store.images().expect("the store is whole").len(), 2);
    is_saved(&out);
}

fn plyfs_store(path: &Path) -> plyfs::Store {
    plyfs::Store::open(path).expect("the example made a store")
}

/// Asks skopeo what the archive holds.
fn is_saved(archive: &Path) {
    if is_missing("skopeo") {
        return;
    }
    let what = format!("oci-archive:{}", archive.display());
    let inspected = output(Command::new("skopeo").args(["inspect", "--config", &what]));
    assert!(inspected.contains("new port"), "the message is missing: {inspected}");
}

fn is_missing(tool: &str) -> bool {
    !plyfs_testkit::require::tool(tool, module_path!(), line!())
}

/// Compiles a C example with these flags more.
fn compile(stage: &Stage, name: &str, more: &[&str]) -> PathBuf {
    let program = stage.join(name);
    let mut cc = stage.command("cc");
    cc.args(STRICT).args(more).arg(workspace().join(format!("examples/c/{name}.c"))).arg("-o").arg(&program);
    run(cc.args(stage.flags())).success();
    program
}

#[test]
fn root_the_c_example_does_the_task() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("cc", "pkg-config", "buildah", "podman", "skopeo");
    let stage = Stage::new();
    let program = compile(&stage, "svc", &["-O2"]);
    does_the_task(stage.command(program), &stage);
}

#[test]
fn root_the_c_example_is_clean_under_sanitizers() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("cc", "pkg-config", "buildah", "podman", "skopeo");
    let stage = Stage::new();
    if let Some(example) = sanitized(&stage, "svc") {
        does_the_task(example, &stage);
    }
}

/// An example that fails on undefined behaviour and on each leak; a leak of a handle is one of memory.
fn sanitized(stage: &Stage, name: &str) -> Option<Command> {
    let libasan = output(Command::new("cc").arg("-print-file-name=libasan.so"));
    if !Path::new(libasan.trim()).is_absolute() {
        let _ = plyfs_testkit::require::tool("libasan", module_path!(), line!());
        return None;
    }
    let program = compile(stage, name, &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    let mut example = stage.command(program);
    example.env("ASAN_OPTIONS", "detect_leaks=1:exitcode=99");
    Some(example)
}

#[test]
fn root_the_c_build_reuses_what_it_made_and_is_clean_under_sanitizers() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("cc", "pkg-config", "buildah", "podman", "skopeo");
    let stage = Stage::new();
    let store = stage.join("store");
    let Some(mut example) = sanitized(&stage, "build") else { return };
    let printed = output(example.arg(&store).arg(images::small().oci_archive()));
    for line in ["build 1: dependencies made, application made", "build 2: dependencies reused, application made"] {
        assert!(printed.lines().any(|said| said == line), "{line:?} is missing: {printed}");
    }
    assert_eq!(temp::mounts_below(&store), Vec::<PathBuf>::new(), "a mount was left");
    let store = plyfs_store(&store);
    assert_eq!(store.leases().expect("the store is whole"), [], "a lease was left");
    let found = store.check(plyfs::CheckOptions::data()).expect("it can be checked");
    assert_eq!(found, [], "{found:?}");
}

#[test]
fn a_failed_example_ends_with_the_number_of_its_kind() {
    plyfs_testkit::require_tool!("cc", "pkg-config");
    let stage = Stage::new();
    let program = compile(&stage, "svc", &[]);
    let nothing = stage.join("nothing.tar");
    let ran = run(stage.command(program).arg(stage.join("store")).arg(&nothing)).code(plyfs_capi::PLYFS_ERR_NOT_FOUND);
    assert!(ran.words().contains(&nothing.display().to_string()), "{}", ran.words());
}

#[test]
fn root_the_go_example_does_the_task() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("go", "cc", "pkg-config", "buildah", "podman", "skopeo");
    let stage = Stage::new();
    let program = stage.join("example");
    for arguments in [&["vet", "."][..], &["build", "-o", &program.to_string_lossy(), "."]] {
        let mut go = stage.command("go");
        go.current_dir(workspace().join("examples/go")).args(arguments);
        go.env("CGO_ENABLED", "1").env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-buildvcs=false");
        // A cache of its own: a kept one remembers the library path of an earlier stage.
        run(go.env("GOCACHE", stage.join("go-cache"))).success();
    }
    let mut example = stage.command(program);
    example.env("GODEBUG", "cgocheck=1");
    does_the_task(example, &stage);
}

#[test]
fn root_the_rust_example_does_the_task() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("buildah", "podman", "skopeo");
    let stage = Stage::new();
    let here = std::env::current_exe().expect("a test knows itself");
    let profile = here.ancestors().nth(2).expect("tests lie in deps");
    let mut cargo = Command::new(env!("CARGO"));
    // The packages that a test run of the workspace has built, with the features they have there.
    cargo.current_dir(workspace()).args(["build", "--quiet", "--workspace", "--exclude", "plyfs-python"]);
    cargo.args(profile.ends_with("release").then_some("--release"));
    run(cargo.args(["--example", "svc"])).success();
    does_the_task(stage.command(profile.join("examples/svc")), &stage);
}

#[test]
fn what_is_written_in_go_is_formatted() {
    plyfs_testkit::require_tool!("gofmt");
    for module in ["examples/go", "bindings/go"] {
        let listed = output(Command::new("gofmt").arg("-l").arg(workspace().join(module)));
        assert_eq!(listed, "", "gofmt changes these");
        assert!(fs::exists(workspace().join(module).join("go.mod")).expect("it can be seen"));
    }
}
