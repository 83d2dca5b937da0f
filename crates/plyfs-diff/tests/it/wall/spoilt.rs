//! Archives that end too early, and headers with any byte changed: an error or a tree, and never anything outside.

use plyfs_diff::{ApplyOptions, Chain, Digest, Error, ErrorKind, apply};
use plyfs_sys::fs::{open_dir, remove_tree};
use plyfs_testkit::require_root;
use plyfs_testkit::tar_text;

use super::canary::Ground;
use crate::stack::whole;

/// Every kind of header there is, each alone with what it needs.
const EVERY_KIND: [&str; 16] = [
    "dir d mode=1777",
    "file d/f data=content xattr:user.k=v",
    "file f data=x\nhardlink h link=f",
    "symlink s link=d",
    "char c device=1:3",
    "block b device=7:1",
    "fifo p",
    "file usr/.wh.lib",
    "file usr/.wh..wh..opq",
    "longname long\\x00\nlonglink target\\x00\nsymlink l link=t",
    "file v7 format=v7 data=x",
    "file gnu format=gnu data=x uid=7777777 mtime=99999999999",
    "file star format=star prefix=s data=x",
    "file sparse format=gnu data=xyz at:156=S at:386=00000000000\\x0000000000003\\x00 at:483=00000000100\\x00",
    "pax 22\\sGNU.sparse.major=1\\n22\\sGNU.sparse.minor=0\\n25\\sGNU.sparse.realsize=9\\n\n\
     file mapped data=1\\n0\\n3\\n{\\x00*506}abc",
    "global 16\\scomment=aaaa\\n\nfile last pax:mtime=1.5",
];

/// Applies `archive` into a new layer over the hostile chain and removes it; what is outside is as it was.
fn outcome(ground: &Ground, archive: &[u8], what: &dyn Fn() -> String) -> Result<Digest, Error> {
    let layer = open_dir(ground.layer()).expect("open");
    let applied = apply(archive, &layer, &ground.chain(), &ApplyOptions::new().tolerate_attributes(true), None);
    remove_tree(open_dir(ground.layer().join("..")).expect("open"), "abc").expect("removed");
    if let Err(error) = &applied {
        assert!(!matches!(error.kind(), ErrorKind::Conflict), "{}: {}", what(), whole(error));
    }
    Ok(applied?.diff_id)
}

#[test]
fn root_an_archive_cut_at_any_byte_is_an_error_or_all_that_came() {
    require_root!();
    let ground = Ground::new();
    let (mut refused, mut cuts) = (0, 0);
    for text in EVERY_KIND {
        let archive = tar_text::build(text).expect("a text");
        // Of the last blocks of zeros every byte is like the next.
        for length in (0..archive.len() - 1024).chain([archive.len() - 600, archive.len()]) {
            // Content and long fields are cut at some places, headers at all.
            if length % 512 > 160 && length % 7 != 0 {
                continue;
            }
            cuts += 1;
            match outcome(&ground, &archive[..length], &|| format!("{text} cut at {length}")) {
                Ok(digest) => assert_eq!(digest, Digest::of(&archive[..length]), "{text} cut at {length}"),
                Err(error) => {
                    refused += 1;
                    // In an extension the cut is a truncation, behind it an extension of nothing.
                    let is_told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput);
                    assert!(is_told && length < archive.len(), "{text} cut at {length}: {error}");
                }
            }
        }
    }
    ground.assert_untouched("after every cut");
    assert!(refused > cuts / 2, "{refused} of {cuts} cuts were noticed");
}

#[test]
fn root_any_byte_of_any_header_may_be_anything() {
    require_root!();
    let ground = Ground::new();
    let (mut applied, mut refused) = (0, 0);
    for text in EVERY_KIND {
        let archive = tar_text::build(text).expect("a text");
        for block in (0..archive.len() - 1024).step_by(512).filter(|at| is_header(&archive[*at..at + 512])) {
            // Every byte that says something, and some of the zeros behind it.
            for at in (block..block + 512).filter(|&at| archive[at] != 0 || at % 11 == 0) {
                for value in [archive[at] ^ 1, 0xff] {
                    let mut archive = archive.clone();
                    archive[at] = value;
                    seal(&mut archive[block..block + 512]);
                    match outcome(&ground, &archive, &|| format!("{text}: byte {at} is {value}")) {
                        Ok(digest) => {
                            applied += 1;
                            assert_eq!(digest, Digest::of(&archive), "{text}: byte {at} is {value}");
                        }
                        Err(_) => refused += 1,
                    }
                }
            }
        }
    }
    ground.assert_untouched("after every change");
    assert!(applied > 500 && refused > 500, "{applied} applied, {refused} refused");
}

fn is_header(block: &[u8]) -> bool {
    block[148..154].iter().all(u8::is_ascii_digit)
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn root_a_large_archive_cut_at_every_block_is_an_error_or_all_that_came() {
    require_root!();
    let text: String = (0..300).map(|n| format!("file dir{}/file{n} data={{x*{}}}\n", n % 7, n * 17)).collect();
    let archive = tar_text::build(&text).expect("a text");
    assert!(archive.len() > 800_000, "{} bytes", archive.len());
    // Reading alone: what applying does with an end is told by the small archive.
    for length in (0..archive.len()).step_by(512) {
        let (mut reader, mut names) = (plyfs_diff::archive::Reader::new(&archive[..length], Default::default()), 0);
        let end = loop {
            match reader.next_entry() {
                Ok(Some(_)) => names += 1,
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(end.is_none_or(|error| error.kind() == ErrorKind::Corrupt), "cut at {length}");
        assert!(names <= 300, "cut at {length}");
    }
    let (ground, chain) = (Ground::new(), Chain::empty());
    for length in (0..archive.len()).step_by(512 * 61) {
        let layer = open_dir(ground.layer()).expect("open");
        let applied = apply(&archive[..length], &layer, &chain, &ApplyOptions::new(), None);
        assert!(applied.is_ok_and(|applied| applied.diff_id == Digest::of(&archive[..length])) || length > 0);
        remove_tree(open_dir(ground.layer().join("..")).expect("open"), "abc").expect("removed");
    }
    ground.assert_untouched("after every cut");
}
