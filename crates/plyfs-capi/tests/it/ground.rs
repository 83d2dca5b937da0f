//! A store with an image in it, as the tests of the door begin.

use std::ffi::CStr;
use std::fs;
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use plyfs_capi::*;
use plyfs_testkit::oci::{Compression, LayerTar, Plain};
use plyfs_testkit::temp::{TempDir, unmount_below};

use crate::call::{c_path, given, ok, text};

/// A store with one image `svc:1`, all ended when dropped.
pub(crate) struct Ground {
    pub(crate) dir: TempDir,
    pub(crate) store: *mut plyfs_store,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new();
        let path = c_path(&dir.join("store"));
        // SAFETY: the path is NUL-terminated and the outputs are writable.
        let store = given(|store, err| unsafe { plyfs_store_ensure(path.as_ptr(), store, err) });
        let ground = Self { dir, store };
        ground.load();
        ground
    }

    pub(crate) fn archive(&self) -> PathBuf {
        let archive = self.dir.join("svc.tar");
        let base = LayerTar::new().dir("etc").file("etc/motd", "hello\n").finish();
        let app = LayerTar::new().dir("app").file("app/config.properties", "port=80\n").finish();
        Plain::new("svc:1", vec![base, app]).write_oci_archive(Compression::Gzip, &archive);
        archive
    }

    fn load(&self) {
        let archive = c_path(&self.archive());
        // SAFETY: the store is live, the path NUL-terminated, the outputs writable.
        let images = given(|images, err| unsafe {
            plyfs_store_load_path(self.store, archive.as_ptr(), None, null_mut(), images, err)
        });
        // SAFETY: the list is live and freed once.
        unsafe {
            assert_eq!(plyfs_images_count(images), 1);
            plyfs_images_free(images);
        }
    }

    pub(crate) fn create(&self, name: &CStr) -> *mut plyfs_container {
        // SAFETY: the store is live, the texts NUL-terminated, the outputs writable.
        given(|container, err| unsafe {
            plyfs_store_create(self.store, c"svc:1".as_ptr(), name.as_ptr(), container, err)
        })
    }

    pub(crate) fn image(&self, name: &CStr) -> *mut plyfs_image {
        // SAFETY: the store is live, the name NUL-terminated, the outputs writable.
        given(|image, err| unsafe { plyfs_store_image(self.store, name.as_ptr(), image, err) })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        unmount_below(self.dir.path());
        // SAFETY: the store is live and used no more.
        unsafe { plyfs_store_free(self.store) };
    }
}

pub(crate) fn mount(container: *const plyfs_container) -> (*mut plyfs_mount, PathBuf) {
    // SAFETY: the container is live and the outputs are writable.
    let mount = given(|mount, err| unsafe { plyfs_container_mount(container, null(), mount, err) });
    // SAFETY: the mount is live.
    let path = unsafe { text(plyfs_mount_path(mount)) }.expect("a mount has a path");
    (mount, PathBuf::from(path))
}

/// Changes the container as a service would, and ends its mount.
pub(crate) fn change(container: *const plyfs_container) {
    let (mount, path) = mount(container);
    fs::write(path.join("app/config.properties"), "port=81\n").expect("it is writable");
    fs::remove_file(path.join("etc/motd")).expect("it is there");
    // SAFETY: the mount is live and consumed.
    ok(|err| unsafe { plyfs_mount_unmount(mount, err) });
}
