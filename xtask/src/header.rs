//! `cargo xtask header`: include/plyfs.h, generated from the C door and committed.
//!
//! The header in the tree is always what `--check` would generate; nobody edits it by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tree;

/// Options of `cargo xtask header`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed header instead of writing it
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes the header, or compares it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let generated = generate(&tree::root().join("crates/plyfs-capi"))?;
    let header = tree::header();
    if args.check {
        return compare(&header, &generated);
    }
    if fs::read_to_string(&header).is_ok_and(|committed| committed == generated) {
        return Ok(());
    }
    fs::create_dir_all(header.parent().expect("the header lies in a directory")).context("create include")?;
    fs::write(&header, generated).with_context(|| format!("write {}", header.display()))
}

/// The text of the header of the crate in `dir`, which also holds cbindgen's configuration.
fn generate(dir: &Path) -> Result<String> {
    let file = dir.join("cbindgen.toml");
    let config =
        cbindgen::Config::from_file(&file).map_err(anyhow::Error::msg).with_context(|| file.display().to_string())?;
    let bindings = cbindgen::Builder::new()
        .with_crate(dir)
        .with_config(config)
        .generate()
        .with_context(|| format!("read the C door in {}", dir.display()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).context("the header is not UTF-8")
}

fn compare(header: &Path, generated: &str) -> Result<()> {
    let committed = fs::read_to_string(header).with_context(|| format!("read {}", header.display()))?;
    if let Some(line) = first_difference(&committed, generated) {
        bail!("{}:{line}: not what the C door says; run `cargo xtask header` and commit it", header.display());
    }
    Ok(())
}

/// The number of the first line that differs.
fn first_difference(committed: &str, generated: &str) -> Option<usize> {
    if committed == generated {
        return None;
    }
    let same = committed.split('\n').zip(generated.split('\n')).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        for (committed, generated, expected) in [
            ("a\nb\n", "a\nb\n", None),
            ("a\nb\n", "a\nc\n", Some(2)),
            ("a\n", "a\nb\n", Some(2)),
            ("a\nb", "a\nb\n", Some(3)),
            ("", "a\n", Some(1)),
        ] {
            assert_eq!(first_difference(committed, generated), expected, "{committed:?} {generated:?}");
        }
    }

    #[test]
    fn functions_and_constants_of_a_c_door_reach_the_header_with_their_docs() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("write");
        put("Cargo.toml", "[package]\nname = \"door\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
        put("Cargo.lock", "version = 4\n\n[[package]]\nname = \"door\"\nversion = \"0.1.0\"\n");
        fs::create_dir(dir.path().join("src")).expect("make src");
        put(
            "src/lib.rs",
            "/// It went well.\npub const PLYFS_OK: i32 = 0;\n\
             /// A store.\npub struct plyfs_store { _hidden: u8 }\n\
             /// Ends a store.\n#[unsafe(no_mangle)]\npub extern \"C\" fn plyfs_store_free(store: *mut plyfs_store) {}\n",
        );
        let committed = tree::root().join("crates/plyfs-capi/cbindgen.toml");
        fs::copy(committed, dir.path().join("cbindgen.toml")).expect("the C door has a configuration");
        let header = generate(dir.path()).expect("it generates");
        for part in ["#ifndef PLYFS_H", "#define PLYFS_OK 0", "Ends a store.", "void plyfs_store_free(", "extern \"C\""]
        {
            assert!(header.contains(part), "{part} is missing:\n{header}");
        }
    }
}
