//! What options ask of loading, saving, importing, opening and pruning.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use plyfs_capi::*;
use plyfs_testkit::temp::TempDir;

use crate::call::{c_path, fails, given, ok, text};
use crate::ground::{Ground, change};

const LOAD: plyfs_load_options = plyfs_load_options {
    size: size_of::<plyfs_load_options>(),
    flags: 0,
    platform: null(),
    timeout_ms: 0,
    zstd_window: 0,
};
const IMPORT: plyfs_import_options = plyfs_import_options {
    size: size_of::<plyfs_import_options>(),
    name: null(),
    parent: null(),
    message: null(),
    changes: null(),
    change_count: 0,
};
const SAVE: plyfs_save_options =
    plyfs_save_options { size: size_of::<plyfs_save_options>(), format: 0, compression: 0, level: 0 };
const PRUNE: plyfs_prune_options = plyfs_prune_options {
    size: size_of::<plyfs_prune_options>(),
    flags: 0,
    added_before: 0,
    images: null(),
    image_count: 0,
    labels: null(),
    label_count: 0,
    without_labels: null(),
    without_label_count: 0,
};
const OPEN: plyfs_store_options = plyfs_store_options { size: size_of::<plyfs_store_options>(), flags: 0, threads: 0 };

/// The ids, kinds and reasons of a list, which is freed.
fn listed(subjects: *mut plyfs_subjects) -> Vec<(i32, String, Option<String>)> {
    // SAFETY: the list is live, freed once, and texts are copied before.
    unsafe {
        let one = |index| {
            let id = text(plyfs_subjects_id(subjects, index)).expect("each has an id");
            (plyfs_subjects_kind(subjects, index), id, text(plyfs_subjects_reason(subjects, index)))
        };
        let all = (0..plyfs_subjects_count(subjects)).map(one).collect();
        plyfs_subjects_free(subjects);
        all
    }
}

/// What the store saves so, as bytes.
fn saved(ground: &Ground, options: *const plyfs_save_options) -> Vec<u8> {
    let mut out = tempfile::tempfile().expect("a file");
    let (names, fd) = ([c"svc:1".as_ptr()], out.as_raw_fd());
    // SAFETY: the store is live, the name NUL-terminated, the structure as large as it says.
    ok(|err| unsafe { plyfs_store_save_fd_with(ground.store, names.as_ptr(), 1, options, fd, None, null_mut(), err) });
    let mut bytes = Vec::new();
    out.rewind().expect("it can be read again");
    out.read_to_end(&mut bytes).expect("it can be read");
    bytes
}

#[test]
fn root_a_platform_nobody_offers_is_refused_and_blobs_are_kept_when_asked() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let archive = c_path(&ground.archive());
    let oci = plyfs_save_options { format: PLYFS_FORMAT_OCI_ARCHIVE, ..SAVE };
    let anew = saved(&ground, &oci);
    let foreign = plyfs_load_options { platform: c"linux/riscv64".as_ptr(), ..LOAD };
    let garbled = plyfs_load_options { platform: c"a/b/c/d".as_ptr(), ..LOAD };
    let unknown = plyfs_load_options { flags: 2, ..LOAD };
    let wide = plyfs_load_options { zstd_window: u64::MAX, ..LOAD };
    let keep = plyfs_load_options { flags: PLYFS_LOAD_KEEP_BLOBS, zstd_window: 27, ..LOAD };
    let mut none = null_mut();
    // SAFETY: the store is live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        for (options, status) in [
            (&foreign, PLYFS_ERR_UNSUPPORTED),
            (&garbled, PLYFS_ERR_INVALID_INPUT),
            (&unknown, PLYFS_ERR_INVALID_INPUT),
            (&wide, PLYFS_ERR_INVALID_INPUT),
        ] {
            fails(status, |err| {
                plyfs_store_load_path_with(ground.store, archive.as_ptr(), options, None, null_mut(), &mut none, err)
            });
        }
        assert!(none.is_null(), "an output was written by a failed call");
        let images = given(|list, err| {
            plyfs_store_load_path_with(ground.store, archive.as_ptr(), &keep, None, null_mut(), list, err)
        });
        plyfs_images_free(images);
        let image = ground.image(c"svc:1");
        let layers = given(|layers, err| plyfs_image_layers(image, layers, err));
        let layer = plyfs_layers_get(layers, 0);
        let mut blob = tempfile::tempfile().expect("a file");
        ok(|err| plyfs_layer_blob_fd(layer, 0, blob.as_raw_fd(), err));
        let mut bytes = Vec::new();
        blob.rewind().and_then(|()| blob.read_to_end(&mut bytes)).expect("it can be read again");
        let digest = format!("sha256:{}", plyfs_testkit::oci::sha256(&bytes));
        assert_eq!((text(plyfs_layer_blob(layer, 0)), text(plyfs_layer_blob(layer, 1))), (Some(digest), None));
        fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_layer_blob_fd(layer, 1, blob.as_raw_fd(), err));
        let hex = text(plyfs_layer_blob(layer, 0)).expect("it is kept").replace("sha256:", "");
        let kept = ground.dir.join("store/blobs/sha256").join(hex);
        fs::write(&kept, "other bytes").expect("it is writable");
        fails(PLYFS_ERR_CORRUPT, |err| plyfs_layer_blob_fd(layer, 0, blob.as_raw_fd(), err));
        fs::write(&kept, bytes).expect("it is writable");
        plyfs_layers_free(layers);
        plyfs_image_free(image);
    }
    // The blobs came from another compressor than this project's.
    assert_ne!(saved(&ground, &oci), anew, "what was kept is saved");
}

