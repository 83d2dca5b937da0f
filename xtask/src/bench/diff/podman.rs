//! podman over a store of its own, asked for what it does with the same trees.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::bench::short::Short;
use crate::run::{check, command, output};

/// A store of containers-storage, driver overlay; shut down with this value.
pub(super) struct Podman {
    dir: PathBuf,
    run: Short,
}

impl Podman {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self { dir: dir.to_owned(), run: Short::new(&name)? })
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut podman = command("podman");
        podman.arg("--root").arg(&self.dir);
        podman.arg("--runroot").arg(self.run.path().join("run")).arg("--tmpdir").arg(self.run.path().join("tmp"));
        podman.args(["--storage-driver", "overlay", "--events-backend", "none", "--cgroup-manager", "cgroupfs"]);
        podman.args(arguments);
        podman
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    /// Takes a tree in as an image of one layer, its entries in this order of tar's.
    ///
    /// Layers of the same bytes would be one, and not be compared.
    pub(super) fn image(&self, tree: &str, name: &str, order: &str) -> Result<()> {
        let order = format!("--sort={order}");
        let mut tar = command("tar").args(["cf", "-", &order, "-C", tree, "."]).stdout(Stdio::piped()).spawn()?;
        let stream = tar.stdout.take().map_or_else(Stdio::null, Stdio::from);
        self.import(name, "-", stream)?;
        tar.wait()?;
        Ok(())
    }

    /// Makes a container that has added what is in `tree` to an empty image; the answer is its name.
    pub(super) fn container(&self, tree: &str, nothing: &str) -> Result<&'static str> {
        self.import("nothing", nothing, Stdio::null())?;
        self.ask(&["create", "--quiet", "--network=none", "--name", "changed", "nothing", "true"])?;
        let root = self.ask(&["mount", "changed"])?;
        check(command("cp").arg("-a").arg(format!("{tree}/.")).arg(root.trim()))?;
        self.ask(&["umount", "changed"])?;
        Ok("changed")
    }

    fn import(&self, name: &str, archive: &str, stream: Stdio) -> Result<()> {
        output(self.command(&["import", "--quiet", archive, name]).stdin(stream)).map(drop)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut storage = self.command(&["umount", "--all"]);
        let _ = check(storage.stdout(Stdio::null()).stderr(Stdio::null()));
    }
}
