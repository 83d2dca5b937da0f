//! Two trees compared: with containerd's own differ and with Docker's rules as judges.

use std::fs;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_diff::{
    ApplyOptions, Chain, CompareOptions, Dialect, Error, ErrorKind, ExportOptions, Style, apply, compare, export,
    export_between,
};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::Tree;

use crate::layers::{Layers, REDIRECTING, chmod, listing, names, node, set_xattr, touch, write};
use crate::model::{Random, docker_diff, edit};
use crate::oracle::changeset;

fn plain(path: &Path) -> Chain {
    Chain::new(vec![open_dir(path).expect("a directory")], Dialect::Trusted)
}

fn containerd() -> ExportOptions {
    ExportOptions::new().style(Style::Containerd)
}

fn between(lower: &Chain, upper: &Chain, options: &ExportOptions) -> Vec<u8> {
    let mut archive = Vec::new();
    export_between(lower, upper, &mut archive, options).expect("exported");
    archive
}

fn listed(lower: &Chain, upper: &Chain) -> Result<Vec<String>, Error> {
    let mut changes = Vec::new();
    compare(lower, upper, &CompareOptions::new(), |change| {
        changes.push(change.to_string());
        Ok(())
    })?;
    Ok(changes)
}

/// Proves two archives equal, saying first which entries differ.
fn assert_same_bytes(ours: &[u8], theirs: &[u8], what: &str) {
    if ours != theirs {
        assert_eq!(listing(ours), listing(theirs), "{what}");
        let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
        panic!("{what}: the archives part at byte {at:?}, {} and {} bytes long", ours.len(), theirs.len());
    }
}

#[test]
fn a_comparison_ends_when_it_is_asked_to_whether_or_not_the_trees_differ() {
    let dir = TempDir::new();
    for (tree, content) in [("one", "same"), ("two", "same"), ("three", "other")] {
        (0..100).for_each(|number| write(dir.join(tree).join(number.to_string()), content));
    }
    let tree = |name: &str| Chain::new(vec![open_dir(dir.join(name)).expect("a directory")], Dialect::User);
    for (other, threads) in [("two", 1), ("two", 4), ("three", 1), ("three", 4)] {
        let asked = AtomicUsize::new(0);
        let threads = NonZero::new(threads).expect("not zero");
        let is_asked = move || asked.fetch_add(1, Ordering::Relaxed) >= 50;
        let options = CompareOptions::new().threads(threads).stop_when(is_asked);
        let mut told = 0;
        let result = compare(&tree("one"), &tree(other), &options, |_| {
            told += 1;
            Ok(())
        });
        let kind = result.expect_err("it was asked to end").kind();
        assert_eq!(kind, ErrorKind::Cancelled, "{other} by {threads}");
        assert!(told <= 50, "{other} by {threads}: {told} were told");
    }
}

#[test]
fn root_the_style_of_containerd_has_the_bytes_of_its_differ_on_random_edits() {
    require_root!();
    for seed in 100..124 {
        let mut random = Random(seed);
        let mut layers = Layers::new(1);
        if seed % 4 == 3 {
            layers.options = REDIRECTING;
        }
        for layer in 0..3 {
            let merged = layers.mount(layers.options);
            for _ in 0..30 {
                edit(&mut random, merged.path());
            }
            let below = layers.mount_lowers();
            let Some(theirs) = changeset(below.path(), merged.path(), None) else { return };
            drop((merged, below));
            let upper = open_dir(layers.upper()).expect("the upper");
            let mut ours = Vec::new();
            export(&upper, &layers.chain(), &mut ours, &containerd()).expect("exported");
            assert_same_bytes(&ours, &theirs, &format!("seed {seed}, layer {layer}"));
            layers.freeze();
        }
    }
}