#[test]
fn a_pipe_that_gives_nothing_is_given_up_after_the_time_that_was_asked_for() {
    let dir = TempDir::new();
    let path = c_path(&dir.join("store"));
    let (silent, _kept_open) = std::io::pipe().expect("a pipe");
    let options = plyfs_load_options { timeout_ms: 50, ..LOAD };
    let (mut none, begun) = (null_mut(), Instant::now());
    // SAFETY: the store is live and freed once, the structure as large as it says, outputs writable.
    unsafe {
        let store = given(|store, err| plyfs_store_ensure(path.as_ptr(), store, err));
        let message = fails(PLYFS_ERR_TIMED_OUT, |err| {
            plyfs_store_load_fd_with(store, silent.as_raw_fd(), &options, None, null_mut(), &mut none, err)
        });
        assert!(message.contains("descriptor"), "{message}");
        plyfs_store_free(store);
    }
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn root_a_level_changes_how_small_an_archive_is_and_a_wrong_one_is_refused() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let tree = ground.dir.dir("tree");
    let numbers: Vec<u8> = (0..40_000_u32).flat_map(|n| (n * n).to_string().into_bytes()).collect();
    fs::write(tree.join("numbers"), numbers).expect("it is writable");
    let tree = c_path(&tree);
    let named = plyfs_import_options { name: c"svc:1".as_ptr(), ..IMPORT };
    // SAFETY: the store is live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let image = given(|image, err| {
            plyfs_store_import_path_with(ground.store, tree.as_ptr(), &named, None, null_mut(), image, err)
        });
        plyfs_image_free(image);
        let level = |level| plyfs_save_options { compression: PLYFS_COMPRESSION_GZIP, level, ..SAVE };
        assert!(saved(&ground, &level(9)).len() < saved(&ground, &level(1)).len());
        assert_eq!(saved(&ground, &level(6)), saved(&ground, &level(0)));
        assert_eq!(saved(&ground, null()), saved(&ground, &SAVE));
        let (names, out) = ([c"svc:1".as_ptr()], tempfile::tempfile().expect("a file"));
        for wrong in [10, u64::MAX] {
            let wrong = level(wrong);
            fails(PLYFS_ERR_INVALID_INPUT, |err| {
                let fd = out.as_raw_fd();
                plyfs_store_save_fd_with(ground.store, names.as_ptr(), 1, &wrong, fd, None, null_mut(), err)
            });
        }
        let layout = c_path(&ground.dir.join("layout"));
        let formatted = plyfs_save_options { format: PLYFS_FORMAT_OCI_ARCHIVE, ..SAVE };
        let save = |options, err: *mut *mut plyfs_error| {
            let path = layout.as_ptr();
            plyfs_store_save_layout_with(ground.store, names.as_ptr(), 1, options, path, None, null_mut(), err)
        };
        fails(PLYFS_ERR_INVALID_INPUT, |err| save(&formatted, err));
        ok(|err| save(&level(9), err));
    }
    assert!(ground.dir.join("layout/oci-layout").is_file());
}

