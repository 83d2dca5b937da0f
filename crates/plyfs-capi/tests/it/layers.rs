//! Layers, leases, views and checks through the door.

use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use plyfs_capi::*;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::temp::mounts_below;

use crate::call::{c_path, fails, given, ok, text};
use crate::ground::{Ground, change, mount};

/// The uppermost layer of `svc:1`.
fn top(ground: &Ground) -> *mut plyfs_layer {
    let image = ground.image(c"svc:1");
    // SAFETY: handles are live and freed once, texts copied or used before, outputs writable.
    unsafe {
        let layers = given(|layers, err| plyfs_image_layers(image, layers, err));
        assert_eq!(plyfs_layers_count(layers), 2);
        let id = plyfs_layer_id(plyfs_layers_get(layers, 0));
        let found = given(|layer, err| plyfs_store_layer(ground.store, id, layer, err));
        plyfs_layers_free(layers);
        plyfs_image_free(image);
        found
    }
}

#[test]
fn root_a_layer_says_what_it_is_and_what_stands_on_it() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let layer = top(&ground);
    let mut out = tempfile::tempfile().expect("a file");
    let mut exported = plyfs_exported { size: size_of::<plyfs_exported>(), bytes: 0, diff_id: [0; PLYFS_DIGEST_SIZE] };
    // SAFETY: handles are live, structures as large as they say, texts copied before they go.
    unsafe {
        let said = |said| text(said).expect("it is said");
        let digests = [plyfs_layer_diff_id(layer), plyfs_layer_chain_id(layer)].map(said);
        assert!(digests.iter().all(|digest| digest.starts_with("sha256:")) && digests[0] != digests[1], "{digests:?}");
        assert_eq!(said(plyfs_layer_link(layer)).len(), 26);
        assert_eq!(plyfs_layer_depth(layer), 2);
        assert!(plyfs_layer_created(layer) > 0);
        assert!(Path::new(&said(plyfs_layer_path(layer))).join("app/config.properties").is_file());
        let parent = given(|found, err| plyfs_store_layer(ground.store, plyfs_layer_parent(layer), found, err));
        assert!(plyfs_layer_parent(parent).is_null());
        let (mut own, mut chain, mut below) = Default::default();
        ok(|err| plyfs_layer_get_usage(layer, &mut own, &mut chain, err));
        ok(|err| plyfs_layer_get_usage(parent, &mut below, null_mut(), err));
        assert_eq!(own.apparent + below.apparent, chain.apparent);

        let users = given(|users, err| plyfs_layer_users(parent, users, err));
        assert_eq!((plyfs_subjects_count(users), plyfs_subjects_kind(users, 0)), (1, PLYFS_SUBJECT_LAYER));
        assert_eq!(text(plyfs_subjects_id(users, 0)), text(plyfs_layer_id(layer)));
        plyfs_subjects_free(users);

        ok(|err| plyfs_layer_archive_fd(layer, out.as_raw_fd(), &mut exported, err));
        assert_eq!(plyfs_layer_archive_size(layer), exported.bytes);
        assert_eq!(text(exported.diff_id.as_ptr()), text(plyfs_layer_diff_id(layer)));
        plyfs_layer_free(parent);
        plyfs_layer_free(layer);
    }
    let mut bytes = Vec::new();
    out.rewind().and_then(|()| out.read_to_end(&mut bytes)).expect("it can be read again");
    let came = LayerTar::new().dir("app").file("app/config.properties", "port=80\n").finish();
    assert_eq!(bytes, came, "the archive as it came");
}

