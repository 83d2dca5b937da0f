//! Probing leaves nothing behind and finds on this machine what mounting then uses.

use plyfs_mount::{Engine, Feature, Features, check_types, check_upper};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;

use crate::support::{Home, plain};

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
