//! What a directory holds, entry by entry, and where two of them differ: the one comparison all tests share.
//!
//! A [`Tree`] records everything; what a comparison leaves aside is said by [`Options`], at the place that knows why.
//! The walk goes by descriptor and never follows a link, so the tree of an image cannot lead out of it.

mod compare;
mod walk;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

pub use compare::{Difference, Field, Options, assert_same, assert_same_trees, differences};

/// Every entry of a directory by its path: no leading slash, bytes as they are, the root itself under the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The entries, sorted bytewise by path.
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

impl Tree {
    /// Records everything at and beneath `dir`.
    ///
    /// # Panics
    ///
    /// Where anything cannot be read: half a tree would compare equal to half a tree.
    #[must_use]
    #[track_caller]
    pub fn of(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        walk::walk(dir).unwrap_or_else(|e| panic!("walk {}: {e}", dir.display()))
    }

    /// The entry at `path`, with or without a leading slash.
    #[must_use]
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Entry> {
        self.entries.get(relative(path.as_ref()))
    }
}

/// One entry, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes of a file or of a link's target; zero for all else, whose size is the file system's business.
    pub size: u64,
    /// When the content last changed.
    pub mtime: Mtime,
    /// Every extended attribute.
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The smallest path of the same inode, if the tree holds more than one.
    pub links: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
    /// SHA-256 of a file's content.
    pub content: Option<[u8; 32]>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's own words")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// A time of change, before the epoch too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since the epoch, rounded down.
    pub sec: i64,
    /// Nanoseconds after it.
    pub nsec: u32,
}

/// A path without the slashes before it.
fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    &path[start..]
}
