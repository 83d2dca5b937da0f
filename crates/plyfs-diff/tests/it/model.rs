//! Random edits on real overlay mounts, layer upon layer: the crate must see what the kernel shows.
//!
//! Every other run is mounted so that renamed directories and changed metadata leave their content in the lowers (rule 25).
//! The oracle of `changes` is the comparison Docker makes, written here over two whole mounted trees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use plyfs_diff::{Chain, Found, Merged};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Entry, Kind, Options, Tree, differences};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::layers::{Layers, REDIRECTING, chmod, set_xattr, touch};

/// A small generator, so that a seed in a message is all it takes to see a failure again.
pub struct Random(pub u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// A path of one to three components out of few, so that edits meet.
    fn path(&mut self, root: &Path) -> PathBuf {
        (0..=self.below(3)).fold(root.to_owned(), |path, _| path.join(["a", "a-", "a-b", "b", "c"][self.below(5)]))
    }
}

/// Does one random thing; many fail, and that is fine.
pub fn edit(random: &mut Random, root: &Path) {
    let (path, other) = (random.path(root), random.path(root));
    let is_link = path.is_symlink();
    match random.below(14) {
        0..=2 => drop(fs::create_dir_all(&path)),
        3 | 4 => drop(fs::write(&path, "x".repeat(random.below(4)))),
        5 => drop(fs::remove_file(&path)),
        6 => drop(fs::remove_dir_all(&path)),
        7 => drop(fs::rename(&path, &other)),
        8 => drop(renameat_with(CWD, &path, CWD, &other, RenameFlags::EXCHANGE)),
        9 => drop(fs::hard_link(&path, &other)),
        10 => drop(symlink("a/b", &path)),
        11 if path.exists() && !is_link => chmod(&path, [0o700, 0o755][random.below(2)]),
        12 if path.exists() => touch(&path, 1_500_000_000 + i64::from(random.below(2) == 0), 0),
        13 if path.exists() && !is_link => set_xattr(&path, "user.note", b"x"),
        _ => drop(fs::remove_dir_all(&path).and_then(|()| fs::create_dir(&path))),
    }
}

#[test]
fn root_chain_changes_and_export_agree_with_the_kernel_on_random_edits() {
    require_root!();
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut layers = Layers::new(1);
        if seed % 2 == 1 {
            layers.options = REDIRECTING;
        }
        for layer in 0..4 {
            let below = {
                let merged = layers.mount_lowers();
                Tree::of(merged.path())
            };
            assert_eq!(seen(&layers.chain()), shown(&below), "seed {seed}, the chain of layer {layer}");
            let merged = layers.mount(layers.options);
            for _ in 0..25 {
                edit(&mut random, merged.path());
            }
            let above = Tree::of(merged.path());
            drop(merged);
            let expected = docker_diff(&below, &above);
            assert_eq!(layers.changes().expect("listed"), expected, "seed {seed}, layer {layer}");
            let reapplied = layers.mount_over_lowers(&layers.reapplied());
            let differences = differences(&above, &Tree::of(reapplied.path()), &Options::images());
            assert!(differences.is_empty(), "seed {seed}, layer {layer}: {differences:?}");
            drop(reapplied);
            layers.freeze();
        }
    }
}

/// What the chain shows, path by path.
fn seen(chain: &Chain) -> BTreeMap<PathBuf, String> {
    fn below(merged: &Merged, path: &Path, seen: &mut BTreeMap<PathBuf, String>) {
        for name in merged.read_dir().expect("listed") {
            let path = path.join(&name);
            let line = match merged.lookup(&name).expect("looked up").expect("a name that is listed is found") {
                Found::Directory(inner) => {
                    below(&inner, &path, seen);
                    format!("directory {:o}", inner.stat().expect("a status").expect("a lower has it").st_mode & 0o7777)
                }
                Found::Symlink(entry) => format!("link {:?}", entry.read_link().expect("a target")),
                Found::Other(entry) => {
                    format!(
                        "file {:o} {} {}",
                        entry.stat().st_mode & 0o7777,
                        entry.stat().st_size,
                        entry.stat().st_mtime
                    )
                }
            };
            seen.insert(path, line);
        }
    }
    let mut lines = BTreeMap::new();
    below(&chain.root().expect("a root"), Path::new(""), &mut lines);
    lines
}

/// What the kernel shows, in the same words.
fn shown(tree: &Tree) -> BTreeMap<PathBuf, String> {
    let lines = tree.entries.iter().filter(|(path, _)| !path.is_empty()).map(|(path, entry)| {
        let line = match entry.kind {
            Kind::Directory => format!("directory {:o}", entry.mode),
            Kind::Symlink => {
                format!("link {:?}", std::ffi::OsStr::from_bytes(entry.target.as_deref().expect("a target")))
            }
            _ => format!("file {:o} {} {}", entry.mode, entry.size, entry.mtime.sec),
        };
        (PathBuf::from(std::ffi::OsStr::from_bytes(path)), line)
    });
    lines.collect()
}

/// Compares two trees as Docker does (rules 30, 32 and 33), with content where times agree.
pub fn docker_diff(below: &Tree, above: &Tree) -> Vec<String> {
    let mut kinds: BTreeMap<Vec<u8>, char> = BTreeMap::new();
    for (path, new) in above.entries.iter().filter(|(path, _)| !path.is_empty()) {
        match below.entries.get(path) {
            None => drop(kinds.insert(path.clone(), 'A')),
            Some(old) if differs(old, new) => drop(kinds.insert(path.clone(), 'C')),
            Some(_) => {}
        }
    }
    for path in below.entries.keys().filter(|path| !path.is_empty() && !above.entries.contains_key(*path)) {
        // A deletion counts only where the directory it was in is still one.
        if above.get(parent(path)).is_some_and(|entry| entry.kind == Kind::Directory) {
            kinds.insert(path.clone(), 'D');
        }
    }
    for path in kinds.keys().cloned().collect::<Vec<_>>() {
        let mut path = parent(&path);
        while !path.is_empty() {
            kinds.entry(path.to_vec()).or_insert('C');
            path = parent(path);
        }
    }
    kinds.into_iter().map(|(path, kind)| format!("{kind} /{}", String::from_utf8_lossy(&path))).collect()
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &path[..slash])
}

fn differs(old: &Entry, new: &Entry) -> bool {
    let facts = |entry: &Entry| (entry.kind, entry.mode, entry.uid, entry.gid, entry.device);
    let is_same_time = old.mtime.sec == new.mtime.sec
        && (old.mtime.nsec == 0 || new.mtime.nsec == 0 || old.mtime.nsec == new.mtime.nsec);
    facts(old) != facts(new)
        || (new.kind != Kind::Directory
            && (old.size != new.size || !is_same_time || old.content != new.content || old.target != new.target))
}
