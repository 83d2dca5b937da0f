//! The `plyfs` command as a person would type it, on one store.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{command, output};

/// The command with a store.
#[derive(Clone, Debug)]
pub(super) struct Plyfs {
    binary: PathBuf,
    root: PathBuf,
}

impl Plyfs {
    pub(super) fn new(binary: &Path, root: &Path) -> Self {
        Self { binary: binary.to_path_buf(), root: root.to_path_buf() }
    }

    /// The store's directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn command(&self) -> Command {
        let mut plyfs = command(&self.binary);
        plyfs.env_remove("PLYFS_ROOT").arg("--root").arg(&self.root).arg("--quiet");
        plyfs
    }

    /// Runs it and returns what it printed.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String> {
        output(self.command().args(arguments))
    }

    /// Runs it, showing the command and what it printed.
    pub(super) fn say(&self, arguments: &[&str]) -> Result<String> {
        let short: Vec<&str> = arguments.iter().map(|word| word.rsplit('/').next().unwrap_or(word)).collect();
        println!("    $ plyfs {}", if arguments[0] == "load" { short.join(" ") } else { arguments.join(" ") });
        let said = self.ask(arguments)?;
        println!("{}", super::indent(said.trim_end()));
        Ok(said)
    }

    /// Runs it for what it does.
    pub(super) fn quiet(&self, arguments: &[&str]) -> Result<()> {
        self.ask(arguments).map(drop)
    }

    /// Runs it with `--json`.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = output(self.command().arg("--json").args(arguments))?;
        serde_json::from_str(&text).with_context(|| format!("plyfs --json {}: not JSON", arguments.join(" ")))
    }
}
