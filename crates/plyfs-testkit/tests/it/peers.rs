//! The peers run, and leave nothing.

use plyfs_testkit::oci::{Compression, LayerTar, Plain};
use plyfs_testkit::peers::{Docker, Podman, skopeo, umoci_unpack};
use plyfs_testkit::process::output;
use plyfs_testkit::temp::{TempDir, mounts_below};
use plyfs_testkit::tree::{Field, Options, assert_same};
use plyfs_testkit::{require_root, require_tool};

/// Two tiny layers: a directory made, then changed.
fn tiny() -> Plain {
    let base = LayerTar::new().dir("d").file("d/kept", "1").file("d/gone", "2");
    let top = LayerTar::new().whiteout("d", "gone").file("d/new", "3").symlink("link", "d/new");
    Plain::new("localhost/tiny:1", vec![base.finish(), top.finish()])
}

#[test]
fn root_dockerd_starts_loads_and_ends_without_a_trace() {
    require_root!();
    require_tool!("dockerd", "docker", "containerd", "runc");
    let dir = TempDir::new();
    tiny().write_docker_archive(&dir.join("tiny.tar"));
    let docker = Docker::start();
    let data = docker.data_root();
    assert_eq!(docker.load(&dir.join("tiny.tar")), "localhost/tiny:1");
    assert_eq!(docker.inspect("localhost/tiny:1", "{{.Id}}"), format!("sha256:{}", tiny().id()));
    let container = docker.create("localhost/tiny:1");
    output(docker.command().arg("cp").arg(dir.join("tiny.tar")).arg(format!("{container}:/d/copied")));
    assert_eq!(docker.changes(&container), ["C /d", "A /d/copied"]);
    docker.save(&["localhost/tiny:1"], &dir.join("saved.tar"));
    assert!(dir.join("saved.tar").exists());
    drop(docker);
    let own = data.parent().expect("it has one");
    assert!(!own.exists(), "the directory is removed");
    assert!(mounts_below(own).is_empty(), "nothing stays mounted");
    let name = own.to_string_lossy().into_owned();
    let ps = output(std::process::Command::new("ps").args(["-eo", "args"]));
    assert!(!ps.contains(&name), "a process is left:\n{ps}");
}

#[test]
fn root_podman_skopeo_and_umoci_agree_on_an_image_written_by_hand() {
    require_root!();
    require_tool!("podman", "skopeo", "umoci");
    let dir = TempDir::new();
    let podman = Podman::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layout = dir.dir(format!("{compression:?}").to_lowercase());
        tiny().write_oci_layout(compression, &layout);
        let inspected = output(skopeo().args(["inspect", "--raw"]).arg(format!("oci:{}:1", layout.display())));
        assert!(inspected.contains(compression.media_type()), "{inspected}");
        assert_eq!(podman.pull(&format!("oci:{}:1", layout.display())), tiny().id());
    }
    tiny().write_docker_archive(&dir.join("tiny.tar"));
    assert_eq!(podman.load(&dir.join("tiny.tar")), ["localhost/tiny:1"]);
    tiny().write_oci_archive(Compression::Gzip, &dir.join("tiny.oci"));
    assert_eq!(podman.load(&dir.join("tiny.oci")).len(), 1);
    let mount = podman.mount("localhost/tiny:1");
    let unpacked = umoci_unpack(&dir.join("gzip"), "1", &dir.join("bundle"));
    assert_same(mount.path(), unpacked, &Options::images().ignoring(Field::Mtime));
    assert!(!mount.path().join("d/gone").exists());
}

#[test]
fn root_podman_leaves_nothing_mounted_and_nothing_on_disk() {
    require_root!();
    require_tool!("podman");
    let podman = Podman::new();
    let own = podman.root().parent().expect("it has one").to_owned();
    drop(podman.mount({
        let dir = TempDir::new();
        tiny().write_docker_archive(&dir.join("tiny.tar"));
        podman.load(&dir.join("tiny.tar"));
        "localhost/tiny:1"
    }));
    // Left mounted on purpose: the store's end takes it along.
    std::mem::forget(podman.mount("localhost/tiny:1"));
    drop(podman);
    assert!(!own.exists());
    assert!(mounts_below(&own).is_empty());
}
