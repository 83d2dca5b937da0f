//! Images in and out of a store: archives, layouts, trees.

use std::ffi::{c_char, c_void};
use std::path::Path;

use plyfs::prelude::*;
use plyfs::{Archive, Compression, Image, ImportOptions, Progress, Reference, Source};

use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard};
use crate::handle::{borrow, look, output};
use crate::image::{plyfs_image, plyfs_images};
use crate::input;
use crate::progress::{plyfs_progress, reporting};
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

/// Loads every image of the archive or OCI layout at `path`, all or none; the list has the images in its order.
/// Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_load_path(
    store: *const plyfs_store,
    path: *const c_char,
    progress: plyfs_progress,
    user: *mut c_void,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated path and a writable place.
        let (store, path, place) =
            unsafe { (borrow(store)?, input::path(path, "path of the archive")?, output(images)?) };
        let source = Source::path(path)?;
        reporting(progress, user, |progress| place.give(load(store, source, progress)?))
    })
}

/// Loads every image of the archive that a descriptor reads, from where it stands to its end, all or none. Durable on
/// return. An archive in a file is better loaded by its path: it need not be kept aside meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_load_fd(
    store: *const plyfs_store,
    fd: i32,
    progress: plyfs_progress,
    user: *mut c_void,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(images)?) };
        let source = Source::reader(input::descriptor(fd)?);
        reporting(progress, user, |progress| place.give(load(store, source, progress)?))
    })
}

fn load(store: &plyfs_store, source: Source<'_>, progress: Progress<'_>) -> Outcome<plyfs_images> {
    Ok(store.store.load(source, progress)?.into_iter().map(plyfs_image::from).collect())
}

/// Makes the tar archive or directory at `path` one layer, upon `parent` or, where that is NULL, upon nothing, and an
/// image of it; without a `name` it has none. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_import_path(
    store: *const plyfs_store,
    path: *const c_char,
    name: *const c_char,
    parent: *const plyfs_image,
    progress: plyfs_progress,
    user: *mut c_void,
    image: *mut *mut plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, NUL-terminated texts and a writable place.
        let (store, path, name, place) = unsafe {
            (
                borrow(store)?,
                input::path(path, "path of the tree")?,
                input::optional(name, "name of the image")?,
                output(image)?,
            )
        };
        // SAFETY: the header demands NULL or a live image.
        let parent = unsafe { look(parent) }.map(|parent| &parent.image);
        let name = name.map(str::parse::<Reference>).transpose()?;
        let source = Source::path(path)?;
        reporting(progress, user, |progress| {
            let image = store.store.import(source, ImportOptions::new().name(name).parent(parent), progress)?;
            place.give(plyfs_image::new(image, Vec::new()))
        })
    })
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
        let out = input::descriptor(fd)?;
        let archive = match format {
            PLYFS_FORMAT_DOCKER_ARCHIVE => Archive::docker(out),
            PLYFS_FORMAT_OCI_ARCHIVE => Archive::oci(out),
            _ => return Err(Failure::invalid(format!("{format} is no format of an archive"))),
        };
        let archive = compressed(archive, compression)?;
        reporting(progress, user, |progress| save(store, &names, archive, progress))
    })
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
    guard(err, || {
        // SAFETY: the header demands a live store, `count` NUL-terminated names and a NUL-terminated path.
        let (store, names, path): (_, _, &Path) = unsafe {
            (borrow(store)?, input::texts(images, count, "image name")?, input::path(path, "path of the layout")?)
        };
        let archive = compressed(Archive::layout(path), compression)?;
        reporting(progress, user, |progress| save(store, &names, archive, progress))
    })
}

fn compressed(archive: Archive<'_>, compression: i32) -> Outcome<Archive<'_>> {
    Ok(match compression {
        PLYFS_COMPRESSION_DEFAULT => archive,
        PLYFS_COMPRESSION_NONE => archive.compression(Compression::None),
        PLYFS_COMPRESSION_GZIP => archive.compression(Compression::Gzip),
        PLYFS_COMPRESSION_ZSTD => archive.compression(Compression::Zstd),
        _ => return Err(Failure::invalid(format!("{compression} is no compression"))),
    })
}

fn save(store: &plyfs_store, names: &[&str], archive: Archive<'_>, progress: Progress<'_>) -> Outcome {
    if names.is_empty() {
        return Err(Failure::invalid("no image to save"));
    }
    let images = names.iter().map(|name| Ok(store.store.image(name)?)).collect::<Outcome<Vec<_>>>()?;
    Ok(store.store.save(&images.iter().collect::<Vec<&Image>>(), archive, progress)?)
}
