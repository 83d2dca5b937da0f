//! The record of this field, row by row: each test is named after what once went wrong elsewhere.
//!
//! Rows about a whole store are tested where the store is; those about mounts, quotas, builds and copies have nothing here.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use plyfs_diff::{ApplyOptions, Chain, ExportOptions, apply, export, tar_split};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_sys::xattr;
use plyfs_testkit::require_root;
use plyfs_testkit::tar_text;
use plyfs_testkit::temp::TempDir;

use super::canary::Ground;
use super::case::Case;
use super::holds;
use crate::layers::node;

/// One test for each row: its name, and the cases that are held to what they say.
macro_rules! rows {
    ($($name:ident: $($case:literal),+;)+) => {
        $(#[test]
        fn $name() {
            require_root!();
            $(holds($case);)+
        })+
    };
}

rows! {
    root_cve_2014_6407_links_in_an_archive_stay_inside:
        "cve-2014-6407-symlink-to-root-then-a-child", "cve-2014-6407-hard-link-out";
    root_cve_2014_9356_an_absolute_link_means_the_root_of_the_layer:
        "cve-2014-9356-absolute-link-then-a-child", "cve-2014-9356-absolute-link-below-the-root";
    root_cve_2017_14992_a_declared_size_is_not_believed:
        "cve-2017-14992-declared-size";
    root_cve_2018_20990_nothing_is_written_through_a_link:
        "cve-2018-20990-write-through-a-hard-link-to-a-symlink", "hard-link-that-is-replaced";
    root_cve_2021_29136_nothing_but_a_directory_is_the_root:
        "cve-2021-29136-root-as-a-symlink", "cve-2021-29136-root-as-a-file", "cve-2021-29136-root-as-a-hard-link",
        "cve-2021-29136-root-by-a-way-back";
    root_cve_2021_32760_a_hard_link_to_a_symlink_never_changes_its_target:
        "cve-2021-32760-hard-link-to-a-symlink-with-a-mode";
    root_cve_2021_38511_a_directory_takes_the_place_of_a_link:
        "cve-2021-38511-directory-over-a-symlink-out";
    root_cve_2021_41089_parents_are_made_inside:
        "cve-2021-41089-parents-that-nobody-described", "cve-2021-41089-parents-through-a-link";
    root_cve_2023_25153_what_is_kept_in_memory_is_bounded:
        "cve-2023-25153-unbounded-name", "cve-2023-25153-unbounded-attribute";
    root_cve_2024_9676_what_is_read_in_a_layer_is_a_file:
        "cve-2024-9676-fifo-where-a-file-is-read", "cve-2024-9676-hard-link-to-what-is-below";
    root_cve_2025_11395_a_path_that_begins_like_the_layer_is_outside:
        "cve-2025-11395-a-name-that-begins-like-the-layer", "cve-2025-11395-a-link-that-begins-like-the-layer";
    root_cve_2025_58183_the_map_of_a_sparse_file_is_bounded:
        "cve-2025-58183-sparse-map";
    root_cve_2025_62518_an_archive_inside_an_archive_is_content:
        "cve-2025-62518-nested-archive";
    root_cve_2026_17106_hard_links_stay_inside:
        "cve-2026-17106-absolute-hard-link", "cve-2026-17106-hard-link-through-a-link-out";
    root_cve_2026_32766_a_malformed_record_is_an_error:
        "cve-2026-32766-malformed-extension-record";
    root_cve_2026_33055_a_size_record_counts:
        "cve-2026-33055-size-of-an-extension-record";
    root_cve_2026_33056_a_directory_over_a_link_keeps_its_mode_to_itself:
        "cve-2026-33056-mode-of-a-directory-over-a-symlink";
    root_cve_2026_46703_links_that_lead_to_links_stay_inside:
        "cve-2026-46703-links-in-a-row", "loop-of-links", "loop-of-the-chain";
}

