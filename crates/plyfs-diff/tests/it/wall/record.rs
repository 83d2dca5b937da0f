//! The whole record of this field against the names of the tests: every row is tested, or says why it is not ours.
//!
//! A row counts as tested where a test anywhere in the workspace has the year and the number in its name.

use std::fs;
use std::path::Path;

/// The rows that tests are named after, wherever in the workspace these are.
const TESTED: &[&str] = &[
    "2014_6407",
    "2014_9356",
    "2014_9357",
    "2014_9358",
    "2017_14992",
    "2018_15664",
    "2018_20990",
    "2019_14271",
    "2021_20291",
    "2021_29136",
    "2021_32760",
    "2021_38511",
    "2021_41089",
    "2021_41091",
    "2021_41103",
    "2023_0386",
    "2023_25153",
    "2024_25621",
    "2024_36621",
    "2024_3727",
    "2024_9676",
    "2025_11395",
    "2025_47290",
    "2025_58058",
    "2025_58183",
    "2025_62518",
    "2026_17106",
    "2026_32766",
    "2026_33055",
    "2026_33056",
    "2026_46703",
];

/// The rows that have no test here, and why not.
const NOT_OURS: &[(&str, &str)] = &[
    ("2015_1328", "the kernel's: it let a mount of an unprivileged user copy up capabilities"),
    ("2015_8660", "the kernel's, of the same kind"),
    ("2019_10152", "a copy into a running container's mounts; what copies here is held to 2018_15664"),
    ("2019_18466", "of the same kind"),
    ("2021_20321", "the kernel's: a race of its renames"),
    ("2021_21284", "a daemon's remapped root: there is no daemon, and a store belongs to one user"),
    ("2021_3493", "the kernel's: capabilities set across user namespaces"),
    ("2021_41190", "which of two documents a registry means; digests say which one is read here"),
    ("2023_2640", "one distribution's kernel, of the kind of 2021_3493"),
    ("2023_32629", "one distribution's kernel, of the kind of 2021_3493"),
    ("2024_11218", "mounts of a build: nothing here builds"),
    ("2024_1753", "mounts of a build"),
    ("2024_9341", "mounts of a runtime: nothing here starts programs in containers"),
    ("2024_9407", "mounts of a build"),
    ("2024_9675", "caches of a build"),
    ("2026_41567", "a decompressor looked up inside a container: that no program is started shows under 2014_9357"),
    ("2026_41568", "a mount point changed under a copy; what copies here is held to 2018_15664"),
    ("2026_42306", "of the same kind"),
    ("2026_46680", "labels and checkpoints of a Kubernetes runtime, and the user data base, which is never read"),
    ("2026_47262", "of the same kind"),
    ("2026_50195", "of the same kind"),
    ("2026_53488", "of the same kind"),
    ("2026_53489", "of the same kind"),
    ("2026_53492", "of the same kind"),
    ("2026_53495", "of the same kind"),
    ("2026_79699", "published without details"),
    ("2026_79705", "published without details"),
];

/// The names of all tests, one after the other.
fn names(dir: &Path, names: &mut String) {
    for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            self::names(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let found = text.lines().filter(|line| line.contains("cve_") && line.trim_end().ends_with(['{', ':']));
            found.for_each(|line| *names += line);
        }
    }
}

#[test]
fn every_row_of_the_record_has_a_test_of_its_name_or_a_reason() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the directory of all crates");
    let mut all = String::new();
    names(crates, &mut all);
    for row in TESTED {
        assert!(all.contains(row), "no test is named after {row}");
    }
    for (row, reason) in NOT_OURS {
        assert!(!all.contains(row), "{row} has a test, yet is said not to be ours: {reason}");
        assert!(!reason.is_empty() && !TESTED.contains(row), "{row}");
    }
    let mut rows: Vec<_> = NOT_OURS.iter().map(|(row, _)| *row).collect();
    assert!(TESTED.is_sorted() && rows.is_sorted(), "sort the tables");
    rows.dedup();
    assert_eq!(rows.len(), NOT_OURS.len());
}
