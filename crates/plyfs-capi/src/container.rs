//! Containers: making and finding them, what they say of themselves, changing and removing them.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use plyfs::{Container, ContainerOptions, Parent, Removal};

use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard, shield};
use crate::handle::{Handle, borrow, borrow_mut, free, look, output};
use crate::input::{self, c_text, give_text, only};
use crate::layer::plyfs_layer;
use crate::sized::{self, growing};
use crate::store::plyfs_store;
use crate::usage::plyfs_usage;

/// Mount the container read-only unless a mount says otherwise.
pub const PLYFS_CONTAINER_READ_ONLY: u64 = 1;

/// Detach the mount of a mounted container instead of refusing to remove it.
pub const PLYFS_REMOVE_FORCE: u64 = 1;

/// A writable layer over an image or over nothing, with a name.
#[derive(Debug)]
pub struct plyfs_container {
    pub(crate) container: Container,
    name: CString,
    id: CString,
    image_id: Option<CString>,
    image_name: Option<CString>,
    parent: Option<CString>,
    labels: Vec<(CString, CString)>,
}

impl Handle for plyfs_container {
    const NAME: &'static str = "container";
}

/// Containers, sorted by name, or as they were asked for.
#[derive(Debug)]
pub struct plyfs_containers(Vec<plyfs_container>);

impl Handle for plyfs_containers {
    const NAME: &'static str = "list of containers";
}

impl FromIterator<plyfs_container> for plyfs_containers {
    fn from_iter<I: IntoIterator<Item = plyfs_container>>(containers: I) -> Self {
        Self(containers.into_iter().collect())
    }
}

impl From<Container> for plyfs_container {
    fn from(container: Container) -> Self {
        Self {
            name: c_text(container.name().as_str()),
            id: c_text(container.id().to_string()),
            image_id: container.image().map(|id| c_text(id.to_string())),
            image_name: container.image_name().map(c_text),
            parent: container.parent().map(|id| c_text(id.to_string())),
            labels: container.labels().iter().map(|(k, v)| (c_text(k.as_str()), c_text(v.as_str()))).collect(),
            container,
        }
    }
}

/// How to create a container; begin with PLYFS_CONTAINER_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_container_options {
    /// sizeof(plyfs_container_options), set by the caller.
    pub size: usize,
    /// PLYFS_CONTAINER_*.
    pub flags: u64,
    /// The name; NULL makes one up.
    pub name: *const c_char,
    /// Labels as "KEY=VALUE"; NULL when there are none.
    pub labels: *const *const c_char,
    /// How many labels.
    pub label_count: usize,
    /// The layer it stands on, where no image is given; NULL for none.
    pub layer: *const plyfs_layer,
}
growing!(plyfs_container_options, "container options", label_count: usize);

impl plyfs_container_options {
    /// # Safety
    ///
    /// Its texts are NULL or NUL-terminated, and there are as many labels as it says.
    unsafe fn convert(&self) -> Outcome<ContainerOptions> {
        only(self.flags, PLYFS_CONTAINER_READ_ONLY, "container options")?;
        // SAFETY: the caller promised a text.
        let name = unsafe { input::optional(self.name, "name of the container") }?;
        // SAFETY: the caller promised this many texts.
        let labels = unsafe { input::texts(self.labels, self.label_count, "label") }?;
        let options = ContainerOptions::new().read_only(self.flags & PLYFS_CONTAINER_READ_ONLY != 0);
        let options = match name {
            Some(name) => options.name(name.parse()?),
            None => options,
        };
        labels.into_iter().try_fold(options, |options, label| {
            let (key, value) = label
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::invalid(format!("label {label:?} is not KEY=VALUE")))?;
            Ok(options.label(key, value))
        })
    }
}

/// Creates a container of the image that is found as by plyfs_store_image(); without a `name` one is made up. Durable
/// on return. PLYFS_ERR_EXISTS when the name is taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_create(
    store: *const plyfs_store,
    image: *const c_char,
    name: *const c_char,
    container: *mut *mut plyfs_container,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        let size = size_of::<plyfs_container_options>();
        let options = plyfs_container_options { size, flags: 0, name, labels: null(), label_count: 0, layer: null() };
        // SAFETY: the header demands a live store, NUL-terminated texts and a writable place.
        let (store, image, options, place) = unsafe {
            (borrow(store)?, input::text(image, "name of the image")?, options.convert()?, output(container)?)
        };
        place.give(create(store, Base::Image(image), options)?)
    })
}

