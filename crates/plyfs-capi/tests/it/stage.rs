//! libplyfs as a program elsewhere finds it: header, library and pkg-config file in one prefix.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plyfs_testkit::process;
use plyfs_testkit::temp::TempDir;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// The shared library, which Cargo builds beside this test.
pub(crate) fn library() -> PathBuf {
    let here = std::env::current_exe().expect("a test knows itself");
    let library = here.parent().expect("it lies in a directory").join("libplyfs_capi.so");
    assert!(library.is_file(), "{} is missing", library.display());
    library
}

/// A prefix with libplyfs in it, removed when dropped.
pub(crate) struct Stage {
    dir: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let (include, lib) = (dir.dir("include"), dir.dir("lib"));
        fs::copy(workspace().join("include/plyfs.h"), include.join("plyfs.h")).expect("the header is committed");
        fs::copy(library(), lib.join("libplyfs.so")).expect("the library can be copied");
        let (include, lib) = (include.display(), lib.display());
        let text = format!("Name: plyfs\nDescription: plyfs\nVersion: 0\nCflags: -I{include}\nLibs: -L{lib} -lplyfs\n");
        fs::write(dir.join("plyfs.pc"), text).expect("the prefix is writable");
        Self { dir }
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command that finds the library through pkg-config, and at run time.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PKG_CONFIG_PATH", self.dir.path()).env("LD_LIBRARY_PATH", self.dir.join("lib"));
        command
    }

    /// What it takes to compile against the library.
    pub(crate) fn flags(&self) -> Vec<String> {
        let flags = process::output(self.command("pkg-config").args(["--cflags", "--libs", "plyfs"]));
        flags.split_whitespace().map(str::to_owned).collect()
    }
}
