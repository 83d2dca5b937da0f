//! The driver home beside the one dockerd makes of the same image and container, mounted and not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use plyfs_testkit::images::small;
use plyfs_testkit::peers::Docker;
use plyfs_testkit::process::output;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};
use plyfs_testkit::{require_root, require_tool};

use crate::support::{Scratch, mount, names, turn};

/// A driver home and what its layers are to the image: `base`, `top`, `container`.
struct Home {
    path: PathBuf,
    roles: BTreeMap<String, &'static str>,
}

impl Home {
    /// Tells every entry that makes the home, with ids and links replaced by roles: kind, mode, owner, content.
    fn shape(&self) -> BTreeMap<String, String> {
        let mut shape = BTreeMap::from([(".".to_owned(), self.told(&self.path))]);
        for name in names(&self.path).into_iter().filter(|name| !name.ends_with("-init")) {
            let path = self.path.join(&name);
            let role = self.roles.get(&name).map_or(name.clone(), |role| (*role).to_owned());
            shape.insert(role.clone(), self.told(&path));
            for inner in names(&path) {
                let (inner_path, link) = (path.join(&inner), self.named(&inner));
                if link == "init" {
                    continue;
                }
                shape.insert(format!("{role}/{link}"), self.told(&inner_path));
                if inner == "work" {
                    let below = |name: String| (format!("{role}/work/{name}"), self.told(&inner_path.join(&name)));
                    shape.extend(names(&inner_path).into_iter().map(below));
                }
            }
        }
        shape
    }

    fn told(&self, path: &Path) -> String {
        let status = fs::symlink_metadata(path).expect("it was listed");
        let kind = status.file_type();
        let content = match () {
            () if kind.is_symlink() => fs::read_link(path).expect("it is one").display().to_string(),
            () if kind.is_file() => fs::read_to_string(path).expect("it is text"),
            () => String::new(),
        };
        let kind = match () {
            () if kind.is_symlink() => "link to",
            () if kind.is_file() => "file",
            () if kind.is_dir() => "directory",
            () if kind.is_block_device() => "block device",
            () => "something",
        };
        // A link's own mode says nothing.
        let mode = if kind == "link to" { 0o777 } else { status.mode() & 0o7777 };
        format!("{kind} {mode:04o} {}:{} {:?}", status.uid(), status.gid(), self.named(&content))
    }

    /// Replaces ids and links by roles; docker's layer of mount points for its own files is left out.
    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, role) in &self.roles {
            let link = fs::read_to_string(self.path.join(id).join("link")).expect("every layer has its link");
            text = text.replace(&link, role).replace(id, role);
        }
        text.replace("l/init:", "")
    }

    fn dir(&self, role: &str) -> PathBuf {
        let (id, _) = self.roles.iter().find(|(_, known)| **known == role).expect("a role it has");
        self.path.join(id)
    }
}

/// The home of dockerd once `container` exists.
fn theirs(docker: &Docker, container: &str) -> Home {
    let field = |name: &str| docker.inspect(container, &format!("{{{{.GraphDriver.Data.{name}}}}}"));
    let id = |path: &str| {
        let layer = Path::new(path).parent().expect("a diff lies in its layer");
        layer.file_name().expect("a layer has a name").to_string_lossy().into_owned()
    };
    let lowers = field("LowerDir");
    let lowers: Vec<_> = lowers.split(':').map(id).collect();
    let [init, top, base] = <[String; 3]>::try_from(lowers).expect("two layers and docker's own");
    let roles = [(init, "init"), (top, "top"), (base, "base"), (id(&field("UpperDir")), "container")];
    Home { path: docker.data_root().join("overlay2"), roles: roles.into() }
}

#[test]
fn root_the_driver_home_looks_as_the_one_dockerd_makes_created_mounted_and_unmounted() {
    require_root!();
    require_tool!("buildah", "podman", "skopeo", "dockerd", "docker", "containerd", "runc");
    let _turn = turn();
    let (scratch, docker, image) = (Scratch::new(), Docker::start(), small());
    docker.load(&image.docker_archive());
    output(docker.command().args(["create", "--network=none", "--name", "box", image.name(), "/bin/sleep", "300"]));
    let theirs = theirs(&docker, "box");

    let loaded = scratch.load(image.docker_archive());
    let container = scratch.create(&loaded, "box");
    let layers = loaded.layers().expect("it has layers");
    let roles = [
        (container.id().to_string(), "container"),
        (layers[0].id().to_string(), "top"),
        (layers[1].id().to_string(), "base"),
    ];
    let ours = Home { path: scratch.store.path().join("overlay2"), roles: roles.into() };
    let mut created = theirs.shape();
    // The kernel's; docker mounts a container once while it creates it.
    assert_eq!(created.remove("container/work/work").as_deref(), Some("directory 0000 0:0 \"\""));
    assert_eq!(ours.shape(), created, "created");

    output(docker.command().args(["start", "box"]));
    let mounted = mount(&container);
    assert_eq!(ours.shape(), theirs.shape(), "mounted");

    output(docker.command().args(["kill", "box"]));
    output(docker.command().args(["wait", "box"]));
    mounted.unmount().expect("nobody is inside");
    assert_eq!(ours.shape(), theirs.shape(), "unmounted");

    for role in ["base", "top"] {
        let diff = |home: &Home| Tree::of(home.dir(role).join("diff"));
        assert_same_trees(&diff(&ours), &diff(&theirs), &Options::new().without_root());
    }

    output(docker.command().args(["rm", "box"]));
    container.remove(plyfs::Removal::Unmounted).expect("nobody uses it");
    scratch.store.reap().expect("the trash is ours");
    output(docker.command().args(["rmi", image.name()]));
    scratch.store.remove_image(&loaded).expect("nobody uses it");
    scratch.store.reap().expect("the trash is ours");
    assert_eq!(names(&ours.path), ["l"], "nothing of an image may stay");
    assert_eq!(names(&ours.path), names(&theirs.path));
    assert_eq!(names(&ours.path.join("l")), names(&theirs.path.join("l")));
}
