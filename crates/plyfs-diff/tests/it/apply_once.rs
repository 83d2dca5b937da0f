//! Archives that name each path once: their records are written while they are applied, and are the same.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};

use plyfs_diff::archive::Limits;
use plyfs_diff::{Applied, ApplyOptions, Chain, Error, ErrorKind, ExportOptions, apply, export};
use plyfs_sys::fs::{FileType, make_node_at, open_dir};
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::temp::TempDir;
use rustix::fs::Mode;

/// The lines of a record as they come.
struct Lines<'a>(&'a RefCell<Vec<u8>>);

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive, and how much of its record was there when it was read last.
struct Beside<'a> {
    archive: &'a [u8],
    record: &'a RefCell<Vec<u8>>,
    early: &'a mut usize,
}

impl Read for Beside<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        *self.early = self.record.borrow().len();
        self.archive.read(buffer)
    }
}

/// What was applied, the record, and how much of it was there before the archive had ended.
fn applied(archive: &[u8], once: bool) -> Result<(Applied, Vec<u8>, usize), Error> {
    let (temp, record, mut early) = (TempDir::new(), RefCell::default(), 0);
    let layer = open_dir(temp.path()).expect("open");
    let source = Beside { archive, record: &record, early: &mut early };
    let options = ApplyOptions::new().names_once(once);
    let applied = apply(source, layer, &Chain::empty(), &options, Some(&mut Lines(&record)))?;
    Ok((applied, record.into_inner(), early))
}

#[test]
fn a_record_is_the_same_whether_it_is_written_at_once_or_at_the_end() {
    let tree = TempDir::new();
    fs::create_dir(tree.join("d")).expect("a directory");
    for (number, length) in (0..600).zip([0, 1, 511, 512, 70_000].into_iter().cycle()) {
        let name = format!("{number:04}{}", "n".repeat(number % 150));
        fs::write(tree.join("d").join(&name), vec![b'a'; length]).expect("a file");
        if number % 40 == 0 {
            fs::hard_link(tree.join("d").join(name), tree.join(format!("l{number}"))).expect("a link");
        }
    }
    std::os::unix::fs::symlink("d", tree.join("s")).expect("a link");
    if rustix::process::geteuid().is_root() {
        make_node_at(open_dir(tree.path()).expect("open"), "w", FileType::CharacterDevice, Mode::empty(), 0)
            .expect("a whiteout");
    }
    let mut archive = Vec::new();
    let upper = open_dir(tree.path()).expect("open");
    export(upper, &Chain::empty(), &mut archive, &ExportOptions::new()).expect("exported");

    let (at_end, expected, before_end) = applied(&archive, false).expect("applied");
    let (at_once, record, early) = applied(&archive, true).expect("applied");

    assert_eq!(at_once, at_end);
    assert!(record == expected, "the same lines");
    assert_eq!(before_end, 0, "any line may still become another");
    assert!(early > record.len() / 2, "{early} of {} before the end", record.len());
}

#[test]
fn a_path_that_comes_twice_is_refused_where_each_is_to_come_once() {
    let twice = [
        ("f", LayerTar::new().file("f", "1").file("f", "2")),
        ("d", LayerTar::new().dir("d").dir("d")),
        ("d/f", LayerTar::new().dir("d").file("d/f", "1").file("d", "2")),
    ];
    for (path, archive) in twice {
        let archive = archive.finish();
        applied(&archive, false).expect("the last one wins");
        let error = applied(&archive, true).expect_err(path);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(&format!("\"{}\"", &path[..1])), "{error}");
    }
}

#[test]
fn more_paths_that_come_again_than_the_limit_are_refused_where_a_record_is_kept() {
    let archive = LayerTar::new().file("f", "1").file("f", "2").dir("d").dir("d").file("f", "3").finish();
    let apply_within = |replaced, has_record: bool| {
        let temp = TempDir::new();
        let mut limits = Limits::default();
        limits.replaced = replaced;
        let mut record = Vec::new();
        let layer = open_dir(temp.path()).expect("open");
        let record = has_record.then_some(&mut record as &mut dyn Write);
        apply(archive.as_slice(), layer, &Chain::empty(), &ApplyOptions::new().limits(limits), record)
    };
    apply_within(3, true).expect("as many as there are");
    apply_within(0, false).expect("nothing is remembered without a record");
    let error = apply_within(2, true).expect_err("one more");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("\"f\" comes again, as more than Limits::replaced, 2,"), "{error}");
}
