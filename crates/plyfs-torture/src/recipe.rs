//! Images of known content: what a container made of one must show, file by file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_testkit::oci::{Compression, LayerTar, Plain};

use crate::dice::Dice;

/// Files by path, each with the seed of its content.
pub type Files = BTreeMap<String, u64>;

/// How many base layers there are, shared by the images of all owners.
const BASES: u64 = 3;

/// What a file of this seed holds: up to about 9 KiB, more than a block for some.
#[must_use]
pub fn content(seed: u64) -> Vec<u8> {
    let line = format!("content {seed:016x}\n").into_bytes();
    let lines = usize::try_from(1 + Dice::new(seed).below(360)).expect("a small number");
    line.repeat(lines)
}

/// One image: its archive and the files it shows.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What is written as an archive.
    pub plain: Plain,
    /// What a container of it shows at first.
    pub files: Files,
}

impl Recipe {
    /// The image number `n` of `owner`: a base layer that others share, and one of its own that hides a file of it.
    #[must_use]
    pub fn new(owner: &str, n: u64) -> Self {
        let base = n % BASES;
        let mut files: Files = (0..6).map(|k| (format!("base/f{k}"), 1000 * (base + 1) + k)).collect();
        let mut lower = LayerTar::new().dir("base");
        for (path, seed) in &files {
            lower = lower.file(path, content(*seed));
        }
        let own = Dice::new(owner.bytes().fold(n + 1, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into())))
            .roll()
            >> 8;
        let mut upper = LayerTar::new().whiteout("base", "f1").dir("own");
        files.remove("base/f1");
        for k in 0..8 {
            let path = format!("own/f{k}");
            upper = upper.file(&path, content(own + k));
            files.insert(path, own + k);
        }
        let layers = vec![lower.finish(), upper.finish()];
        Self { plain: Plain::new(&format!("{owner}/i{n}:1"), layers), files }
    }

    /// The image id as it is written.
    #[must_use]
    pub fn id(&self) -> String {
        format!("sha256:{}", self.plain.id())
    }

    /// Writes an archive of it below `dir` unless it is there: a docker-archive or an OCI archive, by its number.
    #[must_use]
    pub fn archive(&self, dir: &Path, n: u64) -> PathBuf {
        let path = dir.join(format!("{}.tar", self.plain.id()));
        if !path.exists() {
            // Several workers may come here at once, and each may be killed: whole under its name or not there.
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let aside = dir.join(format!("{}.{}.{turn}", self.plain.id(), std::process::id()));
            match n % 2 {
                0 => self.plain.write_docker_archive(&aside),
                _ => self.plain.write_oci_archive(Compression::Zstd, &aside),
            }
            std::fs::rename(&aside, &path).unwrap_or_else(|e| panic!("rename {}: {e}", aside.display()));
        }
        path
    }
}
