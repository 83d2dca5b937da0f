//! Images out of a store: archives and layouts.

use std::ffi::{c_char, c_void};
use std::path::Path;

use plyfs::prelude::*;
use plyfs::{Archive, Compression, Image, Progress};

use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard};
use crate::handle::borrow;
use crate::input;
use crate::progress::{plyfs_progress, reporting};
use crate::sized::{self, growing};
use crate::store::plyfs_store;

/// What `docker save` writes: a tar archive with manifest.json.
pub const PLYFS_FORMAT_DOCKER_ARCHIVE: i32 = 1;
/// A tar archive of an OCI layout, with a manifest.json so that docker loads it too.
pub const PLYFS_FORMAT_OCI_ARCHIVE: i32 = 2;

/// What is usual in the format: none in a docker-archive, gzip in the OCI formats.
pub const PLYFS_COMPRESSION_DEFAULT: i32 = 0;
/// Plain archives.
pub const PLYFS_COMPRESSION_NONE: i32 = 1;
/// gzip, which every tool reads.
pub const PLYFS_COMPRESSION_GZIP: i32 = 2;
/// zstd: smaller and several times faster; podman reads it, docker since 23.0.
pub const PLYFS_COMPRESSION_ZSTD: i32 = 3;

/// How to save; begin with PLYFS_SAVE_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_save_options {
    /// sizeof(plyfs_save_options), set by the caller.
    pub size: usize,
    /// PLYFS_FORMAT_*; 0 for a docker-archive, and where a layout is written.
    pub format: i32,
    /// PLYFS_COMPRESSION_*.
    pub compression: i32,
    /// How hard the compression tries: 1 to 9 for gzip, 1 to 19 for zstd; 0 for 6 and 3.
    pub level: u64,
}
growing!(plyfs_save_options, "save options", level: u64);

impl plyfs_save_options {
    fn new(format: i32, compression: i32) -> Self {
        Self { size: size_of::<Self>(), format, compression, level: 0 }
    }

    fn set<'a>(&self, archive: Archive<'a>) -> Outcome<Archive<'a>> {
        let archive = match self.compression {
            PLYFS_COMPRESSION_DEFAULT => archive,
            PLYFS_COMPRESSION_NONE => archive.compression(Compression::None),
            PLYFS_COMPRESSION_GZIP => archive.compression(Compression::Gzip),
            PLYFS_COMPRESSION_ZSTD => archive.compression(Compression::Zstd),
            other => return Err(Failure::invalid(format!("{other} is no compression"))),
        };
        if self.level == 0 {
            return Ok(archive);
        }
        let wrong = |_| Failure::invalid(format!("save options: {} is no level", self.level));
        Ok(archive.level(u32::try_from(self.level).map_err(wrong)?))
    }
}

/// Writes `count` images, each found as by plyfs_store_image(), with all their names as one archive to a descriptor.
/// The same images give the same bytes. Nothing is synced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_save_fd(
    store: *const plyfs_store,
    images: *const *const c_char,
    count: usize,
    format: i32,
    compression: i32,
    fd: i32,
    progress: plyfs_progress,
    user: *mut c_void,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and `count` NUL-terminated names.
        let (store, names) = unsafe { (borrow(store)?, input::texts(images, count, "image name")?) };
        if format == 0 {
            return Err(Failure::invalid("0 is no format of an archive"));
        }
        save_fd(store, &names, &plyfs_save_options::new(format, compression), fd, (progress, user))
    })
}

/// Does so with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_save_fd_with(
    store: *const plyfs_store,
    images: *const *const c_char,
    count: usize,
    options: *const plyfs_save_options,
    fd: i32,
    progress: plyfs_progress,
    user: *mut c_void,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, `count` NUL-terminated names, NULL or a structure of its stated size.
        let (store, names, options) =
            unsafe { (borrow(store)?, input::texts(images, count, "image name")?, sized::read(options)?) };
        save_fd(store, &names, &options.unwrap_or(plyfs_save_options::new(0, 0)), fd, (progress, user))
    })
}

fn save_fd(
    store: &plyfs_store,
    names: &[&str],
    options: &plyfs_save_options,
    fd: i32,
    (progress, user): (plyfs_progress, *mut c_void),
) -> Outcome {
    let out = input::descriptor(fd)?;
    let archive = match options.format {
        0 | PLYFS_FORMAT_DOCKER_ARCHIVE => Archive::docker(out),
        PLYFS_FORMAT_OCI_ARCHIVE => Archive::oci(out),
        other => return Err(Failure::invalid(format!("{other} is no format of an archive"))),
    };
    let archive = options.set(archive)?;
    reporting(progress, user, |progress| save(store, names, archive, progress))
}

/// Writes `count` images, each found as by plyfs_store_image(), with all their names to the OCI layout in the directory
/// at `path`, which is made when it is missing; to a layout that is there they are added. Nothing is synced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_save_layout(
    store: *const plyfs_store,
    images: *const *const c_char,
    count: usize,
    compression: i32,
    path: *const c_char,
    progress: plyfs_progress,
    user: *mut c_void,
    err: *mut *mut plyfs_error,
) -> i32 {
    let options = plyfs_save_options::new(0, compression);
    // SAFETY: the demands of `plyfs_store_save_layout_with` are the same.
    unsafe { plyfs_store_save_layout_with(store, images, count, &options, path, progress, user, err) }
}

/// Does so with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_save_layout_with(
    store: *const plyfs_store,
    images: *const *const c_char,
    count: usize,
    options: *const plyfs_save_options,
    path: *const c_char,
    progress: plyfs_progress,
    user: *mut c_void,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, `count` NUL-terminated names and a NUL-terminated path.
        let (store, names, path): (_, _, &Path) = unsafe {
            (borrow(store)?, input::texts(images, count, "image name")?, input::path(path, "path of the layout")?)
        };
        // SAFETY: the header demands NULL or a structure of its stated size.
        let options = unsafe { sized::read(options) }?.unwrap_or(plyfs_save_options::new(0, 0));
        if options.format != 0 {
            return Err(Failure::invalid("save options: a format of an archive for a layout"));
        }
        let archive = options.set(Archive::layout(path))?;
        reporting(progress, user, |progress| save(store, &names, archive, progress))
    })
}

fn save(store: &plyfs_store, names: &[&str], archive: Archive<'_>, progress: Progress<'_>) -> Outcome {
    if names.is_empty() {
        return Err(Failure::invalid("no image to save"));
    }
    let images = names.iter().map(|name| Ok(store.store.image(name)?)).collect::<Outcome<Vec<_>>>()?;
    Ok(store.store.save(&images.iter().collect::<Vec<&Image>>(), archive, progress)?)
}
