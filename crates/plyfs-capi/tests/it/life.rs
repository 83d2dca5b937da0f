//! The life of images and containers through the door, with the promises that only a caller of C sees.

use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_capi::*;
use plyfs_testkit::images;
use plyfs_testkit::temp::{TempDir, mounts_below};

use crate::call::{c_path, call, fails, given, ok, text};
use crate::ground::{Ground, change, mount};

fn changes(container: *const plyfs_container) -> Vec<(i32, String, String)> {
    let mut found = Vec::new();
    let mut change = plyfs_change { size: size_of::<plyfs_change>(), path: null(), line: null(), kind: 0 };
    // SAFETY: the container and the iterator are live, the structure has its size, texts are copied at once.
    unsafe {
        let changes = given(|changes, err| plyfs_container_changes(container, changes, err));
        while call(|err| plyfs_changes_next(changes, &mut change, err)) == Ok(PLYFS_OK) {
            let path = text(change.path).expect("a change has a path");
            found.push((change.kind, path, text(change.line).expect("a change has a line")));
        }
        assert_eq!(call(|err| plyfs_changes_next(changes, &mut change, err)), Ok(PLYFS_DONE), "the end stays the end");
        plyfs_changes_free(changes);
    }
    found
}

#[test]
fn root_a_container_lives_from_its_creation_to_the_image_made_of_it() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    change(container);
    let line = |kind: i32, path: &str, line: &str| (kind, path.to_owned(), line.to_owned());
    let expected = [
        line(PLYFS_CHANGE_MODIFIED, "/app", "C /app"),
        line(PLYFS_CHANGE_MODIFIED, "/app/config.properties", "C /app/config.properties"),
        line(PLYFS_CHANGE_MODIFIED, "/etc", "C /etc"),
        line(PLYFS_CHANGE_DELETED, "/etc/motd", "D /etc/motd"),
    ];
    assert_eq!(changes(container), expected);

    let names = [c"svc:2".as_ptr()];
    let changes = [c"ENV PORT=8080".as_ptr(), c"EXPOSE $PORT".as_ptr()];
    let options = plyfs_commit_options {
        size: size_of::<plyfs_commit_options>(),
        name: names[0],
        message: c"new port".as_ptr(),
        author: null(),
        changes: changes.as_ptr(),
        change_count: changes.len(),
        cache_key: null(),
        cache_key_length: 0,
        flags: 0,
        created: 0,
        clamp_mtime: 0,
    };
    let bad = [c"RUN make".as_ptr()];
    let refused = plyfs_commit_options { changes: bad.as_ptr(), change_count: 1, ..options };
    let older = plyfs_commit_options { size: std::mem::offset_of!(plyfs_commit_options, changes), ..refused };
    let mut out = tempfile::tempfile().expect("a file");
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let image = given(|image, err| plyfs_container_commit(container, &options, None, null_mut(), image, err));
        assert_eq!(text(plyfs_image_name(image, 0)).as_deref(), Some("svc:2"));
        let mut layers = 0;
        ok(|err| plyfs_image_layer_count(image, &mut layers, err));
        assert_eq!(layers, 3);
        let (mut bytes, mut length) = (null(), 0);
        ok(|err| plyfs_image_config(image, &mut bytes, &mut length, err));
        let config = std::slice::from_raw_parts(bytes, length);
        let config = String::from_utf8_lossy(config);
        assert!(config.contains("new port") && config.contains(r#""ExposedPorts":{"8080/tcp":{}}"#), "{config}");
        plyfs_image_free(image);
        let (mut none, mut err) = (null_mut(), null_mut());
        let status = plyfs_container_commit(container, &refused, None, null_mut(), &mut none, &mut err);
        assert_eq!((status, plyfs_error_kind(err)), (PLYFS_ERR_INVALID_INPUT, PLYFS_ERR_INVALID_INPUT));
        assert!(text(plyfs_error_message(err)).expect("words").contains("RUN make"));
        plyfs_error_free(err);
        // A program that was compiled before there were instructions gives none.
        let image = given(|image, err| plyfs_container_commit(container, &older, None, null_mut(), image, err));
        plyfs_image_free(image);

        let format = PLYFS_FORMAT_DOCKER_ARCHIVE;
        let fd = out.as_raw_fd();
        ok(|err| plyfs_store_save_fd(ground.store, names.as_ptr(), 1, format, 0, fd, None, null_mut(), err));
        ok(|err| plyfs_container_remove(container, 0, err));
        ok(|err| plyfs_store_reap(ground.store, null_mut(), err));
        plyfs_container_free(container);
    }
    out.write_all(b"").expect("the descriptor is still the caller's");
    assert!(out.metadata().expect("it is open").len() > 10_240, "an archive was written");
}

