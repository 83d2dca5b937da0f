//! Both engines, and the fallbacks between them, mount the same thing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use plyfs_mount::mountinfo::Entry;
use plyfs_mount::{Engine, ErrorKind, Feature, MountOptions, plan};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{self, Options};

use crate::support::{Home, entry_at, is_mounted, plain, read, story};

#[test]
fn root_every_way_mounts_up_to_500_lowers_with_the_uppermost_on_top() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(500);
    for (way, features) in home.ways() {
        for count in [1, 2, 129, 400, 500] {
            let name = format!("{way}-{count}");
            let target = home.target(&name);
            let stack = home.container(&name, &layers[..count]);
            plain(stack, &features).mount_at(&target).unwrap_or_else(|error| panic!("{name}: {error:?}"));

            assert_eq!(read(target.join("who")), "0", "{name}: the uppermost layer wins");
            let files = std::fs::read_dir(&target).expect("a directory").count();
            assert_eq!(files, count + 1, "{name}: every layer is there");
            std::fs::write(target.join("new"), "new").expect("writable");
            assert_eq!(read(home.path().join(&name).join("diff/new")), "new", "{name}: writes go up");
            assert_eq!(entry_at(&target).lowers().len(), count, "{name}: as the kernel counts");
        }
    }
}

#[test]
fn root_both_engines_give_the_same_tree_and_the_same_options() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(20);
    let options = MountOptions::new().nosuid(true).nodev(true).noexec(true);
    let mounted = home.ways().into_iter().map(|(way, features)| {
        let target = home.target(way);
        let plan = plan(home.container(way, &layers), &options, &features).expect("a plan");
        plan.mount_at(&target).unwrap_or_else(|error| panic!("{way}: {error:?}"));
        target
    });
    let targets: Vec<_> = mounted.collect();

    let first = entry_at(&targets[0]);
    for target in &targets[1..] {
        let other = entry_at(target);
        assert_eq!((&other.source, &other.fs_type), (&first.source, &first.fs_type));
        assert_eq!(other.options, first.options, "{target:?}");
        assert_eq!(settings(&other), settings(&first), "{target:?}");
        tree::assert_same(&targets[0], target, &Options::new().without_root());
    }
}

/// What the kernel says about the mount besides its directories.
fn settings(entry: &Entry) -> BTreeSet<String> {
    let text = entry.super_options.to_str().expect("plain names").to_owned();
    let is_directory =
        |option: &&str| option.split_once('=').is_some_and(|(name, _)| name.contains("dir") && name != "redirect_dir");
    text.split(',').filter(|option| !is_directory(option)).map(str::to_owned).collect()
}

#[test]
fn root_attributes_hold_in_every_way() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(2);
    let options = MountOptions::new().read_only(true).nosuid(true).nodev(true).noexec(true);
    for (way, features) in home.ways() {
        let target = home.target(way);
        let plan = plan(home.container(way, &layers), &options, &features).expect("a plan");
        plan.mount_at(&target).unwrap_or_else(|error| panic!("{way}: {error:?}"));

        assert_eq!(entry_at(&target).options, "ro,nosuid,nodev,noexec,relatime", "{way}");
        let error = std::fs::write(target.join("new"), "").expect_err("read-only");
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{way}");
    }
}

#[test]
fn root_redirects_metacopy_and_index_are_off_whatever_the_kernel_was_built_with() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(1);
    std::fs::create_dir(home.path().join(&layers[0]).join("directory")).expect("a new directory");
    for (way, features) in home.ways() {
        for userxattr in [false, true] {
            let name = format!("{way}-{userxattr}");
            let target = home.target(&name);
            let options = MountOptions::new().userxattr(userxattr);
            let plan = plan(home.container(&name, &layers), &options, &features).expect("a plan");
            plan.mount_at(&target).unwrap_or_else(|error| panic!("{name}: {error:?}"));

            // Renaming a lower directory is a redirect or nothing (rule 25).
            let error = std::fs::rename(target.join("directory"), target.join("moved")).expect_err("no redirect");
            assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices, "{name}");
            assert_eq!(entry_at(&target).super_option("userxattr").count(), usize::from(userxattr), "{name}");
        }
    }
}

