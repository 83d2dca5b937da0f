//! libplyfs as a program outside this workspace would find it: header, library and pkg-config file in one prefix.
//!
//! The examples see only this prefix, so one that works here works after an installation.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use super::Session;
use crate::{install, run, tree};

/// A prefix with libplyfs in it, and an image archive for the examples to load.
#[derive(Debug)]
pub(super) struct Stage {
    prefix: PathBuf,
    /// An OCI archive with one small image.
    pub(super) archive: PathBuf,
}

impl Stage {
    /// Builds the library and lays it out; `log` keeps the output of the build.
    pub(super) fn build(session: &Session, log: &str) -> Result<Self> {
        session.build(log)?;
        let prefix = session.scratch("stage")?;
        install::lay_out(&prefix, &tree::target().join("debug"))?;
        let archive = prefix.join("image.tar");
        let stage = Self { prefix, archive };
        stage.make_archive()?;
        Ok(stage)
    }

    /// Claims that nothing is in the libraries that a program linked with them would not need.
    pub(super) fn is_stripped(&self) -> Result<()> {
        for (_, library) in install::LIBRARIES {
            let path = self.prefix.join(library);
            let sections = run::output(run::command("objdump").arg("-h").arg(&path))?;
            let mut names = sections.lines().filter_map(|line| line.split_whitespace().nth(1));
            if let Some(needless) = names.find(|name| install::NEEDLESS.contains(name)) {
                bail!("{}: {needless} is in it", path.display());
            }
        }
        Ok(())
    }

    /// Lets a command find the library through pkg-config, and at run time.
    pub(super) fn show(&self, command: &mut Command) {
        command.env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"));
        command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
    }

    /// What pkg-config answers for libplyfs.
    pub(super) fn flags(&self) -> Result<Vec<String>> {
        let mut pkg_config = run::command("pkg-config");
        self.show(&mut pkg_config);
        let flags = run::output(pkg_config.args(["--cflags", "--libs", "plyfs"]))?;
        Ok(flags.split_whitespace().map(str::to_owned).collect())
    }

    /// The arguments every example takes: a store that does not exist yet, and an image archive.
    pub(super) fn arguments(&self, example: &str) -> Result<[PathBuf; 2]> {
        if !geteuid().is_root() {
            bail!("not root: the examples mount");
        }
        Ok([self.prefix.join(format!("store-{example}")), self.archive.clone()])
    }

    /// An image of one layer with one file, made by the command that stands beside the library.
    fn make_archive(&self) -> Result<()> {
        let rootfs = self.prefix.join("rootfs");
        fs::create_dir_all(rootfs.join("etc")).context("create the root of the image")?;
        fs::write(rootfs.join("etc/motd"), "hello\n").context("write etc/motd")?;
        let plyfs = || {
            let mut plyfs = run::command(tree::target().join("debug/plyfs"));
            plyfs.arg("--quiet").arg("--root").arg(self.prefix.join("store-of-image"));
            plyfs
        };
        run::check(plyfs().arg("import").arg(&rootfs).arg("example:1"))?;
        run::check(plyfs().args(["save", "example:1", "--format", "oci-archive", "-o"]).arg(&self.archive))
    }
}