#[test]
fn root_a_changeset_becomes_a_layer_that_is_mounted_stood_on_and_removed() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let mut changeset = tempfile::tempfile().expect("a file");
    changeset.write_all(&LayerTar::new().file("new", "content").finish()).expect("it is writable");
    changeset.rewind().expect("it is a file");
    let at = ground.dir.dir("at");
    let place = c_path(&at);
    let base = top(&ground);
    // SAFETY: handles are live, texts NUL-terminated, structures as large as they say, outputs writable.
    unsafe {
        let fd = changeset.as_raw_fd();
        let layer = given(|layer, err| plyfs_store_apply_fd(ground.store, fd, base, None, null_mut(), layer, err));
        assert_eq!(text(plyfs_layer_parent(layer)), text(plyfs_layer_id(base)));
        let all = given(|layers, err| plyfs_store_layers(ground.store, layers, err));
        assert_eq!(plyfs_layers_count(all), 3);
        plyfs_layers_free(all);

        let mount = given(|mount, err| plyfs_layer_mount(layer, place.as_ptr(), mount, err));
        assert!(plyfs_mount_is_maker(mount));
        assert_eq!(fs::read_to_string(at.join("new")).expect("it is visible"), "content");
        assert!(at.join("etc/motd").is_file());
        fails(PLYFS_ERR_IN_USE, |err| plyfs_store_remove_layer(ground.store, layer, null_mut(), err));
        ok(|err| plyfs_mount_unmount(mount, err));

        let options = plyfs_container_options {
            size: size_of::<plyfs_container_options>(),
            flags: 0,
            name: c"on-layer".as_ptr(),
            labels: null(),
            label_count: 0,
            layer,
        };
        let mut none = null_mut();
        let message = fails(PLYFS_ERR_INVALID_INPUT, |err| {
            plyfs_store_create_with(ground.store, c"svc:1".as_ptr(), &options, &mut none, err)
        });
        assert!(message.contains("beside an image"), "{message}");
        let container = given(|made, err| plyfs_store_create_with(ground.store, null(), &options, made, err));
        assert_eq!(text(plyfs_container_parent(container)), text(plyfs_layer_id(layer)));
        assert!(plyfs_container_image_id(container).is_null());
        assert!(plyfs_container_created(container) > 0);
        fails(PLYFS_ERR_IN_USE, |err| plyfs_store_remove_layer(ground.store, layer, null_mut(), err));
        ok(|err| plyfs_container_remove(container, 0, err));
        plyfs_container_free(container);

        let mut pruned = plyfs_pruned::from(&plyfs::Pruned::default());
        ok(|err| plyfs_store_remove_layer(ground.store, layer, &mut pruned, err));
        assert_eq!(pruned.layers, 1);
        plyfs_layer_free(layer);
        plyfs_layer_free(base);
    }
    assert_eq!(mounts_below(ground.dir.path()), Vec::<PathBuf>::new());
}

/// Asks to stop once it was asked.
unsafe extern "C" fn stop(_: *mut c_void, _: *const plyfs_step) -> i32 {
    1
}

#[test]
fn root_a_changeset_or_a_tree_that_stalls_is_given_up_when_the_callback_says_so() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let (silent, _kept_open) = std::io::pipe().expect("a pipe");
    let (fd, mut layer, mut image) = (silent.as_raw_fd(), null_mut(), null_mut());
    // SAFETY: the store is live and outputs are writable.
    unsafe {
        fails(PLYFS_ERR_CANCELLED, |err| {
            plyfs_store_apply_fd(ground.store, fd, null(), Some(stop), null_mut(), &mut layer, err)
        });
        fails(PLYFS_ERR_CANCELLED, |err| {
            plyfs_store_import_fd(ground.store, fd, null(), Some(stop), null_mut(), &mut image, err)
        });
    }
    assert!(layer.is_null() && image.is_null(), "an output was written by a failed call");
}

