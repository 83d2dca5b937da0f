//! A directory held to its archive: whatever one inode can lose is found and named, and what an apply leaves is not.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use plyfs_diff::{ApplyOptions, Chain, Dialect, ErrorKind, ExportOptions, Verified, apply, export, verify};
use plyfs_sys::fs::{FileType, make_node_at, open_dir};
use plyfs_sys::xattr;
use plyfs_testkit::process::output;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::{require_root, require_tool, tar_text};
use rustix::fs::{Mode, makedev};

const LOWER: &str = "
dir etc
file etc/passwd data=root
file etc/gone data=x
dir old
file old/below data=x
dir kept
file kept/below data=x
";

const LAYER: &str = "
dir etc mode=0750 mtime=7
file etc/.wh.gone
dir old
file old/.wh..wh..opq
file setuid mode=4755 uid=1000 gid=5 mtime=12 data=hello
hardlink name link=setuid
symlink link link=setuid
file attributes data=x xattr:user.k=v
dir sticky mode=1777
dir kept
char null device=1:3
fifo pipe
file empty
";

/// A layer over another, and the record of its archive.
struct Layer {
    temp: TempDir,
    record: Vec<u8>,
}

impl Layer {
    fn new() -> Self {
        Self::over(LOWER).applied(&tar_text::build(LAYER).expect("a layer"))
    }

    /// A lower, and nothing over it yet.
    fn over(lower: &str) -> Self {
        let layer = Self { temp: TempDir::new(), record: Vec::new() };
        let lower = tar_text::build(lower).expect("a lower");
        let lower_dir = open_dir(layer.temp.dir("lower")).expect("opened");
        apply(&lower[..], &lower_dir, &Chain::empty(), &ApplyOptions::new(), None).expect("applied");
        layer
    }

    fn applied(mut self, archive: &[u8]) -> Self {
        let dir = open_dir(self.temp.dir("layer")).expect("opened");
        let mut record = Vec::new();
        apply(archive, &dir, &self.chain(), &ApplyOptions::new(), Some(&mut record)).expect("applied");
        self.record = record;
        self
    }

    fn chain(&self) -> Chain {
        Chain::new(vec![open_dir(self.temp.join("lower")).expect("opened")], Dialect::Trusted)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.temp.join("layer").join(name)
    }

    fn verify(&self) -> Verified {
        let dir = open_dir(self.path("")).expect("opened");
        verify(self.record.as_slice(), dir, &self.chain(), io::sink()).expect("read to its end")
    }

    /// What differs, but for the times of directories that a test wrote into.
    fn found(&self) -> Vec<String> {
        let differences = self.verify().differences;
        differences.iter().map(ToString::to_string).filter(|text| !text.contains("\" was changed at 1")).collect()
    }
}

/// Breaks one thing of a layer; what is found of it.
#[track_caller]
fn check(break_it: impl FnOnce(&Layer), expected: &[&str]) {
    let layer = Layer::new();
    assert_eq!(layer.found(), [""; 0], "as it was applied");
    break_it(&layer);
    assert_eq!(layer.found(), expected);
}

fn set(path: &Path, name: &str, value: &[u8]) {
    xattr::set(File::open(path).expect("opened"), name, value).expect("set");
}

