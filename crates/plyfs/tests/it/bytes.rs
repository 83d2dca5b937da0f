//! What was loaded is what is saved, byte for byte, and what is saved is read by everyone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use plyfs::prelude::*;
use plyfs::{Archive, CommitOptions, Compression, Format, Image, Progress};
use plyfs_testkit::images::{Image as Given, PRE_EPOCH, awkward, small};
use plyfs_testkit::oci::{read_archive, sha256};
use plyfs_testkit::peers::{Docker, Podman, skopeo, umoci_unpack};
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};
use serde_json::Value;

use crate::support::{Scratch, chroot, mount, mounted_tree, turn};

const FORMATS: [Format; 3] = [Format::DockerArchive, Format::OciArchive, Format::OciLayout];
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// Every way to save, each with a name for messages and paths.
fn ways() -> impl Iterator<Item = (Format, Compression, String)> {
    FORMATS.into_iter().flat_map(|format| {
        COMPRESSIONS.into_iter().map(move |compression| (format, compression, format!("{format}-{compression}")))
    })
}

/// Saves an image as `to`.
#[track_caller]
fn save(image: &Image, format: Format, compression: Compression, to: &Path) {
    let file = || File::create(to).expect("the directory is ours");
    let archive = match format {
        Format::DockerArchive => Archive::docker(file()),
        Format::OciArchive => Archive::oci(file()),
        _ => Archive::layout(to),
    };
    let saved = image.store().save(&[image], archive.compression(compression), Progress::none());
    saved.unwrap_or_else(|e| panic!("save {format} in {compression}: {}", plyfs::report(&e)));
}

/// The files of an archive or a layout by path.
fn members(path: &Path) -> BTreeMap<String, Vec<u8>> {
    if path.is_file() {
        return read_archive(path).into_iter().collect();
    }
    let tree = Tree::of(path);
    let files = tree.entries.iter().filter(|(_, entry)| entry.content.is_some());
    let names = files.map(|(name, _)| String::from_utf8(name.clone()).expect("plain names"));
    names.map(|name| (name.clone(), fs::read(path.join(&name)).expect("it was there"))).collect()
}

fn json(members: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    let bytes = members.get(name).unwrap_or_else(|| panic!("no {name} in it"));
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The member of each layer of the one image, lowest first, found as a reader of the format finds it.
fn layer_names(members: &BTreeMap<String, Vec<u8>>, format: Format) -> Vec<String> {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    if format == Format::DockerArchive {
        return list(&json(members, "manifest.json")[0]["Layers"]).iter().map(text).collect();
    }
    let blob = |descriptor: &Value| format!("blobs/{}", text(&descriptor["digest"]).replacen(':', "/", 1));
    let index = json(members, "index.json");
    let manifest = json(members, &blob(&index["manifests"][0]));
    let layers = list(&manifest["layers"]);
    for layer in layers.iter().chain([&manifest["config"], &index["manifests"][0]]) {
        let content = &members[&blob(layer)];
        assert_eq!(text(&layer["digest"]), format!("sha256:{}", sha256(content)), "a descriptor's digest");
        assert_eq!(layer["size"].as_u64(), Some(content.len() as u64), "a descriptor's size");
    }
    layers.iter().map(blob).collect()
}

/// A layer's plain bytes, and how they were compressed.
fn plain(bytes: &[u8]) -> (Compression, Vec<u8>) {
    let mut out = Vec::new();
    let compression = match bytes {
        [0x1f, 0x8b, ..] => {
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).expect("whole gzip");
            Compression::Gzip
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            out = zstd::decode_all(bytes).expect("whole Zstandard");
            Compression::Zstd
        }
        _ => {
            out.extend_from_slice(bytes);
            Compression::None
        }
    };
    (compression, out)
}

/// The plain layer archives as buildah made them, lowest first.
fn given(image: &Given) -> Vec<Vec<u8>> {
    let members: BTreeMap<_, _> = read_archive(&image.docker_archive()).into_iter().collect();
    layer_names(&members, Format::DockerArchive).iter().map(|name| members[name].clone()).collect()
}

#[test]
fn root_what_was_loaded_from_any_form_is_saved_byte_for_byte_in_every_format_and_compression() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "setcap", "setfattr");
    let _turn = turn();
    let image = awkward();
    let expected = given(&image);
    for form in [image.docker_archive(), image.oci_layout(), image.zstd_archive()] {
        let scratch = Scratch::new();
        let loaded = scratch.load(&form);
        for (format, compression, way) in ways() {
            let to = scratch.dir.join(&way);
            save(&loaded, format, compression, &to);
            let members = members(&to);
            let names = layer_names(&members, format);
            assert_eq!(names.len(), expected.len(), "{way}");
            for (n, (name, expected)) in names.iter().zip(&expected).enumerate() {
                let (found, bytes) = plain(&members[name]);
                assert_eq!(found, compression, "{way}: layer {n}");
                assert!(bytes == *expected, "{way}: layer {n} is {} bytes, was {}", bytes.len(), expected.len());
            }
            let config = members.iter().find(|(_, bytes)| sha256(bytes) == loaded.id().hex());
            assert!(config.is_some(), "{way}: the config is not as it came");

            let again = to.with_extension("again");
            save(&loaded, format, compression, &again);
            assert!(crate::bytes::members(&again) == members, "{way}: saved twice, it differs");
            let back = Scratch::new();
            assert_eq!(back.load(&to).id(), loaded.id(), "{way}");
        }
    }
}