#[test]
fn root_a_view_shows_one_layer_or_several_and_takes_no_write() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(3);
    for (way, features) in home.ways() {
        for count in [1, 3] {
            let target = home.target(&format!("{way}-{count}"));
            plain(home.view(&layers[..count]), &features).mount_at(&target).expect("mounted");

            assert_eq!(read(target.join(format!("only-{}", count - 1))), (count - 1).to_string(), "{way}");
            let error = std::fs::write(target.join("who"), "").expect_err("read-only");
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{way}");
            assert_eq!(entry_at(&target).upper(), None, "{way}");
        }
    }
    let left = std::fs::read_dir(home.path().join("empty")).expect("a directory").count();
    assert_eq!(left, 0, "the empty directory stays empty");
}

#[test]
fn root_a_container_without_a_parent_starts_empty_and_is_writable() {
    require_root!();
    let home = Home::new();
    for (way, features) in home.ways() {
        let target = home.target(way);
        plain(home.container(way, &[]), &features).mount_at(&target).expect("mounted");

        assert_eq!(std::fs::read_dir(&target).expect("a directory").count(), 0, "{way}: starts empty");
        std::fs::write(target.join("first"), "1").expect("writable");
        assert_eq!(read(home.path().join(way).join("diff/first")), "1", "{way}");
    }
}

#[test]
fn root_a_volatile_mount_says_so_and_its_work_directory_is_refused_afterwards() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(1);
    for (way, features) in home.ways() {
        let target = home.target(way);
        let stack = home.container(way, &layers);
        let plan = plan(stack, &MountOptions::new().volatile(true), &features).expect("a plan");
        plan.mount_at(&target).expect("mounted");
        let entry = entry_at(&target);
        // Newer kernels take `volatile` and show what it now means.
        let says_so = entry.super_option("volatile").chain(entry.super_option("fsync")).next();
        assert!(says_so.is_some_and(|value| value.is_empty() || value == "volatile"), "{way}: {entry:?}");
        plyfs_mount::unmount(&target, plyfs_mount::Unmount::Plain).expect("unmounted");

        let error = plan.mount_at(&target).expect_err("the mark of the first mount is there (rule 67)");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{way}: {}", story(&error));
        assert!(story(&error).contains("/work/work/incompat/volatile"), "{way}: {}", story(&error));
        assert!(!is_mounted(&target), "{way}: nothing is left of the attempt");
    }
}

#[test]
fn root_the_callers_directory_and_umask_stay_as_they_were() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(200);
    let before = std::env::current_dir().expect("a directory");
    for (way, features) in home.ways() {
        plain(home.container(way, &layers), &features).mount_at(home.target(way)).expect("mounted");
        assert_eq!(std::env::current_dir().expect("a directory"), before, "{way}");
    }
    let umask = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    assert!(umask.lines().any(|line| line == "Umask:\t0022"), "the tests run with the usual umask");
}

#[test]
fn root_a_detached_mount_works_unseen_and_vanishes_with_its_descriptor() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(3);
    let plan = plain(home.container("c", &layers), &home.probe());
    if plan.engine() == Engine::Classic {
        // Linux before 6.7.
        assert_eq!(plan.mount_detached().expect_err("refused").kind(), ErrorKind::Unsupported);
        return;
    }

    let mount = plan.mount_detached().expect("mounted");
    let name = Path::new("c/diff");
    let seen = || {
        let table = plyfs_mount::mountinfo::read().expect("the table can be read");
        let ours = home.path().join(name);
        table.iter().any(|entry| entry.upper().is_some_and(|upper| ours == Path::new(&upper)))
    };
    assert!(!seen(), "no path leads to it");
    let file = plyfs_sys::fs::create_file_at(&mount, "new", rustix::fs::Mode::RUSR).expect("writable");
    assert_eq!(plyfs_sys::fs::read_dir(&mount).expect("list").len(), 5);
    drop(file);

    drop(mount);
    // Over the same upper and work, which a mount that still lived would hold (EBUSY or undefined, rule 65).
    let target = home.target("again");
    let again = plan.mount_detached().expect("mounted again");
    plyfs_mount::attach(&again, plyfs_sys::fs::open_dir(&target).expect("open")).expect("attached");
    assert!(seen(), "a path leads to it");
    assert!(target.join("new").exists(), "what was written through the descriptor is there");
}

