//! Stores: opening them, finding what is in them, names, upkeep.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use plyfs::{Durability, PruneOptions, Store};

use crate::container::{plyfs_container, plyfs_containers};
use crate::error::plyfs_error;
use crate::guard::{Outcome, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::{plyfs_image, plyfs_images};
use crate::input::{self, c_text, only};
use crate::sized;
use crate::usage::{plyfs_pruned, plyfs_store_usage, plyfs_usage};

/// Make the store where there is nothing or an empty directory.
pub const PLYFS_STORE_CREATE: u64 = 1;
/// Refuse every change, and make none: what a crash left is not reclaimed.
pub const PLYFS_STORE_READ_ONLY: u64 = 2;
/// Sync nothing. A killed process loses nothing; a power cut may lose or damage what was done lately.
pub const PLYFS_STORE_NO_SYNC: u64 = 4;

/// Prune images without a name that no container was made of, too.
pub const PLYFS_PRUNE_ALL: u64 = 1;

/// One directory tree with a journal. Many handles, threads and processes may use one store at once.
#[derive(Debug)]
pub struct plyfs_store {
    pub(crate) store: Store,
    path: CString,
}

impl Handle for plyfs_store {
    const NAME: &'static str = "store";
}

/// Opens the store at `path`; PLYFS_ERR_NOT_FOUND when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_open(
    path: *const c_char,
    store: *mut *mut plyfs_store,
    err: *mut *mut plyfs_error,
) -> i32 {
    // SAFETY: the demands of `plyfs_store_open_with` are the same.
    unsafe { plyfs_store_open_with(path, 0, store, err) }
}

/// Opens the store at `path`; where there is nothing, or an empty directory, makes one first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_ensure(
    path: *const c_char,
    store: *mut *mut plyfs_store,
    err: *mut *mut plyfs_error,
) -> i32 {
    // SAFETY: the demands of `plyfs_store_open_with` are the same.
    unsafe { plyfs_store_open_with(path, PLYFS_STORE_CREATE, store, err) }
}

/// Opens the store at `path` as the flags PLYFS_STORE_* say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_open_with(
    path: *const c_char,
    flags: u64,
    store: *mut *mut plyfs_store,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a NUL-terminated path and a writable place.
        let (path, store) = unsafe { (input::path(path, "path of the store")?, output(store)?) };
        store.give(open(path, flags)?)
    })
}

fn open(path: &Path, flags: u64) -> Outcome<plyfs_store> {
    only(flags, PLYFS_STORE_CREATE | PLYFS_STORE_READ_ONLY | PLYFS_STORE_NO_SYNC, "opening a store")?;
    let durability = if flags & PLYFS_STORE_NO_SYNC == 0 { Durability::FileSystem } else { Durability::None };
    let options = Store::options().read_only(flags & PLYFS_STORE_READ_ONLY != 0).durability(durability);
    let store = if flags & PLYFS_STORE_CREATE == 0 { options.open(path)? } else { options.ensure(path)? };
    Ok(plyfs_store { path: c_text(store.path().as_os_str().as_bytes()), store })
}

/// Frees a store's handle; images, containers and mounts made from it go on working.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_free(store: *mut plyfs_store) {
    // SAFETY: the header demands NULL or a store that the caller owns.
    unsafe { free(store) }
}

/// The absolute path of the store, which lives as long as the handle; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_path(store: *const plyfs_store) -> *const c_char {
    // SAFETY: the header demands NULL or a live store.
    shield(null(), || unsafe { look(store) }.map_or(null(), |store| store.path.as_ptr()))
}

/// Finds an image: by its name, then below docker.io/library/, then below localhost/, then by its id or the only
/// id that begins with these four or more digits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_image(
    store: *const plyfs_store,
    name: *const c_char,
    image: *mut *mut plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated name and a writable place.
        let (store, name, image) = unsafe { (borrow(store)?, input::text(name, "name of the image")?, output(image)?) };
        image.give(plyfs_image::new(store.store.image(name)?, Vec::new()))
    })
}

