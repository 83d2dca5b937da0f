//! Images, as one state of the store knew them, and lists of them.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::sync::OnceLock;

use plyfs::{Image, Loaded, User};

use crate::error::plyfs_error;
use crate::guard::{Failure, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::input::c_text;
use crate::subjects::plyfs_subjects;
use crate::usage::plyfs_usage;

/// An image as one state of the store knew it.
#[derive(Debug)]
pub struct plyfs_image {
    pub(crate) image: Image,
    id: CString,
    names: Vec<CString>,
    created: Option<CString>,
    architecture: Option<CString>,
    os: Option<CString>,
    manifest_digest: Option<CString>,
    /// What loading it could not take over.
    skipped: Vec<CString>,
    config: OnceLock<Vec<u8>>,
}

impl Handle for plyfs_image {
    const NAME: &'static str = "image";
}

/// Images in an order that the function which made the list states.
#[derive(Debug)]
pub struct plyfs_images(Vec<plyfs_image>);

impl Handle for plyfs_images {
    const NAME: &'static str = "list of images";
}

impl FromIterator<plyfs_image> for plyfs_images {
    fn from_iter<I: IntoIterator<Item = plyfs_image>>(images: I) -> Self {
        Self(images.into_iter().collect())
    }
}

impl plyfs_image {
    pub(crate) fn new(image: Image, skipped: Vec<String>) -> Self {
        Self {
            id: c_text(image.id().to_string()),
            names: image.names().iter().map(|name| c_text(name.as_str())).collect(),
            created: image.created().map(c_text),
            architecture: image.architecture().map(c_text),
            os: image.os().map(c_text),
            manifest_digest: image.manifest_digest().map(|digest| c_text(digest.to_string())),
            skipped: skipped.into_iter().map(c_text).collect(),
            config: OnceLock::new(),
            image,
        }
    }
}

impl From<Loaded> for plyfs_image {
    fn from(loaded: Loaded) -> Self {
        Self::new(loaded.image, loaded.skipped)
    }
}

/// A text of an image, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(image: *const plyfs_image, of: impl FnOnce(&plyfs_image) -> Option<&CString>) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(image) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// How many images a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_images_count(images: *const plyfs_images) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(images) }.map_or(0, |images| images.0.len()))
}

/// The image at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there is
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_images_get(images: *const plyfs_images, index: usize) -> *const plyfs_image {
    // SAFETY: the header demands NULL or a live list.
    shield(null(), || unsafe { look(images) }.and_then(|images| images.0.get(index)).map_or(null(), |image| image))
}

/// Frees a list and the images in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_images_free(images: *mut plyfs_images) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(images) }
}

/// The id of an image, the digest of its config: "sha256:" and 64 hex digits. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_id(image: *const plyfs_image) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| Some(&image.id)) }
}

/// How many names an image had when it was looked up; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_name_count(image: *const plyfs_image) -> usize {
    // SAFETY: the header demands NULL or a live image.
    shield(0, || unsafe { look(image) }.map_or(0, |image| image.names.len()))
}

/// The name of an image at `index`, sorted; NULL where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_name(image: *const plyfs_image, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.names.get(index)) }
}

/// When an image was built, as its config says it; NULL where that does not say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_created(image: *const plyfs_image) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.created.as_ref()) }
}

/// The architecture an image's config names, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_architecture(image: *const plyfs_image) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.architecture.as_ref()) }
}

/// The operating system an image's config names, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_os(image: *const plyfs_image) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.os.as_ref()) }
}

/// The digest of the manifest an image came with, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_manifest_digest(image: *const plyfs_image) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.manifest_digest.as_ref()) }
}

/// When an image came into the store, in seconds since the epoch; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_added(image: *const plyfs_image) -> u64 {
    // SAFETY: the header demands NULL or a live image.
    shield(0, || unsafe { look(image) }.map_or(0, |image| image.image.added_unix()))
}

/// What loading an image could not take over, in words: the first with `index` 0, then NULL after the last. Only images
/// that a loading function returned have any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_skipped(image: *const plyfs_image, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live image.
    unsafe { text(image, |image| image.skipped.get(index)) }
}

/// Counts the layers of an image.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_layer_count(
    image: *const plyfs_image,
    count: *mut usize,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image, and NULL or a writable number.
        let (image, place) = unsafe { (borrow(image)?, count.as_mut()) };
        let place = place.ok_or_else(|| Failure::invalid("the place for the count is NULL"))?;
        *place = image.image.layers()?.len();
        Ok(())
    })
}

/// Lists the containers made of an image, by the ids of their own layers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_containers(
    image: *const plyfs_image,
    containers: *mut *mut plyfs_subjects,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image and a writable place.
        let (image, place) = unsafe { (borrow(image)?, output(containers)?) };
        place.give(image.image.containers()?.into_iter().map(User::Container).collect())
    })
}

/// The config of an image as it was received: `length` bytes of JSON that live as long as the image. No NUL follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_config(
    image: *const plyfs_image,
    bytes: *mut *const u8,
    length: *mut usize,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image, and NULL or writable places.
        let (image, bytes, length) = unsafe { (borrow(image)?, bytes.as_mut(), length.as_mut()) };
        let (Some(bytes), Some(length)) = (bytes, length) else {
            return Err(Failure::invalid("the place for the config or for its length is NULL"));
        };
        let config = match image.config.get() {
            Some(config) => config,
            None => {
                let config = image.image.config()?;
                image.config.get_or_init(|| config)
            }
        };
        (*bytes, *length) = (config.as_ptr(), config.len());
        Ok(())
    })
}

/// What the layers of an image take together, whether others stand on them or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_get_usage(
    image: *const plyfs_image,
    usage: *mut plyfs_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image, and NULL or a writable structure.
        let (image, place) = unsafe { (borrow(image)?, usage.as_mut()) };
        let place = place.ok_or_else(|| Failure::invalid("the place for the usage is NULL"))?;
        *place = image.image.usage()?.into();
        Ok(())
    })
}

/// Frees an image's handle; the image stays in its store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_free(image: *mut plyfs_image) {
    // SAFETY: the header demands NULL or an image that the caller owns.
    unsafe { free(image) }
}
