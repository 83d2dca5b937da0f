//! Archives nobody writes on purpose, and those somebody does (rules 42 to 46): a tree and the same bytes back, or an
//! error, and never a panic.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use plyfs_diff::archive::{Kind, Limits, Reader};
use plyfs_diff::{ApplyOptions, Chain, Digest, Error, ErrorKind, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, assert_same};
use proptest::prelude::*;
use tar::Header;

use crate::stack::{Stack, whole};

/// A header of a type and size, checksum and all; in the format `header` comes in.
fn finished(mut header: Header, name: &str, flag: u8, size: u64) -> Header {
    header.set_path(name).expect("short");
    header.set_entry_type(EntryType::new(flag));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(7);
    header.set_size(size);
    header.set_cksum();
    header
}

/// An extension header with its data, then whatever follows.
fn extension(flag: u8, data: &[u8]) -> LayerTar {
    LayerTar::new().raw(&finished(Header::new_ustar(), "ext", flag, data.len() as u64), data)
}

/// One record, its length right.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let length = (body.len()..).find(|length| length.to_string().len() + body.len() == *length);
    [length.expect("a length that counts itself").to_string().into_bytes(), body].concat()
}

fn kinds(archive: &[u8]) -> Result<Vec<(Vec<u8>, Kind, u64)>, Error> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        found.push((entry.path, entry.kind, entry.size));
    }
    Ok(found)
}

#[test]
fn malformed_extension_records_are_errors_and_never_skipped() {
    let wrong = [
        b"no length\n".to_vec(),
        b"11 path=a\n".to_vec(),
        b"8 path=a\n".to_vec(),
        b"10 path=ab".to_vec(),
        b"5 ab\n\n".to_vec(),
        [record("path", b"a"), b"x".to_vec()].concat(),
        record("", b"value"),
        record("size", b"-1"),
        record("size", b"1x"),
        record("size", b"9223372036854775808"),
        record("mtime", b"1:0"),
        record("mtime", b"--1"),
        record("uid", b"99\0"),
        record("GNU.sparse.major", b"2"),
        record("GNU.sparse.map", b"1,2,3"),
        record("GNU.sparse.numbytes", b"3"),
    ];
    for records in wrong {
        let error = kinds(&extension(b'x', &records).file("a", "").finish()).expect_err("CVE-2026-32766");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", records.escape_ascii());
    }
}

#[test]
fn a_size_record_decides_where_the_next_header_is() {
    // The ustar size says zero: who believes it sees the header inside the content (CVE-2025-62518, CVE-2026-33055).
    let hidden = LayerTar::new().file("hidden", "").finish();
    let inner = &hidden[..512];
    let archive = extension(b'x', &record("size", b"512")).raw(&finished(Header::new_ustar(), "outer", b'0', 0), b"");
    let mut bytes = archive.finish();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend_from_slice(inner);
    bytes.extend_from_slice(&LayerTar::new().file("after", "").finish());
    let found = kinds(&bytes).expect("rule 44");
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_slice()).collect();
    assert_eq!(names, [&b"outer"[..], b"after"], "rule 44");
    assert_eq!(found[0].2, 512, "rule 44");
}

#[test]
fn the_size_of_what_has_no_content_is_noise() {
    for flag in *b"123456" {
        let mut header = finished(Header::new_ustar(), "a", flag, 512);
        header.set_link_name("target").expect("short");
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(&LayerTar::new().file("after", "").finish());
        let found = kinds(&bytes).expect("Go and Python read it so");
        assert_eq!(found.len(), 2, "rule 44: {}", flag as char);
        assert_eq!(found[0].2, 0);
    }
}

