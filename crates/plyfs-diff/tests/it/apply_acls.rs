//! Default access lists, which the kernel gives to what is made in a directory: an archive's never reach what has none.

use std::fs;
use std::path::Path;

use plyfs_diff::{ApplyOptions, Chain, apply};
use plyfs_sys::fs::open_dir;
use plyfs_sys::xattr;
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use tar::{Builder, EntryType, Header};

use crate::stack::mode;

const DEFAULT: &str = "system.posix_acl_default";
const ACCESS: &str = "system.posix_acl_access";

/// A list as the kernel keeps it: user 1000 may do everything that the mask of `group` allows.
fn list(group: u16) -> Vec<u8> {
    plyfs_testkit::acl::acl(group, group, 0)
}

/// An archive of these paths, directories ending in a slash, those before an exclamation mark with a default list.
fn archive(paths: &[&str]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for path in paths {
        let path = match path.strip_suffix('!') {
            Some(path) => {
                let (key, value) = (format!("SCHILY.xattr.{DEFAULT}"), list(7));
                tar.append_pax_extensions([(key.as_str(), value.as_slice())]).expect("a list");
                path
            }
            None => path,
        };
        let is_directory = path.ends_with('/');
        let mut header = Header::new_ustar();
        header.set_entry_type(if is_directory { EntryType::Directory } else { EntryType::Regular });
        header.set_mode(if is_directory { 0o770 } else { 0o660 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(0);
        tar.append_data(&mut header, path, &[][..]).expect("an entry");
    }
    tar.into_inner().expect("an archive")
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    xattr::get(fs::File::open(path).expect("opened"), name).expect("read")
}

fn apply_to(layer: &Path, paths: &[&str]) {
    let archive = archive(paths);
    apply(archive.as_slice(), open_dir(layer).expect("opened"), &Chain::empty(), &ApplyOptions::new(), None)
        .expect("applied");
}

#[test]
fn root_a_directorys_default_list_is_its_own_alone() {
    require_root!();
    let temp = TempDir::new();
    let deep = "deep/".repeat(70);
    let far = [format!("listed/{deep}"), format!("listed/{deep}file")];
    apply_to(
        temp.path(),
        &[
            "listed/!",
            "listed/secret",
            "listed/sub/",
            "listed/sub/file",
            "listed/implied/file",
            &far[0],
            &far[1],
            "listed/after-the-deep",
            "other/",
            "other/file",
            "listed/again",
            "other/",
            "listed/once-more/",
        ],
    );
    assert_eq!(get(&temp.join("listed"), DEFAULT), Some(list(7)));
    let mut looked = 0;
    let mut dirs = vec![temp.path().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("listed") {
            let path = entry.expect("an entry").path();
            looked += 1;
            assert_eq!(get(&path, ACCESS), None, "{}", path.display());
            assert_eq!(get(&path, DEFAULT).is_some(), path.ends_with("listed"), "{}", path.display());
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    assert_eq!(looked, 12 + 70, "all of them");
    assert_eq!(mode(temp.join("listed/secret")), 0o660);
    let times = fs::metadata(temp.join("listed")).and_then(|status| status.modified()).expect("a time");
    assert_eq!(times, std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000), "set after the list");
}

#[test]
fn root_a_directory_that_is_described_anew_has_the_later_list_or_none() {
    require_root!();
    let temp = TempDir::new();
    apply_to(temp.path(), &["a/!", "b/", "a/", "a/file", "b/!", "b/file"]);
    assert_eq!((get(&temp.join("a"), DEFAULT), get(&temp.join("b"), DEFAULT)), (None, Some(list(7))));
    assert_eq!((get(&temp.join("a/file"), ACCESS), get(&temp.join("b/file"), ACCESS)), (None, None));
}

#[test]
fn root_a_layer_has_nothing_of_the_lists_of_where_it_is_made() {
    require_root!();
    let temp = TempDir::new();
    xattr::set(open_dir(temp.path()).expect("opened"), DEFAULT, &list(5)).expect("a list");
    let layer = temp.join("layer");
    fs::create_dir(&layer).expect("made");
    assert!(get(&layer, DEFAULT).is_some() && get(&layer, ACCESS).is_some(), "inherited");
    apply_to(&layer, &["dir/", "dir/file"]);
    for path in ["", "dir", "dir/file"] {
        let path = layer.join(path);
        assert_eq!((get(&path, DEFAULT), get(&path, ACCESS)), (None, None), "{}", path.display());
    }
}
