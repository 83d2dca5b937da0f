//! What a container changed: as docker tells it, and as others unpack it.

use std::process::Command;

use plyfs::{Container, Progress};
use plyfs_testkit::images::{PRE_EPOCH, awkward, small};
use plyfs_testkit::oci::{Compression, EntryType, LayerTar, Plain, read_archive, sha256};
use plyfs_testkit::peers::{Docker, Podman, umoci_unpack};
use plyfs_testkit::process::output;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, chroot, mount, mounted_tree, turn};

/// What there is to be edited, as one layer above an image that has a shell.
fn subject() -> Vec<u8> {
    let dirs = [
        "",
        "gone",
        "gone/deep",
        "to-file",
        "again",
        "again-full",
        "mode-dir",
        "owner-dir",
        "old-dir",
        "empty",
        "deep",
        "deep/er",
        "deep/er/est",
        "untouched",
        "stamped-dir",
        "through",
        "moved-out",
        "nest",
        "nest/a",
        "nest/b",
    ];
    let files = [
        "append",
        "truncated",
        "file",
        "gone/file",
        "gone/deep/file",
        "to-file/child",
        "to-dir",
        "to-link",
        "again/lost",
        "again-full/kept",
        "again-full/lost",
        "mode",
        "owner",
        "old-name",
        "old-dir/file",
        "stamped",
        "dated",
        "first",
        "same",
        "made-again",
        "deep/er/est/file",
        "untouched/file",
        "through/file",
        "moved-out/file",
        "renamed-over",
        "winner",
        "space name",
        "nest/a/file",
        "nest/b/file",
        "swapped",
    ];
    let tar = dirs.iter().fold(LayerTar::new(), |tar, name| tar.dir(format!("data/{name}")));
    let tar = files.iter().fold(tar, |tar, name| tar.file(format!("data/{name}"), format!("{name}\n")));
    let tar = tar.link("data/second", "data/first").symlink("data/link", "file").symlink("data/to-real", "file");
    tar.entry(EntryType::Fifo, 0o644, "data/fifo", "", "").finish()
}

/// One of everything people do to files, in the shell of the image.
const EDITS: &str = r"
    cd /data
    echo more >>append; : >truncated; rm file; rm -r gone; rm -r to-file; echo now >to-file
    rm to-dir; mkdir to-dir; echo in >to-dir/in; rm to-link; ln -s append to-link; rm to-real; echo real >to-real
    rm -r again; mkdir again; rm -r again-full; mkdir again-full; echo kept >again-full/kept; echo new >again-full/new
    chmod 0600 mode; chmod 0700 mode-dir; chown 12:34 owner; chown 12:34 owner-dir
    mv old-name new-name; mv old-dir new-dir; mv winner renamed-over; mv moved-out/file moved-in
    mv swapped swapped.tmp; mv append swapped; mv swapped.tmp append
    ln untouched/file third; ln -s nowhere dangling; rm first; echo x >>second
    touch stamped; touch -d '2001-02-03 04:05:06' dated; touch stamped-dir
    cp -p same same.tmp; mv same.tmp same; rm made-again; echo made again >made-again
    mkdir -p fresh/a/b; echo f >fresh/a/b/c; rmdir empty; rm link; ln -s append link; rm fifo; mkfifo fifo
    mknod node c 1 5; echo x >deep/er/est/new; rm 'space name'; echo x >'another space'
    echo x >comes-and-goes; rm comes-and-goes; mkdir comes; rmdir comes; echo x >through/file; rm through/file
    rm -r nest/a; rm nest/b/file; echo moved >/etc/passwd.new; mv /etc/passwd.new /etc/passwd; rm -r /root; chmod 1755 /tmp
";

/// The layer archives of the small image, with the subject on top.
fn layers_to_edit() -> Vec<Vec<u8>> {
    let members = read_archive(&small().docker_archive());
    let manifest = &members.iter().find(|(name, _)| name == "manifest.json").expect("it has one").1;
    let manifest: serde_json::Value = serde_json::from_slice(manifest).expect("it is json");
    let names = manifest[0]["Layers"].as_array().expect("a list").clone();
    let layer = |name: &serde_json::Value| {
        members.iter().find(|(known, _)| Some(known.as_str()) == name.as_str()).expect("it is there").1.clone()
    };
    names.iter().map(layer).chain([subject()]).collect()
}

/// What a container's changeset is.
#[track_caller]
fn changeset(container: &Container) -> Vec<u8> {
    let mut bytes = Vec::new();
    let exported = container.export(&mut bytes, Progress::none()).expect("it can be exported");
    assert_eq!(exported.diff_id.hex(), sha256(&bytes), "the digest that was told");
    let mut again = Vec::new();
    container.export(&mut again, Progress::none()).expect("it can be exported");
    assert!(bytes == again, "the same changes give the same bytes");
    bytes
}

