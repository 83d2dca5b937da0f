//! The archive reader: every byte passes once and in order, whatever the bytes are.

use std::borrow::Cow;
use std::str;

use plyfs_diff::archive::{Kind, Limits, Reader};
use plyfs_testkit::tar_text;

pub(crate) fn run(data: &[u8]) {
    let archive = bytes(data);
    let mut passed = Vec::new();
    if read(&archive, &mut passed).is_ok() {
        assert!(passed == *archive, "{} bytes passed of {}", passed.len(), archive.len());
    } else {
        assert!(archive.starts_with(&passed), "what passed before an error is the archive's start");
    }
}

/// The archive an input means: described by text, or raw behind a byte that starts no text.
///
/// Raw headers get their checksums, which no fuzzer guesses.
pub(crate) fn bytes(data: &[u8]) -> Cow<'_, [u8]> {
    match data.split_first() {
        Some((0..=8, raw)) => Cow::Owned(sealed(raw)),
        Some((0xff, raw)) => Cow::Borrowed(raw),
        _ => Cow::Owned(tar_text::build_lossy(str::from_utf8(data).unwrap_or_default())),
    }
}

fn sealed(raw: &[u8]) -> Vec<u8> {
    let mut archive = raw.to_vec();
    for block in archive.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    archive
}

fn read(archive: &[u8], passed: &mut Vec<u8>) -> Result<(), plyfs_diff::Error> {
    let mut reader = Reader::new(archive, Limits::default());
    while let Some(entry) = reader.next_entry()? {
        passed.extend(reader.raw());
        assert!(!entry.path.is_empty() && !entry.path.contains(&0), "a name is one");
        assert!(entry.mode <= 0o7777, "a mode has twelve bits");
        let mut content = 0;
        loop {
            let piece = reader.content()?;
            if piece.is_empty() {
                break;
            }
            content += piece.len() as u64;
            passed.extend(piece);
        }
        assert_eq!(content, entry.stored, "the content is as long as the entry says");
        if let Some(extents) = &entry.extents {
            assert_eq!(entry.kind, Kind::File, "only files are sparse");
            assert_eq!(extents.iter().map(|extent| extent.length).sum::<u64>(), content, "the map is the content");
        }
    }
    passed.extend(reader.raw());
    loop {
        let piece = reader.trailer()?;
        if piece.is_empty() {
            return Ok(());
        }
        passed.extend(piece);
    }
}
