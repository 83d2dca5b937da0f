//! Where things lie in the work tree, and which files belong to it.
//!
//! Every path another file of this crate builds starts here, so that a moved directory is moved once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Directories that hold nothing a person wrote.
const MADE: [&str; 4] = ["target", "__pycache__", "node_modules", "venv"];

/// Hidden directories that hold files of the project all the same.
const HIDDEN_BUT_OURS: [&str; 2] = [".ci", ".cargo"];

/// The root of the work tree.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the root of the workspace").to_path_buf()
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The virtual environment of the Python suites.
pub(crate) fn venv() -> PathBuf {
    target().join("venv")
}

/// Go as PyPI brings it, where the machine has none that is new enough.
pub(crate) fn go() -> PathBuf {
    target().join("go/go")
}

/// The committed C header.
pub(crate) fn header() -> PathBuf {
    root().join("include/plyfs.h")
}

/// Every file of the project, sorted, as paths relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    files_below(&root())
}

/// Every file below `root` that a person wrote, sorted, relative to it; symlinks are not followed.
pub(crate) fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let entry = entry.with_context(|| format!("read {}", dir.display()))?;
            let kind = entry.file_type().with_context(|| format!("stat {}", entry.path().display()))?;
            if kind.is_dir() && is_ours(&entry.file_name().to_string_lossy()) {
                open.push(entry.path());
            } else if kind.is_file() && entry.file_name() != ".git" {
                // In a linked work tree of git, `.git` is a file with a path of the machine.
                let path = entry.path();
                found.push(path.strip_prefix(root).expect("the walk starts at the root").to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_ours(directory: &str) -> bool {
    !MADE.contains(&directory) && (!directory.starts_with('.') || HIDDEN_BUT_OURS.contains(&directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the root has a manifest");
        assert!(manifest.contains("[workspace]"), "{} is not the workspace", root().display());
    }

    #[test]
    fn what_builds_make_is_not_part_of_the_tree() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        for file in ["src/a.rs", "target/b.rs", ".git/c.rs", "sub/.git", ".ci/run", "py/__pycache__/d.pyc"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a file has a directory")).expect("make its directory");
            fs::write(path, "").expect("make the file");
        }
        let files = files_below(dir.path()).expect("walk");
        assert_eq!(files, [PathBuf::from(".ci/run"), PathBuf::from("src/a.rs")]);
    }
}
