//! Export: whiteouts, opaque directories and everything else OverlayFS writes into an upper.

use std::fs;
use std::path::Path;

use plyfs_diff::{Chain, Dialect, ErrorKind, SkipReason};
use plyfs_testkit::require_root;
use plyfs_testkit::tree::{Options, Tree, assert_same_trees};

use crate::layers::{
    Layers, PLAIN, REDIRECTING, chmod, listing, names, node, opaque_dir, set_xattr, touch, whiteout, write,
};

#[test]
fn root_rule_12_a_whiteout_is_an_empty_file_without_mode_owner_and_time() {
    require_root!();
    let layers = Layers::new(1);
    write(layers.lower(0).join("dir/gone"), "x");
    whiteout(&layers.upper().join("dir/gone"));
    touch(&layers.upper().join("dir"), 7, 0);

    let (archive, exported) = layers.export();

    assert_eq!(listing(&archive), ["d 0755 0:0 0 7 dir/", "- 0000 0:0 0 0 dir/.wh.gone"]);
    assert_eq!(exported.skipped, []);
}

#[test]
fn root_rule_13_the_opaque_marker_follows_its_directory_and_only_the_exact_value_counts() {
    require_root!();
    let layers = Layers::new(1);
    for name in ["exact", "other", "longer"] {
        write(layers.lower(0).join(name).join("hidden"), "x");
        write(layers.upper().join(name).join("-first"), "x");
    }
    set_xattr(&layers.upper().join("exact"), "trusted.overlay.opaque", b"y");
    set_xattr(&layers.upper().join("other"), "trusted.overlay.opaque", b"x");
    set_xattr(&layers.upper().join("longer"), "trusted.overlay.opaque", b"y\0");

    let (archive, _) = layers.export();

    let expected =
        ["exact/", "exact/.wh..wh..opq", "exact/-first", "longer/", "longer/-first", "other/", "other/-first"];
    assert_eq!(names(&archive), expected);
}

#[test]
fn root_rule_14_an_opaque_directory_is_marked_only_where_it_hides_something() {
    require_root!();
    let layers = Layers::new(2);
    write(layers.lower(1).join("full/hidden"), "x");
    fs::create_dir(layers.lower(1).join("empty")).expect("a directory");
    write(layers.lower(1).join("emptied/deleted"), "x");
    whiteout(&layers.lower(0).join("emptied/deleted"));
    write(layers.lower(1).join("file"), "x");
    write(layers.lower(1).join("outer/inner/hidden"), "x");
    for name in ["full", "empty", "emptied", "file", "new", "outer", "outer/inner"] {
        opaque_dir(&layers.upper().join(name));
    }

    let marked = |chain: &Chain| {
        let (archive, _) = layers.try_export(chain).expect("exported");
        names(&archive).into_iter().filter(|name| name.ends_with(".wh..wh..opq")).collect::<Vec<_>>()
    };

    assert_eq!(marked(&layers.chain()), ["full/.wh..wh..opq", "outer/.wh..wh..opq"], "over known lowers");
    assert_eq!(marked(&Chain::empty()), [""; 0], "over nothing");
    assert_eq!(marked(&Chain::unknown(Dialect::Trusted)).len(), 7, "over lowers nobody can look at");
}

#[test]
fn root_rule_11_a_whiteout_in_an_opaque_directory_is_left_out() {
    require_root!();
    let layers = Layers::new(1);
    write(layers.lower(0).join("dir/file"), "x");
    opaque_dir(&layers.upper().join("dir"));
    whiteout(&layers.upper().join("dir/file"));

    assert_eq!(names(&layers.export().0), ["dir/", "dir/.wh..wh..opq"]);
}

#[test]
fn root_rule_15_a_marked_empty_file_is_a_whiteout_only_where_its_directory_says_so() {
    require_root!();
    let layers = Layers::new(0);
    for dir in ["announced", "plain"] {
        write(layers.upper().join(dir).join("marked"), "");
        set_xattr(&layers.upper().join(dir).join("marked"), "trusted.overlay.whiteout", b"");
        write(layers.upper().join(dir).join("unmarked"), "");
    }
    set_xattr(&layers.upper().join("announced"), "trusted.overlay.opaque", b"x");

    let expected =
        ["announced/", "announced/.wh.marked", "announced/unmarked", "plain/", "plain/marked", "plain/unmarked"];
    assert_eq!(names(&layers.export().0), expected);
}

