//! Images into a store: archives, layouts, trees.

use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::time::Duration;

use plyfs::prelude::*;
use plyfs::{ImportOptions, Platform, Progress, Reference, Source};

use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard};
use crate::handle::{borrow, look, output};
use crate::image::{plyfs_image, plyfs_images};
use crate::input::{self, only};
use crate::progress::{plyfs_progress, reporting};
use crate::sized::{self, growing};
use crate::store::plyfs_store;

/// Keep compressed layers as they came, beside their trees, so that they are saved as the same blobs.
pub const PLYFS_LOAD_KEEP_BLOBS: u64 = 1;

/// How to load; begin with PLYFS_LOAD_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_load_options {
    /// sizeof(plyfs_load_options), set by the caller.
    pub size: usize,
    /// PLYFS_LOAD_*.
    pub flags: u64,
    /// The platform to choose an image by where an index offers several, such as `linux/arm64` or `linux/arm/v7`; NULL for
    /// this machine's.
    pub platform: *const c_char,
    /// Give up with PLYFS_ERR_TIMED_OUT when a pipe, socket or device gives nothing for this many milliseconds; 0 for
    /// never.
    pub timeout_ms: u64,
    /// Read zstd streams whose window is up to 2 to the power of this many bytes, 10 to 31; 0 for 25.
    pub zstd_window: u64,
}
growing!(plyfs_load_options, "load options", zstd_window: u64);

impl plyfs_load_options {
    /// # Safety
    ///
    /// `platform` is NULL or NUL-terminated.
    unsafe fn set<'a>(&self, mut source: Source<'a>) -> Outcome<Source<'a>> {
        only(self.flags, PLYFS_LOAD_KEEP_BLOBS, "load options")?;
        // SAFETY: the caller promised a text.
        if let Some(platform) = unsafe { input::optional(self.platform, "platform") }? {
            source = source.platform(platform.parse::<Platform>()?);
        }
        if self.timeout_ms != 0 {
            source = source.timeout(Duration::from_millis(self.timeout_ms));
        }
        if self.zstd_window != 0 {
            let wrong =
                |_| Failure::invalid(format!("load options: 2 to the power of {} is no window", self.zstd_window));
            source = source.zstd_window(u32::try_from(self.zstd_window).map_err(wrong)?);
        }
        Ok(source.keep_blobs(self.flags & PLYFS_LOAD_KEEP_BLOBS != 0))
    }
}

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
    // SAFETY: the demands of `plyfs_store_load_path_with` are the same.
    unsafe { plyfs_store_load_path_with(store, path, null(), progress, user, images, err) }
}

/// Does so with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_load_path_with(
    store: *const plyfs_store,
    path: *const c_char,
    options: *const plyfs_load_options,
    progress: plyfs_progress,
    user: *mut c_void,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated path and a writable place.
        let (store, path, place) =
            unsafe { (borrow(store)?, input::path(path, "path of the archive")?, output(images)?) };
        // SAFETY: the header demands NULL or a structure of its stated size with NULL or NUL-terminated texts.
        let source = unsafe { with_options(Source::path(path)?, options) }?;
        reporting(progress, user, |progress| place.give(load(store, source, progress)?))
    })
}

/// Loads every image of the archive that a descriptor reads, from where it stands to its end, all or none. Durable on
/// return. A regular file is read where it lies; what can be read only once is kept aside meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_load_fd(
    store: *const plyfs_store,
    fd: i32,
    progress: plyfs_progress,
    user: *mut c_void,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    // SAFETY: the demands of `plyfs_store_load_fd_with` are the same.
    unsafe { plyfs_store_load_fd_with(store, fd, null(), progress, user, images, err) }
}

/// Does so with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_load_fd_with(
    store: *const plyfs_store,
    fd: i32,
    options: *const plyfs_load_options,
    progress: plyfs_progress,
    user: *mut c_void,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(images)?) };
        // SAFETY: the header demands NULL or a structure of its stated size with NULL or NUL-terminated texts.
        let source = unsafe { with_options(opened(fd)?, options) }?;
        reporting(progress, user, |progress| place.give(load(store, source, progress)?))
    })
}

/// What a descriptor of the caller's reads, which can be waited for and given up.
pub(crate) fn opened(fd: i32) -> Outcome<Source<'static>> {
    Ok(Source::descriptor(input::descriptor(fd)?.into(), format!("descriptor {fd}"))?)
}

