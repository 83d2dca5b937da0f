//! The merged tree read without a mount: what the kernel shows, and nothing outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use plyfs_diff::{Dialect, ErrorKind, FileKind, View, ViewEntry};
use plyfs_sys::fs::FileType;
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Entry, Kind, Mtime, Options, Tree, differences};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::layers::{Layers, chmod, node, opaque_dir, set_xattr, touch, whiteout, write};

/// Everything a view shows, in the words of the kernel's oracle.
pub fn seen(view: &View) -> Tree {
    let mut tree = Tree::default();
    let mut first: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    for entry in view.walk("/").expect("a root") {
        let entry = entry.expect("walked");
        let path = entry.path().as_os_str().as_encoded_bytes()[1..].to_vec();
        let record = record(&entry);
        if record.kind != Kind::Directory {
            let metadata = entry.metadata().expect("metadata");
            first.entry((metadata.filesystem, metadata.inode)).or_default().push(path.clone());
        }
        assert!(tree.entries.insert(path, record).is_none(), "{:?} twice", entry.path());
    }
    for mut names in first.into_values().filter(|names| names.len() > 1) {
        names.sort();
        let smallest = names[0].clone();
        names.iter().for_each(|name| tree.entries.get_mut(name).expect("seen").links = Some(smallest.clone()));
    }
    tree
}

fn record(entry: &ViewEntry) -> Entry {
    let metadata = entry.metadata().expect("metadata");
    let kind = match metadata.kind {
        FileKind::File => Kind::File,
        FileKind::Directory => Kind::Directory,
        FileKind::Symlink => Kind::Symlink,
        FileKind::CharacterDevice => Kind::CharDevice,
        FileKind::BlockDevice => Kind::BlockDevice,
        FileKind::Fifo => Kind::Fifo,
        FileKind::Socket => Kind::Socket,
        other => panic!("{other:?}"),
    };
    let content = (kind == Kind::File).then(|| {
        let mut content = Vec::new();
        entry.open().expect("opened").read_to_end(&mut content).expect("read");
        *plyfs_diff::Digest::of(content).as_bytes()
    });
    let target = (kind == Kind::Symlink).then(|| entry.read_link().expect("a target").into_encoded_bytes());
    Entry {
        kind,
        mode: if kind == Kind::Symlink { 0o777 } else { metadata.mode },
        uid: metadata.uid,
        gid: metadata.gid,
        size: if matches!(kind, Kind::File | Kind::Symlink) { metadata.size } else { 0 },
        mtime: Mtime { sec: metadata.modified.0, nsec: metadata.modified.1 },
        xattrs: entry.xattrs().expect("attributes"),
        links: None,
        device: metadata.device,
        target,
        content,
    }
}

/// What a mount follows that follows all.
const FOLLOWING: &str = "redirect_dir=on,metacopy=on,index=off";

#[test]
fn root_a_view_shows_what_a_mount_shows() {
    require_root!();
    let mut layers = Layers::new(2);
    write(layers.lower(1).join("dir/low"), "low");
    write(layers.lower(1).join("dir/gone"), "gone");
    write(layers.lower(1).join("dir/marked"), "gone too");
    write(layers.lower(1).join("opaque/hidden"), "hidden");
    write(layers.lower(1).join("file"), "first");
    fs::hard_link(layers.lower(1).join("file"), layers.lower(1).join("dir/linked")).expect("a link");
    set_xattr(&layers.lower(1).join("file"), "user.note", b"\0x");
    set_xattr(&layers.lower(1).join("dir"), "trusted.overlay.overlay.opaque", b"y");
    set_xattr(&layers.lower(1).join("dir"), "user.overlay.opaque", b"y");
    whiteout(&layers.lower(0).join("dir/gone"));
    write(layers.lower(0).join("dir/marked"), "");
    set_xattr(&layers.lower(0).join("dir/marked"), "trusted.overlay.whiteout", b"");
    set_xattr(&layers.lower(0).join("dir"), "trusted.overlay.opaque", b"x");
    opaque_dir(&layers.lower(0).join("opaque"));
    symlink("/dir/low", layers.lower(0).join("opaque/link")).expect("a link");
    node(&layers.lower(0).join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&layers.lower(0).join("fifo"), FileType::Fifo, 0);
    node(&layers.lower(0).join("socket"), FileType::Socket, 0);
    let merged = layers.mount(FOLLOWING);
    fs::rename(merged.path().join("dir"), merged.path().join("moved")).expect("renamed");
    chmod(&merged.path().join("file"), 0o4711);
    chmod(&merged.path().join("opaque"), 0o1777);
    drop(merged);
    layers.freeze();
    let merged = layers.mount(FOLLOWING);
    fs::write(merged.path().join("moved/new"), "new").expect("written");
    touch(&merged.path().join("moved/low"), -5, 7);

    let expected = Tree::of(merged.path());
    assert_eq!(expected.get("moved/low").map(|entry| entry.size), Some(3));
    let differences = differences(&expected, &seen(&layers.view()), &Options::new());
    assert!(differences.is_empty(), "{differences:?}");
}

