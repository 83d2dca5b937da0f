//! The comparison: each kind of difference is found, alone and by name, and each option leaves aside one thing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Field, Kind, Options, Tree, assert_same, differences};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};

/// Two equal trees, an edit to the second, and every path and field that then differs.
fn check(edit: impl FnOnce(&Path), options: &Options, expected: &[(&str, Field)]) {
    let dir = TempDir::new();
    let (left, right) = (sample(&dir.dir("left")), sample(&dir.dir("right")));
    assert_same(&left, &right, &Options::new());
    edit(&right);
    // The edit touched its directories too; that is not what is asked about.
    for path in ["", "d"] {
        set_mtime(&right.join(path), 1_000_000, 5);
    }
    let found = differences(&Tree::of(&left), &Tree::of(&right), options);
    let found: Vec<_> =
        found.iter().map(|d| (String::from_utf8(d.path.clone()).expect("plain names"), d.field)).collect();
    let found: Vec<_> = found.iter().map(|(path, field)| (path.as_str(), *field)).collect();
    assert_eq!(found, expected);
}

fn sample(dir: &Path) -> std::path::PathBuf {
    fs::create_dir(dir.join("d")).expect("a fresh directory");
    fs::write(dir.join("d/file"), "content").expect("a fresh directory");
    fs::write(dir.join("one"), "").expect("a fresh directory");
    fs::hard_link(dir.join("one"), dir.join("two")).expect("a fresh directory");
    symlink("target", dir.join("link")).expect("a fresh directory");
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("anybody may make a fifo");
    for path in ["d/file", "one", "link", "fifo", "d", ""] {
        set_mtime(&dir.join(path), 1_000_000, 5);
    }
    dir.to_owned()
}

fn set_mtime(path: &Path, sec: i64, nsec: i64) {
    let time = Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
}

fn edited(path: &Path, edit: impl FnOnce()) {
    edit();
    set_mtime(path, 1_000_000, 5);
}

#[test]
fn equal_trees_are_the_same() {
    check(|_| (), &Options::new(), &[]);
}

#[test]
fn a_missing_and_an_added_entry_are_found() {
    check(|dir| fs::remove_file(dir.join("d/file")).expect("ours"), &Options::new(), &[("d/file", Field::Presence)]);
    check(|dir| fs::write(dir.join("new"), "").expect("ours"), &Options::new(), &[("new", Field::Presence)]);
}

#[test]
fn a_mode_is_found_down_to_the_sticky_bit() {
    let edit = |dir: &Path| fs::set_permissions(dir.join("d"), fs::Permissions::from_mode(0o1755)).expect("ours");
    check(edit, &Options::new(), &[("d", Field::Mode)]);
}

#[test]
fn content_of_the_same_size_is_found() {
    let edit = |dir: &Path| {
        let file = dir.join("d/file");
        edited(&file, || fs::write(&file, "CONTENT").expect("ours"));
    };
    check(edit, &Options::new(), &[("d/file", Field::Content)]);
}

#[test]
fn a_size_is_found_beside_the_content() {
    let edit = |dir: &Path| {
        let file = dir.join("d/file");
        edited(&file, || fs::write(&file, "more content").expect("ours"));
    };
    check(edit, &Options::new(), &[("d/file", Field::Size), ("d/file", Field::Content)]);
}

#[test]
fn times_are_found_and_fractions_only_when_asked_for() {
    let second = |dir: &Path| set_mtime(&dir.join("fifo"), -1, 5);
    let fraction = |dir: &Path| set_mtime(&dir.join("fifo"), 1_000_000, 6);
    check(second, &Options::new().whole_seconds(), &[("fifo", Field::Mtime)]);
    check(fraction, &Options::new(), &[("fifo", Field::Mtime)]);
    check(fraction, &Options::new().whole_seconds(), &[]);
    check(second, &Options::new().ignoring(Field::Mtime), &[]);
}

#[test]
fn extended_attributes_are_found_by_name_and_by_value() {
    let set = |name: &'static str, value: &'static str| {
        move |dir: &Path| {
            setxattr(dir.join("d"), name, value.as_bytes(), XattrFlags::empty())
                .expect("ext4, xfs and btrfs keep these")
        }
    };
    check(set("user.a", "1"), &Options::new(), &[("d", Field::Xattrs)]);
    check(set("user.overlay.opaque", "y"), &Options::new(), &[("d", Field::Xattrs)]);
    check(set("user.overlay.opaque", "y"), &Options::new().without_overlay_xattrs(), &[]);
    check(set("user.overlay.opaque", "y"), &Options::images(), &[]);
    check(set("user.overlaid", ""), &Options::images(), &[("d", Field::Xattrs)]);
}

