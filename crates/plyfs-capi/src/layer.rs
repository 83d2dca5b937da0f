//! Layers: what they say of themselves, what stands on them, mounting and writing them, and the build cache.

use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use plyfs::prelude::*;
use plyfs::{ErrorKind, Layer};

use crate::error::plyfs_error;
use crate::guard::{Failure, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::plyfs_image;
use crate::input::{self, c_text};
use crate::load::opened;
use crate::mount::plyfs_mount;
use crate::progress::{plyfs_progress, reporting};
use crate::sized;
use crate::store::plyfs_store;
use crate::subjects::plyfs_subjects;
use crate::usage::{plyfs_exported, plyfs_pruned, plyfs_usage};

/// An immutable tree and what made it, as one state of the store knew it.
#[derive(Debug)]
pub struct plyfs_layer {
    pub(crate) layer: Layer,
    id: CString,
    parent: Option<CString>,
    diff_id: Option<CString>,
    chain_id: Option<CString>,
    link: CString,
    path: CString,
    blobs: Vec<CString>,
}

impl Handle for plyfs_layer {
    const NAME: &'static str = "layer";
}

impl From<Layer> for plyfs_layer {
    fn from(layer: Layer) -> Self {
        Self {
            id: c_text(layer.id().to_string()),
            parent: layer.parent().map(|id| c_text(id.to_string())),
            diff_id: layer.diff_id().map(|id| c_text(id.to_string())),
            chain_id: layer.chain_id().map(|id| c_text(id.to_string())),
            link: c_text(layer.link().to_string()),
            path: c_text(layer.path().as_os_str().as_bytes()),
            blobs: layer.blobs().iter().map(|blob| c_text(blob.digest.to_string())).collect(),
            layer,
        }
    }
}

/// Layers in an order that the function which made the list states.
#[derive(Debug)]
pub struct plyfs_layers(Vec<plyfs_layer>);

impl Handle for plyfs_layers {
    const NAME: &'static str = "list of layers";
}

impl FromIterator<Layer> for plyfs_layers {
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Self {
        Self(layers.into_iter().map(plyfs_layer::from).collect())
    }
}

/// Finds a layer by its id or the only id that begins with these four or more digits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_layer(
    store: *const plyfs_store,
    id: *const c_char,
    layer: *mut *mut plyfs_layer,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated id and a writable place.
        let (store, id, place) = unsafe { (borrow(store)?, input::text(id, "id of the layer")?, output(layer)?) };
        place.give(store.store.layer(id)?.into())
    })
}

/// Lists all layers, sorted by id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_layers(
    store: *const plyfs_store,
    layers: *mut *mut plyfs_layers,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(layers)?) };
        place.give(store.store.layers()?.into_iter().collect())
    })
}

/// Lists the layers of an image, uppermost first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_layers(
    image: *const plyfs_image,
    layers: *mut *mut plyfs_layers,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image and a writable place.
        let (image, place) = unsafe { (borrow(image)?, output(layers)?) };
        place.give(image.image.layers()?.into_iter().collect())
    })
}

/// How many layers a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layers_count(layers: *const plyfs_layers) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(layers) }.map_or(0, |layers| layers.0.len()))
}

/// The layer at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there is
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layers_get(layers: *const plyfs_layers, index: usize) -> *const plyfs_layer {
    // SAFETY: the header demands NULL or a live list.
    shield(null(), || unsafe { look(layers) }.and_then(|layers| layers.0.get(index)).map_or(null(), |layer| layer))
}

/// Frees a list and the layers' handles in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layers_free(layers: *mut plyfs_layers) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(layers) }
}

/// A text of a layer, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(layer: *const plyfs_layer, of: impl FnOnce(&plyfs_layer) -> Option<&CString>) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(layer) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// A number of a layer; 0 for NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn number(layer: *const plyfs_layer, of: impl FnOnce(&Layer) -> u64) -> u64 {
    // SAFETY: the caller's promise is the one asked for.
    shield(0, || unsafe { look(layer) }.map_or(0, |layer| of(&layer.layer)))
}

/// The id of a layer, which is the name of its directory: 64 hex digits. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_id(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| Some(&layer.id)) }
}

/// The id of the layer below, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_parent(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| layer.parent.as_ref()) }
}

/// The digest of the uncompressed archive a layer came from, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_diff_id(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| layer.diff_id.as_ref()) }
}

/// The digest of a layer's content and all below it, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_chain_id(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| layer.chain_id.as_ref()) }
}

/// The id of a layer's short link in `overlay2/l`; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_link(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| Some(&layer.link)) }
}

/// The directory of a layer's own tree, in which nothing may be changed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_path(layer: *const plyfs_layer) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| Some(&layer.path)) }
}

/// The digest of the compressed form at `index` that a layer came in and that was kept, sorted; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_blob(layer: *const plyfs_layer, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { text(layer, |layer| layer.blobs.get(index)) }
}

/// Writes the compressed form at `index` to a descriptor. PLYFS_ERR_NOT_FOUND behind the last, PLYFS_ERR_CORRUPT when it has
/// other bytes than its digest says; what was written until then is to be dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_blob_fd(
    layer: *const plyfs_layer,
    index: usize,
    fd: i32,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer.
        let layer = &unsafe { borrow(layer) }?.layer;
        let absent = || Failure::new(ErrorKind::NotFound, format!("layer {} has no blob {index}", layer.id()));
        let blob = layer.blobs().get(index).ok_or_else(absent)?;
        let mut out = input::descriptor(fd)?;
        let mut reader = layer.blob(&blob.digest)?;
        let copied = std::io::copy(&mut reader, &mut out);
        copied.map(drop).map_err(|error| Failure::copying(&format!("blob {}", blob.digest), &error))
    })
}

