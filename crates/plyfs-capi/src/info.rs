//! What a store is, and what a name in it means.

use std::ffi::{CString, c_char};
use std::ptr::null;

use plyfs::{Info, Inspected};

use crate::container::plyfs_container;
use crate::error::plyfs_error;
use crate::guard::{guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::plyfs_image;
use crate::input::{self, c_text};
use crate::layer::plyfs_layer;
use crate::store::plyfs_store;

/// What a store is and what it stands on.
#[derive(Debug)]
pub struct plyfs_info {
    version: u32,
    dialect: CString,
    file_system: CString,
    kernel: Vec<CString>,
}

impl Handle for plyfs_info {
    const NAME: &'static str = "info";
}

impl From<Info> for plyfs_info {
    fn from(info: Info) -> Self {
        Self {
            version: info.version,
            dialect: c_text(info.dialect),
            file_system: c_text(info.file_system),
            kernel: info.kernel.into_iter().map(c_text).collect(),
        }
    }
}

/// Tells what a store is and what it stands on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_info(
    store: *const plyfs_store,
    info: *mut *mut plyfs_info,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(info)?) };
        place.give(store.store.info()?.into())
    })
}

/// The version of the store's format; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_info_version(info: *const plyfs_info) -> u32 {
    // SAFETY: the header demands NULL or a live info.
    shield(0, || unsafe { look(info) }.map_or(0, |info| info.version))
}

/// A text of an info, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(info: *const plyfs_info, of: impl FnOnce(&plyfs_info) -> Option<&CString>) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(info) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// The namespace of the overlay attributes in the layers, such as "trusted"; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_info_dialect(info: *const plyfs_info) -> *const c_char {
    // SAFETY: the header demands NULL or a live info.
    unsafe { text(info, |info| Some(&info.dialect)) }
}

/// The file system below, by name, or by magic number where the name is not known; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_info_file_system(info: *const plyfs_info) -> *const c_char {
    // SAFETY: the header demands NULL or a live info.
    unsafe { text(info, |info| Some(&info.file_system)) }
}

/// What the kernel can do, the line at `index`; NULL after the last. Without privilege there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_info_kernel(info: *const plyfs_info, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live info.
    unsafe { text(info, |info| info.kernel.get(index)) }
}

/// Frees an info.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_info_free(info: *mut plyfs_info) {
    // SAFETY: the header demands NULL or an info that the caller owns.
    unsafe { free(info) }
}

/// Finds a container by name, else an image by name or id, else a layer by id. The output of what was found is written,
/// the other two become NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_inspect(
    store: *const plyfs_store,
    what: *const c_char,
    container: *mut *mut plyfs_container,
    image: *mut *mut plyfs_image,
    layer: *mut *mut plyfs_layer,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a NUL-terminated name.
        let (store, what) = unsafe { (borrow(store)?, input::text(what, "name or id")?) };
        // SAFETY: the header demands writable places.
        let (container, image, layer) = unsafe { (output(container)?, output(image)?, output(layer)?) };
        match store.store.inspect(what)? {
            Inspected::Container(found) => {
                container.give(found.into()).and_then(|()| image.give_none()).and_then(|()| layer.give_none())
            }
            Inspected::Image(found) => {
                image.give(plyfs_image::new(found, Vec::new()))?;
                container.give_none().and_then(|()| layer.give_none())
            }
            Inspected::Layer(found) => {
                layer.give(found.into()).and_then(|()| container.give_none()).and_then(|()| image.give_none())
            }
        }
    })
}
