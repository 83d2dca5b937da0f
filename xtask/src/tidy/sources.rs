//! Rules about single files: how they begin, how long they are, what must not stand in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;
use super::code::{blank, has_word};

/// Longest Rust file, tests and all.
const MAX_LINES: usize = 600;

/// Where the token `unsafe` may stand: two crates, and the one file that maps a journal run.
const UNSAFE_HOMES: [&str; 2] = ["crates/plyfs-sys", "crates/plyfs-capi"];
const UNSAFE_FILE_OF: &str = "crates/plyfs-journal";

/// Starts of absolute paths that exist on one machine only, in pieces so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/", "work/main"), concat!("/", "work/shared"), concat!("/", "work/.library"), concat!("/", "root/")];

/// Code that was left for later.
const UNFINISHED: [(&str, &str); 4] = [
    (concat!("to", "do!"), "unfinished code"),
    (concat!("unimple", "mented!"), "unfinished code"),
    (concat!("#[ig", "nore"), "a test that does not run"),
    (concat!("allow(dead", "_code)"), "code that nothing uses"),
];

/// Words that put a thing off, as words of their own anywhere in a Rust file.
const PUT_OFF: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];

/// Crates that live inside other people's processes.
const LIBRARIES: [&str; 8] =
    ["plyfs-sys", "plyfs-link", "plyfs-journal", "plyfs-mount", "plyfs-diff", "plyfs-store", "plyfs-image", "plyfs"];

/// What belongs to the process and not to a library in it.
const OF_THE_PROCESS: [&str; 4] = ["env::var(", "env::var_os(", "env::set_current_dir(", "process::exit("];

/// Checks each of `files`, which are relative to `root`.
pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut homes_in_journal = Vec::new();
    for file in files {
        let bytes = fs::read(root.join(file)).with_context(|| format!("read {}", file.display()))?;
        // What is not text has no lines to look at.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        findings.extend(machine_paths(file, &text));
        if file.extension().is_some_and(|ending| ending == "rs") {
            findings.extend(rust_file(file, &text));
            if file.starts_with(UNSAFE_FILE_OF) && has_word(&blank(&text), "unsafe") {
                homes_in_journal.push(file);
            }
        }
    }
    for extra in homes_in_journal.iter().skip(1) {
        findings.push(Finding::new(
            extra,
            0,
            format!("a second file with unsafe, beside {}", homes_in_journal[0].display()),
        ));
    }
    Ok(findings)
}

fn machine_paths(file: &Path, text: &str) -> Vec<Finding> {
    lines(text)
        .filter(|(_, line)| MACHINE_PATHS.iter().any(|path| has_path(line, path)))
        .map(|(number, _)| Finding::new(file, number, "a path of one machine"))
        .collect()
}

/// Whether an absolute path starts so, unlike `…/overlay2/ID/work/`, where something stands before it.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || "\"'`(=:,[<".contains(before))
    })
}

fn rust_file(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !starts_with_its_purpose(text) {
        findings.push(Finding::new(file, 1, "does not start with `//!`"));
    }
    let count = text.lines().count();
    if count > MAX_LINES {
        findings.push(Finding::new(file, 0, format!("{count} lines, more than {MAX_LINES}")));
    }
    for (number, line) in lines(text) {
        for word in PUT_OFF.iter().filter(|word| has_word(line, word)) {
            findings.push(Finding::new(file, number, format!("{word}: name what would trigger the change instead")));
        }
    }
    let may_be_unsafe = UNSAFE_HOMES.iter().any(|home| file.starts_with(home)) || file.starts_with(UNSAFE_FILE_OF);
    let library = is_library(file);
    for (number, line) in lines(&blank(text)) {
        for (_, why) in UNFINISHED.iter().filter(|(word, _)| line.contains(word)) {
            findings.push(Finding::new(file, number, *why));
        }
        if !may_be_unsafe && has_word(line, "unsafe") {
            findings.push(Finding::new(file, number, "unsafe outside its homes"));
        }
        if library && OF_THE_PROCESS.iter().any(|call| line.contains(call)) {
            findings.push(Finding::new(file, number, "a library reads or changes what belongs to the process"));
        }
    }
    findings
}

