//! Every seed, and every input that ever broke a promise, run as an ordinary test.

#![allow(missing_docs, reason = "an integration test has no public interface")]

use std::fs;
use std::path::{Path, PathBuf};

use plyfs_fuzz::{TARGETS, Target};
use plyfs_testkit::require_root;

/// The inputs of a target in the tree: its own, and the hostile archives where it reads such.
fn inputs(target: &Target) -> Vec<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![tree.join("seeds").join(target.name)];
    if matches!(target.name, "apply" | "archive" | "members") {
        dirs.push(tree.join("../plyfs-diff/tests/corpus"));
    }
    let files =
        dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())));
    let mut paths: Vec<_> = files.map(|file| file.expect("listed").path()).collect();
    paths.sort();
    paths
}

#[test]
fn root_every_seed_and_every_crash_that_was_fixed_passes() {
    require_root!();
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has no seed", target.name);
        for path in inputs {
            let data = fs::read(&path).expect("readable");
            assert!(data.len() <= 64 << 10, "{}: seeds are kept small", path.display());
            // A panic names the assertion, and this the input.
            let passed = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(passed.is_ok(), "{} breaks {}", path.display(), target.name);
        }
    }
}

#[test]
fn root_no_reader_minds_the_seeds_of_another() {
    require_root!();
    let seeds: Vec<_> = TARGETS.iter().flat_map(inputs).map(|path| fs::read(path).expect("readable")).collect();
    for target in TARGETS.iter().filter(|target| target.name != "apply") {
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}
