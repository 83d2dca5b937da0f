//! Ending mounts: in use, not there, held by another mount namespace.

use std::fs::File;
use std::process::Command;

use plyfs_mount::{ErrorKind, Unmount, detach_everywhere, unmount, unmount_at};
use plyfs_testkit::process::{Process, wait_until};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Home, is_mounted, plain, story};

#[test]
fn root_a_mount_in_use_is_busy_until_it_is_detached() {
    require_root!();
    let home = Home::new();
    let target = home.target("t");
    plain(home.container("c", &home.layers(1)), &home.probe()).mount_at(&target).expect("mounted");
    let held = File::open(target.join("who")).expect("a file");

    let error = unmount(&target, Unmount::Plain).expect_err("a file is open");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(target.to_str().expect("plain")), "{error}");
    assert!(is_mounted(&target));

    unmount(&target, Unmount::Detach).expect("detached");
    assert!(!is_mounted(&target));
    assert_eq!(std::io::read_to_string(&held).expect("still open"), "0");
}

#[test]
fn root_unmounting_what_is_not_mounted_is_not_found() {
    require_root!();
    let home = Home::new();
    let target = home.target("t");
    let missing = target.join("missing");
    for (target, said) in [(&target, "nothing is mounted at"), (&missing, "no mount point")] {
        for how in [Unmount::Plain, Unmount::Detach] {
            let error = unmount(target, how).expect_err("nothing there");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(story(&error).starts_with(said), "{error}");
        }
    }
}

#[test]
fn root_unmounting_through_a_symbolic_link_is_refused() {
    require_root!();
    let home = Home::new();
    let target = home.target("t");
    plain(home.view(&home.layers(2)), &home.probe()).mount_at(&target).expect("mounted");
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&target, &link).expect("a link");

    assert_eq!(unmount(&link, Unmount::Plain).expect_err("a link").kind(), ErrorKind::NotFound);
    assert!(is_mounted(&target));

    let parent = plyfs_sys::fs::open_dir(target.parent().expect("has one")).expect("open");
    unmount_at(&parent, "t", Unmount::Plain).expect("unmounted");
    assert!(!is_mounted(&target));
}

#[test]
fn root_a_mount_held_by_another_namespace_ends_with_its_mount_point() {
    require_root!();
    require_tool!("unshare", "sleep");
    let home = Home::new();
    let target = home.target("t");
    let layers = home.layers(1);
    let plan = plain(home.container("c", &layers), &home.probe());
    plan.mount_at(&target).expect("mounted");
    // Private: what is unmounted here stays mounted there.
    let other = Process::spawn(Command::new("unshare").args(["--mount", "--propagation", "private", "sleep", "60"]));
    let table = format!("/proc/{}/mountinfo", other.id());
    let sees = || {
        let table = plyfs_mount::mountinfo::parse(&std::fs::read(&table).expect("it runs")).expect("a table");
        plyfs_mount::mountinfo::at(&table, &target).is_some()
    };
    let is_sleeping = || std::fs::read(format!("/proc/{}/comm", other.id())).expect("it runs") == b"sleep\n";
    assert!(wait_until(std::time::Duration::from_secs(10), is_sleeping), "the other namespace is there");
    unmount(&target, Unmount::Plain).expect("unmounted here");
    assert!(sees(), "still mounted there");

    let parent = plyfs_sys::fs::open_dir(target.parent().expect("has one")).expect("open");
    detach_everywhere(&parent, "t").expect("detached");

    assert!(!sees(), "gone there too");
    assert!(!target.exists(), "and the mount point with it");
    detach_everywhere(&parent, "t").expect("a missing mount point is fine");
}

#[test]
fn root_detaching_everywhere_keeps_a_directory_that_is_not_empty() {
    require_root!();
    let home = Home::new();
    let target = home.target("t");
    std::fs::write(target.join("kept"), "").expect("a file");
    plain(home.view(&home.layers(2)), &home.probe()).mount_at(&target).expect("mounted");
    plain(home.view(&[]).upper("x", "y").lowers(["empty"]), &home.probe())
        .mount_at(&target)
        .expect_err("no upper there");
    let parent = plyfs_sys::fs::open_dir(target.parent().expect("has one")).expect("open");

    let error = detach_everywhere(&parent, "t").expect_err("not empty");

    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(target.join("kept").exists());
}
