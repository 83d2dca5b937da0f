//! What single entries become (rules 36 to 54).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use plyfs_diff::{ApplyOptions, Chain, ErrorKind, SkipReason, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;

use crate::stack::{Stack, mode};

#[test]
fn root_files_directories_and_links_are_made_as_the_archive_says() {
    require_root!();
    let stack = Stack::new().with(
        LayerTar::new()
            .entry(EntryType::Directory, 0o1777, "tmp/", "", "")
            .file("tmp/file", "content")
            .entry(EntryType::Regular, 0o4755, "setuid", "", "x")
            .symlink("link", "tmp/file")
            .link("again", "tmp/file")
            .finish(),
    );
    let top = stack.top();
    assert_eq!(fs::read_to_string(top.join("link")).expect("through the link"), "content");
    assert_eq!(fs::read_link(top.join("link")).expect("a link").to_str(), Some("tmp/file"));
    assert_eq!(
        (mode(top.join("tmp")), mode(top.join("setuid"))),
        (0o1777, 0o4755),
        "rule 48: the mode after the owner"
    );
    let (file, again) = (top.join("tmp/file"), top.join("again"));
    assert_eq!(fs::metadata(file).expect("stat").ino(), fs::metadata(again).expect("stat").ino());
    let time = |path: &str| fs::symlink_metadata(top.join(path)).expect("stat").mtime();
    assert_eq!((time("tmp"), time("link")), (1_704_067_200, 1_704_067_200), "rule 49: after its children");
}

#[test]
fn root_the_empty_layer_and_the_empty_stream_are_layers() {
    require_root!();
    for (archive, what) in [(vec![0; 1024], "rule 45"), (Vec::new(), "rule 45: zero-length"), (vec![0; 512], "half")] {
        let stack = Stack::new().with(&archive);
        assert_eq!(stack.paths(), Vec::<String>::new(), "{what}");
        assert_eq!(mode(stack.top()), 0o755, "rule 53: a base layer without a root entry");
    }
}

#[test]
fn root_of_entries_with_one_path_the_last_wins() {
    require_root!();
    let stack = Stack::new().with(
        LayerTar::new()
            .file("a", "first")
            .file("./a", "second")
            .dir("d")
            .file("d/lost", "lost")
            .file("d", "now a file")
            .file("e", "a file")
            .dir("e")
            .file("e/kept", "kept")
            .symlink("f", "a")
            .file("f", "no link")
            .finish(),
    );
    assert_eq!(stack.paths(), ["a", "d", "e", "e/kept", "f"], "rule 46");
    assert_eq!(fs::read_to_string(stack.top().join("a")).expect("read"), "second", "rule 46: ./a and a are one path");
    assert_eq!(fs::read_to_string(stack.top().join("f")).expect("read"), "no link", "rule 54: never through a link");
}

#[test]
fn root_a_hard_link_that_loses_its_first_name_still_comes_back() {
    require_root!();
    let stack = Stack::new().with(
        LayerTar::new()
            .file("a", "the content of both")
            .link("b", "a")
            .file("a", "another")
            .link("c", "b")
            .file("b", "")
            .file("b", "a third")
            .link("c", "c")
            .finish(),
    );
    let read = |name: &str| fs::read_to_string(stack.top().join(name)).expect("read");
    assert_eq!((read("a"), read("b"), read("c")), ("another".into(), "a third".into(), "the content of both".into()));
}

#[test]
fn root_a_hard_link_to_a_symbolic_link_is_one_more_name_of_the_link() {
    require_root!();
    let stack = Stack::new().with(
        LayerTar::new()
            .file("target", "x")
            .symlink("link", "target")
            .entry(EntryType::Link, 0o4777, "again", "link", "")
            .finish(),
    );
    let top = stack.top();
    assert!(fs::symlink_metadata(top.join("again")).expect("stat").is_symlink(), "rule 40");
    assert_eq!(mode(top.join("target")), 0o644, "rule 40: nothing is changed through it");
}

