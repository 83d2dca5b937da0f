//! NULL, everywhere it can be given: an error that names it where something is needed, no answer elsewhere.

use std::collections::BTreeSet;
use std::ptr::{null, null_mut};

use plyfs_capi::*;
use plyfs_testkit::temp::TempDir;

use crate::call::{c_path, fails, given, ok};

/// Holds a call to refusing NULL in words.
#[track_caller]
fn refuses(made: impl FnOnce(*mut *mut plyfs_error) -> i32) {
    let message = fails(PLYFS_ERR_INVALID_INPUT, made);
    assert!(message.contains("NULL"), "{message}");
}

/// A store in a new directory.
fn store() -> (TempDir, *mut plyfs_store) {
    let dir = TempDir::new();
    let path = c_path(&dir.join("store"));
    // SAFETY: the path is NUL-terminated and the outputs are writable.
    let store = given(|store, err| unsafe { plyfs_store_ensure(path.as_ptr(), store, err) });
    (dir, store)
}

#[test]
fn every_function_is_called_by_these_tests() {
    let here = [
        include_str!("null.rs"),
        include_str!("life.rs"),
        include_str!("layers.rs"),
        include_str!("options.rs"),
        include_str!("rebuild.rs"),
    ];
    let here = here.concat();
    let called: BTreeSet<_> = here.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for function in include_str!("../../abi.txt").lines() {
        assert!(called.contains(function), "{function} is not called by these tests");
    }
}