#[test]
fn root_an_archive_is_read_from_a_descriptor_and_written_as_a_layout() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let mut archive = File::open(ground.archive()).expect("it was written");
    let layout = ground.dir.join("layout");
    let (path, names) = (c_path(&layout), [c"svc:1".as_ptr()]);
    // SAFETY: handles are live, texts NUL-terminated, outputs writable.
    unsafe {
        let fd = archive.as_raw_fd();
        let images = given(|list, err| plyfs_store_load_fd(ground.store, fd, None, null_mut(), list, err));
        assert_eq!(text(plyfs_image_name(plyfs_images_get(images, 0), 0)).as_deref(), Some("svc:1"));
        assert!(plyfs_images_get(images, 1).is_null());
        assert!(plyfs_image_skipped(plyfs_images_get(images, 0), 0).is_null(), "nothing was skipped");
        plyfs_images_free(images);
        let zstd = PLYFS_COMPRESSION_ZSTD;
        ok(|err| plyfs_store_save_layout(ground.store, names.as_ptr(), 1, zstd, path.as_ptr(), None, null_mut(), err));
        let again = given(|list, err| plyfs_store_load_path(ground.store, path.as_ptr(), None, null_mut(), list, err));
        plyfs_images_free(again);
    }
    assert!(layout.join("oci-layout").is_file());
    archive.rewind().expect("the descriptor is still the caller's");
}

#[test]
fn root_the_exported_changeset_has_the_size_and_digest_it_states() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    change(container);
    let mut out = tempfile::tempfile().expect("a file");
    let mut exported = plyfs_exported { size: size_of::<plyfs_exported>(), bytes: 0, diff_id: [0; PLYFS_DIGEST_SIZE] };
    // SAFETY: the container is live and the structure has its size.
    unsafe {
        ok(|err| plyfs_container_export_fd(container, out.as_raw_fd(), None, null_mut(), &mut exported, err));
        plyfs_container_free(container);
    }
    let mut bytes = Vec::new();
    out.rewind().expect("it can be read again");
    out.read_to_end(&mut bytes).expect("it can be read");
    assert_eq!(exported.bytes, bytes.len() as u64);
    // SAFETY: the library ends the text with a NUL.
    let diff_id = unsafe { text(exported.diff_id.as_ptr()) }.expect("it is there");
    assert_eq!(diff_id, format!("sha256:{}", plyfs_testkit::oci::sha256(&bytes)));
}

/// Counts its calls at `user` and asks to stop.
unsafe extern "C" fn stop(user: *mut c_void, step: *const plyfs_step) -> i32 {
    // SAFETY: the test passes a counter that outlives the call, and the library a step.
    let (calls, step) = unsafe { (&*user.cast::<AtomicU64>(), &*step) };
    assert_eq!(step.size, size_of::<plyfs_step>());
    assert!(!step.stage.is_null() && !step.item.is_null());
    calls.fetch_add(1, Ordering::Relaxed);
    7
}

