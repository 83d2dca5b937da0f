//! What is refused, with which kind, and that it names its object.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use plyfs_store::{ContainerOptions, ErrorKind, Store};
use plyfs_sys::report as told;
use plyfs_testkit::peers::tool;
use plyfs_testkit::process::output;
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
fn root_a_store_that_shows_through_overlayfs_is_opened_for_reading_alone() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let dir = TempDir::new();
    let (upper, work, merged) = (dir.dir("upper"), dir.dir("work"), dir.dir("merged"));
    let (lower, upper_shown) = (fixture.dir.path().display(), upper.display());
    let mounted =
        Mounted::overlay(merged, &format!("lowerdir={lower},upperdir={upper_shown},workdir={}", work.display()));
    let name = fixture.store.path().file_name().expect("the store has a name");
    let path = mounted.path().join(name);

    check_refused(&path, ErrorKind::Unsupported, &["overlayfs"]);

    assert_eq!(names(&upper), [""; 0], "nothing was copied up");
    let reader = Store::options().read_only(true).open(&path).expect("reading needs no upper");
    assert_eq!(reader.layer(&layer.id().to_string()).expect("found").usage(), layer.usage());
}

#[test]
fn root_a_store_on_a_file_system_that_a_program_serves_is_refused_and_read() {
    require_root!();
    plyfs_testkit::require_tool!("fuse-overlayfs");
    let fixture = Fixture::new();
    fixture.layer(None, &[("a", "1")]);
    let dir = TempDir::new();
    let (upper, work, at) = (dir.dir("upper"), dir.dir("work"), dir.dir("served"));
    let (lower, upper_shown) = (fixture.dir.path().display(), upper.display());
    let options = format!("lowerdir={lower},upperdir={upper_shown},workdir={}", work.display());
    output(tool("fuse-overlayfs").arg("-o").arg(options).arg(&at));
    let served = Mounted::at(&at);
    let path = served.path().join(fixture.store.path().file_name().expect("the store has a name"));

    check_refused(&path, ErrorKind::Unsupported, &["on FUSE, a file system that a program serves"]);

    let fresh = served.path().join("fresh");
    let error = Store::ensure(&fresh).expect_err("refused");
    assert_eq!((error.kind(), fresh.exists()), (ErrorKind::Unsupported, false), "{}", told(&error));
    assert_eq!(names(&upper), [""; 0], "nothing was copied up");
    let reader = Store::options().read_only(true).open(&path).expect("reading");
    assert_eq!(reader.layers().expect("listed").len(), 1);
}