#[test]
fn what_readers_disagree_about_is_refused() {
    let file = || finished(Header::new_ustar(), "a", b'0', 0);
    let long = |name: &[u8]| LayerTar::new().raw(&finished(Header::new_gnu(), "l", b'L', name.len() as u64), name);
    let mut lone_zero = LayerTar::new().file("a", "").finish();
    lone_zero.truncate(512);
    lone_zero.extend_from_slice(&[0; 512]);
    lone_zero.extend_from_slice(&LayerTar::new().file("b", "").finish());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a lone block of zeros in the middle", lone_zero),
        (
            "two PAX headers",
            extension(b'x', &record("path", b"xx"))
                .raw(&finished(Header::new_ustar(), "e", b'x', 0), b"")
                .raw(&file(), b"")
                .finish(),
        ),
        (
            "two long names",
            long(b"one\0").raw(&finished(Header::new_gnu(), "l", b'L', 4), b"two\0").raw(&file(), b"").finish(),
        ),
        ("two names of two kinds", {
            long(b"one\0")
                .raw(&finished(Header::new_ustar(), "e", b'x', 11), &record("path", b"xx"))
                .raw(&file(), b"")
                .finish()
        }),
        (
            "a file whose name ends with a slash",
            LayerTar::new().raw(&finished(Header::new_ustar(), "a/", b'0', 1), b"x").finish(),
        ),
        ("an extension and no entry", extension(b'x', &record("path", b"xx")).finish()),
        (
            "an extension and a global one",
            extension(b'x', &record("path", b"xx"))
                .raw(&finished(Header::new_ustar(), "g", b'g', 0), b"")
                .raw(&file(), b"")
                .finish(),
        ),
        ("a NUL in a name", extension(b'x', &record("path", b"a\0b")).raw(&file(), b"").finish()),
        ("no name", LayerTar::new().entry(EntryType::Regular, 0o644, "", "", "").finish()),
        ("an owner beyond 32 bits", extension(b'x', &record("uid", b"4294967296")).raw(&file(), b"").finish()),
        ("an owner that chown leaves alone", extension(b'x', &record("uid", b"4294967295")).raw(&file(), b"").finish()),
        ("a group that chown leaves alone", extension(b'x', &record("gid", b"4294967295")).raw(&file(), b"").finish()),
    ];
    for (case, bytes) in cases {
        let error = kinds(&bytes).expect_err(case);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{case}: {error}");
    }
}

#[test]
fn a_directory_of_v7_is_a_file_with_a_slash() {
    let mut header = finished(Header::new_old(), "d/", b'0', 0);
    header.as_old_mut().linkflag = [0];
    header.set_cksum();
    let found = kinds(&LayerTar::new().raw(&header, b"").finish()).expect("v7");
    assert_eq!(found, [(b"d/".to_vec(), Kind::Directory, 0)]);
}

#[test]
fn limits_are_refusals_that_say_their_name() {
    let huge_name = vec![b'n'; 2 << 20];
    let map = "1,1,".repeat(20_000);
    let map = record("GNU.sparse.map", map.trim_end_matches(',').as_bytes());
    let cases = [
        (
            LayerTar::new().raw(&finished(Header::new_gnu(), "l", b'L', 2 << 20), &huge_name).finish(),
            "Limits::metadata",
        ),
        (extension(b'x', &map).file("a", "").finish(), "Limits::extents"),
        (finished(Header::new_gnu(), "l", b'x', 1 << 40).as_bytes().to_vec(), "Limits::metadata"),
    ];
    for (archive, limit) in cases {
        let error = kinds(&archive).expect_err(limit);
        assert!(error.to_string().contains(limit), "CVE-2025-58183: {error}");
    }
}

#[test]
fn root_a_declared_size_costs_nothing_until_the_bytes_arrive() {
    require_root!();
    let mut header = finished(Header::new_gnu(), "huge", b'0', 100 << 40);
    header.set_cksum();
    let archive = [header.as_bytes().as_slice(), &[1; 5000]].concat();
    let error = Stack::new().try_push(&archive).expect_err("CVE-2017-14992");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn root_everything_after_the_end_is_kept_and_counted() {
    require_root!();
    let plain = LayerTar::new().file("a", "x").finish();
    let (whole_blocks, content) = (plain.len() - 1024, 512 + 1);
    let garbage: Vec<u8> = (0..300_001_u32).map(|number| number as u8).collect();
    for tail in [&b""[..], b"\0", &[0; 511], &[0; 512], &[0; 1024], &[0; 9000], &garbage] {
        let archive = [&plain[..whole_blocks], tail].concat();
        let is_end = tail.is_empty() || tail[..tail.len().min(1024)].iter().all(|&byte| byte == 0) && tail.len() >= 512;
        assert_eq!(Stack::new().try_push(&archive).is_ok(), is_end, "rule 45: {} bytes", tail.len());
        let archive = [&plain[..], tail].concat();
        Stack::new().push(&archive);
    }
    Stack::new().push(&plain[..content]);
}

#[test]
fn root_what_nobody_vouches_for_may_not_stop_within_the_last_block_of_a_file() {
    require_root!();
    let plain = LayerTar::new().file("a", "x").file("b", "y").finish();
    let temp = TempDir::new();
    let options = ApplyOptions::new().vouched_by_nobody(true);
    for (length, is_taken) in [(513, false), (700, false), (1023, false), (1024, true), (2000, false), (2048, true)] {
        let layer = open_dir(temp.dir(length.to_string())).expect("open");
        let applied = apply(&plain[..length], &layer, &Chain::empty(), &options, None);
        assert_eq!(applied.map(drop).map_err(|error| error.kind()).err(), (!is_taken).then_some(ErrorKind::Corrupt));
    }
}

#[test]
fn root_an_archive_cut_anywhere_is_an_error_or_a_tree_and_never_a_panic() {
    require_root!();
    let archive = extension(b'x', &record("mtime", b"1.123456789"))
        .file("a", "content")
        .dir("d")
        .link("d/b", "a")
        .file("d/".to_owned() + &"n".repeat(120), "long")
        .finish();
    let temp = TempDir::new();
    for length in 0..archive.len() - 1024 {
        let path = temp.dir(length.to_string());
        let layer = open_dir(&path).expect("open");
        match apply(&archive[..length], &layer, &Chain::empty(), &ApplyOptions::new(), None) {
            Ok(applied) => assert_eq!(applied.diff_id, Digest::of(&archive[..length])),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput), "{error:?}"),
        }
    }
}

