//! The lowers of a layer, looked through as the kernel would.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use plyfs_diff::{Chain, Dialect, Error, ErrorKind, Found};
use plyfs_testkit::require_root;

use crate::layers::{Layers, chmod, opaque_dir, set_xattr, whiteout, write};

/// What the chain shows at a path, in one line.
fn shown(chain: &Chain, path: &str) -> String {
    match chain.lookup(path).expect("looked up") {
        None => "nothing".to_owned(),
        Some(Found::Directory(merged)) => {
            let parts: Vec<_> = merged.parts().map(|(lower, _)| lower).collect();
            format!("directory of {parts:?}")
        }
        Some(Found::Symlink(entry)) => {
            format!("link to {:?} in {}", entry.read_link().expect("a target"), entry.lower())
        }
        Some(Found::Other(entry)) => format!("file in {}", entry.lower()),
    }
}

#[test]
fn the_uppermost_lower_wins_and_directories_merge() {
    let layers = Layers::new(3);
    write(layers.lower(2).join("dir/below"), "2");
    write(layers.lower(1).join("dir/both"), "1");
    write(layers.lower(2).join("dir/both"), "2");
    write(layers.lower(0).join("dir/above"), "0");
    symlink("dir", layers.lower(1).join("link")).expect("a link");
    let chain = layers.chain();

    for (path, expected) in [
        ("", "directory of [0, 1, 2]"),
        ("dir", "directory of [0, 1, 2]"),
        ("/dir/below", "file in 2"),
        ("dir/both", "file in 1"),
        ("./dir/above", "file in 0"),
        ("link", "link to \"dir\" in 1"),
        ("link/both", "nothing"),
        ("dir/both/x", "nothing"),
        ("none", "nothing"),
    ] {
        assert_eq!(shown(&chain, path), expected, "{path}");
    }
}