#[test]
fn root_an_import_says_what_its_options_say() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let tree = ground.dir.dir("tree");
    fs::write(tree.join("file"), "content").expect("it is writable");
    let directory = File::open(&tree).expect("it is there");
    let changes = [c"ENV LEVEL=debug".as_ptr()];
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let parent = ground.image(c"svc:1");
        let options = plyfs_import_options {
            name: c"svc:tree".as_ptr(),
            parent,
            message: c"by hand".as_ptr(),
            changes: changes.as_ptr(),
            change_count: 1,
            ..IMPORT
        };
        let image = given(|image, err| {
            let fd = directory.as_raw_fd();
            plyfs_store_import_fd(ground.store, fd, &options, None, null_mut(), image, err)
        });
        plyfs_image_free(parent);
        let (mut bytes, mut length) = (null(), 0);
        ok(|err| plyfs_image_config(image, &mut bytes, &mut length, err));
        let config = String::from_utf8_lossy(std::slice::from_raw_parts(bytes, length));
        assert!(config.contains("by hand") && config.contains("LEVEL=debug"), "{config}");
        assert!(plyfs_image_added(image) > 0);
        assert!(text(plyfs_image_manifest_digest(image)).is_none_or(|digest| digest.starts_with("sha256:")));

        let history = given(|history, err| plyfs_image_history(image, history, err));
        assert_eq!(plyfs_history_count(history), 3);
        let usage = plyfs_usage::default();
        let mut entry = plyfs_history_entry {
            size: size_of::<plyfs_history_entry>(),
            created: null(),
            created_by: null(),
            author: null(),
            comment: null(),
            layer: null(),
            usage,
        };
        ok(|err| plyfs_history_get(history, 0, &mut entry, err));
        assert_eq!(text(entry.comment).as_deref(), Some("by hand"));
        assert!(text(entry.created_by).is_some() && text(entry.created).is_some() && entry.author.is_null());
        assert!(entry.usage.apparent >= 7);
        let layers = given(|layers, err| plyfs_image_layers(image, layers, err));
        assert_eq!(text(entry.layer), text(plyfs_layer_id(plyfs_layers_get(layers, 0))), "newest and uppermost");
        plyfs_layers_free(layers);
        let message = fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_history_get(history, 3, &mut entry, err));
        assert!(message.contains('3'), "{message}");
        plyfs_history_free(history);
        plyfs_image_free(image);
    }
}

#[test]
fn root_a_prune_takes_what_its_options_let_go_and_names_it() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let image = ground.image(c"svc:1");
        let id = text(plyfs_image_id(image)).expect("it has one");
        ok(|err| plyfs_store_untag_from(ground.store, image, c"svc:1".as_ptr(), err));
        fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_store_untag_from(ground.store, image, c"svc:1".as_ptr(), err));
        let c_id = plyfs_image_id(image);
        let prune = |options: &plyfs_prune_options| {
            let mut pruned = plyfs_pruned::from(&plyfs::Pruned::default());
            let (mut removed, mut held) = (null_mut(), null_mut());
            ok(|err| plyfs_store_prune_with(ground.store, options, &mut pruned, &mut removed, &mut held, err));
            let removed = listed(removed);
            assert_eq!(pruned.images + pruned.layers, removed.len() as u64);
            (removed, listed(held))
        };
        let all = plyfs_prune_options { flags: PLYFS_PRUNE_ALL, ..PRUNE };
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(prune(&plyfs_prune_options { added_before: 1, ..all }), nothing, "nothing is that old");
        assert_eq!(prune(&plyfs_prune_options { flags: PLYFS_PRUNE_ONLY, ..all }), nothing, "none was listed");
        let wrong = plyfs_prune_options { images: &c_id, image_count: 1, ..all };
        let none = null_mut();
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_prune_with(ground.store, &wrong, null_mut(), none, none, err));

        let labels = [c"team=core".as_ptr(), c"tier".as_ptr()];
        let has = plyfs_prune_options { labels: labels.as_ptr(), label_count: 2, ..PRUNE };
        assert_eq!(prune(&has), nothing, "it has neither");
        let wrong = plyfs_prune_options { flags: PLYFS_PRUNE_ONLY, ..has };
        let said = fails(PLYFS_ERR_INVALID_INPUT, |err| {
            plyfs_store_prune_with(ground.store, &wrong, null_mut(), none, none, err)
        });
        assert!(said.contains("PLYFS_PRUNE_ONLY"), "{said}");
        let wrong = plyfs_prune_options { labels: null(), ..has };
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_prune_with(ground.store, &wrong, null_mut(), none, none, err));
        let lacks = plyfs_prune_options {
            flags: PLYFS_PRUNE_DRY_RUN,
            without_labels: labels.as_ptr(),
            without_label_count: 2,
            ..PRUNE
        };
        assert_eq!(prune(&lacks).0.len(), 3, "the image and its layers");

        let dry = plyfs_prune_options { flags: PLYFS_PRUNE_ALL | PLYFS_PRUNE_DRY_RUN, ..PRUNE };
        let (would, _) = prune(&dry);
        assert_eq!(would[0], (PLYFS_SUBJECT_IMAGE, id.clone(), None));
        assert_eq!(would.len(), 3);
        plyfs_image_free(given(|found, err| plyfs_store_image(ground.store, c_id, found, err)));

        let lease = given(|lease, err| plyfs_store_lease(ground.store, 60, 0, lease, err));
        ok(|err| plyfs_lease_hold_image(lease, image, err));
        let (removed, held) = prune(&all);
        assert_eq!(removed, []);
        let lease_id = text(plyfs_lease_id(lease)).expect("it has one");
        let reasons: Vec<_> = held.iter().map(|(_, _, reason)| reason.as_deref().unwrap_or_default()).collect();
        assert!(!reasons.is_empty() && reasons.iter().all(|said| said.contains(&lease_id)), "{reasons:?}");
        ok(|err| plyfs_lease_release(lease, err));

        let only = plyfs_prune_options { flags: PLYFS_PRUNE_ONLY, images: &c_id, image_count: 1, ..PRUNE };
        let (removed, held) = prune(&only);
        assert_eq!((&removed[0].1, removed.len(), held.len()), (&id, 3, 0));
        plyfs_image_free(image);
    }
}