/// Whether the first line is `//!`, after a shebang and licence lines at most.
fn starts_with_its_purpose(text: &str) -> bool {
    let first = text.lines().find(|line| {
        let note = line.starts_with("// SPDX-") || line.starts_with("// Copyright") || line.starts_with("#!/");
        !note
    });
    first.is_some_and(|line| line == "//!" || line.starts_with("//! "))
}

/// Whether the file is code of a library, its integration tests aside.
fn is_library(file: &Path) -> bool {
    LIBRARIES.iter().any(|name| file.starts_with(Path::new("crates").join(name).join("src")))
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, text: &str) -> Vec<String> {
        let file = Path::new(file);
        let mut all = rust_file(file, text);
        all.extend(machine_paths(file, text));
        all.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_file_starts_with_what_it_is_for() {
        for (text, good) in [
            ("//! Keeps locks.\n", true),
            ("// SPDX-License-Identifier: MIT\n//! Keeps locks.\n", true),
            ("#!/usr/bin/env x\n//! Keeps locks.\n", true),
            ("#![allow(x)]\n//! Keeps locks.\n", false),
            ("\n//! Keeps locks.\n", false),
            ("// Keeps locks.\n", false),
            ("//!Keeps locks.\n", false),
            ("", false),
        ] {
            assert_eq!(starts_with_its_purpose(text), good, "{text:?}");
        }
    }

    #[test]
    fn a_file_past_the_limit_is_named_with_its_length() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(problems("a.rs", &text), ["a.rs: 601 lines, more than 600"]);
    }

    #[test]
    fn unfinished_code_is_found_and_prose_about_it_is_not() {
        let unfinished = UNFINISHED.map(|(word, _)| word);
        for word in unfinished {
            assert_eq!(problems("a.rs", &format!("//! A.\n{word}")).len(), 1, "{word}");
            assert_eq!(problems("a.rs", &format!("//! A.\n// {word}\n")), [""; 0], "{word}");
        }
        for word in PUT_OFF {
            assert_eq!(problems("a.rs", &format!("//! A.\n// {word}: later")).len(), 1, "{word}");
            assert_eq!(problems("a.rs", &format!("//! A.\n\"{word}{word}\"")), [""; 0], "{word}");
        }
    }

    #[test]
    fn unsafe_is_found_outside_its_homes() {
        let text = "//! A.\n// unsafe here is prose\nlet x = \"unsafe\"; unsafe { y() }\n";
        assert_eq!(
            problems("crates/plyfs-store/src/a.rs", text),
            ["crates/plyfs-store/src/a.rs:3: unsafe outside its homes"]
        );
        assert_eq!(problems("crates/plyfs-sys/src/a.rs", text), [""; 0]);
    }

    #[test]
    fn the_journal_may_hold_unsafe_in_one_file_only() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let files = ["map.rs", "log.rs"].map(|name| Path::new(UNSAFE_FILE_OF).join("src").join(name));
        fs::create_dir_all(dir.path().join(UNSAFE_FILE_OF).join("src")).expect("make the crate");
        for file in &files {
            fs::write(dir.path().join(file), "//! A.\nunsafe {}\n").expect("write");
        }
        assert_eq!(check(dir.path(), &files[..1]).expect("reads"), []);
        assert_eq!(check(dir.path(), &files).expect("reads").len(), 1);
    }

    #[test]
    fn machine_paths_are_found_where_a_path_starts() {
        let [work, _, _, root] = MACHINE_PATHS;
        assert_eq!(problems("a.py", &format!("//! A.\nopen(\"{work}/x\")")).len(), 1);
        assert_eq!(problems("a.py", &format!("//! A.\ncd {root}x")).len(), 1);
        assert_eq!(problems("a.rs", &format!("//! A.\n// `<id>{work}`, l{root}")), [""; 0]);
    }

    #[test]
    fn a_library_leaves_the_process_alone_and_a_command_need_not() {
        let text = format!("//! A.\nstd::{}\"HOME\");\n", OF_THE_PROCESS[0]);
        assert_eq!(problems("crates/plyfs-store/src/a.rs", &text).len(), 1);
        assert_eq!(problems("crates/plyfs-store/tests/it/main.rs", &text), [""; 0]);
        assert_eq!(problems("crates/plyfs-cli/src/main.rs", &text), [""; 0]);
    }
}
