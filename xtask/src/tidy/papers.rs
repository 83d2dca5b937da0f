//! The papers that a newcomer and a lawyer look for are there.

use std::fs;
use std::path::Path;

use super::Finding;

/// Files of the root, and what each must say.
const PAPERS: [(&str, &[&str]); 6] = [
    ("LICENSE-MIT", &["MIT License", "The plyfs developers"]),
    ("LICENSE-APACHE", &["Apache License", "Version 2.0, January 2004"]),
    ("README.md", &["cargo xtask demo", "cargo xtask test"]),
    ("CONTRIBUTING.md", &["cargo test"]),
    ("ARCHITECTURE.md", &["plyfs-journal"]),
    ("CHANGELOG.md", &["0.1.0"]),
];

/// Checks each paper.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, parts) in PAPERS {
        match fs::read_to_string(root.join(name)) {
            Err(error) => findings.push(Finding::new(name, 0, error.to_string())),
            Ok(text) => findings.extend(
                parts
                    .iter()
                    .filter(|part| !text.contains(**part))
                    .map(|part| Finding::new(name, 0, format!("says nothing of `{part}`"))),
            ),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_paper_and_a_missing_word_are_named() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        for (name, parts) in PAPERS {
            fs::write(dir.path().join(name), parts.join("\n")).expect("write");
        }
        assert_eq!(check(dir.path()), []);
        fs::remove_file(dir.path().join("LICENSE-MIT")).expect("it is there");
        fs::write(dir.path().join("README.md"), "cargo xtask test").expect("write");
        let found: Vec<_> = check(dir.path()).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("LICENSE-MIT: "), "{found:?}");
        assert_eq!(found[1], "README.md: says nothing of `cargo xtask demo`");
    }
}