fn unset(path: &Path, name: &str) {
    xattr::remove(File::open(path).expect("opened"), name).expect("removed");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn root_a_mark_that_is_gone_or_too_much_is_found() {
    require_root!();
    let hides = "does not hide what lower layers have";
    check(|it| fs::remove_file(it.path("etc/gone")).expect("removed"), &[&format!("\"etc/gone\" {hides}")]);
    check(|it| unset(&it.path("old"), "trusted.overlay.opaque"), &[&format!("\"old\" {hides}")]);
    let mark = "has the attribute \"trusted.overlay.opaque\", which hides or moves what lower layers have";
    check(|it| set(&it.path("kept"), "trusted.overlay.opaque", b"y"), &[&format!("\"kept\" {mark}")]);
    check(
        |it| {
            let kept = open_dir(it.path("kept")).expect("opened");
            make_node_at(kept, "below", FileType::CharacterDevice, Mode::empty(), 0).expect("made");
        },
        &["\"kept/below\" is a whiteout that the archive does not have"],
    );
}

#[test]
fn root_a_path_that_is_gone_or_too_much_is_found() {
    require_root!();
    for name in ["empty", "link", "null", "pipe", "name"] {
        check(|it| fs::remove_file(it.path(name)).expect("removed"), &[&format!("{name:?} is missing")]);
    }
    check(|it| fs::remove_dir(it.path("sticky")).expect("removed"), &["\"sticky\" is missing"]);
    check(|it| fs::write(it.path("etc/new"), "").expect("written"), &["\"etc/new\" is not in the archive"]);
    check(|it| fs::create_dir(it.path("new")).expect("made"), &["\"new\" is not in the archive"]);
    check(
        |it| {
            fs::remove_file(it.path("empty")).expect("removed");
            fs::create_dir(it.path("empty")).expect("made");
        },
        &["\"empty\" is a directory, not a file"],
    );
}

#[test]
fn root_owner_mode_time_link_device_and_attributes_are_compared() {
    require_root!();
    check(|it| mode(&it.path("setuid"), 0o755), &["\"name\" has the mode 0755, not 4755"]);
    check(|it| mode(&it.path("sticky"), 0o700), &["\"sticky\" has the mode 0700, not 1777"]);
    check(|it| lchown(it.path("link"), Some(3), None).expect("chown"), &["\"link\" belongs to 3:0, not 0:0"]);
    check(
        |it| {
            let file = File::options().append(true).open(it.path("empty")).expect("opened");
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(99)).expect("set");
        },
        &["\"empty\" was changed at 99.000000000, not 1704067200.000000000"],
    );
    check(
        |it| {
            fs::remove_file(it.path("link")).expect("removed");
            symlink("elsewhere", it.path("link")).expect("made");
            let times = rustix::fs::Timestamps { last_access: THEN, last_modification: THEN };
            plyfs_sys::fs::set_times_at(open_dir(it.path("")).expect("opened"), "link", &times).expect("set");
        },
        &["\"link\" leads elsewhere"],
    );
    check(
        |it| {
            fs::remove_file(it.path("null")).expect("removed");
            let dir = open_dir(it.path("")).expect("opened");
            make_node_at(&dir, "null", FileType::CharacterDevice, Mode::empty(), makedev(1, 5)).expect("made");
            mode(&it.path("null"), 0o644);
            let times = rustix::fs::Timestamps { last_access: THEN, last_modification: THEN };
            plyfs_sys::fs::set_times_at(dir, "null", &times).expect("set");
        },
        &["\"null\" is not the device 1:3"],
    );
    check(|it| unset(&it.path("attributes"), "user.k"), &["\"attributes\" lacks the attribute \"user.k\""]);
    check(|it| set(&it.path("attributes"), "user.k", b"w"), &["\"attributes\" has another attribute \"user.k\""]);
    check(
        |it| set(&it.path("empty"), "user.new", b""),
        &["\"empty\" has the attribute \"user.new\", which is not in the archive"],
    );
    check(
        |it| fs::rename(it.path("null"), it.path("pipe")).expect("renamed"),
        &["\"pipe\" is a character device, not a named pipe", "\"null\" is missing"],
    );
}

#[test]
fn root_an_attribute_of_a_size_is_compared_to_its_last_byte() {
    require_root!();
    let value = "v".repeat(3000);
    let archive = tar_text::build(&format!("file big data=x xattr:user.k={value}\n")).expect("a layer");
    let layer = Layer::over(LOWER).applied(&archive);
    assert_eq!(layer.found(), [""; 0]);
    set(&layer.path("big"), "user.k", format!("{}w", &value[1..]).as_bytes());
    assert_eq!(layer.found(), ["\"big\" has another attribute \"user.k\""]);
}

/// When everything in these archives was changed that says nothing else.
const THEN: rustix::fs::Timespec = rustix::fs::Timespec { tv_sec: 1_704_067_200, tv_nsec: 0 };

#[test]
fn root_names_of_one_file_must_still_be_one_file() {
    require_root!();
    check(
        |it| {
            fs::remove_file(it.path("name")).expect("removed");
            output(Command::new("cp").arg("--preserve=all").arg(it.path("setuid")).arg(it.path("name")));
        },
        &["\"setuid\" is not one file with its other names"],
    );
}

#[test]
fn root_a_device_without_a_number_is_the_whiteout_that_it_is_on_disk() {
    require_root!();
    let lower = "dir d\nfile d/x data=x\ndir foo\nfile foo/below data=x\n";
    for (archive, marked) in [
        ("dir d\nchar d/x device=0:0\n", "d/x"),
        ("char foo device=0:0\n", "foo"),
        ("dir d\nchar d/x device=0:0\nfile d/.wh..wh..opq\n", "d"),
        ("char foo device=0:0\nfile foo/y data=y\n", "foo"),
        ("char foo device=0:0\ndir foo\n", "foo"),
    ] {
        let layer = Layer::over(lower).applied(&tar_text::build(archive).expect("a layer"));
        assert_eq!(layer.found(), [""; 0], "{archive}");
        match layer.path(marked).is_dir() {
            true => unset(&layer.path(marked), "trusted.overlay.opaque"),
            false => fs::remove_file(layer.path(marked)).expect("removed"),
        }
        assert_eq!(layer.found(), [format!("{marked:?} does not hide what lower layers have")], "{archive}");
    }
}