#[test]
fn root_a_lease_keeps_what_is_made_under_it_until_it_ends() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let mut changeset = tempfile::tempfile().expect("a file");
    changeset.write_all(&LayerTar::new().file("new", "content").finish()).expect("it is writable");
    changeset.rewind().expect("it is a file");
    let layers = || {
        let mut usage = plyfs_store_usage::from(plyfs::StoreUsage::default());
        // SAFETY: the store is live and the structure as large as it says.
        ok(|err| unsafe { plyfs_store_prune(ground.store, 0, null_mut(), err) });
        // SAFETY: as before.
        ok(|err| unsafe { plyfs_store_get_usage(ground.store, &mut usage, err) });
        usage.layers
    };
    let mut none = null_mut();
    // SAFETY: handles are live and consumed once, texts NUL-terminated, outputs writable.
    unsafe {
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_lease(ground.store, 60, 2, &mut none, err));
        let lease = given(|lease, err| plyfs_store_lease(ground.store, 60, PLYFS_LEASE_SURVIVES, lease, err));
        let under = given(|store, err| plyfs_lease_store(lease, store, err));
        let layer = given(|layer, err| {
            plyfs_store_apply_fd(under, changeset.as_raw_fd(), null(), None, null_mut(), layer, err)
        });
        plyfs_store_free(under);
        assert_eq!(layers(), 3, "nothing stands on the third, and yet it stays");
        let base = top(&ground);
        ok(|err| plyfs_lease_hold(lease, base, err));

        let before = plyfs_lease_expires(lease);
        ok(|err| plyfs_lease_renew(lease, 6000, err));
        assert!(plyfs_lease_expires(lease) >= before + 5000);
        let id = std::ffi::CString::new(text(plyfs_lease_id(lease)).expect("it has one")).expect("no NUL");
        fails(PLYFS_ERR_IN_USE, |err| plyfs_store_open_lease(ground.store, id.as_ptr(), &mut none, err));
        let listed = |is_held| {
            let leases = given(|leases, err| plyfs_store_leases(ground.store, leases, err));
            assert_eq!(plyfs_leases_count(leases), 1);
            assert_eq!(text(plyfs_leases_id(leases, 0)).as_deref(), id.to_str().ok());
            assert!(plyfs_leases_expires(leases, 0) >= before + 5000);
            assert_eq!((plyfs_leases_survives(leases, 0), plyfs_leases_is_held(leases, 0)), (true, is_held));
            plyfs_leases_free(leases);
        };
        listed(true);
        plyfs_lease_free(lease);
        listed(false);
        assert_eq!(layers(), 3, "it survived its holder");

        let leased = given(|leased, err| plyfs_store_leased(ground.store, id.as_ptr(), leased, err));
        let kept: Vec<_> = (0..2).map(|index| text(plyfs_subjects_id(leased, index))).collect();
        assert!(kept.contains(&text(plyfs_layer_id(layer))) && kept.contains(&text(plyfs_layer_id(base))), "{kept:?}");
        plyfs_subjects_free(leased);
        plyfs_layer_free(base);
        plyfs_layer_free(layer);

        let again = given(|lease, err| plyfs_store_open_lease(ground.store, id.as_ptr(), lease, err));
        ok(|err| plyfs_lease_release(again, err));
        assert_eq!(layers(), 2, "it ended");
        fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_store_open_lease(ground.store, id.as_ptr(), &mut none, err));
    }
    assert!(none.is_null(), "an output was written by a failed call");
}