/// Two directories that differ in everything an archive can say.
fn everything(temp: &TempDir) -> (PathBuf, PathBuf) {
    let (lower, upper) = (temp.dir("lower"), temp.dir("upper"));
    for root in [&lower, &upper] {
        for name in ["same", "content", "mode", "owner", "cap", "time", "sub/kept", "linked"] {
            write(root.join(name), name);
        }
        fs::hard_link(root.join("linked"), root.join("a-other-name")).expect("a link");
        write(root.join("tree/deep/er/file"), "");
        symlink("target", root.join("link")).expect("a link");
        for name in ["same", "content", "mode", "owner", "cap", "linked", "link", "sub/kept", "tree/deep/er/file"] {
            touch(&root.join(name), 1_600_000_000, 0);
        }
    }
    write(upper.join("content"), "CONTENT");
    touch(&upper.join("content"), 1_600_000_000, 0);
    chmod(&upper.join("mode"), 0o4711);
    chown(upper.join("owner"), Some(3_000_000), Some(7)).expect("an owner");
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    set_xattr(&upper.join("cap"), "security.capability", capability);
    fs::hard_link(upper.join("cap"), upper.join("cap-again")).expect("a link");
    touch(&upper.join("time"), -3, 500_000_000);
    fs::remove_dir_all(upper.join("tree")).expect("removed");
    fs::hard_link(upper.join("linked"), upper.join("sub/link-of-old")).expect("a link");
    write(upper.join("sub/new/a"), vec![7; 5000]);
    fs::hard_link(upper.join("sub/new/a"), upper.join("zz-link-of-new")).expect("a link");
    write(upper.join("caf\u{e9}"), "");
    write(upper.join(format!("{}/{}", "d".repeat(90), "f".repeat(90))), "long");
    write(upper.join(std::ffi::OsStr::from_bytes(b"raw\xff")), "");
    symlink("t".repeat(150), upper.join("long-link")).expect("a link");
    symlink("x", upper.join("linked-link")).expect("a link");
    let dir = open_dir(&upper).expect("open");
    plyfs_sys::fs::link_at(&dir, "linked-link", &dir, "linked-link-2").expect("a link");
    node(&upper.join("pipe"), FileType::Fifo, 0);
    node(&upper.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&upper.join("disk"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    node(&upper.join("socket"), FileType::Socket, 0);
    for long in [60, 95, 99, 100, 101, 120, 160] {
        let name = format!("gone/{}/{}", "p".repeat(long), "w".repeat(long.min(200)));
        write(lower.join(&name), "");
        fs::create_dir_all(upper.join(&name).parent().expect("a parent")).expect("directories");
    }
    fs::create_dir_all(upper.join("file-to-dir/in")).expect("directories");
    write(lower.join("file-to-dir"), "");
    fs::create_dir_all(lower.join("dir-to-file/in")).expect("directories");
    write(upper.join("dir-to-file"), "");
    (lower, upper)
}

#[test]
fn root_rules_31_to_37_every_kind_of_change_has_the_bytes_of_containerd() {
    require_root!();
    let temp = TempDir::new();
    let (lower, upper) = everything(&temp);
    for epoch in [None, Some(1_500_000_000)] {
        let Some(theirs) = changeset(&lower, &upper, epoch) else { return };
        let options = epoch.map_or_else(containerd, |epoch| containerd().clamp_mtime(epoch));
        assert_same_bytes(&between(&plain(&lower), &plain(&upper), &options), &theirs, &format!("{epoch:?}"));
    }
    let Some(theirs) = changeset(&temp.dir("empty"), &upper, None) else { return };
    assert_same_bytes(&between(&Chain::empty(), &plain(&upper), &containerd()), &theirs, "over nothing");
}

#[test]
fn root_the_difference_of_two_trees_turns_one_into_the_other() {
    require_root!();
    let temp = TempDir::new();
    let (lower, upper) = everything(&temp);
    fs::remove_file(upper.join("socket")).expect("removed");
    set_xattr(&upper.join("sub"), "user.note", b"kept");
    chmod(&upper, 0o750);
    for style in [Style::Native, Style::Containerd] {
        let archive = between(&plain(&lower), &plain(&upper), &ExportOptions::new().style(style));
        let layer = temp.dir(format!("{style:?}"));
        let dir = open_dir(&layer).expect("open");
        apply(archive.as_slice(), &dir, &plain(&lower), &ApplyOptions::new(), None).expect("applied");
        let seen = Chain::new(vec![dir, open_dir(&lower).expect("open")], Dialect::Trusted);
        let left = listed(&plain(&upper), &seen).expect("listed");
        assert_eq!(left, Vec::<String>::new(), "{style:?}");
    }
    let mut names = names(&between(&plain(&lower), &plain(&upper), &ExportOptions::new()));
    assert_eq!(names.remove(0), "./", "rule 53: the root differs");
    assert!(!names.iter().any(|name| name == "same" || name.starts_with("sub/kept")), "{names:?}");
}

#[test]
fn root_any_two_states_of_random_edits_differ_as_docker_says() {
    require_root!();
    for seed in 200..220 {
        let mut random = Random(seed);
        let mut layers = Layers::new(1);
        let mut states = vec![(layers.chain(), Tree::of(layers.mount_lowers().path()))];
        for _ in 0..3 {
            let merged = layers.mount(layers.options);
            for _ in 0..25 {
                edit(&mut random, merged.path());
            }
            drop(merged);
            layers.freeze();
            // Frozen layers are renamed by the next freeze: the descriptors stay.
            states.push((layers.chain(), Tree::of(layers.mount_lowers().path())));
        }
        for (from, was) in &states {
            for (to, now) in &states {
                let (mut ours, mut theirs) = (listed(from, to).expect("listed"), docker_diff(was, now));
                // Printed, a byte that is no text sorts otherwise.
                for lines in [&mut ours, &mut theirs] {
                    lines.sort_by(|a, b| a[2..].cmp(&b[2..]));
                }
                assert_eq!(ours, theirs, "seed {seed}");
                let archive = between(from, to, &ExportOptions::new());
                let layer = layers.beside("between");
                drop(fs::remove_dir_all(&layer));
                fs::create_dir(&layer).expect("a directory");
                let dir = open_dir(&layer).expect("open");
                apply(archive.as_slice(), &dir, from, &ApplyOptions::new(), None).expect("applied");
            }
        }
    }
}

#[test]
fn root_rule_30_content_decides_where_times_cannot() {
    require_root!();
    let temp = TempDir::new();
    let (lower, upper) = (temp.dir("lower"), temp.dir("upper"));
    for (name, was, now, nanoseconds) in [
        ("edited-in-one-second", "a", "b", (0, 0)),
        ("cut-by-an-archive", "same", "same", (0, 5)),
        ("edited-and-cut", "c", "d", (7, 0)),
        ("same", "e", "e", (9, 9)),
        ("touched", "f", "f", (1, 2)),
    ] {
        for (root, content, fraction) in [(&lower, was, nanoseconds.0), (&upper, now, nanoseconds.1)] {
            write(root.join(name), content);
            touch(&root.join(name), 1_600_000_000, fraction);
        }
    }
    let changes = listed(&plain(&lower), &plain(&upper)).expect("listed");
    assert_eq!(changes, ["C /edited-and-cut", "C /edited-in-one-second", "C /touched"]);
}

#[test]
fn root_trees_that_cannot_be_looked_at_and_errors_of_the_caller_end_the_comparison() {
    require_root!();
    let temp = TempDir::new();
    let dir = temp.dir("dir");
    write(dir.join("file"), "");
    let unknown = Chain::unknown(Dialect::Trusted);
    assert_eq!(listed(&unknown, &plain(&dir)).expect_err("unknown").kind(), ErrorKind::InvalidInput);
    let upper = open_dir(&dir).expect("open");
    let error = export(&upper, &unknown, Vec::new(), &containerd()).expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let mut calls = 0;
    let error = compare(&Chain::empty(), &plain(&dir), &CompareOptions::new(), |_| {
        calls += 1;
        Err(plyfs_diff::Error::new(ErrorKind::Cancelled, "enough"))
    });
    assert_eq!((error.expect_err("ended").kind(), calls), (ErrorKind::Cancelled, 1));
}

/// Two trees of hundreds of directories, of which many differ, some in everything below them.
fn many(temp: &TempDir) -> (PathBuf, PathBuf) {
    let (lower, upper) = (temp.dir("lower"), temp.dir("upper"));
    for number in 0..400 {
        let name = format!("{}/{}/{number}", number % 7, number % 60);
        for (root, text) in [(&lower, "a"), (&upper, if number % 5 == 0 { "changed" } else { "a" })] {
            write(root.join(&name).join("file"), text);
            touch(&root.join(&name).join("file"), 1_600_000_000, 1);
        }
        match number % 11 {
            0 => write(upper.join(format!("new/{number}/in/it")), ""),
            1 => write(lower.join(format!("old/{number}")), ""),
            2 => fs::hard_link(upper.join(&name).join("file"), upper.join(format!("link-{number}"))).expect("a link"),
            _ => {}
        }
    }
    (lower, upper)
}

#[test]
fn threads_change_neither_what_is_found_nor_its_order() {
    let temp = TempDir::new();
    let (lower, upper) = many(&temp);
    let with = |threads| CompareOptions::new().threads(NonZero::new(threads).expect("some"));
    let list = |threads| {
        let mut changes = Vec::new();
        let each = |change| {
            changes.push(change);
            Ok(())
        };
        compare(&plain(&lower), &plain(&upper), &with(threads), each).expect("compared");
        changes
    };
    let alone = list(1);
    assert!(alone.len() > 300, "{}", alone.len());
    let archive = |threads, style| {
        let options = ExportOptions::new().style(style).compare(with(threads));
        between(&plain(&lower), &plain(&upper), &options)
    };
    let archives = [Style::Native, Style::Containerd].map(|style| archive(1, style));
    for threads in [2, 3, 8] {
        for _ in 0..10 {
            assert!(list(threads) == alone, "{threads} threads");
        }
        for (style, alone) in [Style::Native, Style::Containerd].into_iter().zip(&archives) {
            assert_same_bytes(&archive(threads, style), alone, &format!("{threads} threads"));
        }
    }
}

#[test]
fn a_reader_that_ends_or_panics_ends_the_threads_of_its_comparison() {
    let temp = TempDir::new();
    let (lower, upper) = many(&temp);
    let options = CompareOptions::new().threads(NonZero::new(4).expect("some"));
    for seen in [1, 40, 200] {
        let mut left = seen;
        let mut each = || {
            left -= 1;
            left > 0
        };
        let error = compare(&plain(&lower), &plain(&upper), &options, |_| {
            if each() { Ok(()) } else { Err(Error::new(ErrorKind::Cancelled, "enough")) }
        });
        assert_eq!(error.expect_err("ended").to_string(), "enough");
        let mut left = seen;
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare(&plain(&lower), &plain(&upper), &options, |_| {
                left -= 1;
                assert!(left > 0, "the reader's own");
                Ok(())
            })
        }));
        assert!(panic.is_err(), "the panic is the caller's");
    }
}

#[test]
fn an_error_in_one_part_of_the_trees_is_returned_after_everything_before_it() {
    let temp = TempDir::new();
    let (lower, upper) = many(&temp);
    // Too deep to be walked, near the end of the order.
    let mut dir = open_dir(&upper).expect("open");
    for depth in 0..=plyfs_sys::fs::MAX_DEPTH + 1 {
        let name = if depth == 0 { "zz" } else { "d" };
        plyfs_sys::fs::make_dir_at(&dir, name, rustix::fs::Mode::RWXU).expect("made");
        dir = plyfs_sys::fs::open_dir_at(&dir, name).expect("open");
    }
    for threads in [1, 4] {
        let options = CompareOptions::new().threads(NonZero::new(threads).expect("some"));
        let (mut last, mut count) = (PathBuf::new(), 0);
        let error = compare(&plain(&lower), &plain(&upper), &options, |change| {
            (last, count) = (change.path, count + 1);
            Ok(())
        });
        let error = error.expect_err("too deep");
        assert_eq!(error.to_string(), "the tree is more than 4096 directories deep", "{threads} threads");
        assert!(last.starts_with("/zz") && count > 300, "{} of {count}", last.display());
    }
}
