//! One layer is stored once, however often and by however many it is loaded.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use plyfs::{Durability, Store};
use plyfs_testkit::images::{awkward, many_layers, small};
use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::Process;
use plyfs_testkit::tree::{Options, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, assert_whole, load, names, remains, turn, usage};

/// Says to the helper below what to load where: a store, a line break, an archive.
const JOB: &str = "PLYFS_TEST_LOAD";

/// Makes a command of this very program that loads `archive` into the store at `root`.
pub(crate) fn loader(root: &Path, archive: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test is a program"));
    command.args(["--exact", "twice::root_a_process_of_its_own_loads_what_it_is_told_to", "--test-threads=1"]);
    command.env(JOB, format!("{}\n{}", root.display(), archive.display()));
    command
}

#[test]
fn root_a_process_of_its_own_loads_what_it_is_told_to() {
    if let Ok(job) = std::env::var(JOB) {
        let (root, archive) = job.split_once('\n').expect("a store and an archive");
        let store = Store::options().durability(Durability::None).open(root).expect("the test made it");
        load(&store, archive.as_ref());
        return;
    }
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let (image, scratch) = (awkward(), Scratch::new());
    let ran = loader(scratch.store.path(), &image.docker_archive()).output().expect("this very program");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert_whole(&scratch.store);
    assert_eq!(scratch.store.images().expect("readable").len(), 1);
}

#[test]
fn root_loading_an_image_again_in_any_form_stores_nothing_and_touches_no_layer() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let (image, scratch) = (awkward(), Scratch::new());
    let first = scratch.load(image.docker_archive());
    let layers: Vec<_> = first.layers().expect("it has layers").iter().map(plyfs::Layer::id).collect();
    let (before, held) = (remains(&scratch.store), usage(&scratch.store));
    let inode = |layer: &plyfs::LayerId| {
        let dir = scratch.store.path().join("overlay2").join(layer.to_string());
        std::fs::metadata(dir).expect("it is there").ino()
    };
    let inodes: Vec<_> = layers.iter().map(inode).collect();
    for form in [image.docker_archive(), image.oci_archive(), image.zstd_layout(), image.oci_layout()] {
        let again = scratch.load(&form);
        let known: Vec<_> = again.layers().expect("it has layers").iter().map(plyfs::Layer::id).collect();
        assert_eq!(known, layers, "{}", form.display());
        assert_eq!(usage(&scratch.store), held, "{}", form.display());
        assert_eq!(known.iter().map(inode).collect::<Vec<_>>(), inodes, "{}", form.display());
    }
    // Only a manifest may have come: the docker-archive had none.
    let mut after = remains(&scratch.store);
    after.entries.retain(|path, _| before.entries.contains_key(path) || !path.starts_with(b"blobs/sha256/"));
    let compared = Options::new().ignoring(plyfs_testkit::tree::Field::Mtime);
    assert_same_trees(&after, &before, &compared);
    assert!(names(&scratch.store.path().join("blobs/sha256")).len() <= 4, "a config and a manifest for each form");
    assert_whole(&scratch.store);
}

#[test]
fn root_images_with_a_common_base_store_it_once() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let layer = |content: &str| LayerTar::new().file(content, content.repeat(100_000)).finish();
    for name in ["one", "two"] {
        let archive = scratch.dir.join(name);
        Plain::new(&format!("localhost/{name}:1"), vec![layer("base"), layer(name)]).write_docker_archive(&archive);
        scratch.load(&archive);
    }
    let used = usage(&scratch.store);
    assert_eq!((used.images, used.layers), (2, 3));
    assert!((1_000_000..1_100_000).contains(&used.stored.apparent), "{used:?}");
    assert!((400_000..450_000).contains(&used.shared.apparent), "{used:?}");
    // The same archive upon another parent is another layer: what it deletes or finds there differs.
    let archive = scratch.dir.join("three");
    Plain::new("localhost/three:1", vec![layer("one"), layer("base")]).write_docker_archive(&archive);
    scratch.load(&archive);
    assert_eq!(usage(&scratch.store).layers, 5);
    assert_whole(&scratch.store);
}

#[test]
fn root_processes_that_load_one_archive_at_once_all_succeed_and_store_it_once() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let alone = Scratch::new();
    alone.load(small().oci_archive());
    for (image, round) in [(small(), 0), (small(), 1), (many_layers(129), 2)] {
        let scratch = Scratch::new();
        let archives = [image.oci_archive(), image.docker_archive(), image.zstd_layout()];
        let start = |archive: &std::path::PathBuf| Process::spawn(&mut loader(scratch.store.path(), archive));
        let started: Vec<_> = archives.iter().map(start).collect();
        for process in started {
            process.wait_within(Duration::from_secs(120)).success();
        }
        let used = usage(&scratch.store);
        assert_eq!(used.images, 1, "round {round}");
        if round < 2 {
            assert_eq!(used.stored, usage(&alone.store).stored, "round {round}");
        } else {
            assert_eq!(used.layers, 129);
        }
        assert_eq!(names(&scratch.store.path().join("overlay2/l")).len() as u64, used.layers, "round {round}");
        scratch.store.reap().expect("the trash is ours");
        assert_whole(&scratch.store);
    }
}

#[test]
fn root_threads_that_load_one_archive_at_once_all_succeed_and_store_it_once() {
    require_root!();
    let _turn = turn();
    let (image, scratch) = (many_layers(129), Scratch::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| scratch.load(image.oci_archive()));
        }
    });
    assert_eq!((usage(&scratch.store).images, usage(&scratch.store).layers), (1, 129));
    scratch.store.reap().expect("the trash is ours");
    assert_whole(&scratch.store);
}
