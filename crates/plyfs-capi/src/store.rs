//! Stores: opening them, finding what is in them, names, upkeep.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use plyfs::{Durability, Store};

use crate::container::{plyfs_container, plyfs_containers};
use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::{plyfs_image, plyfs_images};
use crate::input::{self, c_text, only};
use crate::sized::{self, growing};
use crate::usage::{plyfs_pruned, plyfs_store_usage, plyfs_usage};

/// Make the store where there is nothing or an empty directory.
pub const PLYFS_STORE_CREATE: u64 = 1;
/// Refuse every change, and make none: what a crash left is not reclaimed.
pub const PLYFS_STORE_READ_ONLY: u64 = 2;
/// Sync nothing. A killed process loses nothing; a power cut may lose or damage what was done lately.
pub const PLYFS_STORE_NO_SYNC: u64 = 4;

/// Sync each file and directory that an operation made, instead of their file system: no other program's data is waited
/// for, but many small files take longer.
pub const PLYFS_STORE_SYNC_FILES: u64 = 8;
/// Open a store whose journal is damaged as well, for reading what is sound of it; plyfs_store_damage() says what is not.
pub const PLYFS_STORE_SALVAGE: u64 = 16;
/// Read the journal without mapping it: a medium that fails is then an error and not SIGBUS.
pub const PLYFS_STORE_UNMAPPED: u64 = 32;

/// How to open a store; begin with PLYFS_STORE_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_store_options {
    /// sizeof(plyfs_store_options), set by the caller.
    pub size: usize,
    /// PLYFS_STORE_*.
    pub flags: u64,
    /// How many threads all operations of the open store may have together, beside those of their callers: 0 for one for
    /// each core, -1 for none.
    pub threads: i64,
}
growing!(plyfs_store_options, "store options", threads: i64);

impl plyfs_store_options {
    fn new(flags: u64) -> Self {
        Self { size: size_of::<Self>(), flags, threads: 0 }
    }

    fn open(&self, path: &Path) -> Outcome<plyfs_store> {
        let has = |flag| self.flags & flag != 0;
        only(self.flags, ALL_FLAGS, "opening a store")?;
        let durability = match (has(PLYFS_STORE_NO_SYNC), has(PLYFS_STORE_SYNC_FILES)) {
            (false, false) => Durability::FileSystem,
            (false, true) => Durability::Files,
            (true, false) => Durability::None,
            (true, true) => return Err(Failure::invalid("opening a store: files are synced and nothing is")),
        };
        let mut options = Store::options()
            .read_only(has(PLYFS_STORE_READ_ONLY))
            .salvage(has(PLYFS_STORE_SALVAGE))
            .mapped(!has(PLYFS_STORE_UNMAPPED))
            .durability(durability);
        options = match self.threads {
            0 => options,
            -1 => options.threads(0),
            threads => {
                let wrong = |_| Failure::invalid(format!("store options: {threads} is no number of threads"));
                options.threads(usize::try_from(threads).map_err(wrong)?)
            }
        };
        let store = if has(PLYFS_STORE_CREATE) { options.ensure(path)? } else { options.open(path)? };
        Ok(store.into())
    }
}

const ALL_FLAGS: u64 = PLYFS_STORE_CREATE
    | PLYFS_STORE_READ_ONLY
    | PLYFS_STORE_NO_SYNC
    | PLYFS_STORE_SYNC_FILES
    | PLYFS_STORE_SALVAGE
    | PLYFS_STORE_UNMAPPED;

/// One directory tree with a journal. Many handles, threads and processes may use one store at once.
#[derive(Debug)]
pub struct plyfs_store {
    pub(crate) store: Store,
    path: CString,
    damage: Vec<CString>,
}

impl From<Store> for plyfs_store {
    fn from(store: Store) -> Self {
        Self {
            path: c_text(store.path().as_os_str().as_bytes()),
            damage: store.damage().iter().map(|place| c_text(place.as_str())).collect(),
            store,
        }
    }
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
        store.give(plyfs_store_options::new(flags).open(path)?)
    })
}

/// Opens the store at `path` with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_open_options(
    path: *const c_char,
    options: *const plyfs_store_options,
    store: *mut *mut plyfs_store,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a NUL-terminated path, NULL or a structure of its stated size, a writable place.
        let (path, options, place) =
            unsafe { (input::path(path, "path of the store")?, sized::read(options)?, output(store)?) };
        place.give(options.unwrap_or(plyfs_store_options::new(0)).open(path)?)
    })
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

/// Says whether changes are possible; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_is_writable(store: *const plyfs_store) -> bool {
    // SAFETY: the header demands NULL or a live store.
    shield(false, || unsafe { look(store) }.is_some_and(|store| store.store.is_writable()))
}

/// The damaged place of the journal at `index`, in words that name the file and the offset; NULL after the last. Only a
/// store that was opened with PLYFS_STORE_SALVAGE has any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_damage(store: *const plyfs_store, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live store.
    let place = || unsafe { look(store) }.and_then(|store| store.damage.get(index));
    shield(null(), || place().map_or(null(), |text| text.as_ptr()))
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

/// Takes a name from this image; PLYFS_ERR_CONFLICT when it means another one by now. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_untag_from(
    store: *const plyfs_store,
    image: *const plyfs_image,
    name: *const c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and image and a NUL-terminated name.
        let (store, image, name) = unsafe { (borrow(store)?, borrow(image)?, input::text(name, "name of the image")?) };
        Ok(store.store.untag_from(&image.image, &name.parse()?)?)
    })
}

/// Takes a name from an image, and with its last one removes it as plyfs_store_remove_image() does. Durable on return.
/// PLYFS_ERR_CONFLICT when the name means another image by now. Where the image stays, `pruned`, which may be NULL, counts
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_remove_image_name(
    store: *const plyfs_store,
    image: *const plyfs_image,
    name: *const c_char,
    pruned: *mut plyfs_pruned,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and image and a NUL-terminated name.
        let (store, image, name) = unsafe { (borrow(store)?, borrow(image)?, input::text(name, "name of the image")?) };
        // SAFETY: the header demands NULL or a structure of its stated size.
        let place = unsafe { sized::optional_output(pruned) }?;
        let pruned = store.store.remove_image_name(&image.image, &name.parse()?)?;
        place.map_or(Ok(()), |place| place.give(&(&pruned).into()))
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