#[test]
fn root_rule_16_whiteouts_that_share_an_inode_are_no_hard_links() {
    require_root!();
    let layers = Layers::new(1);
    let upper = layers.upper();
    whiteout(&upper.join("a"));
    fs::hard_link(upper.join("a"), upper.join("b")).expect("a link");
    fs::hard_link(upper.join("a"), upper.join("c")).expect("a link");

    let expected = ["- 0000 0:0 0 0 .wh.a", "- 0000 0:0 0 0 .wh.b", "- 0000 0:0 0 0 .wh.c"];
    assert_eq!(listing(&layers.export().0), expected);
}

#[test]
fn root_rule_16_the_whiteouts_a_kernel_makes_are_no_hard_links() {
    require_root!();
    let layers = Layers::new(1);
    for name in ["a", "b", "c"] {
        write(layers.lower(0).join(name), name);
    }
    let merged = layers.mount(PLAIN);
    for name in ["a", "b", "c"] {
        fs::remove_file(merged.path().join(name)).expect("removed");
    }
    drop(merged);

    let expected = ["- 0000 0:0 0 0 .wh.a", "- 0000 0:0 0 0 .wh.b", "- 0000 0:0 0 0 .wh.c"];
    assert_eq!(listing(&layers.export().0), expected);
}

#[test]
fn root_rule_19_marks_of_either_dialect_never_leave() {
    require_root!();
    let layers = Layers::new(0);
    write(layers.upper().join("dir/file"), "x");
    for name in ["dir", "dir/file"] {
        let path = layers.upper().join(name);
        for dialect in ["trusted", "user"] {
            for mark in ["origin", "impure", "opaque", "nlink", "uuid", "protattr"] {
                set_xattr(&path, &format!("{dialect}.overlay.{mark}"), b"secret");
            }
        }
        set_xattr(&path, "user.overlaid", b"kept");
    }

    let (archive, exported) = layers.export();

    let text = String::from_utf8_lossy(&archive);
    assert!(!text.contains(".overlay."), "a mark left");
    assert_eq!(text.matches("SCHILY.xattr.user.overlaid=kept").count(), 2);
    assert_eq!(exported.skipped, []);
}

#[test]
fn root_rule_20_an_escaped_mark_is_reported_and_does_not_leave() {
    require_root!();
    let layers = Layers::new(0);
    write(layers.upper().join("file"), "x");
    set_xattr(&layers.upper().join("file"), "trusted.overlay.overlay.redirect", b"/etc");

    let (archive, exported) = layers.export();

    assert!(!String::from_utf8_lossy(&archive).contains("redirect"));
    let skipped: Vec<_> = exported.skipped.iter().map(|skipped| (&skipped.path, &skipped.reason)).collect();
    let reason = SkipReason::Attribute("trusted.overlay.overlay.redirect".into());
    assert_eq!(skipped, [(&"file".into(), &reason)]);
}

/// Mounts so that the lowers keep what is moved and what changes its mode, edits, and proves that nothing is missing from
/// the export and from the list of changes.
fn redirected(prepare: impl FnOnce(&Layers), edit: impl FnOnce(&Path), expected: &[&str]) {
    let mut layers = Layers::new(1);
    layers.options = REDIRECTING;
    prepare(&layers);
    let merged = layers.mount(layers.options);
    edit(merged.path());
    let shown = Tree::of(merged.path());
    drop(merged);

    assert_eq!(layers.changes().expect("listed"), expected);
    let reapplied = layers.mount_over_lowers(&layers.reapplied());
    assert_same_trees(&shown, &Tree::of(reapplied.path()), &Options::images());

    let error = layers.try_export(&Chain::unknown(layers.dialect)).expect_err("the lowers have the content");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("content"), "{error}");
    assert_eq!(layers.try_export(&Chain::empty()).expect_err("the same").kind(), ErrorKind::Unsupported);
}

#[test]
fn root_rule_25_a_renamed_lower_directory_is_exported_with_what_the_lowers_have_in_it() {
    require_root!();
    redirected(
        |layers| {
            write(layers.lower(0).join("top/dir/content"), "precious");
            write(layers.lower(0).join("top/dir/sub/deep"), "precious too");
            write(layers.lower(0).join("top/dir/gone"), "");
        },
        |root| {
            fs::rename(root.join("top/dir"), root.join("top/moved")).expect("the kernel redirects");
            fs::remove_file(root.join("top/moved/gone")).expect("removed");
            fs::rename(root.join("top/moved/sub"), root.join("elsewhere")).expect("the kernel redirects");
            write(root.join("elsewhere/new"), "new");
        },
        &[
            "A /elsewhere",
            "A /elsewhere/deep",
            "A /elsewhere/new",
            "C /top",
            "D /top/dir",
            "A /top/moved",
            "A /top/moved/content",
        ],
    );
}

