//! The images are what they claim to be, in the judgement of the peers that read them.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use plyfs_testkit::images::{NOT_UTF8, PRE_EPOCH, awkward, cache_dir, hostile, many_layers, small, spoil};
use plyfs_testkit::oci::{LayerTar, Plain, read_archive};
use plyfs_testkit::peers::{Docker, Podman, skopeo, umoci_unpack};
use plyfs_testkit::process::{output, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Kind, Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

#[test]
fn root_the_awkward_image_holds_everything_awkward_and_podman_and_umoci_agree_on_it() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci", "setcap", "setfattr");
    let image = awkward();
    let podman = Podman::new();
    assert_eq!(podman.load(&image.docker_archive()), [image.name()]);
    let mount = podman.mount(image.name());
    let tree = Tree::of(mount.path());
    let entry = |path: &[u8]| tree.get(path).unwrap_or_else(|| panic!("no {}", path.escape_ascii()));

    let kinds: Vec<Kind> = tree.entries.values().map(|entry| entry.kind).collect();
    for kind in [Kind::File, Kind::Directory, Kind::Symlink, Kind::CharDevice, Kind::BlockDevice, Kind::Fifo] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    for gone in ["gone", "links/b", "shadow/hidden", "shadow/below", "new/dir/file"] {
        assert_eq!(tree.get(gone), None, "{gone}");
    }
    assert!(entry(b"bin/capable").xattrs.keys().any(|name| name.as_bytes() == b"security.capability"));
    assert!(entry(b"etc/two").xattrs.is_empty(), "the file made again has lost its attribute");
    assert!(entry(b"keep/dir").xattrs.keys().any(|name| name.as_bytes() == b"user.dir"));
    assert_eq!(entry(b"links/a").links.as_deref(), Some(b"keep/dir/c".as_slice()));
    assert_eq!((entry(b"tmp").mode, entry(b"bin/setuid").mode, entry(b"bin/setgid").mode), (0o1777, 0o4755, 0o2755));
    assert_eq!((entry(b"odd/big").device, entry(b"odd/null").device), (Some((200, 70000)), Some((1, 3))));
    assert_eq!(entry(b"times").mtime.sec, 981_173_106);
    assert_eq!(entry(b"odd/after-2106").mtime.sec, 5_680_281_600);
    assert_eq!((entry(b"replace/dir").kind, entry(b"replace/file-to-dir").kind), (Kind::File, Kind::Directory));
    let _ = (entry(NOT_UTF8), entry(PRE_EPOCH.as_bytes()));
    assert!(tree.entries.keys().any(|path| path.len() > 400), "a path beyond every header field");

    let dir = TempDir::new();
    let unpacked = Tree::of(umoci_unpack(&image.oci_layout(), image.tag(), &dir.join("bundle")));
    assert_same_trees(&tree, &unpacked, &Options::images().without(PRE_EPOCH));
    // umoci reads no Zstandard; a second podman does.
    let other = Podman::new();
    let id = other.pull(&format!("oci:{}:{}", image.zstd_layout().display(), image.tag()));
    assert_same_trees(&tree, &Tree::of(other.mount(&id).path()), &Options::images());
}

#[test]
fn root_the_awkward_image_has_whiteouts_an_opaque_directory_and_an_empty_layer() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let members = read_archive(&awkward().docker_archive());
    let layers: Vec<_> = members.iter().filter(|(name, _)| name.ends_with(".tar")).collect();
    assert_eq!(layers.len(), 4);
    let names: BTreeSet<Vec<u8>> = layers
        .iter()
        .flat_map(|(_, layer)| {
            let mut archive = tar::Archive::new(layer.as_slice());
            let entries: Vec<_> = archive.entries().expect("a layer").map(|e| e.expect("whole")).collect();
            entries.iter().map(|entry| entry.path_bytes().into_owned()).collect::<Vec<_>>()
        })
        .collect();
    for name in ["etc/.wh.two", ".wh.gone", "links/.wh.b", "shadow/.wh..wh..opq", "new/dir/.wh..wh..opq"] {
        assert!(names.contains(name.as_bytes()), "no {name}");
    }
    assert!(layers.iter().any(|(_, layer)| layer.len() == 1024), "an empty layer is two blocks of zeros");
}

#[test]
fn root_the_small_image_starts_programs_everywhere() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "runc", "dockerd", "docker", "containerd");
    let image = small();
    let podman = Podman::new();
    podman.load(&image.oci_archive());
    let expected = "greeting=hello\nlevel=1";
    assert_eq!(podman.run(image.name(), &["/app/run.sh"]).success().text(), expected);
    let changed =
        podman.run(image.name(), &["/bin/sh", "-c", "echo x >>/app/config.properties; wc -l </app/config.properties"]);
    assert_eq!(changed.success().text(), "3");

    let mount = podman.mount(image.name());
    assert_eq!(output(Command::new("chroot").arg(mount.path()).arg("/app/run.sh")), expected);
    let tools = "for t in /usr/bin/*; do test -x $t; done; ls -l / | sort | head -n 3; stat -c %a /tmp";
    assert!(output(Command::new("chroot").arg(mount.path()).args(["/bin/sh", "-euc", tools])).ends_with("1777"));

    let docker = Docker::start();
    assert_eq!(docker.load(&image.docker_archive()), image.name());
    // docker compares what is there with what was: a directory made again just as it was is no change to it.
    let edit = "echo x >>/app/config.properties; rm /app/run.sh; mkdir /new; rm -r /root; mkdir /root";
    docker.run_in(image.name(), "edited", edit).success();
    let changes = docker.changes("edited");
    assert_eq!(changes, ["C /app", "C /app/config.properties", "D /app/run.sh", "A /new"]);
}

