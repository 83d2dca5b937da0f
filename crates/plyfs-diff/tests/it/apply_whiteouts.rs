//! What hides and what does not (rules 1 to 11), as the kernel shows it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use plyfs_diff::{ApplyOptions, Chain, Dialect, ErrorKind, apply};
use plyfs_sys::fs::open_dir;
use plyfs_sys::xattr;
use plyfs_testkit::oci::{EntryType, LayerTar};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;

use crate::stack::{Stack, mode};

/// A base layer to hide parts of.
fn base() -> Stack {
    Stack::new().with(
        LayerTar::new()
            .entry(EntryType::Directory, 0o750, "dir", "", "")
            .file("dir/a", "lower a")
            .file("dir/b", "lower b")
            .dir("dir/sub")
            .file("dir/sub/c", "lower c")
            .file("file", "lower file")
            .finish(),
    )
}

/// The names a mount of the stack shows in `dir`, sorted.
fn names(stack: &Stack, dir: &str) -> Vec<String> {
    let merged = stack.mount();
    let entries = fs::read_dir(merged.path().join(dir)).expect("a directory");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

fn is_opaque(path: &Path) -> bool {
    let dir = open_dir(path).expect("open");
    xattr::get(&dir, "trusted.overlay.opaque").expect("readable").as_deref() == Some(b"y")
}

#[test]
fn root_a_whiteout_hides_its_name_and_an_opaque_directory_everything_below() {
    require_root!();
    let stack = base().with(LayerTar::new().whiteout("dir", "a").whiteout("", "file").finish());
    assert!(is_whiteout(&stack.top().join("dir/a")), "rule 1");
    assert_eq!((names(&stack, "dir"), names(&stack, "")), (vec!["b".into(), "sub".into()], vec!["dir".into()]));

    let stack = base().with(LayerTar::new().opaque("dir").file("dir/new", "").finish());
    assert!(is_opaque(&stack.top().join("dir")), "rule 2");
    assert_eq!(names(&stack, "dir"), ["new"], "rule 2");
    assert_eq!(stack.paths(), ["dir", "dir/new"], "rule 2: the marker itself is never made");
}

#[test]
fn root_an_opaque_root_hides_everything_below_though_the_kernel_heeds_no_mark_there() {
    require_root!();
    let orders = [
        LayerTar::new().opaque("").file("dir/new", "new").file("mine", "mine"),
        LayerTar::new().file("dir/new", "new").file("mine", "mine").opaque(""),
    ];
    for (archive, order) in orders.into_iter().zip(["before", "after"]) {
        let stack = base().with(archive.finish());
        assert_eq!(names(&stack, ""), ["dir", "mine"], "rules 2, 6: {order}");
        assert_eq!(names(&stack, "dir"), ["new"], "rules 2, 6: {order}");
    }
}

#[test]
fn root_the_name_tells_a_whiteout_whatever_its_type_is() {
    require_root!();
    let kinds = [EntryType::Link, EntryType::Symlink, EntryType::Directory, EntryType::Char, EntryType::new(b'7')];
    for kind in kinds {
        let archive = LayerTar::new().entry(kind, 0o644, "dir/.wh.a", "file", "").finish();
        assert_eq!(names(&base().with(archive), "dir"), ["b", "sub"], "rule 3: {kind:?}");
    }
    let with_content = LayerTar::new().file("dir/.wh.a", "content nobody wants").file("z", "z").finish();
    assert_eq!(names(&base().with(with_content), "dir"), ["b", "sub"], "rule 3");
}

#[test]
fn root_whiteouts_of_nothing_are_refused() {
    require_root!();
    for name in [".wh.", "dir/.wh..", "dir/.wh...", ".wh.dir/a"] {
        let error = base().try_push(&LayerTar::new().file(name, "").finish()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "rule 4: {name}");
        assert!(error.to_string().contains(name), "rule 4: {error}");
    }
}

#[test]
fn root_aufs_bookkeeping_is_no_part_of_the_tree_but_its_links_are_satisfied() {
    require_root!();
    let stack = base().with(
        LayerTar::new()
            .file(".wh..wh.aufs", "")
            .dir(".wh..wh.orph")
            .dir(".wh..wh.plnk")
            .entry(EntryType::Regular, 0o4711, ".wh..wh.plnk/27.42", "", "shared")
            .link("one", ".wh..wh.plnk/27.42")
            .link("dir/two", "./.wh..wh.plnk/27.42")
            .finish(),
    );
    assert_eq!(stack.paths(), ["dir", "dir/two", "one"], "rule 5");
    for name in ["one", "dir/two"] {
        assert_eq!(fs::read_to_string(stack.top().join(name)).expect("read"), "shared", "rule 5: a copy");
        assert_eq!(mode(stack.top().join(name)), 0o4711, "rule 5: as its own entry says");
    }
    let missing = base().try_push(&LayerTar::new().link("one", ".wh..wh.plnk/1").finish()).expect_err("nothing there");
    assert_eq!(missing.kind(), ErrorKind::InvalidInput);
}

#[test]
fn root_whiteouts_never_apply_to_entries_of_the_same_layer_in_any_order() {
    require_root!();
    let late = base().with(
        LayerTar::new().file("dir/a", "new").file("dir/sub/new", "new").whiteout("dir", "a").opaque("dir").finish(),
    );
    let early = base().with(
        LayerTar::new().opaque("dir").whiteout("dir", "a").file("dir/a", "new").file("dir/sub/new", "new").finish(),
    );
    for (stack, order) in [(late, "after"), (early, "before")] {
        assert_eq!(names(&stack, "dir"), ["a", "sub"], "rules 6, 8: {order}");
        assert_eq!(names(&stack, "dir/sub"), ["new"], "rule 6: {order}");
        assert_eq!(stack.read_merged("dir/a").as_deref(), Some("new"), "rule 8: {order}");
    }
}

#[test]
fn root_a_directory_and_its_whiteout_in_one_layer_make_it_opaque_in_any_order() {
    require_root!();
    let orders = [
        LayerTar::new().whiteout("", "dir").dir("dir").file("dir/new", ""),
        LayerTar::new().dir("dir").file("dir/new", "").whiteout("", "dir"),
        LayerTar::new().dir("dir").whiteout("", "dir").file("dir/new", ""),
    ];
    for (archive, order) in orders.into_iter().zip(0..) {
        let stack = base().with(archive.finish());
        assert!(is_opaque(&stack.top().join("dir")), "rules 7, 8: order {order}");
        assert_eq!(names(&stack, "dir"), ["new"], "rules 7, 8: order {order}");
        assert_eq!(mode(stack.top().join("dir")), 0o755, "rule 7: order {order}");
    }
    let stack = base().with(LayerTar::new().whiteout("", "file").file("file", "new").finish());
    assert_eq!(stack.read_merged("file").as_deref(), Some("new"), "rule 7: a file takes the whiteout's place");
}

#[test]
fn root_a_directory_in_the_place_of_what_hid_the_lowers_is_opaque() {
    require_root!();
    let file = || LayerTar::new().file("other", "");
    let hiding = [
        ("a file after a whiteout", file().whiteout("", "dir").file("dir", "")),
        ("a link after a whiteout", file().whiteout("", "dir").link("dir", "other")),
        ("a file", file().file("dir", "")),
        ("a link", file().link("dir", "other")),
        ("a symbolic link", file().symlink("dir", "nowhere")),
        ("a pipe", file().entry(EntryType::Fifo, 0o644, "dir", "", "")),
        ("a directory, then a file", file().file("dir/sub/x", "").file("dir", "")),
    ];
    for (what, archive) in hiding {
        let stack = base().with(archive.dir("dir").file("dir/sub/new", "").finish());
        assert!(is_opaque(&stack.top().join("dir")), "rules 7, 46: {what}");
        assert_eq!(
            (names(&stack, "dir"), names(&stack, "dir/sub")),
            (vec!["sub".into()], vec!["new".into()]),
            "{what}"
        );
    }
    let nothing_below = base().with(LayerTar::new().file("new", "").dir("new").finish());
    assert!(!is_opaque(&nothing_below.top().join("new")), "there is nothing to hide");
}

#[test]
fn root_a_whiteout_below_a_hidden_directory_is_ignored() {
    require_root!();
    let stack = base().with(LayerTar::new().whiteout("", "dir").whiteout("dir", "a").opaque("dir/sub").finish());
    assert_eq!(stack.paths(), ["dir"], "rule 9");
    assert!(is_whiteout(&stack.top().join("dir")), "rule 9");
    let below_file = base().with(LayerTar::new().file("dir", "").whiteout("dir", "a").finish());
    assert_eq!(below_file.paths(), ["dir"], "rule 9: the same below what is now a file");
}

#[test]
fn root_an_entry_below_a_whiteout_makes_an_opaque_directory() {
    require_root!();
    let stack = base().with(LayerTar::new().whiteout("", "dir").file("dir/new", "").finish());
    assert!(is_opaque(&stack.top().join("dir")), "rule 10");
    assert_eq!(names(&stack, "dir"), ["new"], "rule 10");
    assert_eq!(mode(stack.top().join("dir")), 0o755, "rule 10: the hidden directory's mode is not copied");
}

#[test]
fn root_what_hides_nothing_leaves_no_device_behind() {
    require_root!();
    let archive = LayerTar::new()
        .whiteout("", "absent")
        .whiteout("absent-dir", "a")
        .dir("new")
        .whiteout("new", "a")
        .whiteout("dir", "a")
        .file("dir/sub/new", "")
        .whiteout("dir/sub", "c")
        .opaque("dir")
        .whiteout("dir", "b")
        .finish();
    let stack = base().with(&archive);
    assert_eq!(stack.paths(), ["dir", "dir/sub", "dir/sub/new", "new"], "rule 11");
    assert_eq!(names(&stack, "new"), Vec::<String>::new(), "rule 11: readdir shows what is there");

    let base_layer = Stack::new().with(LayerTar::new().whiteout("d", "a").whiteout("", "b").opaque("e").finish());
    assert_eq!(base_layer.paths(), Vec::<String>::new(), "rule 11: nothing lies below a base layer");
}

#[test]
fn root_over_lowers_that_cannot_be_looked_at_every_mark_is_kept() {
    require_root!();
    let temp = TempDir::new();
    let archive = LayerTar::new().whiteout("d", "a").opaque("e").file("f/x", "").finish();
    for (dialect, mark) in [(Dialect::Trusted, "trusted.overlay.opaque"), (Dialect::User, "user.overlay.opaque")] {
        let path = temp.dir(mark);
        let layer = open_dir(&path).expect("open");
        apply(archive.as_slice(), &layer, &Chain::unknown(dialect), &ApplyOptions::new(), None).expect("applied");
        assert!(is_whiteout(&path.join("d/a")), "rule 1: {mark}");
        let dir = open_dir(path.join("e")).expect("open");
        assert_eq!(xattr::get(&dir, mark).expect("readable").as_deref(), Some(&b"y"[..]), "rule 18: {mark}");
        assert_eq!(xattr::list(&dir).expect("readable").len(), 1, "rule 18: in its own dialect only");
    }
}