#[test]
fn root_a_callback_that_does_not_answer_zero_cancels_and_leaves_nothing() {
    plyfs_testkit::require_root!();
    let dir = TempDir::new();
    let (path, archive) = (c_path(&dir.join("store")), c_path(&images::small().oci_archive()));
    let calls = AtomicU64::new(0);
    let user = (&raw const calls).cast_mut().cast();
    let mut images = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, outputs writable, the counter outlives the calls.
    unsafe {
        let store = given(|store, err| plyfs_store_ensure(path.as_ptr(), store, err));
        fails(PLYFS_ERR_CANCELLED, |err| {
            plyfs_store_load_path(store, archive.as_ptr(), Some(stop), user, &mut images, err)
        });
        assert!(images.is_null(), "an output was written by a failed call");
        assert!(calls.load(Ordering::Relaxed) > 0);
        let list = given(|list, err| plyfs_store_images(store, list, err));
        assert_eq!(plyfs_images_count(list), 0);
        plyfs_images_free(list);
        plyfs_store_free(store);
    }
}

#[test]
fn root_a_mount_ends_as_its_handle_says() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    let mounts = || mounts_below(ground.dir.path());
    let (first, path) = mount(container);
    let (second, same) = mount(container);
    assert_eq!(path, same, "a container has one mount");
    // SAFETY: the handles are live and each is consumed once.
    unsafe {
        fails(PLYFS_ERR_IN_USE, |err| plyfs_container_unmount(container, 0, err));
        fails(PLYFS_ERR_IN_USE, |err| plyfs_container_remove(container, 0, err));
        plyfs_mount_free(second);
        assert_eq!(mounts(), std::slice::from_ref(&path), "a guard that did not make the mount leaves it");
        plyfs_mount_free(first);
        assert_eq!(mounts(), Vec::<PathBuf>::new(), "the guard that made the mount ends it");

        let (kept, path) = mount(container);
        plyfs_mount_keep(kept);
        assert_eq!(mounts(), [path]);
        ok(|err| plyfs_container_unmount(container, PLYFS_UNMOUNT_DETACH, err));
        ok(|err| plyfs_container_unmount(container, 0, err));
        assert_eq!(mounts(), Vec::<PathBuf>::new());
        plyfs_container_free(container);
    }
}

#[test]
fn root_a_busy_mount_says_so_and_can_be_ended_later() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    let (mount, path) = mount(container);
    let inside = File::open(path.join("etc")).expect("it is mounted");
    // SAFETY: the handles are live; the mount is consumed by the failed call.
    unsafe {
        fails(PLYFS_ERR_BUSY, |err| plyfs_mount_unmount(mount, err));
        drop(inside);
        ok(|err| plyfs_container_unmount(container, 0, err));
        plyfs_container_free(container);
    }
    assert_eq!(mounts_below(ground.dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn root_mount_options_are_honoured() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    let at = ground.dir.dir("at");
    let place = c_path(&at);
    let size = size_of::<plyfs_mount_options>();
    let options = |flags| plyfs_mount_options { size, flags, at: place.as_ptr() };
    let mut none = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let both = options(PLYFS_MOUNT_READ_ONLY | PLYFS_MOUNT_READ_WRITE);
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_container_mount(container, &both, &mut none, err));
        let unknown = options(1 << 40);
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_container_mount(container, &unknown, &mut none, err));

        let read_only = options(PLYFS_MOUNT_READ_ONLY | PLYFS_MOUNT_NOSUID | PLYFS_MOUNT_NODEV | PLYFS_MOUNT_NOEXEC);
        let mount = given(|mount, err| plyfs_container_mount(container, &read_only, mount, err));
        assert_eq!(text(plyfs_mount_path(mount)).as_deref(), at.to_str());
        let refused = fs::write(at.join("etc/new"), "").expect_err("it is read-only");
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        fails(PLYFS_ERR_IN_USE, |err| {
            let elsewhere = plyfs_mount_options { size, flags: 0, at: c"/".as_ptr() };
            plyfs_container_mount(container, &elsewhere, &mut none, err)
        });
        ok(|err| plyfs_mount_unmount(mount, err));
        plyfs_container_free(container);
    }
    assert!(none.is_null(), "an output was written by a failed call");
}