#[test]
fn root_a_view_shows_the_merged_tree_without_a_mount() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let container = ground.create(c"web-1");
    change(container);
    let (file, motd, config) = (c"/app/config.properties".as_ptr(), c"/etc/motd".as_ptr(), c"/app/link".as_ptr());
    let (mounted, root) = mount(container);
    std::os::unix::fs::symlink("config.properties", root.join("app/link")).expect("it is writable");
    let changed = c_path(&root.join("app/config.properties"));
    // SAFETY: the texts are NUL-terminated and the value has three bytes.
    let set = unsafe { libc::setxattr(changed.as_ptr(), c"user.odd".as_ptr(), b"a\0b".as_ptr().cast(), 3, 0) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    let mut at = null_mut();
    // SAFETY: handles are live and consumed once, texts NUL-terminated, structures as large as they say.
    unsafe {
        ok(|err| plyfs_container_mounted_at(container, &mut at, err));
        assert_eq!(text(at).as_deref(), root.to_str());
        plyfs_text_free(at);
        ok(|err| plyfs_mount_unmount(mounted, err));
        ok(|err| plyfs_container_mounted_at(container, &mut at, err));
        assert!(at.is_null());

        let view = given(|view, err| plyfs_container_view(container, view, err));
        let mut fd = -1;
        let read = |fd| {
            let mut content = String::new();
            // The descriptor is this test's to close.
            File::from_raw_fd(fd).read_to_string(&mut content).expect("it can be read");
            content
        };
        ok(|err| plyfs_view_open(view, config, 0, &mut fd, err));
        assert_eq!(read(fd), "port=81\n", "the link was followed");
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_view_open(view, config, PLYFS_VIEW_NOFOLLOW, &mut fd, err));
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_view_open(view, config, 8, &mut fd, err));
        fails(PLYFS_ERR_NOT_FOUND, |err| plyfs_view_open(view, motd, 0, &mut fd, err));

        let mut stat: plyfs_file_stat = std::mem::zeroed();
        stat.size = size_of::<plyfs_file_stat>();
        ok(|err| plyfs_view_stat(view, file, 0, &mut stat, err));
        assert_eq!((stat.mode & libc::S_IFMT, stat.length, stat.links, stat.layer), (libc::S_IFREG, 8, 1, 0));
        ok(|err| plyfs_view_stat(view, config, PLYFS_VIEW_NOFOLLOW, &mut stat, err));
        assert_eq!(stat.mode & libc::S_IFMT, libc::S_IFLNK);
        ok(|err| plyfs_view_read_link(view, config, &mut at, err));
        assert_eq!(text(at).as_deref(), Some("config.properties"));
        plyfs_text_free(at);

        let (xattrs, mut length) = (given(|xattrs, err| plyfs_view_xattrs(view, config, 0, xattrs, err)), 0);
        assert_eq!(text(plyfs_xattrs_name(xattrs, 0)).as_deref(), Some("user.odd"), "the link was followed");
        let value = plyfs_xattrs_value(xattrs, 0, &mut length).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(value, length), b"a\0b");
        assert!(!plyfs_xattrs_value(xattrs, 0, null_mut()).is_null());
        assert!(plyfs_xattrs_name(xattrs, 1).is_null() && plyfs_xattrs_value(xattrs, 1, &mut length).is_null());
        assert_eq!(length, 0);
        plyfs_xattrs_free(xattrs);
        let xattrs = given(|xattrs, err| plyfs_view_xattrs(view, config, PLYFS_VIEW_NOFOLLOW, xattrs, err));
        assert!(plyfs_xattrs_name(xattrs, 0).is_null(), "of the link itself");
        plyfs_xattrs_free(xattrs);

        let names = given(|names, err| plyfs_view_list(view, c"/app".as_ptr(), 0, names, err));
        let listed: Vec<_> = (0..3).map(|index| text(plyfs_names_get(names, index))).collect();
        assert_eq!(listed, [Some("config.properties".into()), Some("link".into()), None]);
        plyfs_names_free(names);
        plyfs_view_free(view);

        let image = ground.image(c"svc:1");
        let made = given(|made, err| plyfs_image_containers(image, made, err));
        assert_eq!((plyfs_subjects_count(made), plyfs_subjects_kind(made, 0)), (1, PLYFS_SUBJECT_CONTAINER));
        assert_eq!(text(plyfs_subjects_id(made, 0)), text(plyfs_container_id(container)));
        plyfs_subjects_free(made);
        let view = given(|view, err| plyfs_image_view(image, view, err));
        ok(|err| plyfs_view_open(view, motd, 0, &mut fd, err));
        assert_eq!(read(fd), "hello\n");
        plyfs_view_free(view);
        plyfs_image_free(image);
        let layer = top(&ground);
        let view = given(|view, err| plyfs_layer_view(layer, view, err));
        ok(|err| plyfs_view_stat(view, motd, 0, &mut stat, err));
        assert_eq!((stat.length, stat.layer), (6, 1));
        plyfs_view_free(view);
        plyfs_layer_free(layer);
        plyfs_container_free(container);
    }
}

