//! Other people's tools, each with storage of its own in a temporary directory: podman, buildah, skopeo, umoci, docker.
//!
//! Nothing of the machine's own stores is read or written, but for the blob info cache skopeo and podman keep in
//! `/var/lib/containers/cache` and offer no way to move. What a guard started ends with it: mounts, containers,
//! daemons, directories.
//!
//! # What runs where
//!
//! Programs in containers are started by runc with real cgroups through cgroupfs, without a network. crun refuses a
//! machine with both cgroup versions mounted, and runc refuses podman's `--cgroups=disabled`. podman's default limits
//! (`nofile`, `nproc`) exceed what a process without `CAP_SYS_RESOURCE` may ask for, so both are stated, lower.
//! buildah isolates by chroot. Images are edited by mounting them, which needs none of this.

mod docker;
mod podman;

use std::path::Path;
use std::process::Command;

pub use docker::Docker;
pub use podman::{ImageMount, Podman};

/// Makes a command for a tool found also where an ordinary user's search path does not look.
#[must_use]
#[track_caller]
pub fn tool(name: &str) -> Command {
    Command::new(crate::require::find_tool(name).unwrap_or_else(|| panic!("{name} is not installed")))
}

/// Makes a command for skopeo that trusts every image and works on files alone.
#[must_use]
#[track_caller]
pub fn skopeo() -> Command {
    let mut command = tool("skopeo");
    command.arg("--insecure-policy");
    command
}

/// Makes a command for umoci, which needs no storage.
#[must_use]
#[track_caller]
pub fn umoci() -> Command {
    tool("umoci")
}

/// Unpacks a tagged image of an OCI layout with umoci; the tree is `rootfs` in the directory `bundle`, which is made.
#[track_caller]
pub fn umoci_unpack(layout: &Path, tag: &str, bundle: &Path) -> std::path::PathBuf {
    let image = format!("{}:{tag}", layout.display());
    crate::process::output(umoci().args(["unpack", "--image", &image]).arg(bundle));
    bundle.join("rootfs")
}

/// Removes the cgroup `name` in every hierarchy, with those beneath it; best effort.
fn remove_cgroup(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in std::iter::once(root.to_owned()).chain(hierarchies) {
        remove_group_tree(&hierarchy.join(name));
    }
}

/// Removes a cgroup the only way there is: directory by directory, the deepest first.
fn remove_group_tree(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group_tree(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(dir);
}

/// A name no other test has: the last part of its temporary directory.
fn unique_name(dir: &Path) -> String {
    dir.file_name().expect("a temporary directory has a name").to_string_lossy().into_owned()
}
