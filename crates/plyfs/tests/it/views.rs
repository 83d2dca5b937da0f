//! Views: what is read without a mount is what the mount shows, and stays there while it is read.

use plyfs::{ErrorKind, Removal, View};
use plyfs_testkit::images::{awkward, many_layers};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::mounts_below;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};

use crate::support::{Scratch, mount, mounted_tree, turn};

/// What a view shows, written out.
fn written(view: &View, scratch: &Scratch, name: &str) -> Tree {
    let dir = scratch.dir.dir(name);
    let unpacked = view.unpack(std::fs::File::open(&dir).expect("ours")).expect("unpacked");
    assert!(unpacked.has_owners && unpacked.skipped.is_empty(), "{unpacked:?}");
    Tree::of(dir)
}

#[test]
fn root_images_containers_and_layers_show_what_their_mounts_show() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(awkward().docker_archive());
    let expected = mounted_tree(&scratch, &image);
    let options = Options::new().without_root();
    assert_same_trees(&expected, &written(&image.view().expect("a view"), &scratch, "image"), &options);
    let layer = image.layers().expect("it has layers").swap_remove(0);
    assert_same_trees(&expected, &written(&layer.view().expect("a view"), &scratch, "layer"), &options);

    let container = scratch.create(&image, "web");
    let mounted = mount(&container);
    std::fs::write(mounted.path().join("written-since"), "new").expect("written");
    let shown = Tree::of(mounted.path());
    assert_same_trees(&shown, &written(&container.view().expect("a view"), &scratch, "mounted"), &options);
    mounted.unmount().expect("nobody is inside");
    assert_same_trees(&shown, &written(&container.view().expect("a view"), &scratch, "unmounted"), &options);
    assert!(mounts_below(scratch.dir.path()).is_empty());
}

#[test]
fn root_what_a_view_reads_is_not_removed() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(many_layers(129).docker_archive());
    let container = scratch.create(&image, "web");
    let of_container = container.view().expect("a view");
    assert_eq!(of_container.layers().len(), 130, "one descriptor for each layer");
    let removed = container.remove(Removal::Force).expect_err("it is being read");
    assert_eq!(removed.kind(), ErrorKind::InUse);
    drop(of_container);
    let of_image = image.view().expect("a view");
    container.remove(Removal::Unmounted).expect("its own layer is read by nobody");

    let removed = scratch.store.remove_image(&image).expect("its record goes");
    let kept: Vec<_> = removed.kept.iter().map(ToString::to_string).collect();
    assert!(removed.layers.is_empty() && kept.len() == 1 && kept[0].ends_with("is being read"), "{kept:?}");
    let walked = of_image.walk("/").expect("a root").try_fold(0, |count, entry| entry.map(|_| count + 1));
    assert!(walked.expect("every layer is still there") > 1);
    drop(of_image);
    assert_eq!(
        scratch.store.prune(plyfs::PruneOptions::new()).expect("pruned").layers.len(),
        129,
        "what nobody reads goes"
    );
    assert_eq!(image.view().expect_err("it is gone").kind(), ErrorKind::NotFound);
}