/// Creates a container with options, which may be NULL. Without an `image` and a layer it begins empty. Durable on
/// return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_create_with(
    store: *const plyfs_store,
    image: *const c_char,
    options: *const plyfs_container_options,
    container: *mut *mut plyfs_container,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated text, a structure of its size, a writable place.
        let (store, image, options, place) = unsafe {
            (borrow(store)?, input::optional(image, "name of the image")?, sized::read(options)?, output(container)?)
        };
        // SAFETY: the header demands NULL or a live layer.
        let base = unsafe { Base::new(image, options.as_ref()) }?;
        let options = match options {
            // SAFETY: the header demands of the structure what `convert` asks for.
            Some(options) => unsafe { options.convert() }?,
            None => ContainerOptions::new(),
        };
        place.give(create(store, base, options)?)
    })
}

/// What a new container stands on.
enum Base<'a> {
    Image(&'a str),
    Layer(&'a plyfs_layer),
    Nothing,
}

impl<'a> Base<'a> {
    /// # Safety
    ///
    /// The layer of the options is NULL or live during `'a`.
    unsafe fn new(image: Option<&'a str>, options: Option<&plyfs_container_options>) -> Outcome<Self> {
        // SAFETY: the caller promised NULL or a live layer.
        match (image, options.and_then(|options| unsafe { look(options.layer) })) {
            (Some(_), Some(_)) => Err(Failure::invalid("container options: a layer beside an image")),
            (Some(image), None) => Ok(Self::Image(image)),
            (None, Some(layer)) => Ok(Self::Layer(layer)),
            (None, None) => Ok(Self::Nothing),
        }
    }
}

fn create(store: &plyfs_store, base: Base<'_>, options: ContainerOptions) -> Outcome<plyfs_container> {
    let created = create_all(store, base, vec![options])?;
    Ok(created.0.into_iter().next().expect("one was asked for"))
}

fn create_all(store: &plyfs_store, base: Base<'_>, wanted: Vec<ContainerOptions>) -> Outcome<plyfs_containers> {
    let store = &store.store;
    let created = match base {
        Base::Image(name) => {
            let wanted = wanted.into_iter().map(|options| options.image_name(name));
            store.create_all(&store.image(name)?, wanted)?
        }
        Base::Layer(layer) => store.create_all(Parent::Layer(&layer.layer), wanted)?,
        Base::Nothing => store.create_all(Parent::Empty, wanted)?,
    };
    Ok(created.into_iter().map(plyfs_container::from).collect())
}

/// Creates a container for each of the `name_count` names, up to 1024: all, or none with an error that names the one that
/// could not be. The list has them in the order of the names. The options are of all of them, may be NULL, and have no
/// name; without an `image` and a layer they begin empty. Durable on return, at the price of one sync. PLYFS_ERR_EXISTS when a
/// name is taken, PLYFS_ERR_INVALID_INPUT when it is given twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_create_all(
    store: *const plyfs_store,
    image: *const c_char,
    names: *const *const c_char,
    name_count: usize,
    options: *const plyfs_container_options,
    containers: *mut *mut plyfs_containers,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, NUL-terminated texts, a structure of its size, a writable place.
        let (store, image, options, place) = unsafe {
            (borrow(store)?, input::optional(image, "name of the image")?, sized::read(options)?, output(containers)?)
        };
        // SAFETY: the header demands as many texts as it is told there are.
        let names = unsafe { input::texts(names, name_count, "name of a container") }?;
        // SAFETY: the header demands NULL or a live layer.
        let base = unsafe { Base::new(image, options.as_ref()) }?;
        let options = match options {
            Some(options) if !options.name.is_null() => {
                return Err(Failure::invalid("container options: a name for several containers"));
            }
            // SAFETY: the header demands of the structure what `convert` asks for.
            Some(options) => unsafe { options.convert() }?,
            None => ContainerOptions::new(),
        };
        let wanted = names.into_iter().map(|name| Ok(options.clone().name(name.parse()?)));
        place.give(create_all(store, base, wanted.collect::<Outcome<Vec<_>>>()?)?)
    })
}

/// How many containers a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_containers_count(containers: *const plyfs_containers) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(containers) }.map_or(0, |containers| containers.0.len()))
}

