//! One case of the corpus, and what it is held to.

use std::fs;
use std::path::{Path, PathBuf};

use plyfs_diff::{
    Applied, ApplyOptions, Chain, Dialect, Error, ErrorKind, ExportOptions, apply, export, settle, tar_split,
};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::tar_text;
use plyfs_testkit::tree::Tree;

use super::canary::Ground;
use crate::stack::{mode, whole};

/// The ways an archive is applied.
pub const WAYS: [&str; 3] = ["direct", "chain", "parallel"];

/// What a case says of itself.
enum Stated<'a> {
    Applied,
    Refused(&'a str),
}

pub struct Case {
    name: String,
    text: String,
}

impl Case {
    pub fn read(name: &str) -> Self {
        let path = corpus().join(name).with_extension("txt");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// Every case of the tree.
    pub fn all() -> Vec<Self> {
        let mut names: Vec<_> =
            fs::read_dir(corpus()).expect("the corpus").map(|file| file.expect("listed").path()).collect();
        names.sort();
        names.iter().map(|path| Self::read(&path.file_stem().expect("a name").to_string_lossy())).collect()
    }

    /// Applies the archive in each way: the outcome and the tree are as stated, nothing outside changed.
    ///
    /// Settled on its parent afterwards, a layer is what it is when applied over it.
    pub fn check(&self) {
        let ground = Ground::new();
        let mut over_chain = None;
        for way in WAYS {
            let what = format!("{} ({way})", self.name);
            let outcome = self.apply(&ground, way);
            ground.assert_untouched(&what);
            match (self.stated(way), outcome) {
                (Stated::Applied, Ok(_)) if way == "direct" => self.check_tree(&ground.layer(), &what),
                (Stated::Applied, Ok(_)) => {}
                (Stated::Applied, Err(error)) => panic!("{what} is applied, yet: {}", whole(&error)),
                (Stated::Refused(words), Ok(_)) => panic!("{what} is refused with {words:?}, yet was applied"),
                (Stated::Refused(words), Err(error)) => {
                    assert!(blames_the_archive(&error), "{what}: {error:?}");
                    assert!(whole(&error).contains(words), "{what} says {words:?}: {}", whole(&error));
                }
            }
            let tree = matches!(self.stated(way), Stated::Applied).then(|| Tree::of(ground.layer()));
            match way {
                "chain" => over_chain = tree,
                "parallel" => assert_eq!(tree, over_chain, "{what}"),
                _ => {}
            }
            plyfs_sys::fs::remove_tree(open_dir(ground.layer().join("..")).expect("open"), "abc").expect("removed");
            ground.assert_untouched(&format!("{what}, removed"));
        }
    }

    /// What is applied also comes back, is counted, and can be exported, all without touching what is outside.
    fn apply(&self, ground: &Ground, way: &str) -> Result<Applied, Error> {
        let (archive, options) = (self.archive(&ground.canary()), ApplyOptions::new());
        let layer = open_dir(ground.layer()).expect("open");
        let mut record = Vec::new();
        let (chain, applied) = match way {
            "direct" => {
                let chain = Chain::empty();
                let applied = apply(archive.as_slice(), &layer, &chain, &options, Some(&mut record))?;
                (chain, applied)
            }
            "chain" => {
                let chain = ground.chain();
                let applied = apply(archive.as_slice(), &layer, &chain, &options, Some(&mut record))?;
                (chain, applied)
            }
            _ => {
                let unknown = Chain::unknown(Dialect::Trusted);
                let applied = apply(archive.as_slice(), &layer, &unknown, &options, Some(&mut record))?;
                let (chain, mut again) = (ground.chain(), Vec::new());
                let settled = settle(&layer, &chain, &applied, &options, record.as_slice(), &mut again)?;
                if settled.is_rebuilt {
                    record = again;
                }
                (chain, settled.applied)
            }
        };
        crate::stack::assert_costs(applied.usage, &layer, &format!("{} ({way})", self.name));
        let mut rebuilt = Vec::new();
        tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt).expect("rebuilt");
        assert!(rebuilt == archive, "{} ({way}): the archive comes back", self.name);
        export(&layer, &chain, std::io::sink(), &ExportOptions::new()).expect("exported");
        Ok(applied)
    }

    pub fn archive(&self, canary: &Path) -> Vec<u8> {
        let text = self.text.replace("@canary", &canary.display().to_string()).replace("@up", "../abcd");
        tar_text::build(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", self.name))
    }

    /// What is stated of one way; what holds over a chain holds in parallel.
    fn stated(&self, way: &str) -> Stated<'_> {
        let line = |start: &str| self.text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
        let way = if way == "parallel" { "chain" } else { way };
        for at in [format!("@{way}"), String::new()] {
            if line(&format!("= applied{at}")).is_some_and(str::is_empty) {
                return Stated::Applied;
            }
            if let Some(words) = line(&format!("= refused{at}")).filter(|words| !words.starts_with('@')) {
                return Stated::Refused(words);
            }
        }
        panic!("{} does not say what comes of it", self.name)
    }

    fn check_tree(&self, layer: &Path, what: &str) {
        for line in self.text.lines() {
            if let Some(path) = line.strip_prefix("= not ") {
                assert!(fs::symlink_metadata(layer.join(path)).is_err(), "{what}: {path} is there");
            }
            let Some(facts) = line.strip_prefix("= has ") else { continue };
            let facts: Vec<_> = facts.split_whitespace().collect();
            let path = layer.join(facts[0]);
            let found = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{what}: {}: {error}", facts[0]));
            let kind = match found.file_type() {
                kind if kind.is_symlink() => "symlink",
                kind if kind.is_dir() => "dir",
                kind if kind.is_file() => "file",
                _ => "other",
            };
            assert_eq!(kind, facts[1], "{what}: {}", facts[0]);
            if let Some(octal) = facts.get(2) {
                assert_eq!(format!("{:o}", mode(&path)), *octal, "{what}: {}", facts[0]);
            }
        }
    }
}

/// Says whether an error is about the archive, or the kernel's answer to something in it.
fn blames_the_archive(error: &Error) -> bool {
    let is_call = std::error::Error::source(error).is_some_and(|source| source.is::<plyfs_sys::CallError>());
    is_call || matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Corrupt)
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}
