//! Those an archive comes from: who fails, who stalls, who goes away, and a disk that is full when it arrives.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use plyfs_image::{Error, ErrorKind, ImportOptions, Source};
use plyfs_store::{CheckOptions, Progress, Store};
use plyfs_testkit::images::many_layers;
use plyfs_testkit::oci::{Compression, LayerTar, Plain};
use plyfs_testkit::process::run;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::{noise, require_root, require_tool};

use crate::support::{Place, story};

/// How a reader fails, and what is told of it: the kind and a word.
type Failure = (fn() -> io::Error, ErrorKind, &'static str);

/// Gives the first bytes, and then fails.
struct Failing<'a> {
    bytes: &'a [u8],
    fail: fn() -> io::Error,
}

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(buffer)? {
            0 if !buffer.is_empty() => Err((self.fail)()),
            read => Ok(read),
        }
    }
}

#[test]
fn root_a_reader_that_fails_anywhere_is_told_as_that_and_leaves_nothing() {
    require_root!();
    let plain = fs::read(many_layers(2).docker_archive()).expect("readable");
    let gzip = Compression::Gzip.apply(&plain);
    let zstd = Compression::Zstd.apply(&plain);
    let failures: [Failure; 3] = [
        (|| io::Error::other("the cable is cut"), ErrorKind::Io, "the cable is cut"),
        (|| io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()), ErrorKind::Io, "input/output error"),
        (|| io::ErrorKind::TimedOut.into(), ErrorKind::TimedOut, "timed out"),
    ];
    for bytes in [&plain, &gzip, &zstd] {
        for (fail, kind, word) in failures {
            for length in [0, 3, 300, 512, bytes.len() / 2, bytes.len() - 1] {
                let place = Place::new();
                let source = Source::reader(Failing { bytes: &bytes[..length], fail });
                let error = plyfs_image::load(&place.store, source, Progress::none()).expect_err("it fails");
                let story = story(&error);
                assert_eq!(error.kind(), kind, "after {length} bytes: {story}");
                assert!(story.contains(word), "after {length} bytes: {story}");
                place.assert_untouched();
            }
        }
    }
}

#[test]
fn root_a_sender_that_stalls_is_given_up_and_one_that_goes_away_is_an_archive_cut_off() {
    require_root!();
    let bytes = fs::read(many_layers(2).oci_archive()).expect("readable");
    let half = &bytes[..bytes.len() / 2];
    let load = |place: &Place, reader: io::PipeReader| -> Error {
        let source = Source::descriptor(OwnedFd::from(reader), "the pipe").expect("open");
        let source = source.timeout(Duration::from_millis(200));
        plyfs_image::load(&place.store, source, Progress::none()).expect_err("half of it is missing")
    };
    // Before its first header is whole it is no archive.
    let none = ErrorKind::InvalidInput;
    let cases = [(&half[..0], none), (&half[..100], none), (half, ErrorKind::Corrupt)];
    for (sent, kind) in cases {
        let place = Place::new();
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let begun = Instant::now();
        let error = std::thread::scope(|scope| {
            let sender = scope.spawn(move || writer.write_all(sent).map(|()| writer));
            let error = load(&place, reader);
            drop(sender.join());
            error
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{}", story(&error));
        assert!(story(&error).contains("the pipe stalls"), "{}", story(&error));
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not wait for ever");
        place.assert_untouched();

        let (reader, mut writer) = io::pipe().expect("a pipe");
        let error = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(sent));
            load(&place, reader)
        });
        assert_eq!(error.kind(), kind, "{} bytes: {}", sent.len(), story(&error));
        place.assert_untouched();
    }
    // Nobody opens the other end of a FIFO at all.
    let place = Place::new();
    let fifo = place.temp.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a fifo");
    let source = Source::path(&fifo).expect("open").timeout(Duration::from_millis(100));
    let error = plyfs_image::load(&place.store, source, Progress::none()).expect_err("nobody writes");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{}", story(&error));
    // With somebody there it is read like any pipe.
    let loaded = std::thread::scope(|scope| {
        scope.spawn(|| fs::write(&fifo, &bytes).expect("somebody reads"));
        place.load(&fifo)
    });
    assert_eq!(loaded.len(), 1);
}

