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
