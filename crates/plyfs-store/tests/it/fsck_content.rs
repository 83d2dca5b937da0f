//! What a check that reads everything finds in a layer's tree.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use plyfs_store::FindingKind;
use plyfs_testkit::require_root;

use crate::fsck::{Broken, stays};

#[test]
fn root_what_is_wrong_beside_the_contents_is_found_and_left() {
    require_root!();
    // A disk that lost an entry, a copy that lost what is not content.
    stays(FindingKind::ContentWrong, |it| fs::write(it.base.path().join("new"), "").expect("tampered"));
    stays(FindingKind::ContentWrong, |it| {
        fs::set_permissions(it.base.path().join("a"), fs::Permissions::from_mode(0o777)).expect("tampered");
    });
}

#[test]
fn root_a_layer_without_its_tar_split_record_is_held_to_its_size() {
    require_root!();
    let it = Broken::new();
    fs::remove_file(it.store().path().join("tarsplit").join(it.base.id().to_string())).expect("removed");
    fs::write(it.base.path().join("a"), "longer than before").expect("tampered");
    let found: Vec<_> = it.found().iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [FindingKind::TarSplitMissing, FindingKind::ContentWrong]);
}

#[test]
fn root_a_layer_that_was_not_held_to_its_archive_is_not_passed_over() {
    require_root!();
    let it = Broken::new();
    let (base, changed) = (it.base.path(), it.top.path().join("c"));
    fs::set_permissions(changed, fs::Permissions::from_mode(0o777)).expect("tampered");
    fs::rename(&base, base.with_file_name("elsewhere")).expect("renamed");
    fs::write(&base, "no directory").expect("tampered");
    let found = it.found();
    let kinds: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::DirectoryMissing, FindingKind::ContentWrong], "{found:?}");
    let (below, above) = (it.base.id().to_string(), it.top.id().to_string());
    assert!(found[1].subject.contains(&above) && found[1].problem.contains(&below), "{found:?}");
}