#[test]
fn root_a_newer_store_is_refused_and_left_alone() {
    require_root!();
    let fixture = Fixture::new();
    let format = fixture.store.path().join("plyfs.toml");
    let text = fs::read_to_string(&format).expect("read").replace("version = 2", "version = 3");
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

/// Everything in a store with its type, mode, owner and content.
fn state(root: &std::path::Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let names = names(root).into_iter().map(|name| root.join(name)).chain([root.to_owned(), root.join("journal")]);
    let described = names.map(|path| {
        let Ok(meta) = fs::symlink_metadata(&path) else { return format!("{} is missing", path.display()) };
        let content = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        format!("{} {:o} {} {:?} {content:?}", path.display(), meta.mode(), meta.uid(), fs::read_link(&path).ok())
    });
    described.collect()
}

/// Claims that the store is neither opened nor made, with one line that says these words, and that nothing changes.
fn check_refused(path: &std::path::Path, kind: ErrorKind, words: &[&str]) {
    let before = state(path);
    for error in [Store::open(path).expect_err("refused"), Store::ensure(path).expect_err("refused")] {
        let line = told(&error);
        assert_eq!(error.kind(), kind, "{line}");
        assert!(line.contains(&path.display().to_string()) && !line.contains('\n'), "{line}");
        words.iter().for_each(|word| assert!(line.contains(word), "{word:?} in {line}"));
    }
    assert_eq!(state(path), before, "nothing is changed");
}

#[test]
fn root_a_part_that_is_missing_or_something_else_is_named_and_nothing_is_changed() {
    require_root!();
    let parts = ["overlay2", "overlay2/l", "journal", "blobs", "blobs/sha256", "tarsplit", "staging", "trash"];
    for part in parts {
        let fixture = Fixture::new();
        fixture.layer(None, &[("a", "1")]);
        let path = fixture.store.path().to_owned();
        let (place, aside) = (path.join(part), fixture.dir.join("aside"));
        let name = part.rsplit('/').next().expect("a name");
        fs::rename(&place, &aside).expect("taken");
        check_refused(&path, ErrorKind::Corrupt, &[name, "is missing"]);
        fs::write(&place, "").expect("mangled");
        check_refused(&path, ErrorKind::Corrupt, &[name, "is a file"]);
        fs::remove_file(&place).expect("removed");
        std::os::unix::fs::symlink(&aside, &place).expect("mangled");
        check_refused(&path, ErrorKind::Corrupt, &[name, "is a symbolic link"]);
        fs::remove_file(&place).expect("removed");
        fs::rename(&aside, &place).expect("put back");
        Store::open(&path).expect("whole again");
    }
}

#[test]
fn root_a_directory_or_link_where_a_file_should_be_is_named() {
    require_root!();
    let fixture = Fixture::new();
    fixture.layer(None, &[("a", "1")]);
    let path = fixture.store.path().to_owned();
    let mut files = vec![path.join("plyfs.toml")];
    let journal = fs::read_dir(path.join("journal")).expect("list").map(|entry| entry.expect("an entry").path());
    files.extend(journal.filter(|file| !file.ends_with("lock")));
    assert!(files.len() > 2, "{files:?}");
    let aside = fixture.dir.join("aside");
    for file in files {
        let name = file.file_name().expect("a name").to_str().expect("text").to_owned();
        fs::rename(&file, &aside).expect("taken");
        fs::create_dir(&file).expect("mangled");
        let before = state(&path);
        let error = Store::open(&path).expect_err("a directory where a file should be");
        assert!(told(&error).contains(&name), "{}", told(&error));
        fs::remove_dir(&file).expect("removed");
        std::os::unix::fs::symlink(&aside, &file).expect("mangled");
        let error = Store::open(&path).expect_err("a link where a file should be");
        assert!(told(&error).contains(&name), "{}", told(&error));
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("as it was");
        assert_eq!(state(&path), before, "nothing is changed");
        fs::remove_dir(&file).expect("removed");
        fs::rename(&aside, &file).expect("put back");
        Store::open(&path).expect("whole again");
    }
}

#[test]
fn root_another_owner_and_a_mode_too_wide_are_named() {
    require_root!();
    let fixture = Fixture::new();
    let path = fixture.store.path().to_owned();
    for part in ["", "overlay2", "journal", "blobs", "tarsplit", "staging", "trash"] {
        let place = path.join(part);
        let mode = fs::metadata(&place).expect("stat").permissions();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("opened up");
        check_refused(&path, ErrorKind::Permission, &["0755", if part.is_empty() { "root" } else { part }]);
        fs::set_permissions(&place, mode).expect("put back");
        std::os::unix::fs::chown(&place, Some(1234), None).expect("given away");
        check_refused(&path, ErrorKind::Permission, &["1234", if part.is_empty() { "root" } else { part }]);
        std::os::unix::fs::chown(&place, Some(0), None).expect("put back");
    }
    Store::open(&path).expect("as it was");
}

#[test]
fn root_a_store_that_lost_its_format_file_is_never_made_anew_over_its_layers() {
    require_root!();
    let fixture = Fixture::new();
    fixture.layer(None, &[("a", "1")]);
    let path = fixture.store.path().to_owned();
    fs::remove_file(path.join("plyfs.toml")).expect("lost");
    let before = state(&path);

    let error = Store::ensure(&path).expect_err("there are layers");

    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", told(&error));
    assert!(told(&error).contains("plyfs.toml is missing"), "{}", told(&error));
    assert_eq!(state(&path), before);
}

#[test]
fn root_the_format_file_of_another_version_is_not_written_anew_but_for_what_the_records_show() {
    require_root!();
    let fixture = Fixture::new();
    fixture.layer(None, &[("a", "1")]);
    let path = fixture.store.path().to_owned();
    fs::remove_file(path.join("plyfs.toml")).expect("lost");
    // Version 1 had a letter of its own for the names of images.
    let journal = plyfs_sys::fs::open_dir(path.join("journal")).expect("opened");
    let journal = plyfs_journal::DirDisk::new(journal);
    let journal = plyfs_journal::Journal::open(std::sync::Arc::new(journal), plyfs_journal::Options::default());
    let journal = journal.expect("opened");
    let key = [&b"g"[..], &[7; 32], b"localhost/app:1"].concat();
    let change = |value: Option<&[u8]>| {
        let changed = journal.write(|records| {
            match value {
                Some(value) => records.put(&key, value),
                None => records.delete(&key),
            }
            Ok::<_, plyfs_journal::Error>(())
        });
        changed.expect("written");
    };
    change(Some(b""));
    let before = fixture.names();

    let error = Store::options().restore_parts(&path).expect_err("of another version");

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", told(&error));
    assert!(told(&error).contains("localhost/app:1"), "{}", told(&error));
    assert_eq!(fixture.names(), before);
    change(None);
    assert_eq!(Store::options().restore_parts(&path).expect("of this one").len(), 1);
    assert_eq!(Store::open(&path).expect("whole again").layers().expect("listed").len(), 1);
}

#[test]
fn root_on_tmpfs_a_store_opens_only_without_durability() {
    require_root!();
    let dir = TempDir::new();
    let mounted = Mounted::tmpfs(dir.dir("tmpfs"));
    let path = mounted.path().join("store");

    let error = Store::ensure(&path).expect_err("nothing survives");
    assert_eq!((error.kind(), told(&error).contains("tmpfs")), (ErrorKind::Unsupported, true), "{}", told(&error));
    assert!(!path.exists(), "nothing is made");
    let store = Store::options().durability(plyfs_store::Durability::None).ensure(&path).expect("asked for");
    let mut operation = store.operation().expect("an operation");
    operation.apply(&mut crate::archive(&[("a", "1")]).as_slice(), None, None).expect("applied");
    operation.publish().expect("published");
    drop(store);
    check_refused(&path, ErrorKind::Unsupported, &["tmpfs", "Durability::None"]);
    assert_eq!(Store::options().read_only(true).open(&path).expect("reading").layers().expect("listed").len(), 1);
}

#[test]
fn root_on_a_read_only_medium_a_store_opens_for_reading() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let at = fixture.dir.dir("medium");
    let mount = |arguments: &[&std::ffi::OsStr]| {
        let status = std::process::Command::new("mount").args(arguments).arg(&at).status().expect("mount(8)");
        assert!(status.success(), "{arguments:?}");
    };
    mount(&["--bind".as_ref(), fixture.store.path().as_os_str()]);
    let medium = Mounted::at(&at);
    mount(&["-o".as_ref(), "remount,bind,ro".as_ref()]);

    let store = Store::open(medium.path()).expect("opened");

    assert!(!store.is_writable());
    assert_eq!(store.layers().expect("listed").len(), 1);
    store.layer(&layer.id().to_string()).expect("found").write_archive(std::io::sink()).expect("read");
    let error = store.operation().expect_err("no change");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert_eq!(Store::ensure(medium.path()).map(|store| store.is_writable()).map_err(|e| e.kind()), Ok(false));
}