#[test]
fn root_access_lists_that_xfs_shows_twice_are_no_difference_and_reported_once() {
    require_root!();
    require_tool!("mkfs.xfs", "mount", "setfacl");
    let temp = TempDir::new();
    let (image, at) = (temp.join("image"), temp.dir("disk"));
    File::create(&image).and_then(|file| file.set_len(300 << 20)).expect("an image file");
    output(Command::new("mkfs.xfs").arg("-q").arg(&image));
    output(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
    let disk = Mounted::at(&at);
    let tree = disk.path().join("tree");
    fs::create_dir_all(tree.join("dir")).expect("made");
    fs::write(tree.join("file"), "x").expect("written");
    output(Command::new("setfacl").args(["-m", "u:1000:rwx"]).arg(tree.join("file")));
    output(Command::new("setfacl").args(["-m", "u:1000:rwx,d:u:1000:rwx"]).arg(tree.join("dir")));
    let names = xattr::list(File::open(tree.join("dir")).expect("opened")).expect("listed");
    assert!(names.iter().any(|name| name == "trusted.SGI_ACL_DEFAULT"), "{names:?}");

    let tree = open_dir(&tree).expect("opened");
    let mut archive = Vec::new();
    let exported = export(&tree, &Chain::empty(), &mut archive, &ExportOptions::new()).expect("exported");
    assert_eq!(exported.skipped.len(), 3, "{:?}", exported.skipped);

    let tar = temp.join("lists.tar");
    let mut pack = Command::new("tar");
    output(
        pack.args(["--xattrs", "--xattrs-include=system.*", "--format=pax", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(disk.path().join("tree"))
            .arg("."),
    );
    let layer = disk.path().join("layer");
    fs::create_dir(&layer).expect("made");
    let (dir, mut record) = (open_dir(&layer).expect("opened"), Vec::new());
    let archive = fs::read(tar).expect("read");
    apply(&archive[..], &dir, &Chain::empty(), &ApplyOptions::new(), Some(&mut record)).expect("applied");
    assert!(
        xattr::get(File::open(layer.join("file")).expect("opened"), "trusted.SGI_ACL_FILE").expect("read").is_some()
    );
    let verified = verify(record.as_slice(), dir, &Chain::empty(), io::sink()).expect("read to its end");
    assert_eq!(verified.differences, []);
}

#[test]
fn root_the_content_of_a_sparse_file_is_compared_too() {
    require_root!();
    let beside = TempDir::new();
    let file = File::create(beside.join("sparse")).expect("created");
    file.write_all_at(b"in the middle", 1 << 20).expect("written");
    file.set_len(2 << 20).expect("extended");
    let tar = beside.join("sparse.tar");
    output(
        Command::new("tar")
            .args(["--sparse", "--format=pax", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(beside.path())
            .arg("sparse"),
    );
    let layer = Layer { temp: TempDir::new(), record: Vec::new() };
    let _lower = layer.temp.dir("lower");
    let layer = layer.applied(&fs::read(tar).expect("read"));
    assert_eq!(layer.found(), [""; 0]);
    let modified = fs::metadata(layer.path("sparse")).expect("stat").modified().expect("a time");
    let file = File::options().write(true).open(layer.path("sparse")).expect("opened");
    file.write_all_at(b"IN", 1 << 20).expect("written");
    file.set_modified(modified).expect("set");
    assert_eq!(layer.found(), ["\"sparse\" has another content"]);
}

#[test]
fn root_a_content_that_differs_ends_the_work_and_many_differences_are_counted() {
    require_root!();
    let layer = Layer::new();
    (0..Verified::LISTED_MOST + 5).for_each(|n| fs::write(layer.path(&n.to_string()), "").expect("written"));
    let verified = layer.verify();
    assert_eq!(verified.differences.len(), Verified::LISTED_MOST);
    assert!(verified.differences_more >= 5, "{}", verified.differences_more);
    fs::write(layer.path("setuid"), "HELLO").expect("written");
    let dir = open_dir(layer.path("")).expect("opened");
    let error = verify(layer.record.as_slice(), dir, &layer.chain(), io::sink()).expect_err("another content");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "\"setuid\" is not what the archive had");
}
