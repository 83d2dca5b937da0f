//! The merged tree read without a mount: what the kernel shows, and nothing outside.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use plyfs_diff::{Chain, CopyOptions, Dialect, ErrorKind, ExportOptions, FileKind, View, ViewEntry, export};
use plyfs_sys::fs::{FileType, Gid, Uid, open_dir};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Entry, Kind, Mtime, Options, Tree, differences};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::layers::{Layers, chmod, listing, names, node, opaque_dir, set_xattr, touch, whiteout, write};

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

/// Runs `act` as an ordinary user, whom the kernel gives no privilege.
fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Ids are the thread's own; with them go all its capabilities.
            rustix::thread::set_thread_groups(&[]).expect("root may");
            let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
            rustix::thread::set_thread_res_gid(group, group, group).expect("root may");
            rustix::thread::set_thread_res_uid(user, user, user).expect("root may");
            // The kernel hides /proc/self from a process whose ids changed.
            let dumpable = rustix::process::DumpableBehavior::Dumpable;
            rustix::process::set_dumpable_behavior(dumpable).expect("a process may show itself");
            act()
        });
        thread.join().expect("no panic")
    })
}

const NOBODY: u32 = 65534;

#[test]
fn root_an_ordinary_user_unpacks_what_they_may_and_is_told_the_rest() {
    require_root!();
    let layers = Layers::new(1).with_dialect(Dialect::User);
    let (lower, target) = (layers.lower(0), layers.beside("unpacked"));
    write(lower.join("bin/tool"), "tool");
    chmod(&lower.join("bin/tool"), 0o4755);
    fs::hard_link(lower.join("bin/tool"), lower.join("bin/again")).expect("a link");
    set_xattr(&lower.join("bin"), "user.note", b"x");
    chmod(&lower.join("bin"), 0o555);
    node(&lower.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&lower.join("fifo"), FileType::Fifo, 0);
    symlink("bin", lower.join("link")).expect("a link");
    whiteout(&layers.upper().join("link"));
    fs::create_dir(&target).expect("a new directory");
    chown(&target, Some(NOBODY), Some(NOBODY)).expect("given away");
    chmod(layers.upper().parent().expect("a parent"), 0o755);

    let unpacked = as_nobody(|| layers.view().unpack(open_dir(&target).expect("open"))).expect("unpacked");

    let skipped: Vec<_> = unpacked.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped, ["\"null\": a device node cannot be made here"]);
    assert!(!unpacked.has_owners && unpacked.entries == 4, "{unpacked:?}");
    let tree = Tree::of(&target);
    let facts = tree.entries.iter().map(|(path, entry)| {
        format!("{} {:?} {:o} {}", String::from_utf8_lossy(path), entry.kind, entry.mode, entry.uid)
    });
    let facts: Vec<_> = facts.collect();
    let expected = [
        " Directory 755 65534",
        "bin Directory 555 65534",
        "bin/again File 755 65534",
        "bin/tool File 755 65534",
        "fifo Fifo 644 65534",
    ];
    assert_eq!(facts, expected, "a set-id bit would mean another owner now");
    assert_eq!(tree.get("bin/tool").and_then(|tool| tool.links.as_deref()), Some(&b"bin/again"[..]));
    assert!(!tree.get("bin").expect("a directory").xattrs.is_empty());
}

#[test]
fn root_an_ordinary_user_gets_no_view_of_what_they_cannot_see() {
    require_root!();
    let mut layers = Layers::new(1);
    chmod(layers.upper().parent().expect("a parent"), 0o755);
    write(layers.lower(0).join("secret"), "secret");
    chmod(&layers.lower(0).join("secret"), 0o600);
    let error = as_nobody(|| View::new(layers.chain()).map(drop)).expect_err("trusted marks are invisible");
    assert_eq!(error.kind(), ErrorKind::Permission);
    layers.dialect = Dialect::User;
    let error = as_nobody(|| layers.view().open("secret").map(drop)).expect_err("not theirs to read");
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.to_string().contains("secret"), "{error}");
}

