//! What is refused, with which kind, and that it names its object.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use plyfs_store::{ContainerOptions, ErrorKind, Store};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::{Mounted, TempDir};

use crate::{Fixture, names};

#[test]
fn root_what_is_no_store_is_named_and_left_alone() {
    require_root!();
    let dir = TempDir::new();
    let foreign = dir.dir("foreign");
    fs::write(foreign.join("precious"), "data").expect("written");
    let file = dir.join("file");
    fs::write(&file, "").expect("written");

    for (path, open, ensure) in
        [(&foreign, ErrorKind::NotFound, ErrorKind::InvalidInput), (&file, ErrorKind::InvalidInput, ErrorKind::Exists)]
    {
        let error = Store::open(path).expect_err("no store");
        assert_eq!(error.kind(), open, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        let error = Store::ensure(path).expect_err("not empty");
        assert_eq!(error.kind(), ensure, "{error}");
    }
    assert_eq!(Store::open(dir.join("missing")).expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(names(dir.path()), ["file", "foreign", "foreign/precious"]);
}

#[test]
fn root_a_store_on_overlayfs_is_refused_with_the_reason() {
    require_root!();
    let dir = TempDir::new();
    let (lower, upper, work, merged) = (dir.dir("lower"), dir.dir("upper"), dir.dir("work"), dir.dir("merged"));
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let mounted = Mounted::overlay(merged, &options);

    let error = Store::ensure(mounted.path().join("store")).expect_err("rule 17a");

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn root_a_newer_store_is_refused_and_left_alone() {
    require_root!();
    let fixture = Fixture::new();
    let format = fixture.store.path().join("plyfs.toml");
    let text = fs::read_to_string(&format).expect("read").replace("version = 1", "version = 2");
    fs::write(&format, text).expect("written");
    let before = fixture.names();

    let error = Store::open(fixture.store.path()).expect_err("newer");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(&fixture.store.path().display().to_string()), "{error}");
    assert_eq!(fixture.names(), before);
}

#[test]
fn root_a_read_only_store_reads_and_refuses_to_write() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let store = Store::options().read_only(true).open(fixture.store.path()).expect("opened");

    assert_eq!(store.layers().expect("list").len(), 1);
    layer.write_archive(std::io::sink()).expect("read");
    for error in [
        store.operation().expect_err("no operation"),
        store.create(&layer, ContainerOptions::new()).expect_err("no container"),
        store.reap().expect_err("no reaping"),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
}

#[test]
fn root_a_taken_name_is_refused_and_nothing_is_left() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let options = || ContainerOptions::new().name("web-1".parse().expect("a name"));
    fixture.store.create(&layer, options()).expect("created");
    let before = fixture.names();

    let error = fixture.store.create(&layer, options()).expect_err("taken");

    assert_eq!((error.kind(), error.to_string().contains("web-1")), (ErrorKind::Exists, true), "{error}");
    assert_eq!(fixture.names(), before);
}

#[test]
fn root_the_store_is_private_whatever_the_umask() {
    require_root!();
    let dir = TempDir::new();
    // The umask belongs to the process; a shell of its own sets it for a directory made beforehand.
    let open = dir.dir("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("opened up");

    Store::ensure(&open).expect("made");

    assert_eq!(fs::metadata(&open).expect("stat").permissions().mode() & 0o7777, 0o700);
}