#[test]
fn root_a_container_is_found_and_says_what_it_was_created_with() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let labels = [c"tier=web".as_ptr(), c"a=b=c".as_ptr()];
    let options = |labels: &[*const std::ffi::c_char]| plyfs_container_options {
        size: size_of::<plyfs_container_options>(),
        flags: PLYFS_CONTAINER_READ_ONLY,
        name: c"web-1".as_ptr(),
        labels: labels.as_ptr(),
        label_count: labels.len(),
        layer: null(),
    };
    let wrong = [c"no-value".as_ptr()];
    let mut none = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let image = c"svc:1".as_ptr();
        fails(PLYFS_ERR_INVALID_INPUT, |err| {
            plyfs_store_create_with(ground.store, image, &options(&wrong), &mut none, err)
        });
        let made = given(|made, err| plyfs_store_create_with(ground.store, image, &options(&labels), made, err));
        let message =
            fails(PLYFS_ERR_EXISTS, |err| plyfs_store_create(ground.store, image, c"web-1".as_ptr(), &mut none, err));
        assert!(message.contains("web-1"), "{message}");

        let found = given(|found, err| plyfs_store_container(ground.store, c"web-1".as_ptr(), found, err));
        assert_eq!(text(plyfs_container_id(found)), text(plyfs_container_id(made)));
        assert_eq!(text(plyfs_container_image_name(found)).as_deref(), Some("svc:1"));
        let image = ground.image(c"svc:1");
        assert_eq!(text(plyfs_container_image_id(found)), text(plyfs_image_id(image)));
        plyfs_image_free(image);
        assert!(plyfs_container_is_read_only(found));
        let label = |n| (text(plyfs_container_label_key(found, n)), text(plyfs_container_label_value(found, n)));
        assert_eq!(label(0), (Some("a".into()), Some("b=c".into())));
        assert_eq!(label(1), (Some("tier".into()), Some("web".into())));
        assert_eq!(label(2), (None, None));

        ok(|err| plyfs_container_rename(found, c"web-2".as_ptr(), err));
        assert_eq!(text(plyfs_container_name(found)).as_deref(), Some("web-2"));
        let list = given(|list, err| plyfs_store_containers(ground.store, list, err));
        assert_eq!(plyfs_containers_count(list), 1);
        assert_eq!(text(plyfs_container_name(plyfs_containers_get(list, 0))).as_deref(), Some("web-2"));
        plyfs_containers_free(list);
        plyfs_container_free(found);
        plyfs_container_free(made);
    }
    assert!(none.is_null(), "an output was written by a failed call");
}