/// Lists all images, sorted by their first name, nameless ones last, then by id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_images(
    store: *const plyfs_store,
    images: *mut *mut plyfs_images,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, images) = unsafe { (borrow(store)?, output(images)?) };
        images.give(store.store.images()?.into_iter().map(|image| plyfs_image::new(image, Vec::new())).collect())
    })
}

/// Finds a container by its name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_container(
    store: *const plyfs_store,
    name: *const c_char,
    container: *mut *mut plyfs_container,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated name and a writable place.
        let (store, name, container) =
            unsafe { (borrow(store)?, input::text(name, "name of the container")?, output(container)?) };
        container.give(store.store.container(name)?.into())
    })
}

/// Lists all containers, sorted by name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_containers(
    store: *const plyfs_store,
    containers: *mut *mut plyfs_containers,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, containers) = unsafe { (borrow(store)?, output(containers)?) };
        containers.give(store.store.containers()?.into_iter().map(plyfs_container::from).collect())
    })
}

/// Makes `name` mean this image; a name that meant another image is moved. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_tag(
    store: *const plyfs_store,
    image: *const plyfs_image,
    name: *const c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and image and a NUL-terminated name.
        let (store, image, name) = unsafe { (borrow(store)?, borrow(image)?, input::text(name, "new name")?) };
        Ok(store.store.tag(&image.image, &name.parse()?)?)
    })
}

/// Takes a name from its image, which stays. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_untag(
    store: *const plyfs_store,
    name: *const c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a NUL-terminated name.
        let (store, name) = unsafe { (borrow(store)?, input::text(name, "name of the image")?) };
        Ok(store.store.untag(&name.parse()?)?)
    })
}

/// Removes an image, its names, and those of its layers that nothing else stands on. Durable on return; the space
/// comes back with plyfs_store_reap(). PLYFS_ERR_IN_USE while a container was made of it. The handle stays to be
/// freed. `pruned` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_remove_image(
    store: *const plyfs_store,
    image: *const plyfs_image,
    pruned: *mut plyfs_pruned,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and image, and NULL or a structure of its stated size.
        let (store, image, place) = unsafe { (borrow(store)?, borrow(image)?, sized::optional_output(pruned)?) };
        let pruned = store.store.remove_image(&image.image)?;
        place.map_or(Ok(()), |place| place.give(&(&pruned).into()))
    })
}

/// Removes layers that nothing stands on, and what the flags PLYFS_PRUNE_* add. Durable on return; the space comes
/// back with plyfs_store_reap(). `pruned` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_prune(
    store: *const plyfs_store,
    flags: u64,
    pruned: *mut plyfs_pruned,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        only(flags, PLYFS_PRUNE_ALL, "pruning")?;
        // SAFETY: the header demands a live store, and NULL or a structure of its stated size.
        let (store, place) = unsafe { (borrow(store)?, sized::optional_output(pruned)?) };
        let pruned = store.store.prune(PruneOptions::new().all(flags & PLYFS_PRUNE_ALL != 0))?;
        place.map_or(Ok(()), |place| place.give(&(&pruned).into()))
    })
}

/// Deletes what was removed, and says what that took; `freed` may be NULL. When another process is at it already,
/// nothing is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_reap(
    store: *const plyfs_store,
    freed: *mut plyfs_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, and NULL or a writable structure.
        let (store, place) = unsafe { (borrow(store)?, freed.as_mut()) };
        let freed = store.store.reap()?;
        if let Some(place) = place {
            *place = freed.into();
        }
        Ok(())
    })
}

/// Adds up what the store's records say; nothing is walked, and what the containers hold themselves is left out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_get_usage(
    store: *const plyfs_store,
    usage: *mut plyfs_store_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a structure of its stated size.
        let (store, place) = unsafe { (borrow(store)?, sized::output(usage)?) };
        place.give(&store.store.usage()?.into())
    })
}

/// The same with what the containers hold themselves: their own trees are walked, one after another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_measure(
    store: *const plyfs_store,
    usage: *mut plyfs_store_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a structure of its stated size.
        let (store, place) = unsafe { (borrow(store)?, sized::output(usage)?) };
        place.give(&store.store.measure()?.into())
    })
}
