//! Applying an archive into a scratch tree: nothing outside changes, and what was applied gives the archive back.
//!
//! A first line `^` applies over a chain that has links out of it, `?` over one that is not known yet.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::OnceLock;

use plyfs_diff::{ApplyOptions, Chain, Dialect, ExportOptions, Usage, apply, export, tar_split};
use plyfs_sys::fs::{open_dir, remove_tree};
use tempfile::TempDir;

/// A directory with a layer to be, a lower, and what nobody may touch.
static SCRATCH: OnceLock<TempDir> = OnceLock::new();

pub(crate) fn run(data: &[u8]) {
    let scratch = SCRATCH.get_or_init(scratch).path();
    let (mode, data) = match data.split_first() {
        Some((mode @ (b'^' | b'?'), rest)) => (*mode, rest),
        _ => (b'.', data),
    };
    let chain = match mode {
        b'^' => Chain::new(vec![open_dir(scratch.join("lower")).expect("open")], Dialect::Trusted),
        b'?' => Chain::unknown(Dialect::Trusted),
        _ => Chain::empty(),
    };
    let archive = super::archive::bytes(data);
    let before = outside(scratch);
    fs::create_dir(scratch.join("layer")).expect("a new directory");
    try_apply(&archive, scratch, &chain);
    assert_eq!(outside(scratch), before, "something outside the layer changed");
    remove_tree(open_dir(scratch).expect("open"), "layer").expect("what was applied can be removed");
}

fn try_apply(archive: &[u8], scratch: &Path, chain: &Chain) {
    let layer = open_dir(scratch.join("layer")).expect("open");
    let mut record = Vec::new();
    let options = ApplyOptions::new().tolerate_attributes(true);
    let Ok(applied) = apply(archive, &layer, chain, &options, Some(&mut record)) else { return };
    assert_eq!(applied.archive_size, archive.len() as u64, "every byte is counted");
    assert_eq!(applied.usage, Usage::measure(&layer).expect("measured"), "the cost is what it is");
    let mut rebuilt = Vec::new();
    tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt).expect("what was applied can be rebuilt");
    assert!(rebuilt == archive, "the archive comes back byte for byte");
    let written = export(&layer, chain, std::io::sink(), &ExportOptions::new());
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