#[test]
fn root_images_of_many_layers_are_whole_and_in_order_mounted_and_unpacked() {
    require_root!();
    require_tool!("podman", "umoci");
    let check = |root: &Path, n: usize| {
        let read = |name: &str| std::fs::read_to_string(root.join(name)).ok();
        assert_eq!(read("top"), Some((n - 1).to_string()));
        assert_eq!(read("layers/0").as_deref(), Some("0"));
        assert_eq!(read(&format!("layers/{}", n - 1)), Some((n - 1).to_string()));
        assert_eq!(read("layers/9"), None, "deleted by layer 10, or never made");
    };
    let podman = Podman::new();
    for n in [3, 129] {
        let image = many_layers(n);
        podman.load(&image.docker_archive());
        check(podman.mount(image.name()).path(), n);
    }
    let (image, dir) = (many_layers(400), TempDir::new());
    check(&umoci_unpack(&image.oci_layout(), image.tag(), &dir.join("bundle")), 400);
}

#[test]
fn four_hundred_layers_are_the_same_bytes_each_time() {
    let image = many_layers(400);
    let members = read_archive(&image.docker_archive());
    assert_eq!(members.len(), 402);
    let layers = members[..400].iter().map(|(_, layer)| layer.clone()).collect();
    let again = Plain::new(image.name(), layers);
    assert!(again.docker_members() == members);
    assert!(image.oci_layout().join("index.json").exists() && image.zstd_archive().exists());
}

#[test]
fn every_spoilt_archive_is_refused_by_skopeo_and_the_good_one_is_not() {
    require_tool!("skopeo");
    let image = many_layers(3);
    for (kind, good) in [("docker-archive", image.docker_archive()), ("oci-archive", image.oci_archive())] {
        let dir = TempDir::new();
        let copy = |archive: &Path, name: &str| {
            let to = format!("dir:{}", dir.join(name).display());
            run(skopeo().args(["copy", "-q", &format!("{kind}:{}", archive.display()), &to]))
        };
        copy(&good, "good").success();
        for (n, (what, spoil)) in spoil::ALL.iter().enumerate() {
            let bad = dir.join("bad.tar");
            spoil(&good, &bad);
            let ran = copy(&bad, &n.to_string());
            // An OCI image's config is a blob like any other to skopeo, which copies without reading it.
            let unseen = kind == "oci-archive" && ["wrong diff id", "config that is no JSON"].contains(what);
            assert_eq!(ran.status.success(), unseen, "{kind}: {what}: {}", ran.words());
        }
    }
}

#[test]
fn a_name_that_climbs_leaves_the_directory_of_a_credulous_unpacker() {
    let dir = TempDir::new();
    let target = dir.dir("target");
    let (what, layer) = hostile::refused().swap_remove(0);
    std::fs::write(dir.join("layer.tar"), layer).expect("it is ours");
    output(Command::new("tar").arg("-C").arg(&target).arg("-xPf").arg(dir.join("layer.tar")));
    assert!(dir.join(hostile::ESCAPED).exists(), "{what}: the attack is none");
}

#[test]
fn a_file_through_a_link_leaves_the_directory_of_a_credulous_unpacker() {
    let dir = TempDir::new();
    let (target, outside) = (dir.dir("target"), dir.dir("outside"));
    let layer = LayerTar::new().symlink("out", "../outside").file(format!("out/{}", hostile::ESCAPED), "x").finish();
    std::fs::write(dir.join("layer.tar"), layer).expect("it is ours");
    output(Command::new("tar").arg("-C").arg(&target).arg("-xPf").arg(dir.join("layer.tar")));
    assert!(outside.join(hostile::ESCAPED).exists());
}

#[test]
fn root_podman_takes_no_broken_layer_and_keeps_every_attack_inside() {
    require_root!();
    require_tool!("podman");
    let (podman, dir) = (Podman::new(), TempDir::new());
    let load = |n: usize, layer: Vec<u8>| {
        let archive = dir.join(format!("{n}.tar"));
        Plain::new(&format!("localhost/hostile:{n}"), vec![layer]).write_docker_archive(&archive);
        run(podman.command().args(["load", "-q", "-i"]).arg(&archive))
    };
    let accepted: Vec<_> = hostile::refused()
        .into_iter()
        .enumerate()
        .filter_map(|(n, (what, layer))| load(n, layer).status.success().then_some(what))
        .collect();
    // podman unpacks in a chroot, where climbing ends at the root, and passes a root entry over.
    let harmless = |what: &&str| what.contains("climb") || what.starts_with("a root");
    assert!(accepted.iter().all(harmless), "{accepted:?}");
    assert!(!Path::new("/tmp").join(hostile::ESCAPED).exists());
    for (n, (what, layer)) in hostile::contained().into_iter().enumerate() {
        let _ = load(100 + n, layer);
        assert!(!Path::new("/tmp").join(hostile::ESCAPED).exists(), "{what}");
    }
}

#[test]
fn an_image_is_built_once_and_found_again() {
    let image = many_layers(2);
    assert!(image.docker_archive().starts_with(cache_dir()));
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("it is built"));
    assert_eq!(inode(image.docker_archive()), inode(many_layers(2).docker_archive()));
}
