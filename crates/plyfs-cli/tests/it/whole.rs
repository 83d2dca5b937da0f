//! `export` and `unpack`: the whole tree, as other people's tools write it.

use std::fs;
use std::path::Path;

use plyfs_testkit::images::{PRE_EPOCH, awkward};
use plyfs_testkit::peers::{Docker, Podman, umoci_unpack};
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::Mounted;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};

use crate::bench::Bench;

fn extracted(archive: &Path, to: &Path) -> Tree {
    fs::create_dir(to).expect("a new directory");
    let mut tar = std::process::Command::new("tar");
    output(tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(archive).arg("-C").arg(to));
    Tree::of(to)
}

#[test]
fn root_an_unpacked_image_is_the_tree_umoci_unpacks() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("umoci");
    let (bench, image) = (Bench::new(), awkward());
    bench.ok(["load", image.docker_archive().to_str().expect("plain")]);
    bench.ok(["unpack", image.name(), "tree"]);
    let umoci = Tree::of(umoci_unpack(&image.oci_layout(), image.tag(), &bench.temp.join("bundle")));
    assert_same_trees(&umoci, &Tree::of(bench.temp.join("tree")), &Options::images());

    let overlay = bench.temp.dir("overlay");
    let parts = ["lower", "upper", "work"].map(|name| bench.temp.dir(name).display().to_string());
    let options = format!("lowerdir={},upperdir={},workdir={}", parts[0], parts[1], parts[2]);
    let (_overlay, tmpfs) = (Mounted::overlay(&overlay, &options), bench.temp.dir("tmpfs"));
    let _tmpfs = Mounted::tmpfs(&tmpfs);
    for at in [&overlay, &tmpfs] {
        bench.ok(["unpack", image.name(), at.join("tree").to_str().expect("plain")]);
        assert_same_trees(&umoci, &Tree::of(at.join("tree")), &Options::images());
    }
}

#[test]
fn root_an_exported_container_is_the_tree_docker_and_podman_export() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("docker", "dockerd", "containerd", "podman");
    let (bench, image) = (Bench::new(), awkward());
    bench.ok(["load", image.docker_archive().to_str().expect("plain")]);
    bench.ok(["create", image.name(), "web-1"]);
    bench.ok(["export", "web-1", "-o", "ours.tar"]);
    let ours = extracted(&bench.temp.join("ours.tar"), &bench.temp.join("ours"));
    let piped = bench.run(["export", image.name()]).success();
    assert_eq!(piped.stdout, fs::read(bench.temp.join("ours.tar")).expect("read"), "image and container are one tree");

    // Neither knows times before the epoch or attributes of users; docker makes files a runtime mounts over.
    let options = Options::images().without(PRE_EPOCH).without("dev").without("etc/hosts").without("etc/hostname");
    let options =
        options.without("etc/resolv.conf").without("etc/mtab").without("proc").without("sys").without(".dockerenv");
    let options = options.without("etc").ignoring_xattrs("user.");
    let podman = Podman::new();
    podman.load(&image.docker_archive());
    let container = output(podman.command().args(["create", image.name(), "/bin/true"]));
    output(podman.command().args(["export", "-o"]).arg(bench.temp.join("podman.tar")).arg(container));
    let theirs = extracted(&bench.temp.join("podman.tar"), &bench.temp.join("podman"));
    assert_same_trees(&theirs, &ours, &options);

    let docker = Docker::start();
    docker.load(&image.docker_archive());
    let container = output(docker.command().args(["create", image.name(), "/bin/true"]));
    output(docker.command().args(["export", "-o"]).arg(bench.temp.join("docker.tar")).arg(container));
    let theirs = extracted(&bench.temp.join("docker.tar"), &bench.temp.join("docker"));
    assert_same_trees(&theirs, &ours, &options);
}

#[test]
fn root_an_unpacking_that_fails_leaves_nothing() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let small = bench.temp.dir("small");
    let mount =
        run(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs"]).arg(&small));
    mount.success();
    let _small = Mounted::at(&small);
    bench.refused(10, ["unpack", "app:1", "small/tree"]);
    bench.refused(10, ["unpack", "app:1", "small"]);
    assert_eq!(fs::read_dir(&small).expect("read").count(), 0);
    fs::write(small.join("mine"), "").expect("written");
    let words = bench.refused(4, ["unpack", "app:1", "small"]);
    assert!(words.contains("unpack into small: directory not empty"), "{words}");
}
