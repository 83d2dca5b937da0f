//! What a load may take of memory, threads and reading, however large the image is, and a save and a commit of memory; and
//! what a cancelled one leaves.
//!
//! A child of this test does the work in a process of its own, so that what is counted there is the work's alone.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plyfs_image::{Archive, CommitOptions, Compression, ErrorKind, ImportOptions, Source};
use plyfs_store::{Container, ContainerOptions, NewImage, Progress, Stage, Step, Store};
use plyfs_testkit::oci::{self, LayerTar, Plain};
use plyfs_testkit::process::Process;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{noise, require_root};

use crate::support::{Place, story};

/// Names what a child is to do, and where.
const WORK: &str = "PLYFS_TEST_RESOURCES";
const PLACE: &str = "PLYFS_TEST_PLACE";

/// The most memory a load may have resident.
const MEMORY_KIB: u64 = 64 << 10;
/// The most memory a save may have resident that packs as hard as it can.
const PACKING_KIB: u64 = 80 << 10;
/// The most memory a commit may take more for a config that is as long as may be.
const COMMIT_KIB: u64 = 40 << 10;
/// A layer that is large beside every buffer.
const LARGE: usize = 16 << 20;
/// How long a child may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A layer with one large file and some small ones.
fn layer(seed: u64, length: usize) -> Vec<u8> {
    let small = (0..20).fold(LayerTar::new(), |tar, number| tar.file(format!("{seed}-{number}"), noise(number, 5000)));
    small.file(format!("{seed}-large"), noise(seed, length)).finish()
}

fn image(layers: u64, length: usize) -> Plain {
    Plain::new("localhost/large:1", (0..layers).map(|seed| layer(seed, length)).collect())
}

