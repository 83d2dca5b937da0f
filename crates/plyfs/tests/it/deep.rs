//! Images deeper than docker's 125 layers, through both ways the kernel has to mount them.

use std::path::Path;

use plyfs::{Durability, Image, MountOptions, Store};
use plyfs_mount::Feature;
use plyfs_testkit::images::many_layers;
use plyfs_testkit::peers::{Podman, umoci_unpack};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, assert_whole, mount, turn};

/// A handle on the same store that mounts as on a kernel without `fsopen(2)`.
fn classic(scratch: &Scratch) -> Store {
    let options = Store::options().durability(Durability::None).without(Feature::FSOPEN | Feature::APPEND);
    options.open(scratch.store.path()).expect("the store is there")
}

/// The mount's own options, as the kernel tells them.
fn told(at: &Path) -> String {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
    let at = at.to_str().expect("a plain path");
    let line = table.lines().find(|line| line.split(' ').nth(4) == Some(at)).expect("it is mounted");
    line.rsplit(' ').next().expect("a line has fields").to_owned()
}

/// Mounts the image writable and read-only through both engines and compares each tree.
#[track_caller]
fn check(scratch: &Scratch, image: &Image, expected: &Tree) {
    for (engine, store) in [("descriptor", scratch.store.clone()), ("classic", classic(scratch))] {
        let image = store.image_by_id(&image.id()).expect("it is loaded");
        let container = store.create(&image, plyfs::ContainerOptions::new()).expect("it can be created");
        let mounted = container.mount(&MountOptions::new()).unwrap_or_else(|e| panic!("{engine}: {e:?}"));
        let appended = told(mounted.path()).contains("lowerdir+=");
        assert_eq!(appended, engine == "descriptor", "{engine}: {}", told(mounted.path()));
        assert_same_trees(&Tree::of(mounted.path()), expected, &Options::images());
        std::fs::write(mounted.path().join("top"), "mine").expect("it can be written");
        mounted.unmount().expect("nobody is inside");
        let changes: Vec<_> =
            container.changes().expect("they can be listed").map(|change| change.expect("one").to_string()).collect();
        assert_eq!(changes, ["C /top"], "{engine}");
        let top = image.layers().expect("it has layers").swap_remove(0);
        let view = top.mount(scratch.dir.dir("view")).unwrap_or_else(|e| panic!("{engine}: {e:?}"));
        assert_same_trees(&Tree::of(view.path()), expected, &Options::images());
        view.unmount().expect("nobody is inside");
    }
}

#[test]
fn root_129_layers_mount_through_both_engines_as_podman_mounts_them() {
    require_root!();
    require_tool!("podman");
    let _turn = turn();
    let (image, podman, scratch) = (many_layers(129), Podman::new(), Scratch::new());
    podman.load(&image.docker_archive());
    let theirs = podman.mount(image.name());
    let loaded = scratch.load(image.docker_archive());
    assert_eq!(loaded.layers().expect("it has layers").len(), 129);
    check(&scratch, &loaded, &Tree::of(theirs.path()));
}

#[test]
fn root_400_layers_mount_through_both_engines_as_umoci_unpacks_them() {
    require_root!();
    require_tool!("umoci");
    let _turn = turn();
    let (image, dir, scratch) = (many_layers(400), TempDir::new(), Scratch::new());
    let theirs = Tree::of(umoci_unpack(&image.oci_layout(), image.tag(), &dir.join("bundle")));
    let loaded = scratch.load(image.oci_layout());
    assert_eq!(loaded.layers().expect("it has layers").len(), 400);
    check(&scratch, &loaded, &theirs);
    assert_whole(&scratch.store);
}

#[test]
fn root_an_image_of_400_layers_loads_durably_and_commit_adds_one_more() {
    use plyfs::prelude::*;
    require_root!();
    let _turn = turn();
    let dir = TempDir::new();
    let store = Store::ensure(dir.join("store")).expect("an empty directory becomes a store");
    let image = crate::support::load(&store, &many_layers(400).docker_archive());

    let container = store.create(&image, plyfs::ContainerOptions::new()).expect("it can be created");
    let mounted = mount(&container);
    std::fs::write(mounted.path().join("layers/mine"), "400").expect("it can be written");
    mounted.unmount().expect("nobody is inside");
    let next = container.commit(plyfs::CommitOptions::new(), plyfs::Progress::none()).expect("it can be committed");
    assert_eq!(next.layers().expect("it has layers").len(), 401);
    let again = store.create(&next, plyfs::ContainerOptions::new()).expect("it can be created");
    let mounted = mount(&again);
    assert_eq!(std::fs::read_to_string(mounted.path().join("layers/mine")).expect("it is there"), "400");
    mounted.unmount().expect("nobody is inside");
}