#[test]
fn root_many_containers_are_created_at_once_or_none() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let labels = [c"tier=web".as_ptr()];
    let options = |name| plyfs_container_options {
        size: size_of::<plyfs_container_options>(),
        flags: PLYFS_CONTAINER_READ_ONLY,
        name,
        labels: labels.as_ptr(),
        label_count: 1,
        layer: null(),
    };
    let (image, shared) = (c"svc:1".as_ptr(), options(null()));
    let create = |names: &[&std::ffi::CStr], options: *const plyfs_container_options, list, err| {
        let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the store is live, texts are NUL-terminated, the structure as large as it says, outputs writable.
        unsafe { plyfs_store_create_all(ground.store, image, names.as_ptr(), names.len(), options, list, err) }
    };
    let mut none = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, outputs writable.
    unsafe {
        let made = given(|list, err| create(&[c"web-2", c"web-1", c"web-3"], &shared, list, err));
        assert_eq!(plyfs_containers_count(made), 3);
        for (index, name) in ["web-2", "web-1", "web-3"].iter().enumerate() {
            let container = plyfs_containers_get(made, index);
            assert_eq!(
                text(plyfs_container_name(container)).as_deref(),
                Some(*name),
                "in the order they were asked for"
            );
            assert_eq!(text(plyfs_container_image_name(container)).as_deref(), Some("svc:1"));
            assert_eq!(text(plyfs_container_label_value(container, 0)).as_deref(), Some("web"));
            assert!(plyfs_container_is_read_only(container));
        }
        plyfs_containers_free(made);

        let message = fails(PLYFS_ERR_EXISTS, |err| create(&[c"new", c"web-3"], &shared, &mut none, err));
        assert!(message.contains("web-3"), "{message}");
        let message = fails(PLYFS_ERR_INVALID_INPUT, |err| create(&[c"twice", c"twice"], null(), &mut none, err));
        assert!(message.contains("twice"), "{message}");
        fails(PLYFS_ERR_INVALID_INPUT, |err| create(&[c"new"], &options(c"another".as_ptr()), &mut none, err));
        let many = vec![c"many"; 1025];
        fails(PLYFS_ERR_INVALID_INPUT, |err| create(&many, null(), &mut none, err));
        let empty = given(|list, err| create(&[], null(), list, err));
        assert_eq!(plyfs_containers_count(empty), 0);
        plyfs_containers_free(empty);

        let list = given(|list, err| plyfs_store_containers(ground.store, list, err));
        assert_eq!(plyfs_containers_count(list), 3, "a call that failed made none");
        plyfs_containers_free(list);
    }
    assert!(none.is_null(), "an output was written by a failed call");
}

#[test]
fn root_a_spec_says_how_a_runtime_would_mount() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    // SAFETY: handles are live, outputs writable, texts copied before the spec is freed.
    unsafe {
        let spec = given(|spec, err| plyfs_container_mount_spec(container, spec, err));
        let said = |said| text(said).expect("it is said");
        for index in 0..2 {
            let lower = said(plyfs_mount_spec_lower(spec, index));
            assert!(Path::new(&lower).join(["app", "etc"][index]).is_dir(), "{lower}: layers come uppermost first");
        }
        assert!(plyfs_mount_spec_lower(spec, 2).is_null());
        assert!(Path::new(&said(plyfs_mount_spec_upper(spec))).is_dir());
        assert!(Path::new(&said(plyfs_mount_spec_work(spec))).is_dir());
        assert!(said(plyfs_mount_spec_target(spec)).contains(&said(plyfs_container_id(container))));
        let options = said(plyfs_mount_spec_options(spec));
        for option in ["lowerdir=", "upperdir=", "workdir="] {
            assert!(options.contains(option), "{option} is missing: {options}");
        }
        plyfs_mount_spec_free(spec);
        plyfs_container_free(container);
    }
}