#[test]
fn root_every_archive_saved_is_loaded_by_podman_and_read_by_skopeo_and_umoci_as_the_same_image() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci", "setcap", "setfattr");
    let _turn = turn();
    let (scratch, given) = (Scratch::new(), awkward());
    let image = scratch.load(given.docker_archive());
    let ours = mounted_tree(&scratch, &image);
    let diff_ids: Vec<_> = image.layers().expect("it has layers").iter().rev().map(|l| l.diff_id()).collect();
    for (format, compression, way) in ways() {
        let (to, peers) = (scratch.dir.join(&way), TempDir::new());
        save(&image, format, compression, &to);
        let reference = match format {
            Format::DockerArchive => format!("docker-archive:{}", to.display()),
            Format::OciArchive => format!("oci-archive:{}:{}", to.display(), given.name()),
            _ => format!("oci:{}:{}", to.display(), given.name()),
        };
        let config = output(skopeo().args(["inspect", "--config", &reference]));
        let config: Value = serde_json::from_str(&config).unwrap_or_else(|e| panic!("{way}: {e}"));
        let told: Vec<_> = config["rootfs"]["diff_ids"].as_array().expect("a list").iter().map(text).collect();
        let known: Vec<_> = diff_ids.iter().map(|id| id.expect("it came as an archive").to_string()).collect();
        assert_eq!(told, known, "{way}");
        // Copying reads and verifies every blob.
        output(skopeo().args(["copy", "-q", &reference, &format!("dir:{}", peers.join("copy").display())]));

        let podman = Podman::new();
        if format == Format::OciLayout {
            podman.pull(&reference);
        } else {
            assert_eq!(podman.load(&to), [given.name()], "{way}");
        }
        let id = output(podman.command().args(["images", "-q", "--no-trunc"]));
        assert_eq!(id, image.id().to_string(), "{way}: podman knows another image");
        assert_same_trees(&Tree::of(podman.mount(&id).path()), &ours, &Options::images().without(PRE_EPOCH));

        // umoci of this age reads no Zstandard.
        if format == Format::OciLayout && compression != Compression::Zstd {
            let unpacked = umoci_unpack(&to, given.name(), &peers.join("bundle"));
            assert_same_trees(&Tree::of(unpacked), &ours, &Options::images());
        }
    }
}

#[test]
fn root_archives_saved_are_loaded_by_a_real_dockerd_and_run_there() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "dockerd", "docker", "containerd", "runc");
    let _turn = turn();
    let (scratch, given) = (Scratch::new(), small());
    let image = scratch.load(given.oci_archive());
    let docker = Docker::start();
    // dockerd before 23.0 reads no Zstandard; it reads no directory.
    let read = |(format, compression, _): &(Format, Compression, String)| {
        *format != Format::OciLayout && *compression != Compression::Zstd
    };
    for (format, compression, way) in ways().filter(read) {
        let to = scratch.dir.join(&way);
        save(&image, format, compression, &to);
        assert_eq!(docker.load(&to), given.name(), "{way}\n{}", docker.log());
        assert_eq!(docker.inspect(given.name(), "{{.Id}}"), image.id().to_string(), "{way}");
        let ran = docker.run_in(given.name(), &way, "/app/run.sh; stat -c %a /tmp");
        assert_eq!(ran.success().text(), "greeting=hello\nlevel=1\n1777", "{way}");
        output(docker.command().args(["rm", "-f", &way]));
        output(docker.command().args(["rmi", "-f", given.name()]));
    }
}

#[test]
fn root_a_committed_image_starts_its_program_in_podman_and_in_docker() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "dockerd", "docker", "containerd", "runc");
    let _turn = turn();
    let scratch = Scratch::new();
    let base = scratch.load(small().docker_archive());
    let container = scratch.create(&base, "edited");
    let mounted = mount(&container);
    let edit = "echo level=2 >/app/config.properties; rm -r /var; mkdir /var; ln -s run.sh /app/start; rm /etc/group";
    output(&mut chroot(mounted.path(), edit));
    mounted.unmount().expect("nobody is inside");
    let options = CommitOptions::new().name("localhost/edited:2".parse().expect("a good name")).message("level 2");
    let image = container.commit(options, Progress::none()).expect("it can be committed");
    let expected = "level=2\n/app/start\nno group";
    let program = "/app/start; ls /app/start; test -e /etc/group || echo no group";

    let archives: [PathBuf; 2] = ["docker.tar", "oci.tar"].map(|name| scratch.dir.join(name));
    save(&image, Format::DockerArchive, Compression::None, &archives[0]);
    save(&image, Format::OciArchive, Compression::Gzip, &archives[1]);
    let docker = Docker::start();
    for archive in &archives {
        let podman = Podman::new();
        assert_eq!(podman.load(archive), ["localhost/edited:2"], "{}", archive.display());
        let ran = podman.run("localhost/edited:2", &["/bin/sh", "-c", program]);
        assert_eq!(ran.success().text(), expected, "{}", archive.display());
        // The command of the base is the command of what was made of it.
        let ran = run(podman.command().args(["image", "inspect", "-f", "{{.Config.Cmd}}", "localhost/edited:2"]));
        assert_eq!(ran.success().text(), command_of(&base), "{}", archive.display());

        assert_eq!(docker.load(archive), "localhost/edited:2", "{}", archive.display());
        let ran = docker.run_in("localhost/edited:2", "edited", program);
        assert_eq!(ran.success().text(), expected, "{}", archive.display());
        output(docker.command().args(["rm", "-f", "edited"]));
    }
}

/// The image's command as podman prints it.
fn command_of(image: &Image) -> String {
    let config: Value = serde_json::from_slice(&image.config().expect("it has one")).expect("it was verified");
    let words = config["config"]["Cmd"].as_array().cloned().unwrap_or_default();
    format!("[{}]", words.iter().map(text).collect::<Vec<_>>().join(" "))
}