#[test]
fn root_cve_2023_0386_marks_of_overlayfs_never_enter_from_an_archive() {
    require_root!();
    let ground = Ground::new();
    let layer = open_dir(ground.layer()).expect("open");
    let archive = Case::read("cve-2023-0386-marks-of-overlayfs").archive(&ground.canary());
    let applied = apply(archive.as_slice(), &layer, &ground.chain(), &ApplyOptions::new(), None).expect("applied");
    for name in ["d", "f", "escaped"] {
        let attributes = xattr::list_at(&layer, name).expect("listed");
        assert!(attributes.is_empty(), "{name}: {attributes:?}");
    }
    assert_eq!(applied.skipped.len(), 7, "each is reported: {:?}", applied.skipped);
    holds("cve-2023-0386-marks-of-overlayfs");
}

#[test]
fn root_cve_2024_9676_a_layer_that_was_tampered_with_is_read_without_waiting_or_leaving() {
    require_root!();
    let ground = Ground::new();
    let layer = open_dir(ground.layer()).expect("open");
    let mut record = Vec::new();
    let archive = tar_text::build("dir d\nfile d/f data=content").expect("a text");
    apply(archive.as_slice(), &layer, &Chain::empty(), &ApplyOptions::new(), Some(&mut record)).expect("applied");
    type Tamper<'a> = (&'a str, &'a dyn Fn(&Path));
    let tampers: [Tamper<'_>; 4] = [
        ("a FIFO", &|path| node(path, FileType::Fifo, 0)),
        ("a link out", &|path| symlink(ground.canary().join("file"), path).expect("a link")),
        ("a socket", &|path| drop(UnixListener::bind(path).expect("a socket"))),
        ("a directory", &|path| fs::create_dir(path).expect("a directory")),
    ];
    for (what, tamper) in tampers {
        let path = ground.layer().join("d/f");
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        tamper(&path);
        tar_split::rebuild(record.as_slice(), &layer, std::io::sink()).expect_err(what);
        // Whatever it is now, exporting it neither waits nor leaves the layer.
        export(&layer, &Chain::empty(), std::io::sink(), &ExportOptions::new()).expect(what);
        ground.assert_untouched(what);
    }
}

#[test]
fn cve_2024_3727_a_digest_has_one_spelling() {
    let hex = "ab".repeat(32);
    format!("sha256:{hex}").parse::<plyfs_diff::Digest>().expect("a digest");
    let wrong = [
        hex.clone(),
        String::new(),
        "sha256:".into(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha512:{hex}"),
        format!("sha256:{hex}\n"),
        format!(" sha256:{hex}"),
        format!("../sha256:{hex}"),
        format!("sha256:../{}", &hex[3..]),
        format!("sha256:{}/", &hex[1..]),
    ];
    for text in wrong {
        assert!(text.parse::<plyfs_diff::Digest>().is_err(), "{text:?}");
    }
}

#[test]
fn root_cve_2014_9357_and_2019_14271_no_program_is_started_and_no_data_base_is_read() {
    require_root!();
    plyfs_testkit::require_tool!("strace");
    let temp = TempDir::new();
    let log = temp.join("trace");
    super::refused::corpus_under_strace(
        &log,
        &["-f", "-qq", "-e", "trace=execve,execveat,openat,openat2,open,connect,socket"],
    );
    let trace = fs::read_to_string(&log).expect("the trace");
    let calls: Vec<_> = trace.lines().filter(|line| line.contains('(')).collect();
    let executed = calls.iter().filter(|line| line.contains("execve")).count();
    assert_eq!(executed, 1, "strace starts the test binary, and it starts nothing");
    assert!(calls.iter().any(|line| line.contains("\"abc\"") || line.contains("/abc\"")), "the corpus was applied");
    for base in ["\"/etc/", "nsswitch", "libnss", "gconv", "locale", "nscd", "socket("] {
        // What the dynamic linker reads is no data base of users.
        let reads = calls.iter().filter(|line| line.contains(base) && !line.contains("/etc/ld.so."));
        assert_eq!(reads.collect::<Vec<_>>(), [&""; 0], "{base}");
    }
}