#[test]
fn root_any_byte_of_any_header_changed_is_an_error_or_a_tree_and_never_a_panic() {
    require_root!();
    let archive = extension(b'x', &record("mtime", b"1.123456789")).file("a", "content").link("b", "a").finish();
    let temp = TempDir::new();
    let path = temp.dir("layer");
    let mut made = 0;
    for at in 0..archive.len() - 1024 {
        for (bit, is_checksum_right) in [(1, false), (1, true), (0x80, true)] {
            let mut archive = archive.clone();
            archive[at] ^= bit;
            if is_checksum_right {
                let block = at / 512 * 512;
                archive[block + 148..block + 156].fill(b' ');
                let sum: u32 = archive[block..block + 512].iter().map(|&byte| u32::from(byte)).sum();
                archive[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            fs::create_dir_all(&path).expect("a directory");
            let layer = open_dir(&path).expect("open");
            if let Err(error) = apply(archive.as_slice(), &layer, &Chain::empty(), &ApplyOptions::new(), None) {
                assert_ne!(error.kind(), ErrorKind::Io, "byte {at}: {}", whole(&error));
            } else {
                made += 1;
            }
            fs::remove_dir_all(&path).expect("removed");
        }
    }
    assert!(made > 200, "some bytes are only content: {made}");
}

#[test]
fn root_an_error_of_the_callers_reader_comes_back_as_it_is() {
    require_root!();
    #[derive(Debug)]
    struct Stopped;
    impl std::fmt::Display for Stopped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("stopped")
        }
    }
    impl std::error::Error for Stopped {}
    struct Stopping;
    impl Read for Stopping {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(Stopped))
        }
    }
    let temp = TempDir::new();
    let layer = open_dir(temp.path()).expect("open");
    let archive = LayerTar::new().file("a", vec![1; 5000]).finish();
    let reader = (&archive[..2000]).chain(Stopping);

    let error = apply(reader, &layer, &Chain::empty(), &ApplyOptions::new(), None).expect_err("stopped");

    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    let inner = source.and_then(|error| error.get_ref()).expect("the reader's own error");
    assert!(inner.is::<Stopped>(), "{}", whole(&error));
}

/// One entry of a random archive.
#[derive(Clone, Debug)]
pub enum Step {
    File(String, Vec<u8>),
    Dir(String, u32),
    Symlink(String, String),
    Link(String, String),
    Whiteout(String),
    Opaque(String),
    Time(String, i64, u32),
    Old(String, Vec<u8>),
}

/// Few names, so that they meet: duplicates, files where directories are, links on the way.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just("c")];
    (prop_oneof![Just(""), Just("./"), Just("/")], proptest::collection::vec(part, 1..4))
        .prop_map(|(start, parts)| start.to_owned() + &parts.join("/"))
}

pub fn step() -> impl Strategy<Value = Step> {
    let content = || proptest::collection::vec(any::<u8>(), 0..1500);
    prop_oneof![
        4 => (name(), content()).prop_map(|(name, content)| Step::File(name, content)),
        2 => (name(), 0_u32..0o10000).prop_map(|(name, mode)| Step::Dir(name, mode)),
        2 => (name(), name()).prop_map(|(name, to)| Step::Symlink(name, to)),
        2 => (name(), name()).prop_map(|(name, to)| Step::Link(name, to)),
        1 => name().prop_map(Step::Whiteout),
        1 => name().prop_map(Step::Opaque),
        1 => (name(), -5_000_000_000_i64..5_000_000_000, 1_u32..1_000_000_000).prop_map(|(n, s, f)| Step::Time(n, s, f)),
        1 => (name(), content()).prop_map(|(name, content)| Step::Old(name, content)),
    ]
}

