//! Copy on write: a container writes into its own layer, and nobody else sees it.

use std::fs;
use std::path::Path;

use plyfs::{Digest, Layer};
use plyfs_testkit::images::{awkward, small};
use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::{output, run};
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, assert_whole, chroot, mount, turn};

/// Everything that can be done to a tree of any image, with the tools of this machine.
const RAVAGE: &str = r#"
    cd "$m"
    find . -xdev -type f -exec sh -c 'echo changed >>"$1"' - {} \;
    find . -xdev ! -type l -exec chmod u+rwx,g+s {} +
    find . -xdev -exec chown -h 7:8 {} +
    find . -xdev -exec touch -h -d '2030-01-01 UTC' {} +
    find . -xdev -type f -exec setfattr -n user.new -v x {} +
    find . -xdev -mindepth 1 -delete
    mkdir etc; echo new >etc/one
"#;

/// The trees of layers with all there is to see of them, and what their archives hash to.
fn seen(layers: &[Layer]) -> Vec<(Tree, Digest)> {
    let look = |layer: &Layer| {
        let archive = layer.write_archive(std::io::sink()).expect("a layer gives its archive");
        (Tree::of(layer.path()), archive.diff_id)
    };
    layers.iter().map(look).collect()
}

#[test]
fn root_nothing_a_container_does_changes_a_byte_of_any_layer() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(awkward().oci_archive());
    let layers = image.layers().expect("it has layers");
    let before = seen(&layers);
    let ravaged = scratch.create(&image, "ravaged");
    let mounted = mount(&ravaged);
    output(std::process::Command::new("sh").args(["-euc", RAVAGE]).env("m", mounted.path()));
    mounted.unmount().expect("nobody is inside");
    assert!(ravaged.changes().expect("they can be listed").count() > 10, "the ravage was none");
    for (n, ((tree, digest), (was, digest_was))) in seen(&layers).iter().zip(&before).enumerate() {
        assert_same_trees(tree, was, &Options::new());
        assert_eq!((Some(*digest), digest), (layers[n].diff_id(), digest_was), "layer {n} from the top");
    }
    assert_whole(&scratch.store);
}

#[test]
fn root_two_containers_of_one_image_never_see_each_other() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(small().docker_archive());
    let (one, two) = (scratch.create(&image, "one"), scratch.create(&image, "two"));
    let (left, right) = (mount(&one), mount(&two));
    let pristine = Tree::of(right.path());
    let edit = "echo level=2 >>/app/config.properties; rm /app/run.sh; mkdir /only-one; mv /etc/group /etc/moved; \
                chmod 0700 /root; ln -s /tmp /link";
    run(&mut chroot(left.path(), edit)).success();
    assert_same_trees(&Tree::of(right.path()), &pristine, &Options::new());
    assert_eq!(two.changes().expect("they can be listed").count(), 0);
    run(&mut chroot(right.path(), "echo two >/only-two")).success();
    assert!(!left.path().join("only-two").exists());
    assert_eq!(output(&mut chroot(left.path(), "tail -n 1 /app/config.properties")), "level=2");
    let third = scratch.create(&image, "three");
    // A container's root is as old as the container.
    assert_same_trees(&Tree::of(mount(&third).path()), &pristine, &Options::new().without_root());
    for mounted in [left, right] {
        mounted.unmount().expect("nobody is inside");
    }
}

#[test]
fn root_reads_find_the_upper_layer_first_and_then_the_lower_ones_in_order() {
    require_root!();
    let _turn = turn();
    let scratch = Scratch::new();
    // File `abc` is in layers a, b and c; each holds the letter of the layer it came with.
    let layer = |letter: char, files: &[&str]| {
        files.iter().fold(LayerTar::new(), |tar, name| tar.file(name, letter.to_string())).finish()
    };
    let layers = vec![
        layer('a', &["a", "ab", "ac", "abc"]),
        layer('b', &["b", "ab", "bc", "abc"]),
        layer('c', &["c", "ac", "bc", "abc"]),
    ];
    let archive = scratch.dir.join("image.tar");
    Plain::new("localhost/order:1", layers).write_docker_archive(&archive);
    let image = scratch.load(&archive);
    let container = scratch.create(&image, "reader");
    let mounted = mount(&container);
    let read = |name: &str| fs::read_to_string(mounted.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for name in ["a", "b", "c", "ab", "ac", "bc", "abc"] {
        assert_eq!(read(name), name[name.len() - 1..], "{name} is read from the uppermost layer that has it");
    }
    fs::write(mounted.path().join("abc"), "upper").expect("a container can be written");
    fs::remove_file(mounted.path().join("ab")).expect("a container can be written");
    assert_eq!(read("abc"), "upper");
    assert!(!mounted.path().join("ab").exists(), "a deleted file must not shine through from any layer");
    for (letter, layer) in ["c", "b", "a"].iter().zip(image.layers().expect("it has layers")) {
        let held = |name: &str| fs::read_to_string(Path::new(&layer.path()).join(name)).ok();
        assert_eq!(held("abc").as_deref(), Some(*letter), "the layer itself");
    }
    mounted.unmount().expect("nobody is inside");
}
