//! Changes: what `docker diff` would print for the same edits.

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use plyfs_diff::{Chain, Dialect, ErrorKind, changes};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_testkit::require_root;

use crate::layers::{Layers, PLAIN, chmod, node, set_xattr, touch, whiteout, write};

/// A lower with some files, an edit made through a real mount over it, and what `changes` says then.
fn check(edit: impl FnOnce(&Path), expected: &[&str]) {
    let layers = Layers::new(2);
    for file in ["etc/hosts", "etc/passwd", "usr/bin/tool", "usr/lib/deep/er/lib.so", "var/log/a", "var/log/b"] {
        write(layers.lower(1).join(file), file);
        touch(&layers.lower(1).join(file), 1_600_000_000, 0);
    }
    symlink("usr/bin", layers.lower(1).join("bin")).expect("a link");
    fs::create_dir(layers.lower(1).join("empty")).expect("a directory");
    write(layers.lower(0).join("etc/added-by-a-layer"), "x");
    let merged = layers.mount(PLAIN);
    edit(merged.path());
    drop(merged);
    assert_eq!(layers.changes().expect("listed"), expected);
}

#[test]
fn root_nothing_done_is_no_change() {
    require_root!();
    check(|_| {}, &[]);
}

#[test]
fn root_rule_32_parents_of_a_change_are_modified() {
    require_root!();
    check(
        |root| {
            write(root.join("usr/lib/deep/er/new"), "");
            fs::remove_file(root.join("var/log/a")).expect("removed");
            fs::write(root.join("etc/hosts"), "changed").expect("written");
        },
        &[
            "C /etc",
            "C /etc/hosts",
            "C /usr",
            "C /usr/lib",
            "C /usr/lib/deep",
            "C /usr/lib/deep/er",
            "A /usr/lib/deep/er/new",
            "C /var",
            "C /var/log",
            "D /var/log/a",
        ],
    );
}

#[test]
fn root_an_added_directory_lists_everything_in_it_and_a_deleted_one_only_itself() {
    require_root!();
    check(
        |root| {
            write(root.join("new/sub/file"), "");
            fs::remove_dir_all(root.join("usr/lib")).expect("removed");
        },
        &["A /new", "A /new/sub", "A /new/sub/file", "C /usr", "D /usr/lib"],
    );
}

#[test]
fn root_paths_sort_bytewise_as_wholes() {
    require_root!();
    check(
        |root| {
            for name in ["a/b", "a-b", "a.d/x", "a0", "a/-", "a-/y", "a-/-z"] {
                write(root.join(name), "");
            }
        },
        &["A /a", "A /a-", "A /a-/-z", "A /a-/y", "A /a-b", "A /a.d", "A /a.d/x", "A /a/-", "A /a/b", "A /a0"],
    );
}

#[test]
fn root_a_modified_directory_comes_before_siblings_that_sort_before_its_content() {
    require_root!();
    check(
        |root| {
            write(root.join("usr/lib-x"), "");
            write(root.join("usr/lib/deep/er/new"), "");
        },
        &["C /usr", "C /usr/lib", "A /usr/lib-x", "C /usr/lib/deep", "C /usr/lib/deep/er", "A /usr/lib/deep/er/new"],
    );
}

#[test]
fn root_rule_30_what_was_copied_up_and_is_as_it_was_is_no_change() {
    require_root!();
    check(
        |root| {
            drop(File::options().append(true).open(root.join("etc/hosts")).expect("copied up"));
            chmod(&root.join("usr/bin/tool"), 0o600);
            chmod(&root.join("usr/bin/tool"), 0o644);
            chmod(&root.join("empty"), 0o700);
            chmod(&root.join("empty"), 0o755);
            fs::write(root.join("var/log/new"), "").expect("written");
            fs::remove_file(root.join("var/log/new")).expect("removed");
        },
        &[],
    );
}