#[test]
fn root_what_is_unpacked_upon_is_empty_or_merged_by_name() {
    require_root!();
    let layers = Layers::new(1);
    write(layers.lower(0).join("dir/new"), "new");
    write(layers.lower(0).join("dir/both"), "ours");
    symlink("/etc", layers.lower(0).join("dir/link")).expect("a link");
    let (view, target) = (layers.view(), layers.beside("target"));
    write(target.join("dir/both"), "theirs");
    write(target.join("dir/kept"), "kept");
    symlink(layers.beside("outside"), target.join("dir/link")).expect("a link");
    chmod(&target.join("dir"), 0o700);
    let dir = open_dir(&target).expect("open");

    assert_eq!(view.unpack(&dir).expect_err("not empty").kind(), ErrorKind::Exists);
    let copy = |path: &str, name: Option<&str>| {
        view.copy_to(path, &dir, name.map(OsStr::new), &CopyOptions::new()).map_err(|error| error.kind())
    };
    assert_eq!(copy("dir", Some("dir")).expect("merged").entries, 4);
    assert_eq!(fs::read_to_string(target.join("dir/both")).expect("read"), "ours");
    assert_eq!(fs::read_to_string(target.join("dir/kept")).expect("read"), "kept");
    assert_eq!(fs::read_link(target.join("dir/link")).expect("a link"), Path::new("/etc"), "replaced, not followed");
    assert_eq!(Tree::of(&target).get("dir").map(|dir| dir.mode), Some(0o700), "what was there keeps its attributes");
    assert_eq!(copy("dir/new", Some("dir")).expect_err("a file for a directory"), ErrorKind::Exists);
    assert_eq!(copy("dir/new", None).expect_err("no directory"), ErrorKind::InvalidInput);
    for name in ["", ".", "..", "a/b"] {
        assert_eq!(copy("dir/new", Some(name)).expect_err("no name"), ErrorKind::InvalidInput, "{name:?}");
    }
    copy("dir", None).expect("what is in it");
    assert_eq!(fs::read_to_string(target.join("new")).expect("read"), "new");
}

#[test]
fn what_is_stopped_leaves_files_that_were_copied_whole_and_no_other() {
    let layers = Layers::new(1).with_dialect(Dialect::User);
    for name in ["a", "b", "c"] {
        write(layers.lower(0).join(name), name);
    }
    // Larger than a step, without a block on the disk.
    let large = fs::File::create(layers.lower(0).join("large")).expect("created");
    large.set_len(65 << 20).expect("grown");
    let lower = open_dir(layers.lower(0)).expect("a layer");
    let view = View::new(Chain::new(vec![lower], Dialect::User)).expect("a view");
    for limit in 0..20 {
        let target = plyfs_testkit::temp::TempDir::new();
        let dir = open_dir(target.path()).expect("open");
        let asked = AtomicUsize::new(0);
        let options = CopyOptions::new().stop_when(move || asked.fetch_add(1, Ordering::Relaxed) == limit);
        let result = view.unpack_with(&dir, &options).map_err(|error| error.kind());
        let names: Vec<_> = ["a", "b", "c", "large"].into_iter().filter(|name| target.join(name).exists()).collect();
        for name in &names {
            let size = |path: &Path| fs::metadata(path).expect("there").len();
            assert_eq!(size(&target.join(name)), size(&layers.lower(0).join(name)), "{name}, stopped at {limit}");
        }
        match result {
            Ok(unpacked) => {
                assert_eq!((unpacked.entries, names.len()), (4, 4), "stopped at {limit}");
                assert!(limit > 10, "it was asked {limit} times alone");
                return;
            }
            Err(kind) => {
                assert_eq!((kind, names.contains(&"large")), (ErrorKind::Cancelled, false), "stopped at {limit}")
            }
        }
    }
    panic!("it never ended");
}

