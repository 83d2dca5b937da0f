//! How a container is mounted, and what others need to mount it themselves.

use std::ffi::OsString;
use std::path::PathBuf;

/// How to mount.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "options do nothing until `mount`"]
pub struct MountOptions {
    pub(super) at: Option<PathBuf>,
    pub(super) read_only: Option<bool>,
    pub(super) flags: plyfs_mount::MountOptions,
}

impl MountOptions {
    /// At the container's own `merged` directory, as its creation said of reading and writing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts at this existing directory instead.
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.at = Some(path.into());
        self
    }

    /// Overrides what the container was created with.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Ignores setuid bits and file capabilities inside.
    pub fn nosuid(mut self, nosuid: bool) -> Self {
        self.flags = self.flags.nosuid(nosuid);
        self
    }

    /// Refuses device nodes inside.
    pub fn nodev(mut self, nodev: bool) -> Self {
        self.flags = self.flags.nodev(nodev);
        self
    }

    /// Refuses to run programs inside.
    pub fn noexec(mut self, noexec: bool) -> Self {
        self.flags = self.flags.noexec(noexec);
        self
    }
}

/// What a runtime needs to make a container's mount itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountSpec {
    /// The lower directories, uppermost first, by their short links.
    pub lower: Vec<PathBuf>,
    /// The writable directory.
    pub upper: PathBuf,
    /// The work directory.
    pub work: PathBuf,
    /// The default mount point; it is there only while mounted.
    pub target: PathBuf,
    /// The options as `mount -t overlay -o` takes them.
    pub options: OsString,
}