/// How many layers the chain of a layer has, itself counted; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_depth(layer: *const plyfs_layer) -> u64 {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { number(layer, Layer::depth) }
}

/// The length of the uncompressed archive a layer came from; 0 where that is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_archive_size(layer: *const plyfs_layer) -> u64 {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { number(layer, |layer| layer.archive_size().unwrap_or(0)) }
}

/// When a layer came into the store, in seconds since the epoch; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_created(layer: *const plyfs_layer) -> u64 {
    // SAFETY: the header demands NULL or a live layer.
    unsafe { number(layer, Layer::created_unix) }
}

/// What a layer itself takes, as recorded when it came, and what it takes with all below it; either may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_get_usage(
    layer: *const plyfs_layer,
    own: *mut plyfs_usage,
    chain: *mut plyfs_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer, and NULL or writable structures.
        let (layer, own, chain) = unsafe { (borrow(layer)?, own.as_mut(), chain.as_mut()) };
        if let Some(own) = own {
            *own = layer.layer.usage().into();
        }
        if let Some(chain) = chain {
            *chain = layer.layer.chain_usage().into();
        }
        Ok(())
    })
}

/// Lists what stands on a layer: child layers, images, containers, leases.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_users(
    layer: *const plyfs_layer,
    users: *mut *mut plyfs_subjects,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer and a writable place.
        let (layer, place) = unsafe { (borrow(layer)?, output(users)?) };
        place.give(layer.layer.users()?.into_iter().collect())
    })
}

/// Writes the archive a layer came from to a descriptor, byte for byte. PLYFS_ERR_CORRUPT when its tree was changed
/// since; what was written until then is to be dropped. `exported` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_archive_fd(
    layer: *const plyfs_layer,
    fd: i32,
    exported: *mut plyfs_exported,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer, and NULL or a structure of its stated size.
        let (layer, place) = unsafe { (borrow(layer)?, sized::optional_output(exported)?) };
        let exported = layer.layer.write_archive(input::descriptor(fd)?)?;
        place.map_or(Ok(()), |place| place.give(&(&exported).into()))
    })
}

/// Makes a layer and all below it visible at the existing directory `at`, read-only. It cannot be removed while the mount
/// lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_mount(
    layer: *const plyfs_layer,
    at: *const c_char,
    mount: *mut *mut plyfs_mount,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer, a NUL-terminated path and a writable place.
        let (layer, at, place) = unsafe { (borrow(layer)?, input::path(at, "directory to mount at")?, output(mount)?) };
        place.give(layer.layer.mount(at)?.into())
    })
}

/// Makes the changeset that a descriptor reads to its end, a tar that may be compressed, or the directory that it is, a layer upon `parent` or, where
/// that is NULL, upon nothing. Durable on return. A layer that nothing stands on goes with the next prune.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_apply_fd(
    store: *const plyfs_store,
    fd: i32,
    parent: *const plyfs_layer,
    progress: plyfs_progress,
    user: *mut c_void,
    layer: *mut *mut plyfs_layer,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, NULL or a live layer, and a writable place.
        let (store, parent, place) = unsafe { (borrow(store)?, look(parent), output(layer)?) };
        let source = opened(fd)?;
        let parent = parent.map(|parent| &parent.layer);
        reporting(progress, user, |progress| place.give(store.store.apply_source(source, parent, progress)?.into()))
    })
}

/// Finds the layer that was last committed upon `parent`, or upon nothing where that is NULL, under the `length` bytes of
/// `key`; NULL when there is none, or none any more. Nothing keeps it from a prune but what stands on it: create a
/// container on it first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_cached(
    store: *const plyfs_store,
    parent: *const plyfs_layer,
    key: *const u8,
    length: usize,
    layer: *mut *mut plyfs_layer,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, NULL or a live layer, and a writable place.
        let (store, parent, place) = unsafe { (borrow(store)?, look(parent), output(layer)?) };
        // SAFETY: the header demands `length` bytes behind the key.
        let key = unsafe { input::blob(key, length, "key") }?;
        match store.store.cached(parent.map(|parent| &parent.layer), key)? {
            Some(cached) => place.give(cached.into()),
            None => place.give_none(),
        }
    })
}

/// Removes a layer. Durable on return; the space comes back with plyfs_store_reap(). PLYFS_ERR_IN_USE while something
/// stands on it. The handle stays to be freed. `pruned` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_remove_layer(
    store: *const plyfs_store,
    layer: *const plyfs_layer,
    pruned: *mut plyfs_pruned,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and layer, and NULL or a structure of its stated size.
        let (store, layer, place) = unsafe { (borrow(store)?, borrow(layer)?, sized::optional_output(pruned)?) };
        let pruned = store.store.remove_layer(&layer.layer)?;
        place.map_or(Ok(()), |place| place.give(&(&pruned).into()))
    })
}

/// Frees a layer's handle; the layer stays in its store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_free(layer: *mut plyfs_layer) {
    // SAFETY: the header demands NULL or a layer that the caller owns.
    unsafe { free(layer) }
}
