//! Applying an archive into a scratch tree: nothing outside changes, and what was applied gives the archive back.
//!
//! A first line `^` applies over a chain that has links out of it, `?` over one that is known only afterwards.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::OnceLock;

use plyfs_diff::{Applied, ApplyOptions, Chain, Dialect, ExportOptions, Usage, apply, export, settle, tar_split};
use plyfs_sys::fs::{open_dir, remove_tree};
use plyfs_testkit::tree::Tree;
use tempfile::TempDir;

/// A directory with a layer to be, a lower, and what nobody may touch.
static SCRATCH: OnceLock<TempDir> = OnceLock::new();

pub(crate) fn run(data: &[u8]) {
    let scratch = SCRATCH.get_or_init(scratch).path();
    let (mode, data) = match data.split_first() {
        Some((mode @ (b'^' | b'?'), rest)) => (*mode, rest),
        _ => (b'.', data),
    };
    let lower = || Chain::new(vec![open_dir(scratch.join("lower")).expect("open")], Dialect::Trusted);
    let archive = super::archive::bytes(data);
    let before = outside(scratch);
    let chain = if mode == b'.' { Chain::empty() } else { lower() };
    let tree = in_layer(scratch, |layer| try_apply(&archive, layer, &chain).map(|()| Tree::of(scratch.join("layer"))));
    if mode == b'?' {
        let settled =
            in_layer(scratch, |layer| try_settle(&archive, layer, &chain).map(|()| Tree::of(scratch.join("layer"))));
        if let (Some(tree), Some(settled)) = (tree, settled) {
            assert_eq!(settled, tree, "settled on its parent a layer is what it is when applied over it");
        }
    }
    assert_eq!(outside(scratch), before, "something outside the layer changed");
}

/// Does something in a new layer, which is removed afterwards.
fn in_layer<T>(scratch: &Path, work: impl FnOnce(&OwnedFd) -> T) -> T {
    fs::create_dir(scratch.join("layer")).expect("a new directory");
    let done = work(&open_dir(scratch.join("layer")).expect("open"));
    remove_tree(open_dir(scratch).expect("open"), "layer").expect("what was applied can be removed");
    done
}

fn try_apply(archive: &[u8], layer: &OwnedFd, chain: &Chain) -> Option<()> {
    let mut record = Vec::new();
    let applied = apply(archive, layer, chain, &options(), Some(&mut record)).ok()?;
    hold(archive, layer, chain, &applied, &record);
    Some(())
}

fn try_settle(archive: &[u8], layer: &OwnedFd, chain: &Chain) -> Option<()> {
    let (mut record, mut again) = (Vec::new(), Vec::new());
    let applied = apply(archive, layer, &Chain::unknown(Dialect::Trusted), &options(), Some(&mut record)).ok()?;
    let settled = settle(layer, chain, &applied, &options(), record.as_slice(), &mut again).ok()?;
    hold(archive, layer, chain, &settled.applied, if settled.is_rebuilt { &again } else { &record });
    Some(())
}

fn options() -> ApplyOptions {
    ApplyOptions::new().tolerate_attributes(true)
}

/// Holds a layer to what applying promises of it.
fn hold(archive: &[u8], layer: &OwnedFd, chain: &Chain, applied: &Applied, record: &[u8]) {
    assert_eq!(applied.archive_size, archive.len() as u64, "every byte is counted");
    assert_eq!(applied.usage, Usage::measure(layer).expect("measured"), "the cost is what it is");
    let mut rebuilt = Vec::new();
    tar_split::rebuild(record, layer, &mut rebuilt).expect("what was applied can be rebuilt");
    assert!(rebuilt == archive, "the archive comes back byte for byte");
    let written = export(layer, chain, std::io::sink(), &ExportOptions::new());
    written.expect("what was applied can be exported");
}

fn scratch() -> TempDir {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let path = temp.path();
    fs::create_dir_all(path.join("lower/usr/lib")).expect("directories");
    fs::create_dir_all(path.join("layered/inner")).expect("directories");
    fs::write(path.join("layered/canary"), "nobody touches this").expect("a file");
    fs::write(path.join("lower/usr/lib/file"), "lower").expect("a file");
    symlink("usr/lib", path.join("lower/lib")).expect("a link");
    symlink("../../../layered", path.join("lower/up")).expect("a link");
    symlink(path.join("layered"), path.join("lower/out")).expect("a link");
    temp
}

/// What is beside the layer: inode, link count, size, mode, owner, and when anything of it changed.
fn outside(scratch: &Path) -> Vec<(u64, u64, u64, u32, u32, i64, i64)> {
    let paths =
        ["layered", "layered/canary", "layered/inner", "lower", "lower/usr/lib", "lower/usr/lib/file", "lower/up"];
    let facts = |path| {
        let stat = fs::symlink_metadata(scratch.join(path)).expect("it is still there");
        (stat.ino(), stat.nlink(), stat.size(), stat.mode(), stat.uid(), stat.ctime(), stat.ctime_nsec())
    };
    assert!(fs::read_dir(scratch).expect("list").count() <= 3, "something new lies beside the layer");
    paths.into_iter().map(facts).collect()
}
