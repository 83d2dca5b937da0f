//! Probing leaves nothing behind and finds on this machine what mounting then uses.

use plyfs_mount::{Engine, ErrorKind, Feature, Features, check_types, check_upper};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;

use crate::support::{Home, plain, story};

#[test]
fn root_probing_leaves_the_scratch_directory_empty_and_mounts_nothing() {
    require_root!();
    let scratch = TempDir::new();
    let fd = plyfs_sys::fs::open_dir(scratch.path()).expect("open");

    let first = Features::probe(&fd).expect("probed");

    assert_eq!(std::fs::read_dir(scratch.path()).expect("a directory").count(), 0);
    assert_eq!(Features::probe(&fd).expect("probed"), first, "probing twice finds the same");
    assert!(first.has(Feature::FSOPEN), "the tests of both engines need a kernel with both");
}

#[test]
fn root_a_refused_feature_leads_to_the_next_engine() {
    require_root!();
    let home = Home::new();
    let layers = home.layers(2);
    for (way, features) in home.ways() {
        let expected = if way == "classic" { Engine::Classic } else { Engine::Descriptor };
        assert_eq!(plain(home.view(&layers), &features).engine(), expected, "{way}");
    }
}

#[test]
fn a_real_file_system_takes_an_upper_directory() {
    let scratch = TempDir::new();
    let fd = plyfs_sys::fs::open_dir(scratch.path()).expect("open");
    check_upper(&fd).expect("fit");
    check_types(&fd).expect("fit");
    assert_eq!(std::fs::read_dir(scratch.path()).expect("a directory").count(), 0, "nothing is left");
}

#[test]
fn root_without_the_privilege_nothing_is_found_and_the_error_says_what_is_missing() {
    require_root!();
    let home = Home::new();
    let stack = home.container("c", &home.layers(2));
    let target = home.target("t");
    // Capabilities belong to threads: this one gives its own away and ends.
    let unprivileged = std::thread::spawn(move || {
        let mut capabilities = rustix::thread::capabilities(None).expect("asked");
        capabilities.effective.remove(rustix::thread::CapabilitySet::SYS_ADMIN);
        rustix::thread::set_capabilities(None, capabilities).expect("given away");

        let features = home.probe();
        assert_eq!(features.found(), Feature::empty());
        let plan = plain(stack.clone(), &features);
        assert!(plan.options().to_str().is_some_and(|text| text.contains("lowerdir=")), "it can still be printed");
        for features in [features, Features::assume(Feature::all())] {
            let error = plain(stack.clone(), &features).mount_at(&target).expect_err("no privilege");
            assert_eq!(error.kind(), ErrorKind::Permission);
            assert!(story(&error).contains("mounting needs CAP_SYS_ADMIN"), "{}", story(&error));
        }
        home
    });
    drop(unprivileged.join().expect("the thread's claims hold"));
}
