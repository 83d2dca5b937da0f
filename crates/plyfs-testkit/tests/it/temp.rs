//! Temporary directories and mounts: where they are, and that they end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use plyfs_testkit::require_root;
use plyfs_testkit::temp::{Mounted, TempDir, base, exists, mounts_below, unfit};

#[test]
fn temporary_directories_lie_on_a_fit_file_system_and_are_removed() {
    assert_eq!(unfit(&base()), None);
    let dir = TempDir::new();
    let path = dir.path().to_owned();
    std::fs::write(dir.dir("a/b").join("c"), "x").expect("it is ours");
    drop(dir);
    assert!(!path.exists());
}

#[test]
fn a_missing_directory_and_a_tmpfs_are_unfit() {
    assert_eq!(unfit(Path::new("/no/such/place")), Some("missing"));
    assert_eq!(unfit(Path::new("/dev/shm")), Some("tmpfs"));
}

#[test]
fn a_dangling_link_exists() {
    let dir = TempDir::new();
    std::os::unix::fs::symlink("nowhere", dir.join("link")).expect("it is ours");
    assert!(exists(&dir.join("link")) && !exists(&dir.join("nowhere")));
}

#[test]
fn root_a_mount_ends_with_its_guard_even_when_busy_or_after_a_panic() {
    require_root!();
    let dir = TempDir::new();
    let target = dir.dir("with space\\and\nline");
    drop(Mounted::tmpfs(&target));
    assert!(mounts_below(dir.path()).is_empty());

    let result = catch_unwind(AssertUnwindSafe(|| {
        let mount = Mounted::tmpfs(&target);
        assert_eq!(mounts_below(dir.path()), std::slice::from_ref(&target), "the odd name is read back from the table");
        let _held = std::fs::File::create(mount.path().join("open")).expect("a tmpfs takes a file");
        std::panic::resume_unwind(Box::new("the test fails"));
    }));
    assert!(result.is_err());
    assert!(mounts_below(dir.path()).is_empty());
}

#[test]
fn root_a_directory_never_empties_what_is_mounted_beneath_it() {
    require_root!();
    let other = TempDir::new();
    std::fs::write(other.join("precious"), "x").expect("it is ours");
    let dir = TempDir::new();
    let path = dir.path().to_owned();
    let target = dir.dir("bound");
    let bind = rustix::mount::mount_bind(other.path(), &target);
    bind.expect("root may bind");
    drop(dir);
    assert!(!path.exists(), "what was mounted went first");
    assert!(other.join("precious").exists());
}