/// A number in a line `name: number` of a file of procfs.
fn counted(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

fn threads() -> u64 {
    fs::read_dir("/proc/self/task").expect("procfs").count() as u64
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// The half of the tests that runs in a process of its own; without its variables it has nothing to do.
#[test]
fn root_in_a_child_a_load_is_counted() {
    let (Ok(work), Ok(place)) = (std::env::var(WORK), std::env::var(PLACE)) else { return };
    let place = Path::new(&place);
    let store = Store::ensure(place.join("store")).expect("a store");
    let before = (threads(), counted("/proc/self/io", "rchar"));
    let most = AtomicU64::new(0);
    let watch = |_: &Step<'_>| {
        most.fetch_max(threads(), Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let source = Source::path(place.join("image")).expect("opened");
    plyfs_image::load(&store, source, Progress::new(&watch)).unwrap_or_else(|error| panic!("{}", story(&error)));
    let read = counted("/proc/self/io", "rchar") - before.1;
    match work.as_str() {
        "load" => {
            let kib = counted("/proc/self/status", "VmHWM");
            assert!(kib <= MEMORY_KIB, "{kib} KiB resident");
            // Those of the test itself rest meanwhile, but for the one that loads.
            let working = most.into_inner() - before.0 + 1;
            assert!(working <= 2 + cores(), "{working} threads on {} cores", cores());
            assert!(
                working > 1 || cores() == 1,
                "one thread alone loaded {} layers",
                store.layers().expect("listed").len()
            );
        }
        "save" => {
            let image = store.image("localhost/large:1").expect("it came in");
            let archive = Archive::oci(io::sink()).compression(Compression::Zstd).level(19);
            plyfs_image::save(&store, &[&image], archive, Progress::none()).expect("saved");
            let kib = counted("/proc/self/status", "VmHWM");
            assert!(kib <= PACKING_KIB, "{kib} KiB resident");
        }
        "commit" => {
            let container = upon_long_config(&store);
            let before = counted("/proc/self/status", "VmRSS");
            fs::write("/proc/self/clear_refs", "5").expect("root forgets the peak");
            plyfs_image::commit(&container, CommitOptions::new(), Progress::none()).expect("committed");
            let kib = counted("/proc/self/status", "VmHWM").saturating_sub(before);
            assert!(kib <= COMMIT_KIB, "{kib} KiB for a config of 4 MiB");
        }
        "top" => assert!(read < LARGE as u64 / 2, "{read} bytes read for a small layer"),
        other => panic!("no work {other:?}"),
    }
}

/// A container of an image whose config has nearly 4 MiB in a field that nobody reads.
fn upon_long_config(store: &Store) -> Container {
    let zeros = format!("[{}]", vec!["0"; 16_000].join(","));
    let unread = vec![zeros.as_str(); 120].join(",");
    let config = format!(r#"{{"unread":[{unread}],"config":{{"Env":[]}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
    let mut operation = store.operation().expect("an operation");
    let id = operation.blob(config.as_bytes()).expect("staged");
    let (top, manifest, names, built, architecture, os) = Default::default();
    operation.image(NewImage { id, top, manifest, names, built, architecture, os });
    operation.publish().expect("published");
    let image = store.image_by_id(&id).expect("published");
    store.create(&image, ContainerOptions::new()).expect("a container")
}

fn in_a_child(work: &str, place: &Path) {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "resources::root_in_a_child_a_load_is_counted", "--nocapture"]);
    child.env(WORK, work).env(PLACE, place);
    let ran = Process::spawn(&mut child).wait_within(PATIENCE).success();
    assert!(ran.text().contains("1 passed"), "{}", ran.text());
}

#[test]
fn root_many_large_layers_are_loaded_in_little_memory_by_few_threads() {
    require_root!();
    // Together three times what may be resident.
    for compression in [oci::Compression::Gzip, oci::Compression::Zstd] {
        let temp = TempDir::new();
        image(12, LARGE).write_oci_archive(compression, &temp.join("image"));
        in_a_child("load", temp.path());
    }
}

#[test]
fn root_the_hardest_compression_takes_little_memory() {
    require_root!();
    let temp = TempDir::new();
    // As much as two jobs of the window that zstd would have.
    image(1, 9 << 20).write_oci_archive(oci::Compression::None, &temp.join("image"));
    in_a_child("save", temp.path());
}

#[test]
fn root_what_nobody_reads_of_a_config_is_not_taken_apart_by_a_commit() {
    require_root!();
    let temp = TempDir::new();
    image(1, 4096).write_oci_archive(oci::Compression::None, &temp.join("image"));
    in_a_child("commit", temp.path());
}

#[test]
fn root_of_an_archive_whose_layers_are_there_but_one_only_that_one_is_read() {
    require_root!();
    let temp = TempDir::new();
    let mut whole = image(3, LARGE);
    let store = Store::ensure(temp.join("store")).expect("a store");
    whole.write_oci_archive(oci::Compression::Gzip, &temp.join("lower"));
    let lower = Source::path(temp.join("lower")).expect("opened");
    plyfs_image::load(&store, lower, Progress::none()).unwrap_or_else(|error| panic!("{}", story(&error)));
    drop(store);
    whole.layers.push(layer(99, 4096));
    whole.write_oci_archive(oci::Compression::Gzip, &temp.join("image"));
    in_a_child("top", temp.path());
}

/// Stops whatever is reported once half a large layer has passed.
fn stop_in_the_middle(stage: Stage) -> impl Fn(&Step<'_>) -> ControlFlow<()> + Sync {
    move |step: &Step<'_>| {
        let is_enough = step.stage == stage && step.done > LARGE as u64 / 2;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn root_a_load_cancelled_in_the_middle_of_a_large_layer_leaves_nothing() {
    require_root!();
    let place = Place::new();
    let archive = place.temp.join("image");
    image(3, LARGE).write_oci_archive(oci::Compression::Gzip, &archive);
    let stop = stop_in_the_middle(Stage::Unpack);
    let source = Source::path(&archive).expect("opened");
    let error = plyfs_image::load(&place.store, source, Progress::new(&stop)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
    place.assert_untouched();
    place.load(&archive);
}

/// Stops when something that was read whole is reported for the eighth time: all of it was made of a few bytes.
fn stop_after_the_last_byte(stage: Stage) -> impl Fn(&Step<'_>) -> ControlFlow<()> + Sync {
    let left = AtomicU64::new(8);
    move |step: &Step<'_>| {
        let is_whole = step.stage == stage && step.expected == Some(step.done);
        let is_enough = is_whole && left.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A layer that is compressed to a few kilobytes.
fn hollow(start: LayerTar) -> Vec<u8> {
    start.file("zeros", vec![0; LARGE]).finish()
}

#[test]
fn root_a_load_is_cancelled_in_the_middle_of_what_a_few_bytes_hold() {
    require_root!();
    let base = || LayerTar::new().file("base", "x");
    let climbs = LayerTar::new().file("../climbs", "refused, and then looked at as a whole");
    let layers = [
        vec![hollow(LayerTar::new())],
        vec![hollow(base()), base().finish()],
        vec![hollow(climbs)],
        (0..3).map(|number| hollow(LayerTar::new().file(format!("{number}"), ""))).collect(),
    ];
    for layers in layers {
        for compression in [oci::Compression::Gzip, oci::Compression::Zstd] {
            for threads in [0, 4] {
                let place = Place::with_threads(threads);
                let archive = place.temp.join("image");
                Plain::new("localhost/hollow:1", layers.clone()).write_oci_archive(compression, &archive);
                let stop = stop_after_the_last_byte(Stage::Unpack);
                let source = Source::path(&archive).expect("opened");
                let error = plyfs_image::load(&place.store, source, Progress::new(&stop)).expect_err("cancelled");
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{compression:?}, {threads}: {}", story(&error));
                place.assert_untouched();
            }
        }
    }
}

#[test]
fn root_what_reads_a_layer_of_a_few_bytes_for_an_import_or_its_blob_is_cancelled_too() {
    require_root!();
    let (place, layer) = (Place::new(), hollow(LayerTar::new()));
    let layer_file = place.temp.join("layer");
    fs::write(&layer_file, oci::Compression::Zstd.apply(&layer)).expect("written");
    let stop = stop_after_the_last_byte(Stage::Unpack);
    let (source, options) = (Source::path(&layer_file).expect("opened"), ImportOptions::new());
    let error = plyfs_image::import(&place.store, source, options, Progress::new(&stop)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
    place.assert_untouched();

    let archive = place.temp.join("image");
    Plain::new("localhost/hollow:1", vec![layer]).write_oci_archive(oci::Compression::Zstd, &archive);
    place.load(&archive);
    let stop = stop_after_the_last_byte(Stage::Receive);
    let source = Source::path(&archive).expect("opened").keep_blobs(true);
    let error = plyfs_image::load(&place.store, source, Progress::new(&stop)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", story(&error));
}

#[test]
fn root_a_save_cancelled_in_the_middle_of_a_large_layer_leaves_nothing_beside_what_it_was_given() {
    require_root!();
    let place = Place::new();
    let archive = place.temp.join("image");
    image(2, LARGE).write_docker_archive(&archive);
    let image = place.load(&archive).remove(0).image;
    let left = |directory: PathBuf| -> Vec<_> {
        fs::read_dir(&directory).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect()
    };
    let stop = stop_in_the_middle(Stage::Save);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layout = place.temp.join(format!("layout-{compression}"));
        for archive in [Archive::oci(std::io::sink()), Archive::layout(&layout)] {
            let archive = archive.compression(compression);
            let error = plyfs_image::save(&place.store, &[&image], archive, Progress::new(&stop)).expect_err("stopped");
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{compression}: {}", story(&error));
            assert!(left(place.store.path().join("staging")).is_empty(), "{compression}: something is staged");
        }
        assert!(!layout.exists(), "{compression}: the layout is left, which was made for this");
    }
}
