//! Layers applied one over the other, each held to what every apply must keep.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plyfs_diff::{Applied, ApplyOptions, Chain, Dialect, Digest, Error, Usage, apply, tar_split};
use plyfs_sys::fs::open_dir;
pub use plyfs_sys::report as whole;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::tree::Tree;

/// Proves that a layer costs what was counted.
///
/// ext4 decides when it writes whether the pieces of a sparse file fit into the inode; if not it takes one block more.
pub fn assert_costs(counted: Usage, layer: &OwnedFd, context: &str) {
    let measured = Usage::measure(layer).expect("measured");
    assert_eq!((counted.apparent, counted.inodes), (measured.apparent, measured.inodes), "{context}");
    if counted.allocated != measured.allocated {
        let may_grow = 4096 * sparse_files(&plyfs_sys::fs::proc_path(layer));
        let expected = counted.allocated..=counted.allocated + may_grow;
        assert!(expected.contains(&measured.allocated), "{context}: {counted:?} and {measured:?}");
    }
}

/// The number of files at and below `dir` that have holes.
fn sparse_files(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let count = |path: PathBuf| {
        let status = path.symlink_metadata().expect("a status");
        let is_sparse = status.is_file() && status.blocks() * 512 < status.size();
        u64::from(is_sparse) + if status.is_dir() { sparse_files(&path) } else { 0 }
    };
    entries.map(count).sum()
}

/// Applied layers, lowermost first.
pub struct Stack {
    temp: TempDir,
    layers: usize,
}

impl Stack {
    pub fn new() -> Self {
        Self { temp: TempDir::new(), layers: 0 }
    }

    /// Applies `archive` over the layers so far.
    pub fn with(mut self, archive: impl AsRef<[u8]>) -> Self {
        self.push(archive.as_ref());
        self
    }

    pub fn push(&mut self, archive: &[u8]) -> Applied {
        self.try_push(archive).unwrap_or_else(|error| panic!("applied: {}", whole(&error)))
    }

    /// Applies `archive` and proves that digest, size, usage and record are right.
    pub fn try_push(&mut self, archive: &[u8]) -> Result<Applied, Error> {
        self.try_push_with(archive, &ApplyOptions::new())
    }

    pub fn try_push_with(&mut self, archive: &[u8], options: &ApplyOptions) -> Result<Applied, Error> {
        let dir = self.layer(self.layers);
        fs::create_dir(&dir).expect("a new directory");
        let layer = open_dir(&dir).expect("open");
        let mut record = Vec::new();
        let chain = self.chain();
        let applied = apply(archive, &layer, &chain, options, Some(&mut record))?;
        self.layers += 1;

        assert_eq!(applied.diff_id, Digest::of(archive), "rule 45: the digest covers every byte");
        assert_eq!(applied.archive_size, archive.len() as u64);
        assert_costs(applied.usage, &layer, "applied");
        let mut rebuilt = Vec::new();
        let exported = tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt)
            .unwrap_or_else(|error| panic!("rebuilt: {}\n{}", whole(&error), String::from_utf8_lossy(&record)));
        assert!(rebuilt == archive, "the archive comes back byte for byte");
        assert_eq!((exported.diff_id, exported.size), (applied.diff_id, applied.archive_size));
        assert_verified(&record, &layer, &chain);
        Ok(applied)
    }

    /// The layers so far as lowers, uppermost first.
    pub fn chain(&self) -> Chain {
        let lowers = (0..self.layers).rev().map(|index| open_dir(self.layer(index)).expect("a lower")).collect();
        Chain::new(lowers, Dialect::Trusted)
    }

    pub fn layer(&self, index: usize) -> PathBuf {
        self.temp.join(format!("layer{index}"))
    }

    /// The uppermost layer.
    pub fn top(&self) -> PathBuf {
        self.layer(self.layers - 1)
    }

    /// Everything the uppermost layer holds.
    pub fn tree(&self) -> Tree {
        Tree::of(self.top())
    }

    /// The paths of the uppermost layer.
    pub fn paths(&self) -> Vec<String> {
        let tree = self.tree();
        tree.entries.keys().skip(1).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    /// Mounts all layers read-only, as the kernel shows them.
    pub fn mount(&self) -> Mounted {
        let empty = self.temp.dir("empty");
        fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).expect("chmod");
        let lowers = (0..self.layers).rev().map(|index| self.layer(index).display().to_string());
        let lowers: Vec<_> = lowers.chain([empty.display().to_string()]).collect();
        Mounted::overlay(self.temp.dir("merged"), &format!("lowerdir={}", lowers.join(":")))
    }

    /// Reads a file of the merged view.
    pub fn read_merged(&self, path: &str) -> Option<String> {
        let merged = self.mount();
        fs::read_to_string(merged.path().join(path)).ok()
    }
}

/// The permission bits at `path`, with set-id and sticky.
pub fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).expect("stat").permissions().mode() & 0o7777
}

/// Proves that a layer is in every inode what its archive says.
#[track_caller]
pub fn assert_verified(record: &[u8], layer: &std::os::fd::OwnedFd, chain: &Chain) {
    let verified = plyfs_diff::verify(record, layer, chain, std::io::sink());
    let verified = verified.unwrap_or_else(|error| panic!("verified: {}", whole(&error)));
    let differences: Vec<_> = verified.differences.iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}
