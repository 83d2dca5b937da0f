//! A store that does not open, through the door: what is wrong with it, and how it comes back.

use std::fs;
use std::ptr::{null, null_mut};

use plyfs_capi::*;

use crate::call::{c_path, call, given, text};
use crate::ground::Ground;

/// What a list says of each finding, with what was done; the list belongs to somebody else.
fn told(findings: *const plyfs_findings) -> Vec<(String, Option<String>)> {
    // SAFETY: the list is live and texts are copied.
    let one = |index| unsafe {
        let subject = text(plyfs_findings_subject(findings, index)).expect("each has a subject");
        (subject, text(plyfs_findings_done(findings, index)))
    };
    // SAFETY: the list is live.
    (0..unsafe { plyfs_findings_count(findings) }).map(one).collect()
}

#[test]
fn root_a_lost_part_is_named_by_path_and_made_anew() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let (store, path) = (ground.dir.join("store"), c_path(&ground.dir.join("store")));
    fs::remove_dir(store.join("trash")).expect("it is empty");
    fs::remove_file(store.join("plyfs.toml")).expect("lost");
    // SAFETY: paths are NUL-terminated, outputs writable, lists freed once.
    unsafe {
        let check = || given(|found, err| plyfs_store_check_at(path.as_ptr(), 0, None, null_mut(), found, err));
        let found = check();
        let subjects: Vec<_> = told(found).into_iter().map(|(subject, _)| subject).collect();
        assert_eq!(subjects, ["plyfs.toml", "trash"]);
        plyfs_findings_free(found);

        let acts = given(|acts, err| plyfs_store_restore_parts(path.as_ptr(), acts, err));
        let done: Vec<_> = told(acts).into_iter().filter_map(|(_, done)| done).collect();
        assert_eq!(done, ["written anew, for version 2", "made anew, empty"]);
        plyfs_findings_free(acts);

        let found = check();
        assert_eq!(told(found), []);
        plyfs_findings_free(found);
        plyfs_image_free(ground.image(c"svc:1"));
    }
}

#[test]
fn root_a_lost_journal_is_made_anew_and_what_is_lost_with_it_is_told() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    // SAFETY: the container is live and freed once.
    unsafe { plyfs_container_free(ground.create(c"web-1")) };
    let (store, path) = (ground.dir.join("store"), c_path(&ground.dir.join("store")));
    fs::rename(store.join("journal"), ground.dir.join("lost")).expect("taken");
    // SAFETY: paths are NUL-terminated, outputs writable, accounts freed once and their lists not at all.
    unsafe {
        let rebuilt = given(|rebuilt, err| plyfs_store_rebuild(path.as_ptr(), None, null_mut(), rebuilt, err));
        let found = plyfs_rebuilt_found(rebuilt);
        let kinds: Vec<_> = (0..plyfs_subjects_count(found)).map(|index| plyfs_subjects_kind(found, index)).collect();
        assert_eq!(kinds, [PLYFS_SUBJECT_IMAGE, PLYFS_SUBJECT_LAYER, PLYFS_SUBJECT_LAYER]);
        let image = text(plyfs_subjects_id(found, 0)).expect("it has an id");
        let container = text(plyfs_rebuilt_container(rebuilt, 0)).expect("one was found");
        assert_eq!(text(plyfs_rebuilt_container(rebuilt, 1)), None);
        assert!(text(plyfs_rebuilt_lost(rebuilt, 0)).is_some(), "names are lost");
        assert_eq!(text(plyfs_rebuilt_kept(rebuilt)), None, "there was none");
        assert!(told(plyfs_rebuilt_acts(rebuilt)).iter().all(|(_, done)| done.is_some()));
        assert_eq!(told(plyfs_rebuilt_left(rebuilt)), []);
        plyfs_rebuilt_free(rebuilt);

        let again = given(|store, err| plyfs_store_open(path.as_ptr(), store, err));
        let image = c_path(image.as_ref());
        plyfs_image_free(given(|found, err| plyfs_store_image(again, image.as_ptr(), found, err)));
        let container = c_path(container.as_ref());
        plyfs_container_free(given(|found, err| plyfs_store_container(again, container.as_ptr(), found, err)));
        plyfs_store_free(again);
        let mut none = null_mut();
        let refused = call(|err| plyfs_store_rebuild(path.as_ptr(), None, null_mut(), &mut none, err));
        let refused = refused.expect_err("what is sound is not replaced");
        assert_eq!((refused.status, refused.message.contains("sound")), (PLYFS_ERR_INVALID_INPUT, true));
        fs::write(store.join("journal/head"), "garbage").expect("damaged");
        let rebuilt = given(|rebuilt, err| plyfs_store_rebuild(path.as_ptr(), None, null_mut(), rebuilt, err));
        assert_eq!(text(plyfs_rebuilt_kept(rebuilt)).as_deref(), Some("aside/journal"));
        plyfs_rebuilt_free(rebuilt);
    }
}

#[test]
fn an_account_that_is_null_has_nothing_in_it() {
    // SAFETY: NULL is always allowed.
    unsafe {
        assert!(plyfs_rebuilt_found(null()).is_null());
        assert!(plyfs_rebuilt_acts(null()).is_null() && plyfs_rebuilt_left(null()).is_null());
        assert!(plyfs_rebuilt_container(null(), 0).is_null() && plyfs_rebuilt_lost(null(), 0).is_null());
        assert!(plyfs_rebuilt_kept(null()).is_null());
        plyfs_rebuilt_free(null_mut());
        let mut findings = null_mut();
        let mut rebuilt = null_mut();
        let refused = [
            call(|err| plyfs_store_check_at(null(), 0, None, null_mut(), &mut findings, err)),
            call(|err| plyfs_store_restore_parts(null(), &mut findings, err)),
            call(|err| plyfs_store_rebuild(null(), None, null_mut(), &mut rebuilt, err)),
        ];
        for failed in refused.map(|made| made.expect_err("a path is needed")) {
            assert_eq!((failed.status, failed.message.contains("NULL")), (PLYFS_ERR_INVALID_INPUT, true));
        }
        let place = |status: i32| assert_eq!(status, PLYFS_ERR_INVALID_INPUT, "a place is needed");
        place(plyfs_store_check_at(c"/".as_ptr(), 0, None, null_mut(), null_mut(), null_mut()));
        place(plyfs_store_restore_parts(c"/".as_ptr(), null_mut(), null_mut()));
        place(plyfs_store_rebuild(c"/".as_ptr(), None, null_mut(), null_mut(), null_mut()));
    }
}
