//! Standard output: pipes that close, devices that are full, terminals.

use std::process::{Command, Stdio};

use plyfs_testkit::process::run;

use crate::bench::{Bench, PLYFS, clean};

/// Runs with standard output into a pipe that nobody reads; the exit code and the words.
fn into_closed_pipe(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().expect("started");
    let output = child.wait_with_output().expect("waited");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn help_into_a_closed_pipe_ends_quietly() {
    assert_eq!(into_closed_pipe(clean(PLYFS).arg("--help")), (Some(0), String::new()));
}

#[test]
fn root_a_closed_pipe_is_a_quiet_end() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    for args in [
        &["images"][..],
        &["images", "--json"],
        &["tree"],
        &["df"],
        &["inspect", "web-1"],
        &["create", "app:1", "web-2"],
        &["rm", "web-2"],
    ] {
        assert_eq!(into_closed_pipe(&mut bench.command(args)), (Some(0), String::new()), "{args:?}");
    }
    // Half an archive is not what was asked for, and nothing but the code tells whoever has it.
    for args in [
        &["diff", "web-1"][..],
        &["export", "web-1"],
        &["save", "app:1", "-o", "-"],
        &["save", "app:1", "-o", "-", "--format", "oci-archive"],
        &["cp", "web-1:/", "-"],
        &["cat", "web-1", "/app/config"],
    ] {
        assert_eq!(into_closed_pipe(&mut bench.command(args)), (Some(141), String::new()), "{args:?}");
    }
    assert_eq!(bench.ok(["--quiet", "containers"]), "web-1", "web-2 was created and removed all the same");
    assert_eq!(bench.ok(["fsck"]), "");
}

#[test]
fn root_a_full_device_is_an_error() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let archives = [&["save", "app:1", "-o", "-"][..], &["save", "app:1", "-o", "/dev/full"], &["export", "app:1"]];
    for args in std::iter::once(&["images"][..]).chain(archives) {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let output = bench.command(args).stdout(full).output().expect("run");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(10), "{args:?}: {words}");
        assert!(words.contains("space"), "{args:?}: {words}");
        let says_where = words.contains("hint: make room where it is written to");
        assert_eq!(says_where, args != ["images"], "a prune makes no room there: {words}");
    }
}

#[test]
fn root_an_archive_goes_to_no_terminal_and_comes_from_none() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("script");
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    for args in ["save app:1 -o -", "diff web-1", "load", "import - x:1"] {
        let line = format!("exec {PLYFS} --root {} {args}", bench.store().display());
        let mut script = clean("script");
        let ran =
            run(script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(bench.temp.path()));
        assert!(ran.text().contains("terminal") && ran.text().contains("hint: "), "{args}: {}", ran.text());
        assert_eq!(ran.status.code(), Some(2), "{args}: {}", ran.text());
    }
}
