//! The bytes on disk, as ARCHITECTURE.md has them; a change here is a change of the format and needs a new version.

use std::fmt::Write;
use std::sync::Arc;

use plyfs_journal::{Error, ErrorKind, Journal, Options};

use crate::fault_disk::FaultDisk;

/// Sixteen bytes a line, lines that repeat left out as `hexdump -C` does.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut before: Option<&[u8]> = None;
    let mut is_repeating = false;
    for (line, number) in bytes.chunks(16).zip(0..) {
        if before == Some(line) {
            if !is_repeating {
                text.push_str("*\n");
            }
            is_repeating = true;
            continue;
        }
        (before, is_repeating) = (Some(line), false);
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let shown: String = line.iter().map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '.' }).collect();
        writeln!(text, "{:04x}  {hex:48} {shown}", number * 16).expect("a string takes all");
    }
    writeln!(text, "{:04x}", bytes.len()).expect("a string takes all");
    text
}

fn small() -> FaultDisk {
    let disk = FaultDisk::default();
    let journal = Journal::create(Arc::new(disk.clone()), Options::default().log_limit(1024)).expect("created");
    let put = |key: &[u8], value: &[u8]| {
        let change = |changes: &mut plyfs_journal::Transaction<'_>| {
            changes.put(key, value);
            changes.delete(b"gone");
            Ok::<_, Error>(())
        };
        journal.write(change).expect("written");
    };
    put(b"first", b"in the run");
    put(b"second", b"in the run too");
    put(b"third", b"in the log");
    put(b"fourth", &[b'4'; 440]);
    disk
}

#[test]
fn the_bytes_of_a_small_journal_stay_as_they_are() {
    let files = small().state().files();
    let dumps: String = files.iter().map(|(name, bytes)| format!("{name}\n{}\n", dump(bytes))).collect();
    insta::assert_snapshot!("small_journal", dumps);
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_changed() {
    let disk = small();
    let mut state = disk.state();
    let head = state.content("head");
    head[8] += 1;
    let end = head.len() - 4;
    let checksum = crc32fast::hash(&head[..end]);
    head[end..].copy_from_slice(&checksum.to_le_bytes());
    let newer = FaultDisk::new(state);
    let before = newer.state().files();

    let error = Journal::open(Arc::new(newer.clone()), Options::default()).expect_err("newer");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "journal has format version 4, this program knows 3");
    assert_eq!(newer.state().files(), before);
}
