//! A tar-split record over a layer that someone else may have written.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::OnceLock;

use plyfs_diff::{Digest, tar_split};
use plyfs_sys::fs::open_dir;
use tempfile::TempDir;

static LAYER: OnceLock<TempDir> = OnceLock::new();

pub(crate) fn run(data: &[u8]) {
    let layer = open_dir(LAYER.get_or_init(layer).path()).expect("open the layer");
    let mut archive = Vec::new();
    if let Ok(rebuilt) = tar_split::rebuild(data, &layer, &mut archive) {
        assert_eq!((rebuilt.diff_id, rebuilt.size), (Digest::of(&archive), archive.len() as u64), "what was written");
    }
}

fn layer() -> TempDir {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let path = temp.path();
    fs::create_dir(path.join("d")).expect("a directory");
    fs::write(path.join("f"), "123456789").expect("a file");
    fs::write(path.join("d/g"), "123456789").expect("a file");
    symlink("d", path.join("l")).expect("a link");
    symlink("/", path.join("out")).expect("a link");
    temp
}
