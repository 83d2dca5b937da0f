//! The arrows between crates point down only, and only where the table says so.
//!
//! `journal`, `mount` and `diff` never meet: `store` introduces them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::Finding;

/// Each crate with the crates of ours it may know. A missing crate is an error: place it first.
const ARROWS: [(&str, &[&str]); 15] = [
    ("plyfs-sys", &[]),
    ("plyfs-link", &["plyfs-sys"]),
    ("plyfs-journal", &["plyfs-sys"]),
    ("plyfs-mount", &["plyfs-link", "plyfs-sys"]),
    ("plyfs-diff", &["plyfs-link", "plyfs-sys"]),
    ("plyfs-store", &["plyfs-diff", "plyfs-journal", "plyfs-link", "plyfs-mount", "plyfs-sys"]),
    ("plyfs-image", &["plyfs-diff", "plyfs-link", "plyfs-store", "plyfs-sys"]),
    ("plyfs", &["plyfs-diff", "plyfs-image", "plyfs-link", "plyfs-mount", "plyfs-store", "plyfs-sys"]),
    ("plyfs-capi", &["plyfs"]),
    ("plyfs-cli", &["plyfs"]),
    ("plyfs-python", &["plyfs"]),
    ("plyfs-testkit", &["plyfs-sys"]),
    ("plyfs-torture", &["plyfs", "plyfs-mount", "plyfs-testkit"]),
    (
        "plyfs-fuzz",
        &["plyfs-diff", "plyfs-image", "plyfs-journal", "plyfs-link", "plyfs-mount", "plyfs-sys", "plyfs-testkit"],
    ),
    ("xtask", &[]),
];

/// What tests of any crate may use.
const FOR_TESTS: &str = "plyfs-testkit";

/// Checks the manifest of every crate of the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for manifest in manifests(root)? {
        let text = fs::read_to_string(root.join(&manifest)).with_context(|| format!("read {manifest}"))?;
        findings.extend(check_manifest(&manifest, &text)?);
    }
    Ok(findings)
}

fn manifests(root: &Path) -> Result<Vec<String>> {
    let mut found = vec!["bindings/python/Cargo.toml".to_owned(), "xtask/Cargo.toml".to_owned()];
    for entry in fs::read_dir(root.join("crates")).context("read crates")? {
        let name = entry.context("read crates")?.file_name();
        found.push(format!("crates/{}/Cargo.toml", name.to_string_lossy()));
    }
    found.sort();
    Ok(found)
}

fn check_manifest(file: &str, text: &str) -> Result<Vec<Finding>> {
    let manifest: Table = text.parse().with_context(|| format!("parse {file}"))?;
    let package = manifest.get("package").and_then(Value::as_table).with_context(|| format!("{file}: no package"))?;
    let name = package.get("name").and_then(Value::as_str).with_context(|| format!("{file}: no name"))?;
    let mut findings = Vec::new();
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_, _)| *crate_ == name) else {
        return Ok(vec![Finding::new(file, 0, format!("{name} has no place among the crates yet"))]);
    };
    for (other, for_tests) in ours(&manifest) {
        let may_know = allowed.contains(&other.as_str()) || (for_tests && other == FOR_TESTS);
        if !may_know {
            findings.push(Finding::new(file, 0, format!("{name} must not know {other}")));
        }
    }
    for shared in ["version", "edition", "rust-version", "license"] {
        if package.get(shared).and_then(|value| value.get("workspace")).and_then(Value::as_bool) != Some(true) {
            findings.push(Finding::new(file, 0, format!("{shared} is not the workspace's")));
        }
    }
    if manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
        findings.push(Finding::new(file, 0, "lints are not the workspace's"));
    }
    Ok(findings)
}

/// The crates of ours a manifest names, and whether only tests use them; those of single platforms too.
fn ours(manifest: &Table) -> BTreeSet<(String, bool)> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let sections = std::iter::once(manifest).chain(platforms.filter_map(Value::as_table));
    let mut names = BTreeSet::new();
    for section in sections {
        for (kind, for_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            let listed = section.get(kind).and_then(Value::as_table).into_iter().flatten();
            for (key, value) in listed {
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                if name == "xtask" || name == "plyfs" || name.starts_with("plyfs-") {
                    names.insert((name.to_owned(), for_tests));
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                          license.workspace = true\n[lints]\nworkspace = true\n";

    fn problems(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n{SHARED}{rest}");
        let found = check_manifest("Cargo.toml", &text).expect("it parses");
        found.into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn arrows_point_down_only() {
        for (name, rest, expected) in [
            ("plyfs-store", "[dependencies]\nplyfs-mount.workspace = true\n", None),
            (
                "plyfs-mount",
                "[dependencies]\nplyfs-diff.workspace = true\n",
                Some("plyfs-mount must not know plyfs-diff"),
            ),
            (
                "plyfs-diff",
                "[dependencies]\nplyfs-store.workspace = true\n",
                Some("plyfs-diff must not know plyfs-store"),
            ),
            (
                "plyfs-journal",
                "[dev-dependencies]\nplyfs-mount = {}\n",
                Some("plyfs-journal must not know plyfs-mount"),
            ),
            ("plyfs-mount", "[dev-dependencies]\nplyfs-testkit = {}\n", None),
            ("plyfs-mount", "[dependencies]\nplyfs-testkit = {}\n", Some("plyfs-mount must not know plyfs-testkit")),
            (
                "plyfs-capi",
                "[dependencies]\nx = { package = \"plyfs-store\" }\n",
                Some("plyfs-capi must not know plyfs-store"),
            ),
            (
                "plyfs-link",
                "[target.'cfg(unix)'.dependencies]\nplyfs = \"1\"\n",
                Some("plyfs-link must not know plyfs"),
            ),
            ("plyfs-new", "", Some("plyfs-new has no place among the crates yet")),
        ] {
            assert_eq!(problems(name, rest), Vec::from_iter(expected.map(str::to_owned)), "{name} {rest}");
        }
    }

    #[test]
    fn what_all_crates_share_is_taken_from_the_workspace() {
        let text = "[package]\nname = \"plyfs-sys\"\nversion = \"0.2.0\"\nedition.workspace = true\n\
                    rust-version.workspace = true\nlicense.workspace = true\n";
        let found = check_manifest("Cargo.toml", text).expect("it parses");
        let found: Vec<_> = found.into_iter().map(|finding| finding.problem).collect();
        assert_eq!(found, ["version is not the workspace's", "lints are not the workspace's"]);
    }
}