#[test]
fn root_rule_30_each_compared_fact_is_enough_and_times_of_directories_are_not_compared() {
    require_root!();
    check(
        |root| {
            chmod(&root.join("empty"), 0o700);
            chown(root.join("etc/hosts"), Some(1), None).expect("an owner");
            set_xattr(&root.join("usr/bin/tool"), "security.capability", &[&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat());
            set_xattr(&root.join("etc/passwd"), "user.note", b"docker does not look");
            touch(&root.join("var/log/a"), 1, 0);
            touch(&root.join("var/log/b"), 1_600_000_000, 5);
            touch(&root.join("var"), 1, 0);
        },
        &[
            "C /empty",
            "C /etc",
            "C /etc/hosts",
            "C /usr",
            "C /usr/bin",
            "C /usr/bin/tool",
            "C /var",
            "C /var/log",
            "C /var/log/a",
        ],
    );
}

#[test]
fn root_an_edit_whose_time_was_set_back_is_found_by_its_content() {
    require_root!();
    check(
        |root| {
            fs::write(root.join("etc/hosts"), "ETC/HOSTS").expect("the same length");
            touch(&root.join("etc/hosts"), 1_600_000_000, 0);
        },
        &["C /etc", "C /etc/hosts"],
    );
}

#[test]
fn root_rule_33_a_change_of_type_is_one_modification() {
    require_root!();
    check(
        |root| {
            fs::remove_file(root.join("etc/hosts")).expect("removed");
            write(root.join("etc/hosts/now/a-directory"), "");
            fs::remove_dir_all(root.join("usr/lib")).expect("removed");
            write(root.join("usr/lib"), "now a file");
            fs::remove_file(root.join("bin")).expect("removed");
            symlink("usr/sbin", root.join("bin")).expect("a link");
        },
        &[
            "C /bin",
            "C /etc",
            "C /etc/hosts",
            "A /etc/hosts/now",
            "A /etc/hosts/now/a-directory",
            "C /usr",
            "C /usr/lib",
        ],
    );
}

#[test]
fn root_a_directory_made_anew_deletes_only_what_did_not_come_back() {
    require_root!();
    check(
        |root| {
            fs::remove_dir_all(root.join("usr")).expect("removed");
            write(root.join("usr/lib/new"), "");
            write(root.join("usr/lib/deep/other"), "");
            write(root.join("usr/bin/tool"), "usr/bin/tool");
            touch(&root.join("usr/bin/tool"), 1_600_000_000, 0);
        },
        &["C /usr", "C /usr/lib", "C /usr/lib/deep", "D /usr/lib/deep/er", "A /usr/lib/deep/other", "A /usr/lib/new"],
    );
}

#[test]
fn root_renames_are_a_deletion_and_an_addition() {
    require_root!();
    check(
        |root| {
            fs::rename(root.join("etc/hosts"), root.join("etc/renamed")).expect("renamed");
            fs::rename(root.join("etc/passwd"), root.join("var/log/a")).expect("renamed over");
        },
        &["C /etc", "D /etc/hosts", "D /etc/passwd", "A /etc/renamed", "C /var", "C /var/log", "C /var/log/a"],
    );
}

#[test]
fn root_devices_fifos_and_sockets_are_listed() {
    require_root!();
    check(
        |root| {
            node(&root.join("fifo"), FileType::Fifo, 0);
            node(&root.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
            node(&root.join("socket"), FileType::Socket, 0);
        },
        &["A /fifo", "A /null", "A /socket"],
    );
}

#[test]
fn root_a_whiteout_that_hides_nothing_is_no_change() {
    require_root!();
    let layers = Layers::new(1);
    whiteout(&layers.upper().join("never-was"));
    assert_eq!(layers.changes().expect("listed"), [""; 0]);
}

#[test]
fn everything_over_nothing_is_added_and_the_root_is_not_listed() {
    let layers = Layers::new(0);
    write(layers.upper().join("dir/file"), "");
    assert_eq!(layers.changes().expect("listed"), ["A /dir", "A /dir/file"]);
}

#[test]
fn lowers_that_cannot_be_looked_at_are_refused_instead_of_guessed() {
    let layers = Layers::new(0);
    let error =
        changes(open_dir(layers.upper()).expect("open"), &Chain::unknown(Dialect::User)).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn rule_28_a_directory_that_changes_under_the_reader_is_an_error_and_the_end() {
    let layers = Layers::new(0);
    write(layers.upper().join("dir/a"), "");
    write(layers.upper().join("dir/b"), "");
    // The kernel's clock ticks coarsely; what is made in one tick cannot be told from what is changed in it.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let mut changes = changes(open_dir(layers.upper()).expect("open"), &layers.chain()).expect("changes");
    for expected in ["A /dir", "A /dir/a"] {
        assert_eq!(changes.next().expect("one more").expect("no error").to_string(), expected);
    }
    write(layers.upper().join("dir/late"), "");

    let error = changes.find_map(Result::err).expect("noticed");

    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("\"dir\""), "{error}");
    assert!(changes.next().is_none());
}