#[test]
fn root_a_check_names_what_is_wrong_and_a_repair_says_what_it_did() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let layer = top(&ground);
    let mut unwritten = null_mut();
    // SAFETY: handles are live and freed once, texts copied before they go, outputs writable.
    unsafe {
        let check = |flags| given(|found, err| plyfs_store_check(ground.store, flags, None, null_mut(), found, err));
        let whole = check(PLYFS_CHECK_DATA);
        assert_eq!(plyfs_findings_count(whole), 0);
        plyfs_findings_free(whole);
        fails(PLYFS_ERR_INVALID_INPUT, |err| plyfs_store_check(ground.store, 2, None, null_mut(), &mut unwritten, err));

        let link = text(plyfs_layer_link(layer)).expect("it has one");
        let tree = PathBuf::from(text(plyfs_layer_path(layer)).expect("it has one"));
        let driver = tree.ancestors().nth(2).expect("it lies in the driver home");
        fs::remove_file(driver.join("l").join(&link)).expect("it is there");
        let found = check(0);
        let said = |of: unsafe extern "C" fn(_, _) -> _| text(of(found.cast_const(), 0));
        assert_eq!(said(plyfs_findings_kind).as_deref(), Some("short-link-missing"));
        assert!(
            said(plyfs_findings_subject).is_some_and(|subject| subject.contains(&link) || subject.contains("layer"))
        );
        assert!(said(plyfs_findings_problem).is_some() && said(plyfs_findings_done).is_none());
        assert!((PLYFS_SEVERITY_NOTE..=PLYFS_SEVERITY_ERROR).contains(&plyfs_findings_severity(found, 0)));
        plyfs_findings_free(found);

        let (mut acts, mut left) = (null_mut(), null_mut());
        ok(|err| plyfs_store_repair(ground.store, 0, None, null_mut(), &mut acts, &mut left, err));
        assert_eq!((plyfs_findings_count(acts), plyfs_findings_count(left)), (1, 0));
        assert!(text(plyfs_findings_done(acts, 0)).is_some());
        plyfs_findings_free(acts);
        plyfs_findings_free(left);
        plyfs_layer_free(layer);
    }
    assert!(unwritten.is_null(), "an output was written by a failed call");
}

#[test]
fn root_a_name_is_a_container_then_an_image_then_a_layer() {
    plyfs_testkit::require_root!();
    let ground = Ground::new();
    let (made, base) = (ground.create(c"web-1"), top(&ground));
    let (mut container, mut image, mut layer) = (null_mut(), null_mut(), null_mut());
    // SAFETY: handles are live and freed once, texts NUL-terminated, outputs writable.
    unsafe {
        for (what, expected) in
            [(c"web-1".as_ptr(), [1, 0, 0]), (c"svc:1".as_ptr(), [0, 1, 0]), (plyfs_layer_id(base), [0, 0, 1])]
        {
            ok(|err| plyfs_store_inspect(ground.store, what, &mut container, &mut image, &mut layer, err));
            let found = [!container.is_null(), !image.is_null(), !layer.is_null()].map(i32::from);
            assert_eq!(found, expected);
            plyfs_container_free(container);
            plyfs_image_free(image);
            plyfs_layer_free(layer);
        }
        let nothing = c"nothing".as_ptr();
        fails(PLYFS_ERR_NOT_FOUND, |err| {
            plyfs_store_inspect(ground.store, nothing, &mut container, &mut image, &mut layer, err)
        });
        plyfs_layer_free(base);
        plyfs_container_free(made);
    }
}
