//! Small files that others fill than the applier: the layer is the same, and what goes wrong there is told.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use plyfs_diff::{Applied, ApplyOptions, Chain, Error, ErrorKind, Filler, Usage, apply, tar_split};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::process::run;
use plyfs_testkit::require_root;
use plyfs_testkit::temp::{Mounted, TempDir};

/// More than may ever wait to be filled.
const FILES: usize = 500;

/// Unpacks an archive into a new layer, and puts it together again from its record.
fn applied(archive: &[u8], temp: &TempDir, options: &ApplyOptions) -> Result<Applied, Error> {
    applied_from(archive, archive, temp, options)
}

/// The same of an archive that `source` gives.
fn applied_from(archive: &[u8], source: impl Read, temp: &TempDir, options: &ApplyOptions) -> Result<Applied, Error> {
    let layer = open_dir(temp.path()).expect("open");
    let mut record = Vec::new();
    let applied = apply(source, &layer, &Chain::empty(), options, Some(&mut record))?;
    let mut rebuilt = Vec::new();
    tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt).expect("rebuilt");
    assert!(rebuilt == archive, "the archive comes back byte for byte");
    assert_eq!(applied.usage, Usage::measure(&layer).expect("measured"), "what was counted is there");
    crate::stack::assert_verified(&record, &layer, &Chain::empty());
    Ok(applied)
}

/// Gives an archive in pieces, and does something before each.
struct Between<'a, F>(&'a [u8], F);

impl<F: FnMut()> Read for Between<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.1)();
        let length = buffer.len().min(100_000);
        self.0.read(&mut buffer[..length])
    }
}

/// The files of a layer: path, content, mode, owner and time.
fn files(temp: &TempDir) -> Vec<(String, Vec<u8>, [i64; 4])> {
    let mut names: Vec<_> = fs::read_dir(temp.path()).expect("read").map(|entry| entry.expect("an entry")).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let file = |entry: &fs::DirEntry| {
        let status = entry.metadata().expect("a status");
        let facts = [status.mode().into(), status.uid().into(), status.nlink().cast_signed(), status.mtime()];
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("read"), facts)
    };
    names.iter().map(file).collect()
}

/// Small files and large ones in turn, some of them empty, some with two names, and as many that come twice.
fn mixed(twice: usize) -> Vec<u8> {
    let length = |number: usize| [0, 1, 700, 5000, 64 << 10, (64 << 10) + 1, 300 << 10][number % 7];
    let mut archive = tar::Builder::new(Vec::new());
    for number in (0..FILES).chain(FILES - twice..FILES) {
        let mut header = tar::Header::new_ustar();
        header.set_mode([0o644, 0o600, 0o4755][number % 3]);
        header.set_uid([0, 7][number % 2]);
        header.set_gid(0);
        header.set_mtime(1_000_000 + number as u64);
        let content = vec![u8::try_from(number % 251).expect("small"); length(number)];
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, format!("f{number}"), content.as_slice()).expect("an entry");
        if number % 50 == 2 {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            archive.append_link(&mut header, format!("l{number}"), format!("f{number}")).expect("an entry");
        }
    }
    archive.into_inner().expect("an archive")
}

#[test]
fn root_a_layer_is_the_same_whoever_fills_its_small_files() {
    require_root!();
    let archive = mixed(9);
    let alone = TempDir::new();
    let expected = applied(&archive, &alone, &ApplyOptions::new()).expect("applied");
    let check = |whose: &str, temp: &TempDir, found: Result<Applied, Error>| {
        assert_eq!(found.expect(whose), expected, "{whose}");
        assert!(files(temp) == files(&alone), "{whose}: the same content, mode, owner and time");
    };

    let (filler, temp) = (Filler::new(), TempDir::new());
    let options = ApplyOptions::new().share_filling(&filler).start_writing(true);
    check("the applier", &temp, applied(&archive, &temp, &options));

    let (mut filled, temp) = (0, TempDir::new());
    let source = Between(&archive, || filled += usize::from(filler.fill_some()));
    check("who makes the archive", &temp, applied_from(&archive, source, &temp, &options));
    assert!(filled > 10, "{filled}");

    let (is_done, temp) = (AtomicBool::new(false), TempDir::new());
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                filler.fill_rest();
                std::thread::yield_now();
            }
        });
        let found = applied(&archive, &temp, &options);
        is_done.store(true, Ordering::Relaxed);
        found
    });
    check("another thread", &temp, found);
}

#[test]
fn root_another_applier_does_without_a_filler_that_is_at_work() {
    require_root!();
    let (archive, first, second) = (mixed(0), TempDir::new(), TempDir::new());
    let (filler, mut among) = (Filler::new(), None);
    let options = ApplyOptions::new().share_filling(&filler);
    let source = Between(&archive, || {
        if among.is_none() && filler.fill_some() {
            among = Some(applied(&archive, &second, &options).expect("the second"));
        }
    });

    let around = applied_from(&archive, source, &first, &options).expect("the first");

    assert_eq!(among, Some(around));
    assert!(files(&first) == files(&second), "neither has filled the other's files");
}

#[test]
fn root_a_file_that_cannot_be_filled_later_is_named_and_ends_the_unpacking() {
    require_root!();
    for (many, by_others) in [(1, false), (FILES, false), (FILES, true)] {
        let temp = TempDir::new();
        let at = temp.dir("disk");
        // Room for the names, and for next to no content.
        let options = "size=16k,nr_inodes=2k,mode=0755";
        let _ = run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at)).success();
        let disk = Mounted::at(&at);
        let layer = open_dir(disk.path()).expect("open");
        let small = (0..many).fold(LayerTar::new(), |tar, number| tar.file(format!("f{number:03}"), vec![1; 40_000]));
        let small = small.finish();

        let filler = Filler::new();
        let options = ApplyOptions::new().share_filling(&filler);
        let source = Between(&small, || {
            let _ = by_others && filler.fill_some();
        });
        let error = apply(source, &layer, &Chain::empty(), &options, None).expect_err("it is full");

        assert_eq!((error.kind(), error.to_string().contains("write \"f")), (ErrorKind::NoSpace, true), "{error}");
        assert!(!filler.fill_some(), "nothing is left of an applier that has failed");
    }
}