pub fn build(steps: &[Step], tail: &[u8]) -> Vec<u8> {
    let add = |tar: LayerTar, step: &Step| match step {
        Step::File(name, content) => tar.file(name, content),
        Step::Dir(name, mode) => tar.entry(EntryType::Directory, *mode, name, "", ""),
        Step::Symlink(name, to) => tar.symlink(name, to),
        Step::Link(name, to) => tar.link(name, to),
        Step::Whiteout(name) => {
            let (dir, name) = name.rsplit_once('/').unwrap_or(("", name));
            tar.whiteout(dir, name)
        }
        Step::Opaque(name) => tar.opaque(name),
        Step::Time(name, seconds, fraction) => {
            tar.pax(&[("mtime", format!("{seconds}.{fraction:09}").as_bytes())], name, "timed")
        }
        Step::Old(name, content) => {
            let mut header = Header::new_old();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o600);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(9);
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.raw(&header, content)
        }
    };
    let mut archive = steps.iter().fold(LayerTar::new(), add).finish();
    archive.extend_from_slice(tail);
    archive
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is applied comes back byte for byte: [`Stack`] rebuilds every archive it applies.
    #[test]
    fn root_any_archive_comes_back_byte_for_byte(
        lower in proptest::collection::vec(step(), 0..12),
        steps in proptest::collection::vec(step(), 0..25),
        tail in proptest::collection::vec(any::<u8>(), 0..1200),
    ) {
        if !plyfs_testkit::require::root(module_path!(), line!()) {
            return Ok(());
        }
        let lower = possible(lower, &[], |archive| Stack::new().try_push(archive).is_ok());
        let lower = build(&lower, &[]);
        let steps = possible(steps, &tail, |archive| Stack::new().with(&lower).try_push(archive).is_ok());
        prop_assert!(Stack::new().with(&lower).try_push(&build(&steps, &tail)).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// What one layer makes of its entries is what they make one after the other, each in a layer of its own. Marks come first,
    /// since they hide no entry of their own layer, nor a directory that another mark needs, which is why those above come first;
    /// a link that is copied up is no link any more, so none is among them.
    #[test]
    fn root_entries_of_one_layer_replace_each_other_as_those_of_several_do(
        lower in proptest::collection::vec(step(), 0..10),
        steps in proptest::collection::vec(step(), 2..10),
    ) {
        if !plyfs_testkit::require::root(module_path!(), line!()) {
            return Ok(());
        }
        let lower = build(&possible(lower, &[], |archive| Stack::new().try_push(archive).is_ok()), &[]);
        let depth = |name: &str| name.split('/').filter(|part| !matches!(*part, "" | ".")).count();
        let place = |step: &Step| match step {
            Step::Whiteout(name) => depth(name),
            Step::Opaque(name) => depth(name) + 1,
            _ => usize::MAX,
        };
        let mut steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Link(..))).collect();
        steps.sort_by_key(place);
        let steps = possible(steps, &[], |archive| Stack::new().with(&lower).try_push(archive).is_ok());
        let one = Stack::new().with(&lower).with(build(&steps, &[]));
        let below = Stack::new().with(&lower);
        let several = steps.iter().fold(below, |stack, step| stack.with(build(std::slice::from_ref(step), &[])));
        let (one, several) = (one.mount(), several.mount());
        assert_same(one.path(), several.path(), &Options::images());
    }
}

/// The steps that may follow on those before them, in pieces first: most random archives ask for something impossible.
pub fn possible(steps: Vec<Step>, tail: &[u8], is_possible: impl Fn(&[u8]) -> bool) -> Vec<Step> {
    steps.into_iter().fold(Vec::new(), |mut kept, step| {
        kept.push(step);
        if !is_possible(&build(&kept, tail)) {
            kept.pop();
        }
        kept
    })
}

/// The file system gives the number of an inode that is gone to another, whose content is not the one that was kept.
#[test]
fn root_what_is_replaced_is_kept_though_its_inode_number_was_one_of_several_names_before() {
    require_root!();
    let mut archive = LayerTar::new().dir("d").file("d/one", "with two names").link("d/two", "d/one").file("d", "none");
    for number in 0..8 {
        archive = archive.file(format!("f{number}"), format!("another content, {number}"));
    }
    for number in 0..8 {
        archive = archive.file(format!("f{number}"), "what replaces it");
    }
    let stack = Stack::new().with(archive.finish());
    assert_eq!(stack.paths().len(), 9);
}

#[test]
fn root_a_record_that_does_not_fit_in_memory_is_kept_aside() {
    require_root!();
    let mut archive = LayerTar::new();
    for number in 0..20_000 {
        archive = archive.file(format!("{}/{number}", number % 7), [number as u8; 3]);
    }
    let stack = Stack::new().with(archive.file("0/0", "replaced").finish());
    assert_eq!(fs::metadata(stack.top().join("0/0")).expect("stat").size(), 8);
    assert_eq!(fs::read_dir(stack.top()).expect("list").count(), 7, "no scratch file is left");
}