#[test]
fn root_a_file_on_a_descriptor_is_read_from_where_it_stands() {
    require_root!();
    let bytes = fs::read(many_layers(2).docker_archive()).expect("readable");
    let place = Place::new();
    let path = place.temp.join("behind.tar");
    fs::write(&path, [&b"a line before it\n"[..], &bytes].concat()).expect("written");
    let mut file = fs::File::open(&path).expect("open");
    file.read_exact(&mut [0; 17]).expect("it is there");
    let source = Source::descriptor(file.into(), "the file").expect("open");
    assert_eq!(plyfs_image::load(&place.store, source, Progress::none()).expect("loaded").len(), 1);
}

#[test]
fn root_what_follows_an_archive_without_an_end_is_not_waited_for() {
    require_root!();
    let bytes = fs::read(many_layers(2).docker_archive()).expect("readable");
    let place = Place::new();
    let endless = bytes.chain(io::repeat(0));
    let loaded = plyfs_image::load(&place.store, Source::reader(endless), Progress::none());
    assert_eq!(loaded.expect("loaded").len(), 1);

    let place = Place::new();
    let error = plyfs_image::load(&place.store, Source::reader(io::repeat(0)), Progress::none());
    assert_eq!(error.expect_err("nothing is in it").kind(), ErrorKind::InvalidInput);
    place.assert_untouched();
}

/// A disk of 48 MiB; the directory its image is in goes with it.
fn small_disk() -> (Mounted, TempDir) {
    let dir = TempDir::new();
    let (image, at) = (dir.join("image"), dir.dir("disk"));
    fs::File::create(&image).and_then(|file| file.set_len(48 << 20)).expect("an image file");
    let _ = run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image)).success();
    let _ = run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)).success();
    (Mounted::at(&at), dir)
}

#[test]
fn root_a_disk_that_is_full_in_the_middle_of_a_load_holds_what_it_held() {
    require_root!();
    require_tool!("mkfs.ext4");
    let (disk, _dir) = small_disk();
    let store = Store::ensure(disk.path().join("store")).expect("a store");
    plyfs_image::load(&store, Source::path(many_layers(2).docker_archive()).expect("open"), Progress::none())
        .expect("there is room for a small one");
    let outside = TempDir::new();
    let layer = |number| LayerTar::new().file(format!("noise{number}"), noise(number, 9 << 20)).finish();
    let big = outside.join("big.tar");
    Plain::new("localhost/big:1", (1..=6).map(layer).collect()).write_oci_archive(Compression::Gzip, &big);
    let names = || {
        let mut names = Vec::new();
        for directory in ["overlay2", "overlay2/l", "blobs/sha256", "tarsplit", "staging", "trash"] {
            let entries = fs::read_dir(store.path().join(directory)).expect("listed").flatten();
            names.extend(entries.map(|entry| entry.path()));
        }
        names.sort();
        names
    };
    let before = names();
    let piped = |path: &Path| Source::reader(fs::File::open(path).expect("open"));
    for (what, source) in [
        ("unpacking", Source::path(&big).expect("open")),
        ("keeping blobs", Source::path(&big).expect("open").keep_blobs(true)),
        ("receiving", piped(&big)),
    ] {
        let error = plyfs_image::load(&store, source, Progress::none()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {}", story(&error));
        store.reap().expect("reaped");
        assert_eq!(names(), before, "{what} leaves something");
        assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
    }
    let small = outside.join("small.tar");
    Plain::new("localhost/small:1", vec![layer(1)]).write_oci_archive(Compression::Gzip, &small);
    let source = Source::path(&small).expect("open").keep_blobs(true);
    plyfs_image::load(&store, source, Progress::none()).expect("what fits still comes in");
}

#[test]
fn root_an_import_that_fails_does_not_wait_for_a_sender_that_has_more_to_say() {
    require_root!();
    let place = Place::new();
    let (reader, mut writer) = io::pipe().expect("a pipe");
    // No tar archive, which the first 256 KiB that are passed on show; the end of the gzip stream is waited for.
    let bytes = Compression::Gzip.apply(&[b'x'; 300 << 10]);
    writer.write_all(&bytes[..bytes.len() - 8]).expect("a pipe takes it");
    // So that a wait ends, as another error.
    let source = Source::descriptor(OwnedFd::from(reader), "the pipe").expect("open").timeout(Duration::from_secs(20));
    let error = plyfs_image::import(&place.store, source, ImportOptions::new(), Progress::none()).expect_err("no tar");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", story(&error));
    place.assert_untouched();
    drop(writer);
}