/// # Safety
///
/// `options` is NULL or a structure of its stated size with a platform that is NULL or NUL-terminated.
unsafe fn with_options<'a>(source: Source<'a>, options: *const plyfs_load_options) -> Outcome<Source<'a>> {
    // SAFETY: the caller's promise is the one asked for.
    match unsafe { sized::read(options) }? {
        // SAFETY: the caller promised a text.
        Some(options) => unsafe { options.set(source) },
        None => Ok(source),
    }
}

fn load(store: &plyfs_store, source: Source<'_>, progress: Progress<'_>) -> Outcome<plyfs_images> {
    Ok(store.store.load(source, progress)?.into_iter().map(plyfs_image::from).collect())
}

/// What is said of an image that a tree becomes; begin with PLYFS_IMPORT_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_import_options {
    /// sizeof(plyfs_import_options), set by the caller.
    pub size: usize,
    /// The name, which is taken from the image that has it; NULL for none.
    pub name: *const c_char,
    /// The image whose layers are below and whose config is continued; NULL for none.
    pub parent: *const plyfs_image,
    /// The message kept in the image's history; NULL for one that says where it came from.
    pub message: *const c_char,
    /// Instructions of a Dockerfile that change the image's config, such as `ENV LEVEL=debug`, in their order.
    pub changes: *const *const c_char,
    /// How many there are; 0 for none.
    pub change_count: usize,
}
growing!(plyfs_import_options, "import options", change_count: usize);

impl plyfs_import_options {
    /// # Safety
    ///
    /// Its texts are NULL or NUL-terminated, the parent is NULL or live, and behind `changes` are as many as it says.
    unsafe fn convert(&self) -> Outcome<ImportOptions> {
        // SAFETY: the caller promised a text.
        let name = unsafe { input::optional(self.name, "name of the image") }?;
        // SAFETY: the caller promised NULL or a live image.
        let parent = unsafe { look(self.parent) }.map(|parent| &parent.image);
        let mut options = ImportOptions::new().name(name.map(str::parse::<Reference>).transpose()?).parent(parent);
        // SAFETY: the caller promised a text.
        if let Some(message) = unsafe { input::optional(self.message, "message") }? {
            options = options.message(message);
        }
        // SAFETY: the caller promised as many texts.
        for change in unsafe { input::texts(self.changes, self.change_count, "change") }? {
            options = options.change(change.parse()?);
        }
        Ok(options)
    }
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
    let size = size_of::<plyfs_import_options>();
    let options = plyfs_import_options { size, name, parent, message: null(), changes: null(), change_count: 0 };
    // SAFETY: the demands of `plyfs_store_import_path_with` are the same.
    unsafe { plyfs_store_import_path_with(store, path, &options, progress, user, image, err) }
}

/// Makes the tar archive or directory at `path` one layer and an image of it, as the options, which may be NULL, say.
/// Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_import_path_with(
    store: *const plyfs_store,
    path: *const c_char,
    options: *const plyfs_import_options,
    progress: plyfs_progress,
    user: *mut c_void,
    image: *mut *mut plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated path and a writable place.
        let (store, path, place) = unsafe { (borrow(store)?, input::path(path, "path of the tree")?, output(image)?) };
        // SAFETY: the header demands NULL or a structure of its stated size.
        let options = unsafe { sized::read(options) }?;
        // SAFETY: the header demands of the structure what `convert` asks for.
        let options = options.map(|options| unsafe { options.convert() }).transpose()?.unwrap_or_default();
        let source = Source::path(path)?;
        reporting(progress, user, |progress| place.give(import(store, source, options, progress)?))
    })
}

/// Makes the tar archive that a descriptor reads, or the directory that it is, one layer and an image of it, as the
/// options, which may be NULL, say. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_import_fd(
    store: *const plyfs_store,
    fd: i32,
    options: *const plyfs_import_options,
    progress: plyfs_progress,
    user: *mut c_void,
    image: *mut *mut plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, NULL or a structure of its stated size, a writable place.
        let (store, options, place) = unsafe { (borrow(store)?, sized::read(options)?, output(image)?) };
        // SAFETY: the header demands of the structure what `convert` asks for.
        let options = options.map(|options| unsafe { options.convert() }).transpose()?.unwrap_or_default();
        let source = opened(fd)?;
        reporting(progress, user, |progress| place.give(import(store, source, options, progress)?))
    })
}

fn import(
    store: &plyfs_store,
    source: Source<'_>,
    options: ImportOptions,
    progress: Progress<'_>,
) -> Outcome<plyfs_image> {
    Ok(plyfs_image::new(store.store.import(source, options, progress)?, Vec::new()))
}