#[test]
fn functions_that_need_something_refuse_null() {
    // SAFETY: NULL is always allowed, and the place of the error is writable.
    unsafe {
        refuses(|err| plyfs_store_open(null(), null_mut(), err));
        refuses(|err| plyfs_store_ensure(null(), null_mut(), err));
        refuses(|err| plyfs_store_open_with(null(), 0, null_mut(), err));
        refuses(|err| plyfs_store_open_options(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_info(null(), null_mut(), err));
        refuses(|err| plyfs_store_inspect(null(), null(), null_mut(), null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_untag_from(null(), null(), null(), err));
        refuses(|err| plyfs_store_remove_image_name(null(), null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_prune_with(null(), null(), null_mut(), null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_check(null(), 0, None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_repair(null(), 0, None, null_mut(), null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_lease(null(), 0, 0, null_mut(), err));
        refuses(|err| plyfs_store_open_lease(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_leases(null(), null_mut(), err));
        refuses(|err| plyfs_store_leased(null(), null(), null_mut(), err));
        refuses(|err| plyfs_lease_store(null(), null_mut(), err));
        refuses(|err| plyfs_lease_hold(null(), null(), err));
        refuses(|err| plyfs_lease_hold_image(null(), null(), err));
        refuses(|err| plyfs_lease_renew(null_mut(), 0, err));
        refuses(|err| plyfs_lease_release(null_mut(), err));
        refuses(|err| plyfs_store_layer(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_layers(null(), null_mut(), err));
        refuses(|err| plyfs_store_apply_fd(null(), 0, null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_cached(null(), null(), null(), 0, null_mut(), err));
        refuses(|err| plyfs_store_remove_layer(null(), null(), null_mut(), err));
        refuses(|err| plyfs_layer_get_usage(null(), null_mut(), null_mut(), err));
        refuses(|err| plyfs_layer_users(null(), null_mut(), err));
        refuses(|err| plyfs_layer_archive_fd(null(), 0, null_mut(), err));
        refuses(|err| plyfs_layer_mount(null(), null(), null_mut(), err));
        refuses(|err| plyfs_layer_blob_fd(null(), 0, 0, err));
        refuses(|err| plyfs_container_export_fd_with(null(), 0, null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_layer_view(null(), null_mut(), err));
        refuses(|err| plyfs_image_view(null(), null_mut(), err));
        refuses(|err| plyfs_image_layers(null(), null_mut(), err));
        refuses(|err| plyfs_image_history(null(), null_mut(), err));
        refuses(|err| plyfs_history_get(null(), 0, null_mut(), err));
        refuses(|err| plyfs_container_view(null(), null_mut(), err));
        refuses(|err| plyfs_container_mounted_at(null(), null_mut(), err));
        refuses(|err| plyfs_view_open(null(), null(), 0, null_mut(), err));
        refuses(|err| plyfs_view_stat(null(), null(), 0, null_mut(), err));
        refuses(|err| plyfs_view_read_link(null(), null(), null_mut(), err));
        refuses(|err| plyfs_view_list(null(), null(), 0, null_mut(), err));
        refuses(|err| plyfs_store_load_path_with(null(), null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_load_fd_with(null(), 0, null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_import_path_with(null(), null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_import_fd(null(), 0, null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_save_fd_with(null(), null(), 1, null(), 0, None, null_mut(), err));
        refuses(|err| plyfs_store_save_layout_with(null(), null(), 1, null(), null(), None, null_mut(), err));
        refuses(|err| plyfs_store_image(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_images(null(), null_mut(), err));
        refuses(|err| plyfs_store_container(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_containers(null(), null_mut(), err));
        refuses(|err| plyfs_store_tag(null(), null(), null(), err));
        refuses(|err| plyfs_store_untag(null(), null(), err));
        refuses(|err| plyfs_store_remove_image(null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_prune(null(), 0, null_mut(), err));
        refuses(|err| plyfs_store_reap(null(), null_mut(), err));
        refuses(|err| plyfs_store_get_usage(null(), null_mut(), err));
        refuses(|err| plyfs_store_measure(null(), null_mut(), err));
        refuses(|err| plyfs_store_load_path(null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_load_fd(null(), 0, None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_import_path(null(), null(), null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_save_fd(null(), null(), 1, 1, 0, 0, None, null_mut(), err));
        refuses(|err| plyfs_store_save_layout(null(), null(), 1, 0, null(), None, null_mut(), err));
        refuses(|err| plyfs_store_create(null(), null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_create_with(null(), null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_create_all(null(), null(), null(), 0, null(), null_mut(), err));
        refuses(|err| plyfs_image_layer_count(null(), null_mut(), err));
        refuses(|err| plyfs_image_config(null(), null_mut(), null_mut(), err));
        refuses(|err| plyfs_image_containers(null(), null_mut(), err));
        refuses(|err| plyfs_view_xattrs(null(), null(), 0, null_mut(), err));
        refuses(|err| plyfs_image_get_usage(null(), null_mut(), err));
        refuses(|err| plyfs_container_get_usage(null(), null_mut(), err));
        refuses(|err| plyfs_container_rename(null_mut(), null(), err));
        refuses(|err| plyfs_container_remove(null(), 0, err));
        refuses(|err| plyfs_container_mount(null(), null(), null_mut(), err));
        refuses(|err| plyfs_container_mount_spec(null(), null_mut(), err));
        refuses(|err| plyfs_container_unmount(null(), 0, err));
        refuses(|err| plyfs_container_changes(null(), null_mut(), err));
        refuses(|err| plyfs_container_export_fd(null(), 0, None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_container_commit(null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_changes_next(null_mut(), null_mut(), err));
        refuses(|err| plyfs_mount_unmount(null_mut(), err));
    }
}

#[test]
fn questions_to_null_have_no_answer() {
    // SAFETY: NULL is always allowed.
    unsafe {
        for text in [
            plyfs_error_message(null()),
            plyfs_store_path(null()),
            plyfs_image_id(null()),
            plyfs_image_name(null(), 0),
            plyfs_image_created(null()),
            plyfs_image_architecture(null()),
            plyfs_image_os(null()),
            plyfs_image_skipped(null(), 0),
            plyfs_image_manifest_digest(null()),
            plyfs_store_damage(null(), 0),
            plyfs_info_dialect(null()),
            plyfs_info_file_system(null()),
            plyfs_info_kernel(null(), 0),
            plyfs_layer_id(null()),
            plyfs_layer_parent(null()),
            plyfs_layer_diff_id(null()),
            plyfs_layer_chain_id(null()),
            plyfs_layer_link(null()),
            plyfs_layer_path(null()),
            plyfs_layer_blob(null(), 0),
            plyfs_lease_id(null()),
            plyfs_leases_id(null(), 0),
            plyfs_subjects_id(null(), 0),
            plyfs_subjects_reason(null(), 0),
            plyfs_findings_kind(null(), 0),
            plyfs_findings_subject(null(), 0),
            plyfs_findings_problem(null(), 0),
            plyfs_findings_done(null(), 0),
            plyfs_names_get(null(), 0),
            plyfs_xattrs_name(null(), 0),
            plyfs_container_parent(null()),
            plyfs_container_name(null()),
            plyfs_container_id(null()),
            plyfs_container_image_id(null()),
            plyfs_container_image_name(null()),
            plyfs_container_label_key(null(), 0),
            plyfs_container_label_value(null(), 0),
            plyfs_mount_path(null()),
            plyfs_mount_spec_lower(null(), 0),
            plyfs_mount_spec_upper(null()),
            plyfs_mount_spec_work(null()),
            plyfs_mount_spec_target(null()),
            plyfs_mount_spec_options(null()),
        ] {
            assert!(text.is_null());
        }
        assert_eq!(plyfs_error_kind(null()), PLYFS_OK);
        assert_eq!(plyfs_error_errno(null()), 0);
        assert_eq!(plyfs_images_count(null()), 0);
        assert!(plyfs_images_get(null(), 0).is_null());
        assert_eq!(plyfs_image_name_count(null()), 0);
        assert_eq!(plyfs_containers_count(null()), 0);
        assert!(plyfs_containers_get(null(), 0).is_null());
        assert!(!plyfs_container_is_read_only(null()));
        assert!(!plyfs_store_is_writable(null()) && !plyfs_mount_is_maker(null()));
        assert!(!plyfs_leases_survives(null(), 0) && !plyfs_leases_is_held(null(), 0));
        assert!(plyfs_layers_get(null(), 0).is_null());
        let counts = [plyfs_layers_count(null()), plyfs_history_count(null()), plyfs_leases_count(null())];
        assert_eq!(counts, [0; 3]);
        assert_eq!([plyfs_subjects_count(null()), plyfs_findings_count(null())], [0; 2]);
        assert_eq!([plyfs_image_added(null()), plyfs_container_created(null()), plyfs_layer_created(null())], [0; 3]);
        assert_eq!([plyfs_layer_depth(null()), plyfs_layer_archive_size(null())], [0; 2]);
        assert_eq!([plyfs_lease_expires(null()), plyfs_leases_expires(null(), 0)], [0; 2]);
        assert_eq!([plyfs_subjects_kind(null(), 0), plyfs_findings_severity(null(), 0)], [0; 2]);
        assert_eq!(plyfs_info_version(null()), 0);
    }
}

#[test]
fn every_free_accepts_null() {
    // SAFETY: NULL is always allowed.
    unsafe {
        plyfs_error_free(null_mut());
        plyfs_store_free(null_mut());
        plyfs_images_free(null_mut());
        plyfs_image_free(null_mut());
        plyfs_containers_free(null_mut());
        plyfs_container_free(null_mut());
        plyfs_mount_free(null_mut());
        plyfs_mount_keep(null_mut());
        plyfs_mount_spec_free(null_mut());
        plyfs_changes_free(null_mut());
        plyfs_findings_free(null_mut());
        plyfs_history_free(null_mut());
        plyfs_info_free(null_mut());
        plyfs_layer_free(null_mut());
        plyfs_layers_free(null_mut());
        plyfs_lease_free(null_mut());
        plyfs_leases_free(null_mut());
        plyfs_names_free(null_mut());
        plyfs_subjects_free(null_mut());
        plyfs_text_free(null_mut());
        plyfs_view_free(null_mut());
        plyfs_xattrs_free(null_mut());
    }
}

#[test]
fn an_error_nobody_wants_is_not_made() {
    // SAFETY: NULL is always allowed.
    assert_eq!(unsafe { plyfs_store_open(null(), null_mut(), null_mut()) }, PLYFS_ERR_INVALID_INPUT);
}

#[test]
fn behind_a_store_each_needed_pointer_is_checked_by_itself() {
    let (_dir, store) = store();
    let (mut image, mut images, mut container, mut containers) = (null_mut(), null_mut(), null_mut(), null_mut());
    let (name, nowhere) = (c"svc:1".as_ptr(), c"/no/such/path".as_ptr());
    // SAFETY: the store is live, texts are NUL-terminated, outputs are writable or NULL.
    unsafe {
        refuses(|err| plyfs_store_open(nowhere, null_mut(), err));
        refuses(|err| plyfs_store_image(store, null(), &mut image, err));
        refuses(|err| plyfs_store_image(store, name, null_mut(), err));
        refuses(|err| plyfs_store_images(store, null_mut(), err));
        refuses(|err| plyfs_store_container(store, null(), &mut container, err));
        refuses(|err| plyfs_store_container(store, name, null_mut(), err));
        refuses(|err| plyfs_store_containers(store, null_mut(), err));
        refuses(|err| plyfs_store_tag(store, null(), name, err));
        refuses(|err| plyfs_store_untag(store, null(), err));
        refuses(|err| plyfs_store_remove_image(store, null(), null_mut(), err));
        refuses(|err| plyfs_store_get_usage(store, null_mut(), err));
        refuses(|err| plyfs_store_measure(store, null_mut(), err));
        refuses(|err| plyfs_store_load_path(store, null(), None, null_mut(), &mut images, err));
        refuses(|err| plyfs_store_load_path(store, nowhere, None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_load_fd(store, 0, None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_import_path(store, null(), null(), null(), None, null_mut(), &mut image, err));
        refuses(|err| plyfs_store_import_path(store, nowhere, null(), null(), None, null_mut(), null_mut(), err));
        refuses(|err| plyfs_store_save_fd(store, null(), 1, 1, 0, 0, None, null_mut(), err));
        refuses(|err| plyfs_store_save_fd(store, [null()].as_ptr(), 1, 1, 0, 0, None, null_mut(), err));
        refuses(|err| plyfs_store_save_layout(store, [name].as_ptr(), 1, 0, null(), None, null_mut(), err));
        refuses(|err| plyfs_store_create(store, null(), name, &mut container, err));
        refuses(|err| plyfs_store_create(store, name, null(), null_mut(), err));
        refuses(|err| plyfs_store_create_with(store, null(), null(), null_mut(), err));
        refuses(|err| plyfs_store_create_all(store, null(), [name].as_ptr(), 1, null(), null_mut(), err));
        refuses(|err| plyfs_store_create_all(store, null(), null(), 1, null(), &mut containers, err));
        refuses(|err| plyfs_store_create_all(store, null(), [null()].as_ptr(), 1, null(), &mut containers, err));

        ok(|err| plyfs_store_images(store, &mut images, err));
        ok(|err| plyfs_store_containers(store, &mut containers, err));
        assert_eq!((plyfs_images_count(images), plyfs_containers_count(containers)), (0, 0));
        plyfs_images_free(images);
        plyfs_containers_free(containers);
        plyfs_store_free(store);
    }
    assert!(image.is_null() && container.is_null(), "an output was written by a failed call");
}

#[test]
fn root_behind_containers_and_images_each_needed_pointer_is_checked_by_itself() {
    plyfs_testkit::require_root!();
    let (dir, store) = store();
    let (tree, size) = (c_path(&dir.dir("tree")), size_of::<plyfs_change>());
    let mut change = plyfs_change { size, path: null(), line: null(), kind: 0 };
    let (mut length, mut bytes) = (0, null());
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable or NULL.
    unsafe {
        let image = given(|image, err| {
            plyfs_store_import_path(store, tree.as_ptr(), null(), null(), None, null_mut(), image, err)
        });
        refuses(|err| plyfs_store_tag(store, image, null(), err));
        refuses(|err| plyfs_image_layer_count(image, null_mut(), err));
        refuses(|err| plyfs_image_config(image, null_mut(), &mut length, err));
        refuses(|err| plyfs_image_config(image, &mut bytes, null_mut(), err));
        refuses(|err| plyfs_image_get_usage(image, null_mut(), err));
        assert!((length, bytes) == (0, null()), "an output was written by a failed call");

        let container = given(|made, err| plyfs_store_create_with(store, null(), null(), made, err));
        refuses(|err| plyfs_container_get_usage(container, null_mut(), err));
        refuses(|err| plyfs_container_rename(container, null(), err));
        refuses(|err| plyfs_container_mount(container, null(), null_mut(), err));
        refuses(|err| plyfs_container_mount_spec(container, null_mut(), err));
        refuses(|err| plyfs_container_changes(container, null_mut(), err));
        refuses(|err| plyfs_container_commit(container, null(), None, null_mut(), null_mut(), err));

        let changes = given(|changes, err| plyfs_container_changes(container, changes, err));
        refuses(|err| plyfs_changes_next(changes, null_mut(), err));
        refuses(|err| plyfs_changes_next(null_mut(), &mut change, err));
        plyfs_changes_free(changes);
        plyfs_container_free(container);
        plyfs_image_free(image);
        plyfs_store_free(store);
    }
    assert!(change.path.is_null(), "an output was written by a failed call");
}

#[test]
fn what_is_wrong_but_not_null_is_named() {
    let (_dir, store) = store();
    let name = c"svc:1".as_ptr();
    let mut usage = plyfs_store_usage::from(plyfs::StoreUsage::default());
    usage.size = 0;
    let (mut fresh, mut image) = (null_mut(), null_mut());
    // SAFETY: the store is live, texts are NUL-terminated, outputs are writable.
    let said = unsafe {
        [
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_open_with(c"/".as_ptr(), 64, &mut fresh, err)),
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_image(store, c"\xff".as_ptr(), &mut image, err)),
            fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_store_image(store, name, &mut image, err)),
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_prune(store, 8, null_mut(), err)),
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_get_usage(store, &mut usage, err)),
            fails(PLYFS_ERR_INVALID_INPUT, |err| {
                plyfs_store_save_fd(store, [name].as_ptr(), 1, 3, 0, 0, None, null_mut(), err)
            }),
            fails(PLYFS_ERR_INVALID_INPUT, |err| {
                plyfs_store_save_fd(store, [name].as_ptr(), 1, 1, 9, 0, None, null_mut(), err)
            }),
            fails(PLYFS_ERR_INVALID_INPUT, |err| {
                plyfs_store_save_fd(store, [name].as_ptr(), 1, 1, 0, -1, None, null_mut(), err)
            }),
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_save_fd(store, null(), 0, 1, 0, 0, None, null_mut(), err)),
        ]
    };
    let expected = [
        "unknown flags 0x40",
        "the name of the image is not UTF-8",
        "svc:1",
        "unknown flags 0x8",
        "store usage: its size is 0",
        "3 is no format",
        "9 is no compression",
        "descriptor -1",
        "no image to save",
    ];
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
    // SAFETY: the store is live and used no more.
    unsafe { plyfs_store_free(store) };
}
