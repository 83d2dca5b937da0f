//! What the store has is not stored again, and not read where it need not be.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use plyfs_image::{Compression, ErrorKind, Format, Source};
use plyfs_store::{Progress, Stage, Step, Store};
use plyfs_testkit::images;
use plyfs_testkit::oci::{LayerTar, Plain, write_archive};
use plyfs_testkit::process::wait_until;
use plyfs_testkit::require_root;

use crate::support::{Place, story};

#[test]
fn root_loading_again_stores_nothing_and_unpacks_nothing() {
    require_root!();
    let many = images::many_layers(5);
    let place = Place::new();
    place.load(many.docker_archive());
    let before = place.store.layers().expect("listed").len();
    let unpacked = Mutex::new(0);
    let count = |step: &Step<'_>| {
        if step.stage == Stage::Unpack {
            *unpacked.lock().expect("not poisoned") += 1;
        }
        ControlFlow::Continue(())
    };
    let source = Source::path(many.oci_archive()).expect("opened");
    plyfs_image::load(&place.store, source, Progress::new(&count)).expect("loaded");
    assert_eq!(place.store.layers().expect("listed").len(), before);
    assert_eq!(*unpacked.lock().expect("not poisoned"), 0, "layers were read though they are known");
}

#[test]
fn root_an_image_that_shares_layers_brings_only_what_is_new() {
    require_root!();
    let place = Place::new();
    place.load(images::many_layers(5).docker_archive());
    place.load(images::many_layers(8).docker_archive());
    assert_eq!(place.store.layers().expect("listed").len(), 8, "five of the eight are shared");
}

#[test]
fn root_two_loads_at_once_both_succeed_and_store_each_layer_once() {
    require_root!();
    let many = images::many_layers(20);
    let place = Place::new();
    std::thread::scope(|scope| {
        for path in [many.docker_archive(), many.oci_archive(), many.zstd_layout()] {
            let place = &place;
            scope.spawn(move || place.load(path));
        }
    });
    assert_eq!(place.store.layers().expect("listed").len(), 20);
    assert_eq!(place.store.images().expect("listed").len(), 1);
}

#[test]
fn root_a_load_that_waits_for_another_one_of_the_same_layers_can_be_cancelled() {
    require_root!();
    let many = images::many_layers(3);
    let place = Place::new();
    let elsewhere = Place::new().load(many.oci_archive()).remove(0).image;
    let lowest = elsewhere.layers().expect("listed").last().expect("three").chain_id().expect("known");
    let mut other = place.store.operation().expect("begun");
    other.claim([lowest], Progress::none()).expect("nobody builds it");
    let waits = AtomicBool::new(false);
    let stop = |step: &Step<'_>| match step.stage {
        Stage::Wait => {
            waits.store(true, Ordering::Relaxed);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    let load = || {
        let source = Source::path(many.oci_archive()).expect("opened");
        plyfs_image::load(&place.store, source, Progress::new(&stop))
    };
    let error = std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let is_back = wait_until(Duration::from_secs(30), || load.is_finished());
        drop(other);
        assert!(is_back, "it waits for the other one, whoever cancels");
        load.join().expect("no panic").expect_err("cancelled")
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
    assert!(waits.into_inner());
    place.assert_untouched();
    place.load(many.oci_archive());
}

#[test]
fn root_an_image_that_somebody_removes_as_soon_as_it_is_loaded_is_told_as_that() {
    require_root!();
    static REMOVER: OnceLock<Store> = OnceLock::new();
    let remove = |step: &str| {
        if let ("publish 5", Some(store)) = (step, REMOVER.get()) {
            let image = store.images().expect("listed").remove(0);
            store.remove_image(&image).expect("removed");
        }
    };
    let place = Place::new();
    let store = Store::options().at_each_step(remove).open(place.store.path()).expect("opened");
    REMOVER.get_or_init(|| place.store.clone());

    let source = Source::path(images::many_layers(2).docker_archive()).expect("opened");
    let error = plyfs_image::load(&store, source, Progress::none()).expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(story(&error).contains("was removed as soon as it was there"), "{}", story(&error));
}

#[test]
fn root_a_load_cancelled_at_any_step_leaves_nothing() {
    require_root!();
    let many = images::many_layers(4);
    let bytes = std::fs::read(many.oci_archive()).expect("readable");
    let mut cancelled = 0;
    for last in 0..200 {
        let place = Place::new();
        let steps = Mutex::new(0);
        let stop = |_: &Step<'_>| {
            let mut steps = steps.lock().expect("not poisoned");
            *steps += 1;
            if *steps > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match plyfs_image::load(&place.store, Source::reader(&bytes[..]), Progress::new(&stop)) {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "at step {last}: {}", story(&error));
                place.assert_untouched();
                cancelled += 1;
            }
        }
    }
    assert!(cancelled > 8, "receiving, four layers and publishing report, not {cancelled} steps");
    assert!(cancelled < 200, "it ends");
}

#[test]
fn root_a_layer_that_is_read_once_more_to_judge_it_can_be_cancelled_meanwhile() {
    require_root!();
    // Malformed at its beginning, so nothing behind is read before it is asked whether these are the bytes of its DiffId.
    let layer = LayerTar::new().file("../out", "x").file("large", vec![7; 8 << 20]).finish();
    let place = Place::new();
    let bad = place.temp.join("bad.tar");
    write_archive(&bad, &Plain::new("localhost/bad:1", vec![layer]).docker_members());
    let refused = place.try_load(&bad).expect_err("it climbs");
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{}", story(&refused));
    let stop = |step: &Step<'_>| match step.stage {
        Stage::Unpack if step.done > 6 << 20 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let source = Source::path(&bad).expect("opened");
    let error = plyfs_image::load(&place.store, source, Progress::new(&stop)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
    place.assert_untouched();
}

#[test]
fn root_a_save_that_is_cancelled_says_so() {
    require_root!();
    let place = Place::new();
    let image = place.load(images::many_layers(3).docker_archive()).remove(0).image;
    for compression in [Compression::None, Compression::Gzip] {
        let stop = |step: &Step<'_>| {
            if step.stage == Stage::Save { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let archive = plyfs_image::Archive::oci(std::io::sink()).compression(compression);
        let error = plyfs_image::save(&place.store, &[&image], archive, Progress::new(&stop)).expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{compression}: {}", story(&error));
    }
    place.save(&[&image], Format::OciLayout, Compression::Gzip, "afterwards");
}
