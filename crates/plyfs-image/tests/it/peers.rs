//! What is written here is read by others, and what others write is read here.

use plyfs_image::{CommitOptions, Compression, Format};
use plyfs_store::{ContainerOptions, MountOptions, Progress};
use plyfs_testkit::images;
use plyfs_testkit::peers::{Docker, Podman, skopeo, umoci_unpack};
use plyfs_testkit::process::output;
use plyfs_testkit::{require_root, require_tool};

use crate::support::Place;

/// docker 20.10 does not read zstd; docker since 23.0 does.
const FOR_DOCKER: [Compression; 2] = [Compression::None, Compression::Gzip];
const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

#[test]
fn root_docker_loads_both_archives() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "docker", "dockerd");
    let awkward = images::awkward();
    let place = Place::new();
    let image = place.load(awkward.oci_archive()).remove(0).image;
    let docker = Docker::start();
    for format in [Format::DockerArchive, Format::OciArchive] {
        for compression in FOR_DOCKER {
            let path = place.save(&[&image], format, compression, &format!("{format}-{compression}.tar"));
            assert_eq!(docker.load(&path), awkward.name(), "{format}, {compression}");
            assert_eq!(docker.inspect(awkward.name(), "{{.Id}}"), image.id().to_string(), "{format}, {compression}");
            output(docker.command().args(["rmi", "-f", awkward.name()]));
        }
    }
}

#[test]
fn root_what_docker_saves_comes_in_with_its_names() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "docker", "dockerd");
    let small = images::small();
    let docker = Docker::start();
    docker.load(&small.docker_archive());
    output(docker.command().args(["tag", small.name(), "second:2"]));
    let place = Place::new();
    let saved = place.temp.join("saved.tar");
    docker.save(&[small.name(), "second:2"], &saved);
    let loaded = place.load(&saved);
    let mut names: Vec<_> = loaded[0].names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    assert_eq!((loaded.len(), names), (1, vec![small.name().to_owned(), "second:2".into()]));
    assert_eq!(loaded[0].image.id().to_string(), docker.inspect(small.name(), "{{.Id}}"));
}

#[test]
fn root_podman_skopeo_and_umoci_read_every_form() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci");
    let awkward = images::awkward();
    let place = Place::new();
    let image = place.load(awkward.docker_archive()).remove(0).image;
    let id = image.id().hex();
    for compression in ALL {
        for (format, transport) in [(Format::DockerArchive, "docker-archive"), (Format::OciArchive, "oci-archive")] {
            let path = place.save(&[&image], format, compression, &format!("{transport}-{compression}.tar"));
            let podman = Podman::new();
            assert_eq!(podman.load(&path), [awkward.name()], "{format}, {compression}");
            let seen = output(podman.command().args(["image", "inspect", "-f", "{{.Id}}", awkward.name()]));
            assert_eq!(seen, id, "{format}, {compression}");
            let config =
                output(skopeo().args(["inspect", "--config", "--raw", &format!("{transport}:{}", path.display())]));
            assert_eq!(plyfs_testkit::oci::sha256(config.as_bytes()), id, "{format}, {compression}");
        }
        let layout = place.save(&[&image], Format::OciLayout, compression, &format!("layout-{compression}"));
        let reference = format!("oci:{}:{}", layout.display(), awkward.name());
        assert_eq!(Podman::new().pull(&reference), id, "layout, {compression}");
        output(skopeo().args(["inspect", &reference]));
        if compression != Compression::Zstd {
            let rootfs = umoci_unpack(&layout, awkward.name(), &place.temp.join(format!("bundle-{compression}")));
            assert!(rootfs.is_dir(), "umoci 0.4 reads everything but zstd");
        }
    }
}

#[test]
fn root_a_committed_image_starts_a_program_in_podman() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let small = images::small();
    let place = Place::new();
    let image = place.load(small.zstd_archive()).remove(0).image;
    let container = place.store.create(&image, ContainerOptions::new()).expect("created");
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    std::fs::write(mount.path().join("app/config.properties"), "changed=yes\n").expect("written");
    mount.unmount().expect("unmounted");
    let options = CommitOptions::new().name("localhost/committed:1".parse().expect("a name")).message("changed");
    let committed = plyfs_image::commit(&container, options, Progress::none()).expect("committed");
    for (format, name) in [(Format::DockerArchive, "d.tar"), (Format::OciArchive, "o.tar")] {
        let path = place.save(&[&committed], format, Compression::Gzip, name);
        let podman = Podman::new();
        podman.load(&path);
        let ran = podman.run("localhost/committed:1", &["/bin/cat", "/app/config.properties"]).success();
        assert_eq!(ran.text(), "changed=yes", "{format}");
    }
}