#[test]
fn a_view_of_one_layer_exports_the_archive_that_export_writes() {
    let layers = Layers::new(1).with_dialect(Dialect::User);
    write(layers.lower(0).join("dir/file"), "content");
    fs::hard_link(layers.lower(0).join("dir/file"), layers.lower(0).join("linked")).expect("a link");
    symlink("dir", layers.lower(0).join("link")).expect("a link");
    node(&layers.lower(0).join("fifo"), FileType::Fifo, 0);
    chmod(&layers.lower(0), 0o711);
    let lower = || open_dir(layers.lower(0)).expect("a layer");
    let (mut flat, mut plain) = (Vec::new(), Vec::new());
    let view = View::new(Chain::new(vec![lower()], Dialect::User)).expect("a view");
    let exported = view.export(&mut flat, &ExportOptions::new()).expect("exported");
    let expected = export(lower(), &Chain::empty(), &mut plain, &ExportOptions::new()).expect("exported");
    assert!(flat == plain, "the same bytes");
    assert_eq!(exported, expected);
}

#[test]
fn a_part_of_a_view_is_archived_under_the_name_it_is_given() {
    let layers = Layers::new(2).with_dialect(Dialect::User);
    write(layers.lower(1).join("top/dir/below"), "below");
    write(layers.lower(0).join("top/dir/sub/file"), "content");
    fs::hard_link(layers.lower(0).join("top/dir/sub/file"), layers.lower(0).join("top/dir/linked")).expect("a link");
    fs::hard_link(layers.lower(0).join("top/dir/sub/file"), layers.lower(0).join("top/outside")).expect("a link");
    let lower = |index| open_dir(layers.lower(index)).expect("a layer");
    let view = View::new(Chain::new(vec![lower(0), lower(1)], Dialect::User)).expect("a view");
    let part = |path: &str, name: Option<&str>| {
        let mut archive = Vec::new();
        let done = view.export_at(path, name.map(OsStr::new), &mut archive, &ExportOptions::new());
        done.map(|_| names(&archive)).map_err(|error| error.kind())
    };
    let all = part("/top/dir", Some("new")).expect("archived");
    assert_eq!(all, ["new/", "new/below", "new/linked", "new/sub/", "new/sub/file"]);
    let mut archive = Vec::new();
    view.export_at("top/dir", Some(OsStr::new("new")), &mut archive, &ExportOptions::new()).expect("archived");
    let link = listing(&archive).pop().expect("the link");
    assert!(link.starts_with('h') && link.contains("new/linked"), "links lead to names in the archive: {link}");
    let content = part("top/dir", None).expect("archived");
    assert_eq!(content, ["below", "linked", "sub/", "sub/file"], "the directory itself is the archive's root");
    assert_eq!(part("top/outside", Some("alone")).expect("archived"), ["alone"]);
    assert_eq!(part("top/outside", None).expect_err("no directory"), ErrorKind::InvalidInput);
    assert_eq!(part("top/none", Some("x")).expect_err("nothing there"), ErrorKind::NotFound);
    assert_eq!(part("top", Some("a/b")).expect_err("no name"), ErrorKind::InvalidInput);
}

#[test]
fn root_rule_15_a_file_marked_as_a_whiteout_is_not_there_in_whichever_layer_as_for_the_kernel() {
    require_root!();
    for marked in [None, Some(0), Some(1), Some(2)] {
        let layers = Layers::new(3);
        for layer in [layers.lower(1), layers.lower(2)] {
            write(layer.join("dir/hidden"), "what a lower has");
            write(layer.join("dir/shown"), "shown");
        }
        let layer = marked.map_or_else(|| layers.upper(), |index| layers.lower(index));
        write(layer.join("dir/hidden"), "");
        set_xattr(&layer.join("dir/hidden"), "trusted.overlay.whiteout", b"");
        set_xattr(&layer.join("dir"), "trusted.overlay.opaque", b"x");

        let (merged, view) = (layers.mount(layers.options), layers.view());
        for name in ["hidden", "shown"] {
            let there = fs::symlink_metadata(merged.path().join("dir").join(name)).is_ok();
            let path = Path::new("/dir").join(name);
            assert_eq!(view.metadata(&path).is_ok(), there, "{name} where {marked:?} is marked");
            // Of the uppermost and the lowermost layer the kernel lists the name and does not find it.
            let names = view.read_dir("/dir").expect("listed");
            assert_eq!(names.iter().any(|listed| listed == name), there, "{name} where {marked:?} is marked");
        }
        let hides = marked != Some(2);
        assert_eq!(view.metadata("/dir/hidden").is_err(), hides, "what is above the mark shows: {marked:?}");
    }
}
