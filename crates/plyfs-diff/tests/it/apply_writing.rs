//! What a file is while it is written, and what it costs when it is closed.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use plyfs_diff::{ApplyOptions, Chain, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::process::run;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::{require_root, require_tool};

use crate::stack::{assert_costs, mode};

/// More than is read of an archive at once.
const LONG: usize = 900 << 10;

/// An archive that looks at a file each time more of it is wanted.
struct Watched<'a> {
    archive: &'a [u8],
    path: PathBuf,
    /// Group and permission bits.
    seen: &'a mut Vec<(u32, u32)>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Ok(status) = fs::metadata(&self.path) {
            self.seen.push((status.gid(), status.mode() & 0o7777));
        }
        self.archive.read(buffer)
    }
}

#[test]
fn root_while_a_file_is_written_a_directorys_group_sees_no_more_of_it_than_everyone_may() {
    require_root!();
    // By the mode in the archive: what the file may be while its group is the directory's.
    for (given, meanwhile) in [(0o644, 0o644), (0o755, 0o755), (0o640, 0o600), (0o604, 0o600), (0o6750, 0o600)] {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, kind, mode, gid, size) in
            [("d", tar::EntryType::Directory, 0o2775, 7, 0), ("d/file", tar::EntryType::Regular, given, 0, LONG)]
        {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(gid);
            header.set_size(size as u64);
            archive.append_data(&mut header, path, io::repeat(7).take(size as u64)).expect("an entry");
        }
        let archive = archive.into_inner().expect("an archive");
        let temp = TempDir::new();
        let (layer, path) = (open_dir(temp.path()).expect("open"), temp.join("d/file"));
        let mut seen = Vec::new();
        let watched = Watched { archive: &archive, path: path.clone(), seen: &mut seen };

        apply(watched, &layer, &Chain::empty(), &ApplyOptions::new(), None).expect("applied");

        // The last looks are at what was finished.
        seen.dedup();
        assert_eq!(seen.first(), Some(&(7, meanwhile)), "{given:o}: {seen:x?}");
        assert_eq!((fs::metadata(&path).expect("a status").gid(), mode(&path)), (0, given));
    }
}

#[test]
fn root_what_xfs_sets_aside_ahead_of_a_file_and_takes_back_is_not_counted() {
    require_root!();
    require_tool!("mkfs.xfs", "mount");
    let temp = TempDir::new();
    let (image, at) = (temp.join("image"), temp.dir("disk"));
    fs::File::create(&image).and_then(|file| file.set_len(300 << 20)).expect("an image file");
    let _ = run(Command::new("mkfs.xfs").arg("-q").arg(&image)).success();
    let _ = run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)).success();
    let disk = Mounted::at(&at);
    let path = disk.path().join("layer");
    fs::create_dir(&path).expect("a directory");
    let layer = open_dir(&path).expect("open");
    let sizes = [0, 1, 4096, 5000, 100_000, LONG, 3 * LONG];
    let files = sizes.iter().fold(LayerTar::new(), |tar, size| tar.file(size.to_string(), vec![1; *size]));

    let archive = files.finish();
    let applied = apply(archive.as_slice(), &layer, &Chain::empty(), &ApplyOptions::new(), None).expect("applied");

    assert_costs(applied.usage, &layer, "what was counted and what is there");
}