/// Claims that podman, umoci and a store of ours make `expected` of these layers.
#[track_caller]
fn assert_unpacks_to(scratch: &Scratch, layers: Vec<Vec<u8>>, expected: &Tree, podman_options: &Options) {
    let image = Plain::new("localhost/unpacked:1", layers);
    let (archive, layout) = (scratch.dir.join("unpacked.tar"), scratch.dir.dir("unpacked"));
    image.write_docker_archive(&archive);
    image.write_oci_layout(Compression::Gzip, &layout);
    let podman = Podman::new();
    podman.load(&archive);
    assert_same_trees(&Tree::of(podman.mount("localhost/unpacked:1").path()), expected, podman_options);
    let unpacked = umoci_unpack(&layout, "1", &scratch.dir.join("bundle"));
    assert_same_trees(&Tree::of(unpacked), expected, &Options::images());
    let other = Scratch::new();
    let loaded = other.load(&layout);
    assert_same_trees(&mounted_tree(&other, &loaded), expected, &Options::images());
}

#[test]
fn root_changes_are_those_docker_tells_after_the_same_edits_and_unpack_to_the_same_tree_everywhere() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci", "dockerd", "docker", "containerd", "runc");
    let _turn = turn();
    let (scratch, docker, layers) = (Scratch::new(), Docker::start(), layers_to_edit());
    let archive = scratch.dir.join("to-edit.tar");
    Plain::new("localhost/to-edit:1", layers.clone()).write_docker_archive(&archive);
    docker.load(&archive);
    docker.run_in("localhost/to-edit:1", "edited", EDITS).success();

    let image = scratch.load(&archive);
    let container = scratch.create(&image, "edited");
    let mounted = mount(&container);
    output(&mut chroot(mounted.path(), EDITS));
    let tree = Tree::of(mounted.path());
    let while_mounted = lines(&container);
    mounted.unmount().expect("nobody is inside");

    assert_eq!(lines(&container), while_mounted, "unmounting changes nothing");
    let told = docker.changes("edited");
    assert_eq!(lines(&container), told);
    assert!(told.len() > 60, "most edits were none: {told:?}");
    let all = layers.into_iter().chain([changeset(&container)]).collect();
    assert_unpacks_to(&scratch, all, &tree, &Options::images());
}

#[test]
fn root_what_is_done_to_an_awkward_image_unpacks_to_the_same_tree_everywhere() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "umoci", "setcap", "setfattr");
    let _turn = turn();
    let script = r#"
        cd "$m"; umask 022
        rm -r links; mkdir links; echo a >links/a; ln links/a links/b; ln -s a links/c; ln links/c links/d
        setfattr -n user.added -v 'a value' etc/one; setfattr -x user.dir keep/dir; setfattr -n user.d -v x odd
        echo program >bin/new; chmod 0755 bin/new; setcap cap_chown+ep bin/new; chmod 6711 bin/setuid; chmod 0 odd/empty
        rm "odd/$(printf 'not-\377\376-utf8')"; echo x >"odd/$(printf 'also-\377')"; echo x >"odd/$(printf 'tab\there')"
        mknod odd/new-block b 8 1; mknod odd/new-char c 10 200; chown 5:6 odd/fifo; rm odd/null; mkdir odd/null
        mv odd/sparse odd/moved; truncate -s 10M odd/holes; chown -h 9:9 etc/absolute; rm etc/relative; mkdir etc/relative
        rm -r replace; echo file >replace; rm -r new; chmod 1755 tmp; chown 100:100 tmp
        touch -h -d '1950-06-07 08:09:10 UTC' odd/epoch; touch -h -d '2200-01-01 UTC' etc/dangling
        touch -d '2024-05-06 07:08:09 UTC' links odd etc bin tmp keep/dir
    "#;
    let (given, scratch) = (awkward(), Scratch::new());
    let image = scratch.load(given.docker_archive());
    let container = scratch.create(&image, "edited");
    let mounted = mount(&container);
    output(Command::new("sh").args(["-euc", script]).env("m", mounted.path()).env("LC_ALL", "C"));
    let tree = Tree::of(mounted.path());
    mounted.unmount().expect("nobody is inside");

    let members = read_archive(&given.docker_archive());
    let mut layers: Vec<Vec<u8>> = Vec::new();
    for layer in image.layers().expect("it has layers").iter().rev() {
        let hex = layer.diff_id().expect("it came as an archive").hex();
        layers.push(members.iter().find(|(_, bytes)| sha256(bytes) == hex).expect("it came from there").1.clone());
    }
    layers.push(changeset(&container));
    // podman gives what is older than 1970 the time 0.
    let podman = Options::images().without(PRE_EPOCH).without("odd/epoch");
    assert_unpacks_to(&scratch, layers, &tree, &podman);
}

#[test]
fn root_a_container_nobody_wrote_to_has_no_changes_and_an_empty_changeset() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo");
    let _turn = turn();
    let scratch = Scratch::new();
    let image = scratch.load(small().oci_archive());
    let container = scratch.create(&image, "idle");
    let mounted = mount(&container);
    let looked = output(&mut chroot(mounted.path(), "test -n \"$(ls -lR /)\"; cat /app/config.properties"));
    assert_eq!(looked, "greeting=hello\nlevel=1");
    mounted.unmount().expect("nobody is inside");
    assert_eq!(lines(&container), [""; 0]);
    assert!(changeset(&container) == [0; 1024], "two blocks of zeros");
}

/// The changes as docker prints them.
#[track_caller]
fn lines(container: &Container) -> Vec<String> {
    let changes = container.changes().expect("they can be listed");
    changes.map(|change| change.expect("one can be told").to_string()).collect()
}