#[test]
fn root_the_last_name_takes_its_image_with_it() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let mut pruned = plyfs_pruned::from(&plyfs::Pruned::default());
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say.
    unsafe {
        let image = ground.image(c"svc:1");
        ok(|err| plyfs_store_tag(ground.store, image, c"svc:too".as_ptr(), err));
        for (name, images) in [(c"svc:1", 0), (c"svc:too", 1)] {
            ok(|err| plyfs_store_remove_image_name(ground.store, image, name.as_ptr(), &mut pruned, err));
            assert_eq!(pruned.images, images, "{name:?}");
        }
        plyfs_image_free(image);
    }
}

#[test]
fn a_store_opens_with_options() {
    let dir = TempDir::new();
    let path = c_path(&dir.join("store"));
    let mut none = null_mut();
    // SAFETY: handles are live and freed once, the path NUL-terminated, structures as large as they say.
    unsafe {
        let create = plyfs_store_options { flags: PLYFS_STORE_CREATE | PLYFS_STORE_SYNC_FILES, threads: -1, ..OPEN };
        let store = given(|store, err| plyfs_store_open_options(path.as_ptr(), &create, store, err));
        assert!(plyfs_store_is_writable(store));
        assert!(plyfs_store_damage(store, 0).is_null());
        let info = given(|info, err| plyfs_store_info(store, info, err));
        assert!(plyfs_info_version(info) > 0);
        assert_eq!(text(plyfs_info_dialect(info)).as_deref(), Some("trusted"));
        assert!(text(plyfs_info_file_system(info)).is_some());
        assert_eq!(plyfs_info_kernel(info, 0).is_null(), !is_root(), "the kernel is asked by root alone");
        plyfs_info_free(info);
        plyfs_store_free(store);

        let unmapped = plyfs_store_options { flags: PLYFS_STORE_UNMAPPED | PLYFS_STORE_READ_ONLY, threads: 2, ..OPEN };
        let store = given(|store, err| plyfs_store_open_options(path.as_ptr(), &unmapped, store, err));
        assert!(!plyfs_store_is_writable(store));
        plyfs_store_free(store);
        plyfs_store_free(given(|store, err| plyfs_store_open_options(path.as_ptr(), null(), store, err)));
        for (flags, threads) in [(0, -2), (PLYFS_STORE_NO_SYNC | PLYFS_STORE_SYNC_FILES, 0), (64, 0)] {
            let wrong = plyfs_store_options { flags, threads, ..OPEN };
            fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_open_options(path.as_ptr(), &wrong, &mut none, err));
        }
    }
}

fn is_root() -> bool {
    // SAFETY: geteuid(2) touches no memory.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn root_a_damaged_journal_is_read_as_far_as_it_is_sound() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let image = ground.image(c"svc:1");
    let path = c_path(&ground.dir.join("store"));
    let salvage = plyfs_store_options { flags: PLYFS_STORE_SALVAGE, ..OPEN };
    // SAFETY: handles are live and freed once, texts NUL-terminated, structures as large as they say.
    unsafe {
        // Behind what is damaged there has to be something sound, else it is taken for what a power cut tore.
        ok(|err| plyfs_store_tag(ground.store, image, c"svc:too".as_ptr(), err));
        plyfs_image_free(image);
        let log = damage(&ground.dir.join("store/journal"));
        let store = given(|store, err| plyfs_store_open_options(path.as_ptr(), &salvage, store, err));
        let said = text(plyfs_store_damage(store, 0)).expect("something is damaged");
        assert!(said.contains(&log), "{said}");
        assert!(!plyfs_store_is_writable(store));
        plyfs_store_free(store);
    }
}

