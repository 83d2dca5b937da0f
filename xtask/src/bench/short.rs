//! A directory with a short path, for what refuses long ones: sockets, podman's run root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A new directory below the machine's temporary one; removed with this value.
#[derive(Debug)]
pub(super) struct Short(PathBuf);

impl Short {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("plyfs-{name}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
