//! What a store is and what it stands on.

use std::path::PathBuf;

use plyfs_sys::fs;

use crate::{Error, Result, Store, format};

/// What [`Store::info`] tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The version of the store's format.
    pub version: u32,
    /// The absolute path of its root.
    pub path: PathBuf,
    /// The namespace of the overlay attributes in the layers.
    pub dialect: String,
    /// The backing file system's name, or its magic number where that is unknown here.
    pub file_system: String,
    /// Says whether changes are possible.
    pub is_writable: bool,
    /// What the kernel can do, a line each; empty where the caller may not find out.
    pub kernel: Vec<String>,
}

impl Store {
    /// Tells what the store is and what it stands on.
    pub fn info(&self) -> Result<Info> {
        let magic = fs::filesystem_magic(&self.0.root).map_err(|e| Error::call("file system", e))?;
        // Probing mounts; a reader without privilege is told nothing instead of being refused.
        let kernel = match self.require_root("probing") {
            Ok(()) => self.features()?.to_string().lines().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        };
        Ok(Info {
            version: format::VERSION,
            path: self.path().to_owned(),
            dialect: self.0.format.dialect.clone(),
            file_system: file_system_name(magic),
            is_writable: self.is_writable(),
            kernel,
        })
    }
}

/// The magic numbers of `statfs(2)` that a store may meet.
fn file_system_name(magic: u64) -> String {
    match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlay",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0xca45_1a4e => "bcachefs",
        _ => return format!("{magic:#x}"),
    }
    .to_owned()
}