/// The container at `index` of a list, to which it belongs: it ends with the list and is not freed. NULL where there
/// is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_containers_get(
    containers: *const plyfs_containers,
    index: usize,
) -> *const plyfs_container {
    // SAFETY: the header demands NULL or a live list.
    shield(null(), || unsafe { look(containers) }.and_then(|list| list.0.get(index)).map_or(null(), |one| one))
}

/// Frees a list and the containers' handles in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_containers_free(containers: *mut plyfs_containers) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(containers) }
}

/// A text of a container, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(
    container: *const plyfs_container,
    of: impl FnOnce(&plyfs_container) -> Option<&CString>,
) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(container) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// The name of a container, which lives until the handle is freed or renamed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_name(container: *const plyfs_container) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| Some(&container.name)) }
}

/// The id of a container's own layer, which is the name of its directory: 64 hex digits. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_id(container: *const plyfs_container) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| Some(&container.id)) }
}

/// The id of the image a container was made of, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_image_id(container: *const plyfs_container) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| container.image_id.as_ref()) }
}

/// The name a container's image was found by when it was created, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_image_name(container: *const plyfs_container) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| container.image_name.as_ref()) }
}

/// The id of the layer a container stands on, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_parent(container: *const plyfs_container) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| container.parent.as_ref()) }
}

/// When a container was created, in seconds since the epoch; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_created(container: *const plyfs_container) -> u64 {
    // SAFETY: the header demands NULL or a live container.
    shield(0, || unsafe { look(container) }.map_or(0, |container| container.container.created_unix()))
}

/// Writes where a container is mounted now, in whatever mount namespace, or NULL where it is not. The text is the caller's,
/// who frees it with plyfs_text_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_mounted_at(
    container: *const plyfs_container,
    path: *mut *mut c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container.
        let at = unsafe { borrow(container) }?.container.mounted_at()?;
        // SAFETY: the header demands a writable place.
        unsafe { give_text(path, at.map(|at| c_text(at.as_os_str().as_bytes())), "path") }
    })
}

/// The key of the label at `index`, sorted; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_label_key(container: *const plyfs_container, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| container.labels.get(index).map(|(key, _)| key)) }
}

/// The value of the label at `index`, sorted by key; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_label_value(container: *const plyfs_container, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live container.
    unsafe { text(container, |container| container.labels.get(index).map(|(_, value)| value)) }
}

/// Says whether a container is mounted read-only unless a mount says otherwise; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_is_read_only(container: *const plyfs_container) -> bool {
    // SAFETY: the header demands NULL or a live container.
    shield(false, || unsafe { look(container) }.is_some_and(|container| container.container.is_read_only()))
}

/// What a container's own layer takes now; its tree is walked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_get_usage(
    container: *const plyfs_container,
    usage: *mut plyfs_usage,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container, and NULL or a writable structure.
        let (container, place) = unsafe { (borrow(container)?, usage.as_mut()) };
        let place = place.ok_or_else(|| Failure::invalid("the place for the usage is NULL"))?;
        *place = container.container.usage()?.into();
        Ok(())
    })
}

/// Gives a container another name; its handle has it afterwards. Durable on return. PLYFS_ERR_EXISTS when it is taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_rename(
    container: *mut plyfs_container,
    name: *const c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container that no other thread uses, and a NUL-terminated name.
        let (container, name) = unsafe { (borrow_mut(container)?, input::text(name, "new name")?) };
        *container = container.container.rename(name.parse()?)?.into();
        Ok(())
    })
}

/// Removes a container as the flags PLYFS_REMOVE_* say. Durable on return; the space comes back with
/// plyfs_store_reap(). PLYFS_ERR_IN_USE while it is mounted. The handle stays to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_remove(
    container: *const plyfs_container,
    flags: u64,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        only(flags, PLYFS_REMOVE_FORCE, "removing a container")?;
        let removal = if flags & PLYFS_REMOVE_FORCE == 0 { Removal::Unmounted } else { Removal::Force };
        // SAFETY: the header demands a live container.
        Ok(unsafe { borrow(container) }?.container.remove(removal)?)
    })
}

/// Frees a container's handle; the container stays in its store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_free(container: *mut plyfs_container) {
    // SAFETY: the header demands NULL or a container that the caller owns.
    unsafe { free(container) }
}
