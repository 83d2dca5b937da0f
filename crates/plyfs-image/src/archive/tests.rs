//! Archives are read back by the reading half of this crate; other people's tools read them in `tests/it`.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use super::*;
use crate::compression::{Decoder, WindowLog};
use crate::incoming;
use crate::members::Members;

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn layer_bytes(number: u8) -> Vec<u8> {
    (0..20_000u32).map(|n| (n / 9) as u8 ^ number).collect()
}

fn outgoing(layers: &[u8], names: &[&str], sizes_known: bool) -> Outgoing<'static> {
    let diff_ids: Vec<_> = layers.iter().map(|number| Digest::of(layer_bytes(*number)).to_string()).collect();
    let rootfs = serde_json::json!({"type": "layers", "diff_ids": diff_ids});
    let config = serde_json::json!({"os": "linux", "rootfs": rootfs}).to_string().into_bytes();
    let layer = |number: &u8| {
        let bytes = layer_bytes(*number);
        OutgoingLayer {
            diff_id: Digest::of(&bytes),
            size: sizes_known.then_some(bytes.len() as u64),
            open: Box::new(move || Ok(Box::new(io::Cursor::new(bytes.clone())))),
            kept: Vec::new(),
        }
    };
    Outgoing {
        id: Digest::of(&config),
        config,
        manifest: None,
        names: names.iter().map(|name| name.parse().expect("a name")).collect(),
        layers: layers.iter().map(layer).collect(),
    }
}

fn archive(images: &[Outgoing<'_>], format: Format, compression: Compression, keep: bool) -> Vec<u8> {
    archive_by(2, images, format, compression, keep)
}

fn archive_by(
    threads: usize,
    images: &[Outgoing<'_>],
    format: Format,
    compression: Compression,
    keep: bool,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let to = match format {
        Format::DockerArchive => Archive::docker(&mut bytes),
        _ => Archive::oci(&mut bytes),
    };
    let temp = tempfile::tempdir().expect("a temporary directory");
    let spool = plyfs_sys::fs::open_dir(temp.path()).expect("open");
    let scratch = || if keep { crate::members::temporary_file(spool.as_fd()).map(Some) } else { Ok(None) };
    write(images, to.compression(compression), threads, &scratch).expect("written");
    bytes
}

/// A layer of which so many bytes can be read before it turns out to be another.
struct Rotten(usize);

impl Read for Rotten {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.min(buffer.len());
        if length == 0 {
            return Err(Error::new(ErrorKind::Corrupt, "rotten").into_io());
        }
        buffer[..length].fill(1);
        self.0 -= length;
        Ok(length)
    }
}

/// A layer, and who has read it.
struct Witnessed {
    bytes: io::Cursor<Arc<[u8]>>,
    readers: Arc<Mutex<HashSet<ThreadId>>>,
}

impl Read for Witnessed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.readers.lock().expect("sound").insert(std::thread::current().id());
        self.bytes.read(buffer)
    }
}

/// A layer at whose end no blob has a name yet.
struct Unnamed {
    bytes: io::Cursor<Vec<u8>>,
    blobs: PathBuf,
}

impl Read for Unnamed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.read(buffer)?;
        if length == 0 {
            let entries = std::fs::read_dir(&self.blobs).expect("listed");
            let names: Vec<_> = entries.map(|entry| entry.expect("one").path()).collect();
            assert!(names.is_empty(), "who is killed now leaves {names:?}");
        }
        Ok(length)
    }
}