#[test]
fn root_every_directory_is_private_whatever_the_umask() {
    require_root!();
    const ROLE: &str = "PLYFS_TEST_UMASK_ROLE";
    // The umask belongs to the process, so one of its own makes the store: this test, told so by its environment.
    if let Some(path) = std::env::var_os(ROLE) {
        let store = Store::ensure(path).expect("made");
        let mut operation = store.operation().expect("an operation");
        let bytes = crate::archive(&[("a", "1")]);
        let base = operation.apply(&mut bytes.as_slice(), None, None).expect("applied").id;
        operation.apply(&mut bytes.as_slice(), Some(base), None).expect("applied");
        operation.publish().expect("published");
        let base = store.layer(&base.to_string()).expect("found");
        let mount = store.create(&base, ContainerOptions::new()).expect("created").mount(&Default::default());
        return mount.expect("mounted").unmount().expect("unmounted");
    }
    for umask in ["000", "077"] {
        let dir = TempDir::new();
        let script = format!(
            "umask {umask} && exec \"$0\" --exact refusals::root_every_directory_is_private_whatever_the_umask"
        );
        let here = std::env::current_exe().expect("a test knows itself");
        let mut shell = std::process::Command::new("sh");
        let shell = shell.args(["-c", &script]).arg(here).env(ROLE, dir.join("above/store"));
        let _ = plyfs_testkit::process::run(shell).success();
        let root = dir.join("above/store");
        let mut seen = 0;
        for name in names(&root).iter().map(String::as_str).chain(["", "journal"]) {
            let path = root.join(name);
            let part = name.rsplit('/').next().unwrap_or_default();
            let wanted = match part {
                // The kernel's own.
                "work" if name.ends_with("work/work") => continue,
                "overlay2" => 0o710,
                _ if part.len() == 64 && path.is_dir() => 0o710,
                "diff" | "empty" => 0o755,
                _ if path.is_dir() && !path.is_symlink() => 0o700,
                _ => continue,
            };
            let mode = fs::metadata(&path).expect("stat").permissions().mode() & 0o7777;
            assert_eq!(mode, wanted, "umask {umask}: {name} has mode {mode:o}");
            seen += 1;
        }
        assert!(seen > 15, "{seen} directories were looked at");
    }
}