#[test]
fn root_a_pipe_and_devices_are_made_and_numbers_out_of_range_are_refused() {
    require_root!();
    let device = |major: u32, minor: u32| {
        let mut header = tar::Header::new_ustar();
        header.set_path("dev").expect("short");
        header.set_entry_type(EntryType::Char);
        header.set_mode(0o620);
        header.set_device_major(major).expect("ustar");
        header.set_device_minor(minor).expect("ustar");
        header.set_uid(0);
        header.set_gid(5);
        header.set_mtime(1);
        header.set_size(0);
        header.set_cksum();
        LayerTar::new().entry(EntryType::Fifo, 0o600, "pipe", "", "").raw(&header, b"").finish()
    };
    let stack = Stack::new().with(device(1, 3));
    let meta = fs::metadata(stack.top().join("dev")).expect("stat");
    assert_eq!((meta.rdev(), meta.gid(), mode(stack.top().join("dev"))), (0x103, 5, 0o620), "rule 41");
    assert!(fs::metadata(stack.top().join("pipe")).expect("stat").file_type().is_fifo(), "rule 41");

    let error = Stack::new().try_push(&device(4096, 0)).expect_err("no such device");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "rule 41: range-checked");

    let applied = Stack::new().push(&device(0, 0));
    assert_eq!(applied.skipped.len(), 1, "rule 41: a device that reads as a whiteout is a reported loss");
    assert_eq!(applied.skipped[0].reason, SkipReason::Device);
}

#[test]
fn root_the_root_entry_is_applied_and_else_taken_from_the_parent() {
    require_root!();
    let mut stack = Stack::new().with(LayerTar::new().entry(EntryType::Directory, 0o1750, "./", "", "").finish());
    assert_eq!(mode(stack.top()), 0o1750, "rule 53");
    stack.push(&LayerTar::new().file("a", "").finish());
    assert_eq!(mode(stack.top()), 0o1750, "rule 53: copied from the parent");
    let meta = fs::metadata(stack.top()).expect("stat");
    assert_eq!(meta.mtime(), 1_704_067_200, "rule 53: with its times");
}

#[test]
fn root_overlays_own_attributes_never_enter_a_layer() {
    require_root!();
    let archive = LayerTar::new()
        .pax(
            &[
                ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.trusted.overlay.overlay.opaque", b"y"),
                ("SCHILY.xattr.security.selinux", b"label"),
                ("SCHILY.xattr.user.kept", b"any\0\n=bytes"),
            ],
            "a",
            "x",
        )
        .finish();
    let mut stack = Stack::new();
    let applied = stack.push(&archive);
    let xattrs = &stack.tree().get("a").expect("made").xattrs.clone();
    assert_eq!(xattrs.keys().collect::<Vec<_>>(), ["user.kept"], "rules 19, 23");
    assert_eq!(xattrs.values().next().expect("one"), b"any\0\n=bytes", "rule 24");
    assert_eq!(applied.skipped.len(), 4, "each of them is reported");
}

#[test]
fn root_attributes_that_no_file_can_have_are_invalid_input_by_path_and_name() {
    require_root!();
    let key = |length: usize| format!("SCHILY.xattr.user.{}", "n".repeat(length - "user.".len()));
    let too_large = vec![b'v'; 65_537];
    let push =
        |key: &str, value: &[u8]| Stack::new().try_push(&LayerTar::new().pax(&[(key, value)], "odd", "x").finish());
    push(&key(255), b"v").expect("the longest name");
    let cases = [
        (key(256), &b"v"[..], "256 bytes", "user.nnn"),
        ("SCHILY.xattr.".to_owned(), b"v", "an empty name", "\"\""),
        ("SCHILY.xattr.user.big".to_owned(), &too_large, "65537 bytes", "user.big"),
    ];
    for (key, value, wrong, name) in cases {
        let error = push(&key, value).expect_err("no file can have it");
        let words = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{words}");
        assert!(words.contains("\"odd\"") && words.contains(wrong) && words.contains(name), "{words}");
    }
    // What is left out anyway is not looked at; it is reported by as much of its name as a file could have.
    let archive = LayerTar::new().pax(&[(&format!("SCHILY.xattr.user.overlay.{}", "n".repeat(300)), b"v")], "odd", "x");
    let temp = TempDir::new();
    let layer = open_dir(temp.path()).expect("open");
    let applied = apply(&archive.finish()[..], layer, &Chain::empty(), &ApplyOptions::new(), None);
    let skipped = applied.expect("overlayfs's own never enters a layer").skipped;
    let name = format!("user.overlay.{}", "n".repeat(255 - "user.overlay.".len()));
    assert_eq!(skipped[0].reason, SkipReason::Attribute(name.into()));
}

