//! podman, buildah and skopeo over one private store, driver `overlay`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{remove_cgroup, tool, unique_name};
use crate::process::{Ran, kill_naming, output, run};
use crate::temp::TempDir;

/// A containers/storage store of its own, shared by podman, buildah and skopeo; all of it goes on drop.
#[derive(Debug)]
#[must_use = "the store is removed when this is dropped"]
pub struct Podman {
    dir: TempDir,
}

impl Podman {
    /// Makes an empty store.
    #[expect(clippy::new_without_default, reason = "making a store is not a default")]
    #[track_caller]
    pub fn new() -> Self {
        let dir = TempDir::new();
        let path = dir.path().display();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{path}/root\"\nrunroot = \"{path}/run\"\n\
             [storage.options.overlay]\nmountopt = \"nodev\"\n"
        );
        // File locks: the default keeps one shared memory segment for every podman of the machine.
        let runtime = if crate::require::find_tool("runc").is_some() { "runc" } else { "crun" };
        let engine = format!(
            "[containers]\nnetns = \"none\"\ncgroups = \"enabled\"\nlog_driver = \"k8s-file\"\n\
             default_ulimits = [\"nofile=4096:4096\", \"nproc=16384:16384\"]\n\
             [engine]\nruntime = \"{runtime}\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n\
             lock_type = \"file\"\ntmp_dir = \"{path}/tmp\"\n[network]\nnetwork_backend = \"netavark\"\n"
        );
        for (name, text) in [("storage.conf", storage), ("containers.conf", engine)] {
            std::fs::write(dir.join(name), text).unwrap_or_else(|e| panic!("write {name}: {e}"));
        }
        let _ = (dir.dir("root"), dir.dir("run"), dir.dir("tmp"), dir.dir("scratch"));
        Self { dir }
    }

    /// The graph root, as `podman --root` names it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Makes a podman command on this store.
    #[must_use]
    #[track_caller]
    pub fn command(&self) -> Command {
        self.here(tool("podman"))
    }

    /// Makes a buildah command on this store, isolating by chroot.
    #[must_use]
    #[track_caller]
    pub fn buildah(&self) -> Command {
        let mut command = self.here(tool("buildah"));
        command.env("BUILDAH_ISOLATION", "chroot");
        command
    }

    /// Makes a skopeo command whose `containers-storage:` is this store.
    #[must_use]
    #[track_caller]
    pub fn skopeo(&self) -> Command {
        self.here(super::skopeo())
    }

    /// Loads an archive; returns the names it brought, one each, or an id where it brought none.
    #[track_caller]
    pub fn load(&self, archive: &Path) -> Vec<String> {
        let said = output(self.command().args(["load", "-q", "-i"]).arg(archive));
        let names = said.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, name)| name.to_owned());
        names.collect()
    }

    /// Pulls from another transport, `oci:/dir:tag` say; returns the image id.
    #[track_caller]
    pub fn pull(&self, reference: &str) -> String {
        output(self.command().args(["pull", "-q", reference]))
    }

    /// Mounts an image read-only.
    #[track_caller]
    pub fn mount(&self, image: &str) -> ImageMount<'_> {
        let path = output(self.command().args(["image", "mount", image]));
        ImageMount { podman: self, image: image.to_owned(), path: path.into() }
    }

    /// Runs a program in a new container of `image` that is removed afterwards, without a network.
    #[must_use = "a program's failure is only seen by asking for it"]
    #[track_caller]
    pub fn run(&self, image: &str, program: &[&str]) -> Ran {
        let group = unique_name(self.dir.path());
        let mut command = self.command();
        run(command.args(["run", "--rm", &format!("--cgroup-parent=/{group}"), image]).args(program))
    }

    /// Makes an image: starts from `base` (or `scratch`), runs `script` with `$m` the mounted root, commits as `name`.
    ///
    /// The script is `sh -eu`, runs on this machine and not in the image, and has this store's environment.
    #[track_caller]
    pub fn build(&self, base: &str, script: &str, name: &str) {
        let container = output(self.buildah().args(["from", "--pull-never", base]));
        let root = output(self.buildah().args(["mount", &container]));
        output(self.here(tool("sh")).args(["-euc", script]).env("m", &root).env("LC_ALL", "C"));
        output(self.buildah().args(["umount", &container]));
        output(self.buildah().args(["commit", "-q", "--rm", &container, name]));
    }

    fn here(&self, mut command: Command) -> Command {
        command
            .env("CONTAINERS_STORAGE_CONF", self.dir.join("storage.conf"))
            .env("CONTAINERS_CONF", self.dir.join("containers.conf"))
            .env("TMPDIR", self.dir.join("scratch"));
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        kill_naming(self.dir.path()); // conmon names its run directory
        remove_cgroup(&unique_name(self.dir.path()));
    }
}

/// An image podman has mounted; unmounted on drop.
#[derive(Debug)]
#[must_use = "the image is unmounted when this is dropped"]
pub struct ImageMount<'a> {
    podman: &'a Podman,
    image: String,
    path: PathBuf,
}

impl ImageMount<'_> {
    /// The image's root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ImageMount<'_> {
    fn drop(&mut self) {
        let _ = run(self.podman.command().args(["image", "umount", &self.image]));
    }
}
