//! Random edits: every call that changes a tree, on few names, so that edits meet.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use plyfs_sys::fs::{FileType, Timespec, Timestamps, make_node_at, open_dir, set_times_at};
use plyfs_sys::xattr;
use rustix::fs::{CWD, Mode, RenameFlags, renameat_with};

/// A small generator, so that a seed in a message is all it takes to see a failure again.
pub struct Random(pub u64);

/// One with bytes that are no text, one with a newline, and two that sort otherwise before a slash.
const NAMES: [&[u8]; 7] = [b"a", b"a-", b"a-b", b"b", b"c", b"\xff", b"n\nl"];

/// A capability of version 2: `cap_net_raw+ep`.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A path of one to three components out of few.
    fn path(&mut self, root: &Path) -> PathBuf {
        // The first names are the likeliest, so that paths of several components exist.
        let name = |random: &mut Self| {
            let most = random.of(&[2, 5, NAMES.len()]);
            NAMES[random.below(most)]
        };
        (0..=self.below(3)).fold(root.to_owned(), |path, _| path.join(OsStr::from_bytes(name(self))))
    }
}

/// Does one random thing; many fail, and that is fine.
pub fn edit(random: &mut Random, root: &Path) {
    let (path, other) = (random.path(root), random.path(root));
    // What follows links could leave the tree.
    let is_link = path.is_symlink();
    let is_there = path.symlink_metadata().is_ok();
    match random.below(24) {
        0..=2 => drop(fs::create_dir_all(&path)),
        3 => drop(fs::create_dir(&path)),
        // A FIFO would be waited for, and a device written to.
        4 | 5 if !is_there || is_file(&path) => drop(fs::write(&path, "x".repeat(random.of(&[0, 1, 2, 3, 5000])))),
        6 if is_file(&path) => drop(append(&path)),
        7 if is_file(&path) => drop(truncate(&path, random.of(&[0, 1, 9000]))),
        8 => drop(fs::remove_file(&path)),
        9 => drop(fs::remove_dir(&path)),
        10 => drop(fs::remove_dir_all(&path)),
        11 | 12 => drop(fs::rename(&path, &other)),
        13 => drop(renameat_with(CWD, &path, CWD, &other, RenameFlags::EXCHANGE)),
        14 => drop(renameat_with(CWD, &path, CWD, &other, RenameFlags::NOREPLACE)),
        15 => drop(fs::hard_link(&path, &other)),
        16 => drop(symlink("a/b", &path)),
        17 if is_there && !is_link => {
            let mode = random.of(&[0o700, 0o755, 0o4711, 0o2755, 0o1777]);
            drop(fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        }
        18 if is_there => drop(std::os::unix::fs::lchown(&path, Some(random.of(&[0, 1000])), Some(random.of(&[0, 5])))),
        19 if is_there => set_time(&path, random.of(&[(1_500_000_000, 0), (1_500_000_001, 7), (-3, 5), (0, 0)])),
        20 if is_there && !is_link => set_attribute(&path, "user.note", random.of(&[&b"x"[..], b"\0y", b""])),
        21 if is_file(&path) => set_attribute(&path, "security.capability", CAPABILITY),
        22 => make_node(&path, random.of(&[FileType::CharacterDevice, FileType::BlockDevice, FileType::Fifo])),
        _ => drop(fs::remove_dir_all(&path).and_then(|()| fs::create_dir(&path))),
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

fn append(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(b"more")
}

fn truncate(path: &Path, length: u64) -> std::io::Result<()> {
    File::options().write(true).open(path)?.set_len(length)
}

fn set_time(path: &Path, (seconds, nanoseconds): (i64, i64)) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let dir = open_dir(path.parent().expect("below the root")).expect("open");
    let times = Timestamps { last_access: time, last_modification: time };
    set_times_at(dir, path.file_name().expect("a name"), &times).expect("times");
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    let Ok(dir) = open_dir(path.parent().expect("below the root")) else { return };
    // Devices and FIFOs take no attributes of users.
    drop(xattr::set_at(dir, path.file_name().expect("a name"), name, value));
}

fn make_node(path: &Path, kind: FileType) {
    let Ok(dir) = open_dir(path.parent().expect("below the root")) else { return };
    let device = if kind == FileType::Fifo { 0 } else { rustix::fs::makedev(1, 3) };
    drop(make_node_at(dir, path.file_name().expect("a name"), kind, Mode::from_raw_mode(0o640), device));
}