#[test]
fn root_capabilities_survive_the_owner() {
    require_root!();
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let stack = Stack::new()
        .with(LayerTar::new().pax(&[("SCHILY.xattr.security.capability", capability)], "ping", "content").finish());
    let tree = stack.tree();
    let found = tree.get("ping").expect("made").xattrs.values().next().cloned();
    assert_eq!(found.as_deref(), Some(&capability[..]), "rule 22");
}

#[test]
fn root_global_headers_make_nothing_and_unknown_types_are_refused() {
    require_root!();
    let global = |records: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_path("some/dir/pax_global_header").expect("short");
        header.set_entry_type(EntryType::XGlobalHeader);
        header.set_size(records.len() as u64);
        header.set_cksum();
        LayerTar::new().raw(&header, records).file("a", "").finish()
    };
    let stack = Stack::new().with(global(b"17 comment=hello\n"));
    assert_eq!(stack.paths(), ["a"], "rule 43: no parents of its name either");
    let error = Stack::new().try_push(&global(b"9 size=5\n")).expect_err("what would later entries be?");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "rule 44");
    for flag in *b"7DMVNAX" {
        let kind = EntryType::new(flag);
        let error = Stack::new()
            .try_push(&LayerTar::new().entry(kind, 0o644, "odd", "", "").finish())
            .expect_err("rule 43: an unknown type");
        assert!(error.to_string().contains("\"odd\""), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "rule 43");
    }
}

#[test]
fn root_modes_are_exact_whatever_the_umask_is() {
    require_root!();
    // The umask is the process's, and other tests run beside this one: a thread of its own takes one for itself.
    let archive = LayerTar::new()
        .entry(EntryType::Directory, 0o2777, "d/", "", "")
        .entry(EntryType::Regular, 0o666, "d/f", "", "")
        .entry(EntryType::Fifo, 0o666, "d/p", "", "")
        .file("implied/f", "")
        .finish();
    let stack = std::thread::spawn(move || {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for the sake of file tables, which this leaves alone"
        )]
        rustix::thread::unshare(rustix::thread::UnshareFlags::FS).expect("root may");
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        Stack::new().with(archive)
    });
    let stack = stack.join().expect("applied");
    let modes = ["d", "d/f", "d/p", "implied", ""].map(|path| mode(stack.top().join(path)));
    assert_eq!(modes, [0o2777, 0o666, 0o666, 0o755, 0o755]);
}

#[test]
fn root_what_a_layer_costs_is_right_where_directories_grow_each_time_they_are_entered() {
    require_root!();
    // The stack compares with a walk.
    let long = "n".repeat(120);
    let mut archive = LayerTar::new().dir("a").dir("b");
    for number in 0..120 {
        archive = archive.file(format!("a/{number}-{long}"), "x").file(format!("b/{number}-{long}"), long.repeat(100));
    }
    // Deeper than directories are held, so that outer ones are closed and entered again.
    for depth in (1..90).rev() {
        archive = archive
            .file(format!("{}{depth}", "d/".repeat(depth)), "")
            .link(format!("a/link-{depth}"), format!("a/1-{long}"));
        archive = archive.entry(EntryType::Directory, 0o700, "d/".repeat(depth), "", "");
    }
    let mut stack = Stack::new();
    let applied = stack.push(&archive.finish());
    assert!(applied.usage.inodes > 2 + 240 + 178, "{:?}", applied.usage);
}

#[test]
fn root_a_file_in_a_directory_that_gives_its_group_is_still_the_archives() {
    require_root!();
    let mut archive = tar::Builder::new(Vec::new());
    for (path, kind, mode, gid) in [
        ("d", EntryType::Directory, 0o2775, 7),
        ("d/plain", EntryType::Regular, 0o640, 0),
        ("d/setuid", EntryType::Regular, 0o6755, 0),
        ("d/group", EntryType::Regular, 0o664, 7),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(gid);
        header.set_size(0);
        archive.append_data(&mut header, path, std::io::empty()).expect("an entry");
    }
    let stack = Stack::new().with(archive.into_inner().expect("an archive"));
    for (path, expected) in
        [("d", (0o2775, 7)), ("d/plain", (0o640, 0)), ("d/setuid", (0o6755, 0)), ("d/group", (0o664, 7))]
    {
        let path = stack.top().join(path);
        assert_eq!((mode(&path), fs::metadata(&path).expect("stat").gid()), expected, "{}", path.display());
    }
}