/// Changes a bit of the first commit in a journal; returns the name of its file.
fn damage(journal: &Path) -> String {
    let mut files = fs::read_dir(journal).expect("it is there").map(|entry| entry.expect("it can be read").path());
    let log = files.find(|path| path.extension().is_some_and(|ending| ending == "log")).expect("it has a log");
    let mut bytes = fs::read(&log).expect("it can be read");
    let first = bytes.iter().position(|byte| *byte != 0).expect("it has a commit");
    bytes[first + 100] ^= 1;
    fs::write(&log, bytes).expect("it is writable");
    log.file_name().expect("it has one").to_string_lossy().into_owned()
}

#[test]
fn root_an_export_has_the_style_and_the_times_asked_for() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    change(container);
    let export = |flags| {
        let options = plyfs_export_options { size: size_of::<plyfs_export_options>(), flags, clamp_mtime: 86_400 };
        let size = size_of::<plyfs_exported>();
        let mut exported = plyfs_exported { size, bytes: 0, diff_id: [0; PLYFS_DIGEST_SIZE] };
        let out = tempfile::tempfile().expect("a file");
        // SAFETY: the container is live and the structures are as large as they say.
        unsafe {
            let fd = out.as_raw_fd();
            ok(|err| plyfs_container_export_fd_with(container, fd, &options, None, null_mut(), &mut exported, err));
            text(exported.diff_id.as_ptr()).expect("it is there")
        }
    };
    assert_eq!(export(0), export(0));
    assert_ne!(export(PLYFS_EXPORT_CLAMP_MTIME), export(0));
    let both = PLYFS_EXPORT_CLAMP_MTIME | PLYFS_EXPORT_CONTAINERD;
    assert_eq!(export(both), export(both));
    let unknown = plyfs_export_options { size: size_of::<plyfs_export_options>(), flags: 4, clamp_mtime: 0 };
    // SAFETY: the container is live until it is freed.
    unsafe {
        fails(PLYFS_ERR_INVALID_INPUT, |err| {
            plyfs_container_export_fd_with(container, 1, &unknown, None, null_mut(), null_mut(), err)
        });
        plyfs_container_free(container);
    }
}

#[test]
fn root_a_commit_states_the_time_it_was_told_and_is_found_by_its_key() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    change(container);
    let key = b"COPY app\0sha256:1";
    let options = plyfs_commit_options {
        size: size_of::<plyfs_commit_options>(),
        name: c"svc:2".as_ptr(),
        message: null(),
        author: null(),
        changes: null(),
        change_count: 0,
        cache_key: key.as_ptr(),
        cache_key_length: key.len(),
        flags: PLYFS_COMMIT_CREATED | PLYFS_COMMIT_CLAMP_MTIME,
        created: 86_400,
        clamp_mtime: 0,
    };
    let unknown = plyfs_commit_options { flags: 4, ..options };
    let far = plyfs_commit_options { created: i64::MAX, ..options };
    let mut none = null_mut();
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        for wrong in [&unknown, &far] {
            fails(PLYFS_ERR_INVALID_INPUT, |err| {
                plyfs_container_commit(container, wrong, None, null_mut(), &mut none, err)
            });
        }
        let image = given(|image, err| plyfs_container_commit(container, &options, None, null_mut(), image, err));
        assert_eq!(text(plyfs_image_created(image)).as_deref(), Some("1970-01-02T00:00:00Z"));
        let layers = given(|layers, err| plyfs_image_layers(image, layers, err));
        let parent = given(|layer, err| plyfs_store_layer(ground.store, plyfs_container_parent(container), layer, err));
        let cached = given(|layer, err| plyfs_store_cached(ground.store, parent, key.as_ptr(), key.len(), layer, err));
        assert_eq!(text(plyfs_layer_id(cached)), text(plyfs_layer_id(plyfs_layers_get(layers, 0))));
        let mut missing = cached;
        ok(|err| plyfs_store_cached(ground.store, null(), key.as_ptr(), key.len(), &mut missing, err));
        assert!(missing.is_null(), "upon nothing there is no such layer");
        plyfs_layer_free(cached);
        plyfs_layer_free(parent);
        plyfs_layers_free(layers);
        plyfs_image_free(image);
        plyfs_container_free(container);
    }
    assert!(none.is_null(), "an output was written by a failed call");
}
