//! What a changeset or a file system cannot hold: reported by path, never silently lost.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// One thing an operation left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Where it is, relative to the root of the layer.
    pub path: PathBuf,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// No archive holds a socket (rule 41).
    Socket,
    /// The caller may not make device nodes here (rule 41).
    Device,
    /// The name begins with `.wh.`, which would mean a deletion.
    Name,
    /// The extended attribute cannot be represented, or is not to leave or enter a layer (rules 19, 21, 24).
    Attribute(OsString),
}

impl Skipped {
    /// Reports that `path` was left out.
    pub(crate) fn new(path: impl Into<PathBuf>, reason: SkipReason) -> Self {
        Self { path: path.into(), reason }
    }
}

impl SkipReason {
    /// What it names beside the path.
    pub(crate) fn name(&self) -> &OsStr {
        match self {
            Self::Attribute(name) => name,
            Self::Socket | Self::Device | Self::Name => OsStr::new(""),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.path, self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => f.write_str("a socket cannot be archived"),
            Self::Device => f.write_str("a device node cannot be made here"),
            Self::Name => f.write_str("the name would mean a deletion"),
            Self::Attribute(name) => write!(f, "the attribute {name:?} cannot be kept"),
        }
    }
}
