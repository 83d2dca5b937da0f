//! `kill -9` in the middle of a load: what was begun is there whole or not at all, and leaves nothing behind.

use std::time::{Duration, Instant};

use plyfs::Store;
use plyfs_testkit::images::small;
use plyfs_testkit::process::{Process, was_killed};
use plyfs_testkit::tree::{Options, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, assert_whole, mounted_tree, names, no_trace, remains, turn, usage};
use crate::twice::loader;

const MOMENTS: u32 = 50;

#[test]
fn root_a_load_killed_at_any_of_50_moments_leaves_the_image_whole_or_absent_and_nothing_behind() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let scratch = Scratch::new();
    // Another image is there all the time and must not be harmed.
    let other = scratch.load(plyfs_testkit::images::many_layers(3).docker_archive());
    let expected = mounted_tree(&scratch, &other);
    let (before, held) = (remains(&scratch.store), usage(&scratch.store));
    let archives = [small().oci_archive(), small().docker_archive(), small().zstd_layout()];
    // How long each takes: measured, and less as soon as one is done earlier.
    let mut whole = archives.each_ref().map(|archive| {
        let alone = Scratch::new();
        let started = Instant::now();
        Process::spawn(&mut loader(alone.store.path(), archive)).wait_within(Duration::from_secs(60)).success();
        started.elapsed()
    });

    let mut dice = fastrand::Rng::with_seed(3);
    let (mut interrupted, mut staged, mut present) = (0, 0, 0);
    for moment in 0.. {
        if interrupted == MOMENTS {
            break;
        }
        assert!(moment < 4 * MOMENTS, "only {interrupted} of {moment} kills came in time");
        let which = moment as usize % archives.len();
        let process = Process::spawn(&mut loader(scratch.store.path(), &archives[which]));
        let wait = whole[which].mul_f64(dice.f64());
        std::thread::sleep(wait);
        let killed = was_killed(process.kill().status);
        interrupted += u32::from(killed);
        if !killed {
            whole[which] = whole[which].mul_f64(0.9).max(wait.mul_f64(0.5));
        }
        let told = format!("moment {moment}, after {wait:?}");
        staged += u32::from(!names(&scratch.store.path().join("staging")).is_empty());

        let store = Store::open(scratch.store.path()).unwrap_or_else(|e| panic!("{told}: {e:?}"));
        store.reap().unwrap_or_else(|e| panic!("{told}: {e:?}"));
        assert_whole(&store);
        let loaded: Vec<_> = store.images().expect("they can be listed");
        let loaded: Vec<_> = loaded.into_iter().filter(|image| image.id() != other.id()).collect();
        match loaded.as_slice() {
            [] => {}
            [image] => {
                present += 1;
                assert_eq!(image.layers().expect("they are there").len(), 2, "{told}");
                assert_eq!(image.names().len(), usize::from(which != 2), "{told}: the layout gives no name");
                store.remove_image(image).unwrap_or_else(|e| panic!("{told}: {e:?}"));
                store.reap().unwrap_or_else(|e| panic!("{told}: {e:?}"));
            }
            more => panic!("{told}: {} images", more.len()),
        }
        assert_eq!(usage(&store), held, "{told}");
        let differing = plyfs_testkit::tree::differences(&remains(&store), &before, &no_trace());
        assert!(differing.is_empty(), "{told}: {differing:?}");
    }
    assert!(staged > MOMENTS / 4, "only {staged} of {MOMENTS} kills hit work in progress; {present} came after it");
    assert_same_trees(&mounted_tree(&scratch, &other), &expected, &Options::new().without_root());
}

#[test]
fn root_a_process_that_is_killed_does_not_disturb_another_that_loads_the_same() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let alone = Scratch::new();
    let expected = alone.load(small().oci_archive());
    let mut dice = fastrand::Rng::with_seed(5);
    for round in 0..10 {
        let scratch = Scratch::new();
        let start = || Process::spawn(&mut loader(scratch.store.path(), &small().oci_archive()));
        let (doomed, other) = (start(), start());
        std::thread::sleep(Duration::from_millis(300).mul_f64(dice.f64()));
        let _ = doomed.kill();
        let ran = other.wait_within(Duration::from_secs(60));
        assert!(ran.status.success(), "round {round}: {}", ran.text());
        let store = Store::open(scratch.store.path()).expect("a store can be opened");
        store.reap().expect("the trash is ours");
        assert_whole(&store);
        assert_eq!(usage(&store), usage(&alone.store), "round {round}");
        assert_eq!(store.images().expect("they can be listed")[0].id(), expected.id(), "round {round}");
    }
}
