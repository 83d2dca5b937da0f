//! What is done where no thread may be started, or none can be: the same as by several, on the caller's thread.
//!
//! A child of this test does it in a process of its own, whose threads are counted.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use plyfs_image::{Archive, CommitOptions, Compression, Error, Source};
use plyfs_store::{ContainerOptions, MountOptions, Progress, Step, Store};
use plyfs_testkit::images::many_layers;
use plyfs_testkit::process::run;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{noise, require_root, require_tool};

use crate::support::story;

const NAME: &str = "alone::root_without_threads_all_is_made_by_the_caller_and_is_the_same";
/// Tells a child where it works.
const PLACE: &str = "PLYFS_TEST_ALONE";

/// Small files, and one that is longer than what lies between two threads.
fn fill(directory: &Path) {
    fs::create_dir(directory.join("below")).expect("made");
    for number in 0..300_u16 {
        fs::write(directory.join(format!("below/{number}")), number.to_string()).expect("written");
    }
    fs::write(directory.join("long"), noise(1, 12 << 20)).expect("written");
}

/// Loads, commits, imports a directory and saves; the answer names what came of it.
fn all(place: &Path, store: &Store, progress: Progress<'_>) -> Result<String, Error> {
    let image = plyfs_image::load(store, Source::path(place.join("image"))?, progress)?.remove(0).image;
    let container = store.create(&image, ContainerOptions::new()).expect("created");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    fill(mount.path());
    mount.unmount().expect("unmounted");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let commit = CommitOptions::new().created(time)?.clamp_mtime(1_600_000_000);
    let committed = plyfs_image::commit(&container, commit, progress)?;
    let layer = plyfs_image::apply_source(store, Source::path(place.join("tree"))?, None, progress)?;
    let archive = Archive::docker(std::io::sink()).compression(Compression::Gzip);
    plyfs_image::save(store, &[&committed], archive, progress)?;
    Ok(format!("{} {}", committed.id(), layer.diff_id().expect("it has one")))
}

/// In a child: does all, and says how many threads there were beside its own.
fn watched(place: &Path, threads: usize) {
    let store = Store::options().threads(threads).ensure(place.join("store")).expect("a store");
    let count = || fs::read_dir("/proc/self/task").expect("procfs").count();
    let (before, most) = (count(), AtomicUsize::new(0));
    let watch = |_: &Step<'_>| {
        most.fetch_max(count() - before, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let made = all(place, &store, Progress::new(&watch)).unwrap_or_else(|error| panic!("{}", story(&error)));
    fs::write(place.join("made"), format!("{} {made}", most.into_inner())).expect("written");
}

/// Starts a child that may have so many threads, behind these words if there are any; says how many it had, and what it made.
fn made(place: &Path, threads: usize, behind: &[&str]) -> (usize, String) {
    let here = std::env::current_exe().expect("a test knows itself");
    let mut words = behind.iter().map(OsStr::new).chain([here.as_os_str()]);
    let mut command = Command::new(words.next().expect("its own at least"));
    let told = format!("{threads}:{}", place.display());
    let ran = run(command.args(words).args(["--exact", NAME, "--nocapture"]).env(PLACE, told));
    assert!(ran.status.success(), "{ran:?}");
    fs::remove_dir_all(place.join("store")).expect("removed");
    let said = fs::read_to_string(place.join("made")).expect("it came to its end");
    let (most, made) = said.split_once(' ').expect("both");
    (most.parse().expect("a number"), made.to_owned())
}

#[test]
fn root_without_threads_all_is_made_by_the_caller_and_is_the_same() {
    require_root!();
    require_tool!("strace", "buildah", "podman", "skopeo");
    if let Ok(told) = std::env::var(PLACE) {
        let (threads, place) = told.split_once(':').expect("both");
        return watched(Path::new(place), threads.parse().expect("a number"));
    }
    let place = TempDir::new();
    fill(&place.dir("tree"));
    fs::copy(many_layers(3).docker_archive(), place.join("image")).expect("copied");

    let (most, expected) = made(place.path(), 3, &[]);
    assert!((1..=4).contains(&most), "{most} threads, of which one may sync");
    assert_eq!(made(place.path(), 0, &[]), (0, expected.clone()));
    let log = place.join("trace").display().to_string();
    let refused = ["strace", "-f", "-o", &log, "-e", "trace=clone3", "-e", "inject=clone3:error=EAGAIN"];
    assert_eq!(made(place.path(), 3, &refused), (0, expected), "where the machine has no thread");
    assert!(fs::read_to_string(&log).expect("a trace").contains("(INJECTED)"));
}
