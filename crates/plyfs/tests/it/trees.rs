//! What an image looks like when it is mounted, compared entry by entry with what podman and umoci make of it.

use std::path::PathBuf;

use plyfs_testkit::images::{Image, PRE_EPOCH, awkward, small};
use plyfs_testkit::peers::{Podman, umoci_unpack};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, mounted_tree, turn};

/// Every form an image comes in.
fn forms(image: &Image) -> [(&'static str, PathBuf); 5] {
    [
        ("docker-archive", image.docker_archive()),
        ("oci-archive", image.oci_archive()),
        ("layout", image.oci_layout()),
        ("oci-archive in zstd", image.zstd_archive()),
        ("layout in zstd", image.zstd_layout()),
    ]
}

#[test]
fn root_an_awkward_image_of_buildahs_mounts_as_it_does_in_podman_whatever_form_it_comes_in() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let image = awkward();
    let podman = Podman::new();
    podman.load(&image.docker_archive());
    let mounted = podman.mount(image.name());
    let theirs = Tree::of(mounted.path());
    for (form, path) in forms(&image) {
        let scratch = Scratch::new();
        let loaded = scratch.load(&path);
        assert_eq!(loaded.layers().expect("it has layers").len(), 4, "{form}: the empty layer is one too");
        let ours = mounted_tree(&scratch, &loaded);
        // podman gives what is older than 1970 the time 0.
        assert_same_trees(&ours, &theirs, &Options::images().without(PRE_EPOCH));
        let old = ours.get(PRE_EPOCH).unwrap_or_else(|| panic!("{form}: {PRE_EPOCH} is missing"));
        assert_eq!(old.mtime.sec, -312_753_294, "{form}: 1960-02-03 04:05:06 UTC");
    }
}

#[test]
fn root_an_awkward_image_mounts_as_umoci_unpacks_it_times_before_1970_and_the_root_included() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci", "setcap", "setfattr");
    let _turn = turn();
    let (image, dir) = (awkward(), TempDir::new());
    let theirs = Tree::of(umoci_unpack(&image.oci_layout(), image.tag(), &dir.join("bundle")));
    let scratch = Scratch::new();
    let top = scratch.load(image.oci_layout()).layers().expect("it has layers").swap_remove(0);
    let view = top.mount(scratch.dir.dir("view")).expect("an image can be looked at");
    let compared = Options::new().whole_seconds().without_overlay_xattrs().ignoring_xattrs("security.selinux");
    assert_same_trees(&Tree::of(view.path()), &theirs, &compared);
    view.unmount().expect("nobody is inside");
}

#[test]
fn root_an_image_mounted_read_only_is_the_same_tree_and_takes_no_write() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(awkward().oci_archive());
    let top = image.layers().expect("it has layers").swap_remove(0);
    let view = top.mount(scratch.dir.dir("view")).expect("an image can be looked at");
    // A container's root is as old as the container.
    assert_same_trees(&Tree::of(view.path()), &mounted_tree(&scratch, &image), &Options::new().without_root());
    let refused = std::fs::write(view.path().join("added"), "x").expect_err("a view is read-only");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    view.unmount().expect("nobody is inside");
}

#[test]
fn root_an_image_has_the_same_id_and_names_here_as_in_podman() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let (image, podman, scratch) = (small(), Podman::new(), Scratch::new());
    podman.load(&image.docker_archive());
    let loaded = scratch.load(image.docker_archive());
    let id = plyfs_testkit::process::output(podman.command().args(["images", "-q", "--no-trunc"]));
    assert_eq!(loaded.id().to_string(), id);
    let names: Vec<_> = loaded.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, [image.name()]);
}