#[test]
fn a_path_that_leaves_the_root_is_refused() {
    let error = Chain::empty().lookup("a/../../b").expect_err("left the root");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_empty_chain_shows_an_empty_root() {
    let root = Chain::empty().root().expect("a root");
    assert!(root.uppermost().is_none());
    assert!(root.lookup("anything").expect("looked up").is_none());
    assert!(root.read_dir().expect("listed").is_empty());
}

#[test]
fn root_rules_1_2_and_15_whiteouts_and_opaque_directories_hide_what_is_below() {
    require_root!();
    let layers = Layers::new(3);
    for name in ["file", "marked", "unmarked"] {
        write(layers.lower(2).join("dir").join(name), "2");
    }
    write(layers.lower(2).join("opaque/hidden"), "2");
    write(layers.lower(2).join("replaced/hidden"), "2");
    write(layers.lower(1).join("replaced"), "a file now");
    whiteout(&layers.lower(1).join("dir/file"));
    write(layers.lower(1).join("dir/marked"), "");
    set_xattr(&layers.lower(1).join("dir/marked"), "trusted.overlay.whiteout", b"");
    set_xattr(&layers.lower(1).join("dir"), "trusted.overlay.opaque", b"x");
    opaque_dir(&layers.lower(1).join("opaque"));
    write(layers.lower(0).join("opaque/new"), "0");
    fs::create_dir(layers.lower(0).join("replaced")).expect("a directory");
    let chain = layers.chain();

    for (path, expected) in [
        ("dir/file", "nothing"),
        ("dir/marked", "nothing"),
        ("dir/unmarked", "file in 2"),
        ("opaque", "directory of [0, 1]"),
        ("opaque/hidden", "nothing"),
        ("opaque/new", "file in 0"),
        ("replaced", "directory of [0]"),
        ("replaced/hidden", "nothing"),
    ] {
        assert_eq!(shown(&chain, path), expected, "{path}");
    }
    let Some(Found::Directory(dir)) = chain.lookup("dir").expect("looked up") else { panic!("no directory") };
    assert_eq!(dir.read_dir().expect("listed"), ["unmarked"]);
}

#[test]
fn a_directory_shows_the_attributes_of_its_uppermost_lower() {
    let layers = Layers::new(2);
    for (index, mode) in [(0, 0o1777), (1, 0o700)] {
        fs::create_dir(layers.lower(index).join("tmp")).expect("a directory");
        chmod(&layers.lower(index).join("tmp"), mode);
    }
    let Some(Found::Directory(tmp)) = layers.chain().lookup("tmp").expect("looked up") else { panic!("no directory") };
    assert_eq!(tmp.stat().expect("a status").expect("a lower has it").st_mode & 0o7777, 0o1777);
}

/// Opens a file of the chain and reads it.
fn content(chain: &Chain, path: &str) -> Result<String, Error> {
    let Some(Found::Other(file)) = chain.lookup(path)? else { panic!("no file at {path}") };
    let mut content = String::new();
    fs::File::from(file.open()?).read_to_string(&mut content).expect("read");
    Ok(content)
}

/// What a mount follows that follows all.
const FOLLOWING: &str = "redirect_dir=on,metacopy=on,index=off";

#[test]
fn root_rule_25_a_renamed_directory_shows_what_lies_under_its_old_names() {
    require_root!();
    let mut layers = Layers::new(1);
    write(layers.lower(0).join("a/b/low"), "0");
    write(layers.lower(0).join("c/other"), "0");
    for edits in [&[("a/b", "a/new")][..], &[("a/new", "c/moved"), ("a", "z")], &[("c", "z/c"), ("z/c/moved", "m")]] {
        let merged = layers.mount(FOLLOWING);
        for (from, to) in edits {
            fs::rename(merged.path().join(from), merged.path().join(to)).expect("renamed");
        }
        drop(merged);
        layers.freeze();
    }
    let chain = layers.chain();
    for (path, expected) in [
        ("m/low", "file in 3"),
        ("z/c/other", "file in 3"),
        ("c", "nothing"),
        ("a", "nothing"),
        ("z/c/moved", "nothing"),
    ] {
        assert_eq!(shown(&chain, path), expected, "{path}");
    }
    assert_eq!(content(&chain, "m/low").expect("read"), "0");
}

#[test]
fn root_rule_25_content_is_read_from_the_layer_that_has_it() {
    require_root!();
    let mut layers = Layers::new(1);
    write(layers.lower(0).join("a/file"), "content");
    write(layers.lower(0).join("a/linked"), "linked");
    fs::create_dir(layers.lower(0).join("b")).expect("a directory");
    for step in 0..3 {
        let merged = layers.mount(FOLLOWING);
        let at = |path: &str| merged.path().join(path);
        match step {
            0 => chmod(&at("a/file"), 0o600),
            1 => fs::rename(at("a/file"), at("b/moved")).expect("renamed"),
            _ => {
                chmod(&at("b/moved"), 0o640);
                fs::hard_link(at("a/linked"), at("b/second")).expect("linked");
                fs::rename(at("a"), at("b/a")).expect("renamed");
            }
        }
        drop(merged);
        layers.freeze();
    }
    let chain = layers.chain();
    assert_eq!(shown(&chain, "b/moved"), "file in 0");
    for (path, expected) in [("b/moved", "content"), ("b/second", "linked"), ("b/a/linked", "linked")] {
        assert_eq!(content(&chain, path).expect("read"), expected, "{path}");
    }
}

#[test]
fn root_rule_25_a_redirect_that_is_no_path_is_refused_by_name() {
    require_root!();
    for redirect in ["..", "/../../etc", "a/b", "/", "", "/a//b"] {
        let layers = Layers::new(2);
        for index in 0..2 {
            fs::create_dir_all(layers.lower(index).join("a/moved")).expect("directories");
        }
        set_xattr(&layers.lower(0).join("a/moved"), "trusted.overlay.redirect", redirect.as_bytes());
        let error = layers.chain().lookup("a/moved/x").expect_err("no path");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{redirect}");
        assert!(error.to_string().contains("a/moved"), "{error}");
    }
}

#[test]
fn root_rule_25_below_the_last_lower_a_redirect_has_nothing_to_lead_to() {
    require_root!();
    let layers = Layers::new(2);
    fs::create_dir_all(layers.lower(1).join("a/moved")).expect("directories");
    set_xattr(&layers.lower(1).join("a/moved"), "trusted.overlay.redirect", b"origin");
    assert_eq!(shown(&layers.chain(), "a/moved"), "directory of [1]");
}

#[test]
fn marks_that_anyone_may_set_lead_nowhere() {
    let mut layers = Layers::new(2);
    layers.dialect = Dialect::User;
    write(layers.lower(1).join("secret/file"), "low");
    fs::create_dir(layers.lower(0).join("moved")).expect("a directory");
    set_xattr(&layers.lower(0).join("moved"), "user.overlay.redirect", b"/secret");
    write(layers.lower(0).join("file"), "");
    write(layers.lower(1).join("file"), "low");
    set_xattr(&layers.lower(0).join("file"), "user.overlay.metacopy", b"");
    let chain = layers.chain();
    let error = chain.lookup("moved").expect_err("the kernel follows none either");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("moved"), "{error}");
    assert_eq!(content(&chain, "file").expect_err("nor here").kind(), ErrorKind::Unsupported);
}

#[test]
fn root_rule_25_content_that_no_layer_has_is_not_read_as_zeros() {
    require_root!();
    let layers = Layers::new(2);
    fs::create_dir(layers.lower(1).join("file")).expect("a directory");
    write(layers.lower(0).join("file"), "\0\0\0");
    set_xattr(&layers.lower(0).join("file"), "trusted.overlay.metacopy", b"");
    let error = content(&layers.chain(), "file").expect_err("no content anywhere");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("\"file\""), "{error}");
}