#[test]
fn root_rule_25_a_lower_directory_that_takes_the_place_of_another_hides_it() {
    require_root!();
    redirected(
        |layers| {
            write(layers.lower(0).join("a/only-a"), "a");
            write(layers.lower(0).join("a/both"), "from a");
            write(layers.lower(0).join("b/only-b"), "b");
            write(layers.lower(0).join("b/both"), "of b");
        },
        |root| {
            fs::rename(root.join("b"), root.join("aside")).expect("the kernel redirects");
            fs::rename(root.join("a"), root.join("b")).expect("the kernel redirects");
        },
        &["D /a", "A /aside", "A /aside/both", "A /aside/only-b", "C /b", "C /b/both", "A /b/only-a", "D /b/only-b"],
    );
}

#[test]
fn root_rule_25_a_directory_that_came_back_to_its_name_changes_nothing() {
    require_root!();
    let mut layers = Layers::new(1);
    layers.options = REDIRECTING;
    write(layers.lower(0).join("dir/content"), "as it was");
    let merged = layers.mount(layers.options);
    fs::rename(merged.path().join("dir"), merged.path().join("other")).expect("the kernel redirects");
    fs::rename(merged.path().join("other"), merged.path().join("dir")).expect("the kernel redirects");
    drop(merged);

    assert_eq!(layers.changes().expect("listed"), Vec::<String>::new());
    assert_eq!(crate::layers::names(&layers.export().0), ["dir/"]);
}

#[test]
fn root_rule_25_a_file_copied_up_without_content_is_exported_with_the_content_of_the_lower() {
    require_root!();
    redirected(
        |layers| {
            write(layers.lower(0).join("dir/file"), "precious");
            write(layers.lower(0).join("dir/moved"), "precious too");
        },
        |root| {
            chmod(&root.join("dir/file"), 0o600);
            chmod(&root.join("dir/moved"), 0o640);
            fs::rename(root.join("dir/moved"), root.join("away")).expect("renamed");
        },
        &["A /away", "C /dir", "C /dir/file", "D /dir/moved"],
    );
}

#[test]
fn root_rule_18_marks_are_read_in_the_dialect_of_the_chain_only() {
    require_root!();
    let mut layers = Layers::new(1);
    write(layers.lower(0).join("dir/hidden"), "x");
    fs::create_dir(layers.upper().join("dir")).expect("a directory");
    set_xattr(&layers.upper().join("dir"), "user.overlay.opaque", b"y");

    assert_eq!(names(&layers.export().0), ["dir/"], "a plain mount does not see it");
    assert_eq!(layers.changes().expect("listed"), [""; 0]);
    layers.dialect = Dialect::User;
    assert_eq!(names(&layers.export().0), ["dir/", "dir/.wh..wh..opq"]);
    assert_eq!(layers.changes().expect("listed"), ["C /dir", "D /dir/hidden"]);
}

#[test]
fn root_an_opaque_root_hides_nothing_as_for_the_kernel() {
    require_root!();
    let layers = Layers::new(1);
    write(layers.lower(0).join("shown"), "x");
    set_xattr(&layers.upper(), "trusted.overlay.opaque", b"y");
    let merged = layers.mount(PLAIN);
    assert!(merged.path().join("shown").exists(), "the kernel merges roots whatever marks they carry");
    drop(merged);

    assert_eq!(names(&layers.export().0), [""; 0]);
    assert_eq!(layers.changes().expect("listed"), [""; 0]);
}

#[test]
fn root_a_device_with_a_number_is_no_whiteout() {
    require_root!();
    let layers = Layers::new(1);
    node(&layers.upper().join("null"), plyfs_sys::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node(&layers.upper().join("loop"), plyfs_sys::fs::FileType::BlockDevice, 0);
    touch(&layers.upper().join("null"), 1, 0);
    touch(&layers.upper().join("loop"), 1, 0);

    let (archive, _) = layers.export();

    assert_eq!(listing(&archive), ["b 0644 0:0 0 1 loop", "c 0644 0:0 0 1 null"]);
    let mut tar = tar::Archive::new(archive.as_slice());
    let null = tar.entries().expect("an archive").nth(1).expect("two").expect("an entry");
    let header = null.header();
    assert_eq!((header.device_major().expect("major"), header.device_minor().expect("minor")), (Some(1), Some(3)));
}
