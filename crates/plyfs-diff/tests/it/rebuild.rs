//! Archives put together again: what must be refused, and records that others wrote.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use plyfs_diff::tar_split::{Archive, Writer, rebuild};
use plyfs_diff::{Error, ErrorKind};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::temp::TempDir;

/// The CRC-64 of "123456789".
const CRC: u64 = 0xb909_56c7_75a4_1001;

/// A layer with one file, and the record of an archive around it.
fn layer(name: &str) -> (TempDir, Vec<u8>) {
    let temp = TempDir::new();
    fs::create_dir_all(temp.join("usr/lib")).expect("directories");
    fs::write(temp.join("usr/lib/file"), "123456789").expect("a file");
    let mut writer = Writer::new(Vec::new());
    writer.segment(b"before ").expect("memory");
    writer.file(name.as_bytes(), 9, CRC).expect("memory");
    writer.segment(b" after").expect("memory");
    (temp, writer.finish().expect("memory"))
}

fn rebuilt(temp: &TempDir, record: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    rebuild(record, open_dir(temp.path()).expect("open"), &mut out)?;
    Ok(out)
}

#[test]
fn a_file_that_changed_since_is_corrupt_and_named() {
    let (temp, record) = layer("usr/lib/file");
    assert_eq!(rebuilt(&temp, &record).expect("as it was"), b"before 123456789 after");
    let file = temp.join("usr/lib/file");
    let changes: [&dyn Fn(); 4] = [
        &|| fs::write(&file, "123456780").expect("other bytes"),
        &|| fs::write(&file, "12345678").expect("a byte less"),
        &|| fs::remove_file(&file).expect("gone"),
        &|| fs::create_dir(&file).expect("a directory"),
    ];
    for (change, index) in changes.iter().zip(0..) {
        change();
        let error = rebuilt(&temp, &record).expect_err("not what it was");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{index}: {error}");
        assert!(error.to_string().contains("usr/lib/file"), "{index}: {error}");
    }
}

#[test]
fn a_file_is_found_through_links_of_the_layer_and_never_outside_it() {
    for target in ["usr/lib", "/usr/lib", "../../../../../usr/lib"] {
        let (temp, record) = layer("lib/file");
        symlink(target, temp.join("lib")).expect("a link");
        assert_eq!(rebuilt(&temp, &record).expect("inside"), b"before 123456789 after", "{target}");
    }
    let (temp, record) = layer("lib/hostname");
    symlink("/etc", temp.join("lib")).expect("a link that leads out");
    assert_eq!(rebuilt(&temp, &record).expect_err("outside").kind(), ErrorKind::Corrupt);
    let (temp, record) = layer("../file");
    assert_eq!(rebuilt(&temp, &record).expect_err("outside").kind(), ErrorKind::InvalidInput);
    let (temp, record) = layer("link");
    symlink("usr/lib/file", temp.join("link")).expect("a link");
    assert!(rebuilt(&temp, &record).is_err(), "a link is no file of the archive");
}

#[test]
fn a_record_that_is_none_is_corrupt_and_the_line_is_named() {
    let (temp, record) = layer("usr/lib/file");
    let second = record.iter().position(|&byte| byte == b'\n').expect("lines") + 1;
    let spoilt = [
        record[..record.len() - 5].to_vec(),
        [&record[..second], b"{\"type\":7,\"payload\":null,\"position\":1}\n"].concat(),
        [&record[..second], b"{\"type\":1,\"name\":\"usr/lib/file\",\"size\":9,\"payload\":null,\"position\":1}\n"]
            .concat(),
        [&record[..second], b"{\"type\":1,\"size\":9,\"payload\":\"uQlWx3WkEAE=\",\"position\":1}\n"].concat(),
        [&record[..second], b"{\"type\":2,\"payload\":\"!\",\"position\":1}\n"].concat(),
        [&record[..second], b"\n"].concat(),
    ];
    for (record, index) in spoilt.iter().zip(0..) {
        let error = rebuilt(&temp, record).expect_err("no record");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{index}: {error}");
        assert!(error.to_string().contains("line"), "{index}: {error}");
    }
}

#[test]
fn gos_spelling_of_a_record_is_read() {
    let (temp, _) = layer("");
    fs::rename(temp.join("usr/lib/file"), temp.join("<&>")).expect("renamed");
    let record =
        b"{\"type\":1,\"name\":\"\\u003c\\u0026\\u003e\",\"size\":9,\"payload\":\"uQlWx3WkEAE=\",\"position\":0}\n";
    assert_eq!(rebuilt(&temp, record).expect("Go escapes what HTML would"), b"123456789");
}

#[test]
fn the_archive_is_a_reader_whose_errors_say_what_is_wrong() {
    let (temp, record) = layer("usr/lib/file");
    let mut text = String::new();
    let mut archive = Archive::new(record.as_slice(), open_dir(temp.path()).expect("open")).expect("a reader");
    archive.read_to_string(&mut text).expect("read");
    assert_eq!(text, "before 123456789 after");

    fs::write(temp.join("usr/lib/file"), "987654321").expect("other bytes");
    let mut archive = Archive::new(record.as_slice(), open_dir(temp.path()).expect("open")).expect("a reader");
    let error = archive.read_to_string(&mut text).expect_err("changed");
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).expect("an error of this crate");
    assert_eq!(inner.kind(), ErrorKind::Corrupt);
}