#[test]
fn root_the_classic_engine_refuses_to_detach() {
    require_root!();
    let home = Home::new();
    let plan = plain(home.container("c", &home.layers(1)), &home.probe().without(Feature::APPEND));
    assert_eq!(plan.engine(), Engine::Classic);
    assert_eq!(plan.mount_detached().expect_err("refused").kind(), ErrorKind::Unsupported);
}

#[test]
fn root_a_missing_layer_fails_the_mount_and_names_it_in_every_way() {
    require_root!();
    let home = Home::new();
    let mut layers = home.layers(2);
    layers.push(OsString::from("l/MISSING"));
    for (way, features) in home.ways() {
        let target = home.target(way);
        let error = plain(home.container(way, &layers), &features).mount_at(&target).expect_err("no such layer");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{way}");
        assert!(story(&error).contains("l/MISSING"), "{way}: {}", story(&error));
        assert!(!is_mounted(&target), "{way}");
    }
}

#[test]
fn root_an_upper_directory_inside_an_overlay_is_refused_with_the_reason() {
    require_root!();
    let home = Home::new();
    let target = home.target("outer");
    let features = home.probe();
    plain(home.container("outer", &home.layers(1)), &features).mount_at(&target).expect("mounted");
    for part in ["diff", "work", "lower"] {
        std::fs::create_dir_all(target.join(part)).expect("a new directory");
    }
    let inner = plyfs_sys::fs::open_dir(&target).expect("open").into();
    let stack = plyfs_mount::Stack::new(inner, &target).lowers(["lower"]).upper("diff", "work");

    let error = plain(stack, &features).mount_at(home.target("inner")).expect_err("rule 17a");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(story(&error).contains("cannot be on overlay: whiteouts cannot be made"), "{}", story(&error));
}

#[test]
fn root_a_mount_point_that_is_missing_or_a_file_is_named() {
    require_root!();
    let home = Home::new();
    let plan = plain(home.view(&home.layers(2)), &home.probe());
    let missing = home.path().join("missing");
    let error = plan.mount_at(&missing).expect_err("no such directory");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(story(&error).contains(missing.to_str().expect("plain")), "{error:?}");

    std::fs::write(home.path().join("file"), "").expect("a file");
    assert_eq!(plan.mount_at(home.path().join("file")).expect_err("a file").kind(), ErrorKind::InvalidInput);
}

#[test]
fn root_many_threads_mount_at_once_through_every_way() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(200);
    let ways = home.ways();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (way, features) = &ways[thread % ways.len()];
            let (home, layers) = (&home, &layers);
            scope.spawn(move || {
                for round in 0..5 {
                    let name = format!("{way}-{thread}-{round}");
                    let target = home.target(&name);
                    plain(home.container(&name, layers), features).mount_at(&target).expect("mounted");
                    assert_eq!(read(target.join("only-199")), "199", "{name}");
                    // A descriptor's number taken by another thread would show as a foreign or missing layer.
                    assert_eq!(std::fs::read_dir(&target).expect("a directory").count(), 201, "{name}");
                    plyfs_mount::unmount(&target, plyfs_mount::Unmount::Plain).expect("unmounted");
                }
            });
        }
    });
}

#[test]
fn plans_and_what_they_are_made_of_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<plyfs_mount::Plan>();
    crosses::<plyfs_mount::Stack>();
    crosses::<plyfs_mount::Features>();
    crosses::<plyfs_mount::Error>();
}
