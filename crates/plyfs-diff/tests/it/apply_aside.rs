//! Small files filled by a thread of their own: the layer is the same, and what goes wrong there is told.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use plyfs_diff::{Applied, ApplyOptions, Chain, Error, ErrorKind, Usage, apply, tar_split};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::process::run;
use plyfs_testkit::require_root;
use plyfs_testkit::temp::{Mounted, TempDir};

/// More than is ever handed over before the applier waits.
const FILES: usize = 500;

/// Unpacks an archive into a new layer, and puts it together again from its record.
fn applied(archive: &[u8], temp: &TempDir, options: &ApplyOptions) -> Result<Applied, Error> {
    let layer = open_dir(temp.path()).expect("open");
    let mut record = Vec::new();
    let applied = apply(archive, &layer, &Chain::empty(), options, Some(&mut record))?;
    let mut rebuilt = Vec::new();
    tar_split::rebuild(record.as_slice(), &layer, &mut rebuilt).expect("rebuilt");
    assert!(rebuilt == archive, "the archive comes back byte for byte");
    assert_eq!(applied.usage, Usage::measure(&layer).expect("measured"), "what was counted is there");
    Ok(applied)
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

#[test]
fn root_a_layer_is_the_same_whoever_fills_its_small_files() {
    require_root!();
    // Small and large ones in turn, some of them empty, one with two names, and some that come twice.
    let length = |number: usize| [0, 1, 700, 5000, 64 << 10, (64 << 10) + 1, 300 << 10][number % 7];
    let mut archive = tar::Builder::new(Vec::new());
    for number in (0..FILES).chain(FILES - 9..FILES + 9) {
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
    let archive = archive.into_inner().expect("an archive");
    let (here, aside) = (TempDir::new(), TempDir::new());

    let expected = applied(&archive, &here, &ApplyOptions::new()).expect("applied");
    let found = applied(&archive, &aside, &ApplyOptions::new().fill_aside(true).start_writing(true)).expect("applied");

    assert_eq!(found, expected);
    assert!(files(&aside) == files(&here), "the same files with the same content, mode, owner and time");
}

#[test]
fn root_a_file_that_cannot_be_filled_aside_is_named_and_ends_the_unpacking() {
    require_root!();
    for many in [1, FILES] {
        let temp = TempDir::new();
        let at = temp.dir("disk");
        // Room for the names, and for next to no content.
        let options = "size=16k,nr_inodes=2k,mode=0755";
        let _ = run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at)).success();
        let disk = Mounted::at(&at);
        let layer = open_dir(disk.path()).expect("open");
        let small = (0..many).fold(LayerTar::new(), |tar, number| tar.file(format!("f{number:03}"), vec![1; 40_000]));

        let options = ApplyOptions::new().fill_aside(true);
        let error = apply(small.finish().as_slice(), &layer, &Chain::empty(), &options, None).expect_err("it is full");

        assert_eq!((error.kind(), error.to_string().contains("f000")), (ErrorKind::NoSpace, true), "{error}");
    }
}