#[test]
fn links_lead_where_they_would_lead_a_process_inside() {
    let layers = Layers::new(2).with_dialect(Dialect::User);
    write(layers.lower(0).join("usr/lib/file"), "content");
    for (target, name) in [
        ("usr/lib", "lib"),
        ("/lib/file", "absolute"),
        ("../../../lib/../lib/file", "usr/climbing"),
        ("loop", "loop"),
        ("/../../../../etc/passwd", "outside"),
        ("none", "dangling"),
    ] {
        symlink(target, layers.lower(1).join(".").join(name))
            .or_else(|_| symlink(target, layers.lower(0).join(name)))
            .expect("a link");
    }
    let view = layers.view();
    for (path, expected) in [
        ("lib/file", Ok("/usr/lib/file")),
        ("//lib/./file", Ok("/usr/lib/file")),
        ("absolute", Ok("/usr/lib/file")),
        ("/usr/climbing", Ok("/usr/lib/file")),
        ("/lib/", Ok("/usr/lib")),
        ("..", Ok("/")),
        ("../../lib/../lib/file", Ok("/usr/lib/file")),
        ("loop", Err(ErrorKind::InvalidInput)),
        ("absolute/", Err(ErrorKind::InvalidInput)),
        ("absolute/x", Err(ErrorKind::InvalidInput)),
        ("outside", Err(ErrorKind::NotFound)),
        ("dangling", Err(ErrorKind::NotFound)),
        ("lib/none", Err(ErrorKind::NotFound)),
    ] {
        let resolved = view.resolve(path).map_err(|error| error.kind());
        assert_eq!(resolved, expected.map(PathBuf::from), "{path}");
    }
    assert_eq!(view.metadata("absolute").expect("a link").kind, FileKind::Symlink, "the last link is not followed");
    assert_eq!(view.read_link("lib").expect("a target"), "usr/lib");
    assert_eq!(view.read(view.resolve("absolute").expect("resolved"), 7).expect("read"), b"content");
}

#[test]
fn only_regular_files_are_opened_and_no_fifo_is_waited_for() {
    let layers = Layers::new(1).with_dialect(Dialect::User);
    node(&layers.lower(0).join("fifo"), FileType::Fifo, 0);
    write(layers.lower(0).join("long"), "0123456789");
    symlink("long", layers.lower(0).join("link")).expect("a link");
    let view = layers.view();
    for path in ["fifo", "link", "/"] {
        let error = view.open(path).expect_err("no regular file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
        assert!(error.to_string().contains(path), "{error}");
    }
    assert_eq!(view.read("long", 9).expect_err("too long").kind(), ErrorKind::InvalidInput);
    assert_eq!(view.read("long", 10).expect("read"), b"0123456789");
    assert_eq!(view.read_dir("long").expect_err("no directory").kind(), ErrorKind::InvalidInput);
    assert_eq!(view.read_link("long").expect_err("no link").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_walk_is_sorted_leaves_out_what_it_is_told_to_and_holds_few_descriptors() {
    let layers = Layers::new(3).with_dialect(Dialect::User);
    for layer in 0..3 {
        for path in ["a/x", "a-/y", "b", &format!("c/{layer}")] {
            write(layers.lower(layer).join(path), "");
        }
        fs::create_dir_all(layers.lower(layer).join("z/".repeat(300))).expect("a deep directory");
        write(layers.lower(layer).join("z").join(format!("zz{layer}")), "");
    }
    let view = layers.view();
    let mut walk = view.walk("/").expect("a root");
    let (mut paths, mut most) = (Vec::new(), 0);
    while let Some(entry) = walk.next() {
        let entry = entry.expect("walked");
        most = most.max(fs::read_dir("/proc/self/fd").expect("descriptors").count());
        if entry.path() == Path::new("/a") {
            walk.skip_below();
        }
        if walk.depth() < 3 {
            paths.push(entry.path().display().to_string());
        }
    }
    let expected = "/ /a /a- /a-/y /b /c /c/0 /c/1 /c/2 /z /z/z /z/zz0 /z/zz1 /z/zz2";
    assert_eq!(paths.join(" "), expected);
    assert!(most < 700, "{most} descriptors for 300 directories of three layers each");
}

#[test]
fn a_view_of_marks_the_caller_cannot_see_is_refused() {
    let layers = Layers::new(1);
    let seen = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            // Capabilities are the thread's own.
            rustix::thread::set_capabilities(
                None,
                rustix::thread::CapabilitySets {
                    effective: rustix::thread::CapabilitySet::empty(),
                    permitted: rustix::thread::CapabilitySet::empty(),
                    inheritable: rustix::thread::CapabilitySet::empty(),
                },
            )
            .expect("less");
        }
        let trusted = View::new(layers.chain()).map(drop).map_err(|error| error.kind());
        let user = View::new(layers.with_dialect(Dialect::User).chain()).map(drop);
        (trusted, user.map_err(|error| error.kind()))
    });
    assert_eq!(seen.join().expect("no panic"), (Err(ErrorKind::Permission), Ok(())));
}

#[test]
fn cve_2018_15664_a_directory_that_becomes_a_link_meanwhile_leads_nowhere_outside() {
    let layers = Layers::new(1).with_dialect(Dialect::User);
    write(layers.lower(0).join("dir/file"), "inside");
    write(layers.beside("outside").join("file"), "outside");
    symlink(layers.beside("outside"), layers.lower(0).join("swap")).expect("a link");
    let view = layers.view();
    let stop = AtomicBool::new(false);
    let (mut inside, mut other) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, swap) = (layers.lower(0).join("dir"), layers.lower(0).join("swap"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &dir, CWD, &swap, RenameFlags::EXCHANGE).expect("exchanged");
            }
        });
        for _ in 0..2000 {
            match view.entry_resolved("dir/file").and_then(|entry| entry.read(100)) {
                Ok(content) => {
                    assert_eq!(content, b"inside");
                    inside += 1;
                }
                Err(_) => other += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(inside > 0 && other > 0, "{inside} reads met the directory, {other} the link");
}
