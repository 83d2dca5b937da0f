//! Without root: a store one may read is read; what needs privilege says so in one line.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use plyfs_testkit::process::{Ran, output, run};

use crate::bench::{Bench, PLYFS, clean};

/// Runs a copy of the binary, which a build directory may hide, as nobody.
fn as_nobody<A: AsRef<OsStr>>(bench: &Bench, args: impl IntoIterator<Item = A>) -> Command {
    let copy = bench.temp.join("plyfs");
    if !copy.exists() {
        fs::copy(PLYFS, &copy).expect("copied");
        open(bench.temp.path());
        open(&copy);
    }
    let mut command = clean("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(copy).args(args).current_dir(bench.temp.path()).env("HOME", "/nonexistent");
    command
}

/// Lets everybody in.
fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

#[track_caller]
fn denied(ran: Ran) -> String {
    let words = ran.code(13).words();
    assert_eq!(words.lines().filter(|line| line.starts_with("plyfs: ")).count(), 1, "{words}");
    assert!(words.ends_with("hint: run it as root"), "{words}");
    words
}

#[test]
fn root_a_store_that_may_be_read_is_read_by_anybody() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("setpriv");
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let wanted = |args: &[&str]| bench.ok(args);
    let read = [
        &["images", "--json"][..],
        &["layers", "--json"],
        &["containers", "--json"],
        &["tree"],
        &["inspect", "web-1"],
        &["inspect", "app:1"],
        &["changes", "web-1"],
        &["fsck"],
    ];
    let as_root: Vec<_> = read.iter().map(|args| wanted(args)).collect();
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(bench.store()));
    let store = bench.store();
    let store = store.to_str().expect("plain");
    for (args, wanted) in read.iter().zip(as_root) {
        let ran = run(&mut as_nobody(&bench, ["--root", store].iter().chain(*args))).success();
        assert_eq!((ran.text(), ran.words()), (wanted, String::new()), "{args:?}");
    }
    for args in [&["df", "--measure"][..], &["info"], &["diff", "web-1"], &["save", "app:1", "-o", "-"]] {
        let ran = run(&mut as_nobody(&bench, ["--root", store].iter().chain(args))).success();
        assert!(!ran.stdout.is_empty(), "{args:?}");
        assert_eq!(ran.words(), "", "{args:?}");
    }
    for args in [
        &["create", "app:1"][..],
        &["mount", "web-1"],
        &["mount", "web-1", "--print"],
        &["umount", "web-1"],
        &["rm", "web-1"],
        &["rmi", "app:1"],
        &["prune"],
    ] {
        let words = denied(run(&mut as_nobody(&bench, ["--root", store].iter().chain(args))));
        assert!(words.contains("needs root on store"), "{args:?}: {words}");
    }
    for args in [
        &["load", "app.tar"][..],
        &["import", "app.tar", "x:1"],
        &["commit", "web-1", "x:1"],
        &["tag", "app:1", "x:1"],
        &["rename", "web-1", "web-2"],
    ] {
        let ran = run(&mut as_nobody(&bench, ["--root", store].iter().chain(args))).failure();
        assert!(matches!(ran.status.code(), Some(13 | 17)), "{args:?}: {}", ran.words());
        assert_eq!(ran.words().lines().filter(|line| line.starts_with("plyfs: ")).count(), 1, "{}", ran.words());
    }
    for args in [&["fsck", "--repair"][..], &["fsck", "--rebuild"]] {
        let ran = run(&mut as_nobody(&bench, ["--root", store].iter().chain(args))).code(8);
        assert!(ran.words().contains("needs root on store"), "{args:?}: {}", ran.words());
    }
    let trash = bench.store().join("trash");
    fs::remove_dir(&trash).expect("it is empty");
    let ran = run(&mut as_nobody(&bench, ["--root", store, "fsck", "--repair"])).code(8);
    assert!(ran.words().contains("repairing needs root on store"), "{}", ran.words());
    fs::create_dir(&trash).expect("put back");
    // Whoever may change it insists on having it alone: others would reach the setuid programs in its layers.
    let words = bench.refused(13, ["tag", "app:1", "x:1"]);
    assert!(words.contains("has mode 0755, wider than 0700"), "{words}");
    output(Command::new("chmod").args(["-R", "go-rwx"]).arg(bench.store()));
    assert_eq!(bench.ok(["fsck"]), "");
}

#[test]
fn root_a_store_that_may_not_be_read_says_so_with_its_path() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("setpriv");
    let bench = Bench::with_image();
    let store = bench.store();
    for command in ["images", "df", "prune"] {
        let words = denied(run(&mut as_nobody(&bench, ["--root", store.to_str().expect("plain"), command])));
        assert!(words.contains(&store.display().to_string()), "{words}");
    }
}

#[test]
fn root_everybody_has_a_store_of_their_own_by_default() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("setpriv");
    let bench = Bench::new();
    let data = bench.temp.dir("data");
    let ran = run(as_nobody(&bench, ["images"]).env("XDG_DATA_HOME", &data)).code(3);
    assert!(ran.words().contains(&data.join("plyfs").display().to_string()), "{}", ran.words());
    let ran = run(as_nobody(&bench, ["images"]).env_remove("HOME")).code(2);
    assert!(ran.words().contains("--root or PLYFS_ROOT"), "{}", ran.words());
}

#[test]
fn root_an_empty_plyfs_root_is_as_if_it_were_unset() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("setpriv");
    let bench = Bench::new();
    let data = bench.temp.dir("data");
    let ran = run(as_nobody(&bench, ["images"]).env("XDG_DATA_HOME", &data).env("PLYFS_ROOT", "")).code(3);
    assert!(ran.words().contains(&data.join("plyfs").display().to_string()), "{}", ran.words());
    let ran = run(as_nobody(&bench, ["--root", "", "images"]).env("XDG_DATA_HOME", &data)).code(2);
    assert!(ran.words().contains("--root is empty"), "{}", ran.words());
}

#[test]
fn root_who_cannot_fill_a_store_is_refused_before_one_is_made() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("setpriv");
    let bench = Bench::with_image();
    let data = bench.temp.dir("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("ours");
    let archive = bench.temp.join("app.tar");
    open(&archive);
    for args in
        [&["load", "app.tar"][..], &["import", "app.tar", "x:1"], &["import", "app.tar", "x:1", "--parent", "y"]]
    {
        let words = denied(run(as_nobody(&bench, args).env("XDG_DATA_HOME", &data)));
        assert!(words.contains(&data.join("plyfs").display().to_string()), "{args:?}: {words}");
        let left: Vec<_> = fs::read_dir(&data).expect("listed").flatten().collect();
        assert!(left.is_empty(), "{args:?} left {left:?}");
    }
    // Nor is a store made of an empty directory of theirs.
    let words = denied(run(&mut as_nobody(
        &bench,
        [OsStr::new("--root"), data.as_os_str(), "load".as_ref(), "app.tar".as_ref()],
    )));
    assert!(words.contains("make store"), "{words}");
    assert!(fs::read_dir(&data).expect("listed").next().is_none());
}