#[test]
fn root_images_are_named_counted_and_removed() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let tree = c_path(&ground.dir.dir("tree"));
    fs::write(ground.dir.join("tree/file"), "content").expect("it is writable");
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let image = ground.image(c"svc:1");
        assert!(plyfs_image_architecture(image).is_null() || text(plyfs_image_architecture(image)).is_some());
        assert_eq!(text(plyfs_image_os(image)).as_deref(), Some("linux"));
        assert!(plyfs_image_created(image).is_null() || text(plyfs_image_created(image)).is_some());
        ok(|err| plyfs_store_tag(ground.store, image, c"svc:new".as_ptr(), err));
        let tagged = ground.image(c"svc:new");
        assert_eq!(plyfs_image_name_count(tagged), 2);
        ok(|err| plyfs_store_untag(ground.store, c"svc:new".as_ptr(), err));
        plyfs_image_free(tagged);
        let mut taken = plyfs_usage::default();
        ok(|err| plyfs_image_get_usage(image, &mut taken, err));
        assert!(taken.inodes > 0);

        let (path, name) = (tree.as_ptr(), c"tree".as_ptr());
        let imported = given(|imported, err| {
            plyfs_store_import_path(ground.store, path, name, image, None, null_mut(), imported, err)
        });
        let mut layers = 0;
        ok(|err| plyfs_image_layer_count(imported, &mut layers, err));
        assert_eq!(layers, 3);

        let container = ground.create(c"web-1");
        change(container);
        let mut own = plyfs_usage::default();
        ok(|err| plyfs_container_get_usage(container, &mut own, err));
        let mut usage = plyfs_store_usage::from(plyfs::StoreUsage::default());
        ok(|err| plyfs_store_get_usage(ground.store, &mut usage, err));
        assert_eq!((usage.images, usage.layers, usage.containers), (2, 3, 1));
        assert_eq!(usage.containers_own, plyfs_usage::default(), "the records do not know it");
        ok(|err| plyfs_store_measure(ground.store, &mut usage, err));
        assert_eq!((usage.containers, usage.containers_own), (1, own));

        let mut pruned = plyfs_pruned::from(&plyfs::Pruned::default());
        ok(|err| plyfs_store_remove_image(ground.store, imported, &mut pruned, err));
        assert_eq!((pruned.images, pruned.layers), (1, 1));
        fails(PLYFS_ERR_IN_USE, |err| plyfs_store_remove_image(ground.store, image, null_mut(), err));
        ok(|err| plyfs_container_remove(container, 0, err));
        ok(|err| plyfs_store_untag(ground.store, c"svc:1".as_ptr(), err));
        ok(|err| plyfs_store_prune(ground.store, PLYFS_PRUNE_ALL, &mut pruned, err));
        assert_eq!((pruned.images, pruned.layers), (1, 2));
        let mut freed = plyfs_usage::default();
        ok(|err| plyfs_store_reap(ground.store, &mut freed, err));
        assert!(freed.inodes > 0, "what was removed is deleted now");
        plyfs_image_free(imported);
        plyfs_image_free(image);
        plyfs_container_free(container);
    }
}

#[test]
fn root_handles_outlive_the_store_they_came_from() {
    plyfs_testkit::require_root!();
    let mut ground = Ground::new();
    let container = ground.create(c"web-1");
    // SAFETY: the store is freed once; the ground is left with NULL.
    unsafe { plyfs_store_free(std::mem::replace(&mut ground.store, null_mut())) };
    change(container);
    assert_eq!(changes(container).len(), 4);
    // SAFETY: the container is live and used no more.
    unsafe { plyfs_container_free(container) };
}

#[test]
fn a_store_opens_as_its_flags_say() {
    let dir = TempDir::new();
    let path = c_path(&dir.join("store"));
    let mut none = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, outputs writable.
    unsafe {
        fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_store_open(path.as_ptr(), &mut none, err));
        assert!(none.is_null(), "an output was written by a failed call");
        let flags = PLYFS_STORE_CREATE | PLYFS_STORE_NO_SYNC;
        plyfs_store_free(given(|store, err| plyfs_store_open_with(path.as_ptr(), flags, store, err)));
        plyfs_store_free(given(|store, err| plyfs_store_open(path.as_ptr(), store, err)));
        let read_only = given(|store, err| plyfs_store_open_with(path.as_ptr(), PLYFS_STORE_READ_ONLY, store, err));
        assert_eq!(text(plyfs_store_path(read_only)).as_deref(), dir.join("store").to_str());
        let untag = |err: *mut *mut plyfs_error| plyfs_store_untag(read_only, c"svc:1".as_ptr(), err);
        fails(PLYFS_ERR_READ_ONLY, untag);
        plyfs_store_free(read_only);
    }
}

#[test]
fn versions_and_statuses_have_names() {
    // SAFETY: both texts belong to the library.
    unsafe {
        assert_eq!(text(plyfs_version()).as_deref(), Some(plyfs::VERSION));
        for (status, name) in [(PLYFS_OK, "Ok"), (PLYFS_ERR_NO_INODES, "NoInodes"), (PLYFS_DONE, "Done"), (77, "Other")]
        {
            assert_eq!(text(plyfs_status_name(status)).as_deref(), Some(name), "{status}");
        }
    }
}