/// An output with room for so many bytes.
struct Narrow(usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let full = || io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(full)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn members(bytes: &[u8]) -> Members {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let spool = plyfs_sys::fs::open_dir(temp.path()).expect("open");
    Members::of_stream(bytes, spool.as_fd(), &mut |_| Ok(())).expect("an archive")
}

/// Names, and the plain bytes of the layers.
fn read_back(members: &Members) -> Vec<(Vec<String>, Vec<Vec<u8>>)> {
    let images = incoming::read(members, &incoming::Wanted::default()).expect("images");
    let plain = |layer: &incoming::IncomingLayer| {
        let member = members.open(&layer.member).expect("readable").expect("there");
        let mut bytes = Vec::new();
        Decoder::new(member, WindowLog::default()).expect("known").read_to_end(&mut bytes).expect("decoded");
        assert_eq!(Digest::of(&bytes), layer.diff_id);
        bytes
    };
    let image = |image: &incoming::Incoming| {
        assert_eq!(image.notes, [""; 0]);
        let names = image.names.iter().map(ToString::to_string).collect();
        (names, image.layers.iter().map(plain).collect())
    };
    images.iter().map(image).collect()
}

#[test]
fn what_is_written_is_read_back_in_every_format_and_compression() {
    let images = [
        outgoing(&[1, 2, 1], &["localhost/one:1", "one:2"], true),
        outgoing(&[2], &[], true),
        outgoing(&[], &["two:latest"], true),
    ];
    let expected = [
        (vec!["localhost/one:1".to_owned(), "one:2".into()], vec![layer_bytes(1), layer_bytes(2), layer_bytes(1)]),
        (vec![], vec![layer_bytes(2)]),
        (vec!["two:latest".into()], vec![]),
    ];
    for format in [Format::DockerArchive, Format::OciArchive] {
        for compression in COMPRESSIONS {
            let bytes = archive(&images, format, compression, true);
            assert!(read_back(&members(&bytes)) == expected, "{format}, {compression}");
        }
    }
}

#[test]
fn an_archive_is_the_same_each_time_and_wherever_it_was_packed() {
    for format in [Format::DockerArchive, Format::OciArchive] {
        for compression in COMPRESSIONS {
            let write = |sizes, keep| archive(&[outgoing(&[1, 2], &["a:1"], sizes)], format, compression, keep);
            let first = write(true, true);
            for (sizes, keep) in [(true, false), (false, true), (false, false), (true, true)] {
                assert!(write(sizes, keep) == first, "{format}, {compression}, {sizes}, {keep}");
            }
        }
    }
}

#[test]
fn a_plain_layer_is_read_by_a_thread_that_is_free_and_is_the_same_as_without() {
    // More than all that may wait between two threads, and not a whole number of chunks.
    let bytes: Arc<[u8]> = (0..20 * crate::layout::CHUNK as u32 / 16 + 7).flat_map(u128_of).collect();
    for format in [Format::DockerArchive, Format::OciArchive] {
        let write = |threads| {
            let readers = Arc::new(Mutex::new(HashSet::new()));
            let (layer, seen) = (Arc::clone(&bytes), Arc::clone(&readers));
            let mut image = outgoing(&[1], &["a:1"], true);
            image.layers[0].size = Some(bytes.len() as u64);
            image.layers[0].open = Box::new(move || {
                let (bytes, readers) = (io::Cursor::new(Arc::clone(&layer)), Arc::clone(&seen));
                Ok(Box::new(Witnessed { bytes, readers }))
            });
            let archive = archive_by(threads, &[image], format, Compression::None, true);
            let readers = readers.lock().expect("sound").clone();
            (archive, readers)
        };
        let (alone, reader) = write(0);
        assert_eq!(reader, HashSet::from([std::thread::current().id()]), "{format}");
        let (aside, readers) = write(1);
        assert!(
            readers.is_disjoint(&reader) && readers.len() == 1,
            "{format}: read by {readers:?}, here is {reader:?}"
        );
        assert!(alone == aside, "{format}");
        assert!(
            alone.windows(bytes.len()).step_by(512).any(|window| *window == *bytes),
            "{format}: it is not in there"
        );
    }
}

/// Sixteen bytes that no other number has.
fn u128_of(number: u32) -> [u8; 16] {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
}

#[test]
fn a_plain_layer_that_is_not_what_it_was_and_an_output_that_is_full_are_told_as_what_they_are() {
    for threads in [0, 1] {
        let save = |rotten: bool, room| {
            let mut image = outgoing(&[1], &["a:1"], true);
            // More than all that may wait between two threads.
            let size = 100 * crate::layout::CHUNK;
            image.layers[0].size = Some(size as u64);
            image.layers[0].open = match rotten {
                true => Box::new(move || Ok(Box::new(Rotten(size - 1)))),
                false => Box::new(move || Ok(Box::new(io::repeat(7).take(size as u64)))),
            };
            write(&[image], Archive::docker(Narrow(room)), threads, &|| Ok(None)).map_err(|error| error.kind())
        };
        assert_eq!(save(false, usize::MAX), Ok(()), "{threads} threads");
        assert_eq!(save(true, usize::MAX), Err(ErrorKind::Corrupt), "{threads} threads");
        assert_eq!(save(false, 1 << 20), Err(ErrorKind::NoSpace), "{threads} threads");
    }
}

#[test]
fn a_shared_layer_is_written_once() {
    let one = archive(&[outgoing(&[1], &["a:1"], true)], Format::DockerArchive, Compression::None, true);
    let two = archive(
        &[outgoing(&[1], &["a:1"], true), outgoing(&[1, 1], &["b:1"], true), outgoing(&[1], &["a:1"], true)],
        Format::DockerArchive,
        Compression::None,
        true,
    );
    assert!(two.len() < one.len() + 4000, "{} bytes became {}", one.len(), two.len());
}

#[test]
fn a_layout_takes_further_images_and_moves_names() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let path = temp.path().join("layout");
    let save = |images: &[Outgoing<'_>]| write(images, Archive::layout(&path), 2, &|| Ok(None)).expect("written");
    save(&[outgoing(&[1], &["a:1"], true)]);
    save(&[outgoing(&[1, 2], &["b:1"], true), outgoing(&[3], &[], true)]);
    save(&[outgoing(&[2], &["a:1"], true), outgoing(&[3], &[], true)]);

    let images = read_back(&Members::of_directory(plyfs_sys::fs::open_dir(&path).expect("open")));

    let expected: [(Vec<String>, Vec<Vec<u8>>); 3] = [
        (vec!["b:1".into()], vec![layer_bytes(1), layer_bytes(2)]),
        (vec!["a:1".into()], vec![layer_bytes(2)]),
        (vec![], vec![layer_bytes(3)]),
    ];
    assert!(images == expected, "names {:?}", images.iter().map(|image| &image.0).collect::<Vec<_>>());
    let left = plyfs_sys::fs::read_dir(plyfs_sys::fs::open_dir(path.join("blobs/sha256")).expect("open"));
    assert!(left.expect("listed").iter().all(|entry| entry.name.len() == 64), "temporary files are gone");
}

#[test]
fn who_saves_into_a_layout_keeps_what_another_adds_meanwhile_and_one_that_fails_takes_none_of_it_back() {
    for fails in [false, true] {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("layout");
        let to = path.clone();
        let save = move |images: &[Outgoing<'_>]| write(images, Archive::layout(&to), 2, &|| Ok(None));
        let other = save.clone();
        let mut slow = outgoing(&[1, 2], &["slow:1", "moved:1"], true);
        // Its first blob is there when another begins, which has that too, and ends.
        slow.layers[1].open = Box::new(move || {
            other(&[outgoing(&[1, 3], &["quick:1", "moved:1"], true)])?;
            let bytes: Box<dyn Read + Send> = match fails {
                true => Box::new(Rotten(1000)),
                false => Box::new(io::Cursor::new(layer_bytes(2))),
            };
            Ok(bytes)
        });

        assert_eq!(save(&[slow]).map_err(|error| error.kind()), if fails { Err(ErrorKind::Corrupt) } else { Ok(()) });

        let images = read_back(&Members::of_directory(plyfs_sys::fs::open_dir(&path).expect("open")));
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let quick = |all: &[&str]| (names(all), vec![layer_bytes(1), layer_bytes(3)]);
        let expected = match fails {
            true => vec![quick(&["quick:1", "moved:1"])],
            false => {
                vec![quick(&["quick:1"]), (names(&["slow:1", "moved:1"]), vec![layer_bytes(1), layer_bytes(2)])]
            }
        };
        assert!(images == expected, "fails: {fails}, names {:?}", images.iter().map(|of| &of.0).collect::<Vec<_>>());
    }
}

#[test]
fn a_layout_whose_index_is_none_is_refused_before_a_layer_is_read() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    write(&[outgoing(&[1], &["a:1"], true)], Archive::layout(temp.path()), 2, &|| Ok(None)).expect("written");
    for bad in ["no JSON", "{}", r#"{"manifests":[],"manifests":[]}"#] {
        std::fs::write(temp.path().join(crate::layout::OCI_INDEX), bad).expect("written");
        let mut image = outgoing(&[2], &["b:1"], true);
        image.layers[0].open = Box::new(|| panic!("it is not needed"));
        let error = write(&[image], Archive::layout(temp.path()), 2, &|| Ok(None)).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
    }
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(temp.path().join("file"), "mine").expect("written");
    let error = write(&[], Archive::layout(temp.path()), 2, &|| Ok(None)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(std::fs::read_dir(temp.path()).expect("listed").count(), 1);
}

/// All names below a directory, sorted.
fn names_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries
        .flat_map(|path| {
            let below = if path.is_dir() { names_below(&path) } else { Vec::new() };
            below.into_iter().chain([path])
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_layout_that_fails_takes_back_what_it_made_and_nothing_that_was_there() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let save = |to: &Path, last: Option<usize>| {
        // The first layer, its blob, is whole before the second one fails.
        let mut image = outgoing(&[1, 2], &["a:1"], true);
        if let Some(bytes) = last {
            image.layers[1].open = Box::new(move || Ok(Box::new(Rotten(bytes))));
        }
        write(&[image], Archive::layout(to), 2, &|| Ok(None)).map_err(|error| error.kind())
    };
    let (new, empty, kept) = (temp.path().join("new"), temp.path().join("empty"), temp.path().join("kept"));
    assert_eq!(save(&new, Some(1000)), Err(ErrorKind::Corrupt));
    assert!(!new.exists(), "it was made by this");
    std::fs::create_dir(&empty).expect("made");
    assert_eq!(save(&empty, Some(1000)), Err(ErrorKind::Corrupt));
    assert_eq!(names_below(&empty), [] as [PathBuf; 0], "it was there, and empty");

    write(&[outgoing(&[1], &["b:1"], true)], Archive::layout(&kept), 2, &|| Ok(None)).expect("written");
    std::fs::write(kept.join("blobs/note"), "a stranger's").expect("written");
    let before = names_below(&kept);
    assert_eq!(save(&kept, Some(1000)), Err(ErrorKind::Corrupt));
    assert_eq!(names_below(&kept), before, "what was there stays, a blob that was written again, too");
    assert_eq!(save(&kept, None), Ok(()));
    assert!(names_below(&kept).len() > before.len(), "what succeeds stays");
}

#[test]
fn a_file_of_a_layout_has_no_name_until_it_is_whole() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let blobs = temp.path().join("blobs/sha256");
    let mut image = outgoing(&[1], &["a:1"], true);
    image.layers[0].open = Box::new(move || {
        let bytes = io::Cursor::new(layer_bytes(1));
        Ok(Box::new(Unnamed { bytes, blobs: blobs.clone() }))
    });
    for _ in 0..2 {
        write(std::slice::from_ref(&image), Archive::layout(temp.path()), 2, &|| Ok(None)).expect("written");
        std::fs::remove_dir_all(temp.path().join("blobs")).expect("removed");
    }
}

#[test]
fn formats_and_compressions_are_read_as_they_print() {
    for format in [Format::DockerArchive, Format::OciArchive, Format::OciLayout] {
        assert_eq!(format.to_string().parse::<Format>().expect("a format"), format);
    }
    for compression in COMPRESSIONS {
        assert_eq!(compression.to_string().parse::<Compression>().expect("a compression"), compression);
    }
    assert_eq!("rar".parse::<Format>().expect_err("none").kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_lists_more_than_is_read_again_is_refused_before_anything_is_written() {
    let many =
        |count: usize, first: usize| -> Vec<String> { (first..first + count).map(|n| format!("a:{n}")).collect() };
    let image =
        |number: u8, names: &[String]| outgoing(&[number], &names.iter().map(String::as_str).collect::<Vec<_>>(), true);
    let names: Vec<_> = (0..5).map(|number| many(1000, number * 1000)).collect();
    let four: Vec<_> = (0..4).map(|number| image(number, &names[usize::from(number)])).collect();
    let five: Vec<_> = (0..5).map(|number| image(number, &names[usize::from(number)])).collect();
    for format in [Format::DockerArchive, Format::OciArchive] {
        for (images, words) in [(&[image(0, &many(1025, 0))][..], "1025 names"), (&five, "5000 names")] {
            let mut bytes = Vec::new();
            let to =
                if format == Format::DockerArchive { Archive::docker(&mut bytes) } else { Archive::oci(&mut bytes) };
            let error = write(images, to, 0, &|| Ok(None)).expect_err("too many");
            assert_eq!((error.kind(), bytes.len()), (ErrorKind::InvalidInput, 0), "{format}: {error}");
            assert!(error.to_string().contains(words), "{format}: {error}");
        }
        let bytes = archive(&four, format, Compression::None, true);
        let temp = tempfile::tempdir().expect("a temporary directory");
        let spool = plyfs_sys::fs::open_dir(temp.path()).expect("open");
        let members = Members::of_stream(&bytes[..], spool.as_fd(), &mut |_| Ok(())).expect("an archive");
        let read = incoming::read(&members, &incoming::Wanted::default()).expect("what is written is read");
        assert_eq!(read.iter().map(|image| image.names.len()).sum::<usize>(), 4000, "{format}");
    }
}