#[test]
fn a_hard_link_that_became_a_copy_is_found() {
    let edit = |dir: &Path| {
        fs::remove_file(dir.join("two")).expect("ours");
        fs::write(dir.join("two"), "").expect("ours");
        set_mtime(&dir.join("two"), 1_000_000, 5);
    };
    check(edit, &Options::new(), &[("one", Field::Links), ("two", Field::Links)]);
}

#[test]
fn a_link_target_is_found() {
    let edit = |dir: &Path| {
        let link = dir.join("link");
        fs::remove_file(&link).expect("ours");
        edited(&link, || symlink("tegrat", dir.join("link")).expect("ours"));
    };
    check(edit, &Options::new(), &[("link", Field::Target)]);
}

#[test]
fn a_kind_is_found() {
    let edit = |dir: &Path| {
        let fifo = dir.join("fifo");
        fs::remove_file(&fifo).expect("ours");
        drop(std::os::unix::net::UnixListener::bind(&fifo).expect("ours"));
        fs::set_permissions(&fifo, fs::Permissions::from_mode(0o600)).expect("ours");
        set_mtime(&fifo, 1_000_000, 5);
    };
    check(edit, &Options::new(), &[("fifo", Field::Kind)]);
}

#[test]
fn the_root_entry_is_compared_unless_left_aside() {
    let edit = |dir: &Path| fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("ours");
    check(edit, &Options::new(), &[("", Field::Mode)]);
    check(edit, &Options::new().without_root(), &[]);
}

#[test]
fn a_path_left_out_takes_what_is_beneath_it_along_but_not_its_namesakes() {
    let edit = |dir: &Path| {
        fs::remove_file(dir.join("d/file")).expect("ours");
        fs::write(dir.join("dd"), "").expect("ours");
    };
    check(edit, &Options::new().without("/d"), &[("dd", Field::Presence)]);
}

#[test]
fn names_that_are_no_text_are_kept_and_shown() {
    use std::os::unix::ffi::OsStrExt;
    let dir = TempDir::new();
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"n\xff")), "").expect("ours");
    let tree = Tree::of(dir.path());
    assert_eq!(tree.get(b"/n\xff").map(|entry| entry.kind), Some(Kind::File));
    let found = differences(&tree, &Tree::default(), &Options::new().without_root());
    assert_eq!(found[0].to_string(), r"/n\xff: Presence: File | absent");
}

#[test]
fn the_panic_names_path_and_field() {
    let dir = TempDir::new();
    let (left, right) = (sample(&dir.dir("left")), sample(&dir.dir("right")));
    set_mtime(&right.join("d/file"), 1, 0);
    let panic = std::panic::catch_unwind(|| assert_same(&left, &right, &Options::new())).expect_err("they differ");
    let story = *panic.downcast::<String>().expect("a formatted panic");
    assert!(story.contains("/d/file: Mtime: 1000000.000000005 | 1.000000000"), "{story}");
}

#[test]
fn a_link_out_of_the_tree_is_not_followed() {
    let dir = TempDir::new();
    symlink("/proc", dir.join("out")).expect("ours");
    let tree = Tree::of(dir.path());
    assert_eq!(tree.entries.len(), 2);
    assert_eq!(tree.get("out").and_then(|entry| entry.target.clone()), Some(b"/proc".to_vec()));
}

#[test]
fn root_owners_and_devices_are_found() {
    require_root!();
    check(|dir| chown(dir.join("d"), Some(7), None).expect("root may"), &Options::new(), &[("d", Field::Uid)]);
    check(|dir| chown(dir.join("d"), None, Some(7)).expect("root may"), &Options::new(), &[("d", Field::Gid)]);

    let dir = TempDir::new();
    let make = |name: &str, minor| {
        let node = dir.dir(name).join("node");
        let device = rustix::fs::makedev(1, minor);
        mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o600), device).expect("root may");
        Tree::of(node.parent().expect("it has one"))
    };
    let options = Options::new().ignoring(Field::Mtime);
    let found = differences(&make("left", 3), &make("right", 5), &options);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].field, found[0].right.as_str()), (Field::Device, "1:5"));
}

#[test]
fn thirty_thousand_entries_take_seconds() {
    let dir = TempDir::new();
    for a in 0..300 {
        let part = dir.dir(format!("tree/{a}"));
        // One inode under many names: allocating 30,000 of them takes half a minute on some file systems.
        fs::write(part.join("0"), "x").expect("ours");
        for b in 1..100 {
            fs::hard_link(part.join("0"), part.join(b.to_string())).expect("ours");
        }
    }
    let start = std::time::Instant::now();
    assert_same(dir.join("tree"), dir.join("tree"), &Options::new());
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
}
