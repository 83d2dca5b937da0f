//! Views: the merged tree of a container, an image or a layer, read without a mount.

use std::ffi::{CString, c_char};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use plyfs::{FileKind, Metadata, View, ViewEntry};

use crate::container::plyfs_container;
use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::plyfs_image;
use crate::input::{self, c_text, give_text, only};
use crate::layer::plyfs_layer;
use crate::sized::{self, growing};

/// Look at a symbolic link itself, and not at what it leads to.
pub const PLYFS_VIEW_NOFOLLOW: u64 = 1;

/// A merged tree. Links in it lead to what is in it, never out. What it shows cannot be removed while it lives.
#[derive(Debug)]
pub struct plyfs_view(View);

impl Handle for plyfs_view {
    const NAME: &'static str = "view";
}

/// Names in a directory of a view, sorted bytewise.
#[derive(Debug)]
pub struct plyfs_names(Vec<CString>);

impl Handle for plyfs_names {
    const NAME: &'static str = "list of names";
}

/// One inode of a view; begin with PLYFS_FILE_STAT_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_file_stat {
    /// sizeof(plyfs_file_stat), set by the caller.
    pub size: usize,
    /// The type and the permission bits, as st_mode has them.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Nanoseconds of when the content last changed.
    pub modified_nanoseconds: u32,
    /// When the content last changed, in seconds since the epoch.
    pub modified: i64,
    /// The length of a file or of a link's target.
    pub length: u64,
    /// How many names the inode has in its layer.
    pub links: u64,
    /// Major number of a device.
    pub major: u32,
    /// Minor number of a device.
    pub minor: u32,
    /// Which layer shows it, counted from the uppermost.
    pub layer: u64,
}
growing!(plyfs_file_stat, "account of an inode", layer: u64);

impl From<Metadata> for plyfs_file_stat {
    fn from(of: Metadata) -> Self {
        let (major, minor) = of.device.unwrap_or_default();
        Self {
            size: size_of::<Self>(),
            mode: type_bits(of.kind) | of.mode,
            uid: of.uid,
            gid: of.gid,
            modified_nanoseconds: of.modified.1,
            modified: of.modified.0,
            length: of.size,
            links: of.links,
            major,
            minor,
            layer: of.layer as u64,
        }
    }
}

fn type_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::File => libc::S_IFREG,
        FileKind::Directory => libc::S_IFDIR,
        FileKind::Symlink => libc::S_IFLNK,
        FileKind::CharacterDevice => libc::S_IFCHR,
        FileKind::BlockDevice => libc::S_IFBLK,
        FileKind::Fifo => libc::S_IFIFO,
        FileKind::Socket => libc::S_IFSOCK,
        _ => 0,
    }
}

/// Gives the merged tree of a container, which may be mounted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_view(
    container: *const plyfs_container,
    view: *mut *mut plyfs_view,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container and a writable place.
        let (container, place) = unsafe { (borrow(container)?, output(view)?) };
        place.give(plyfs_view(container.container.view()?))
    })
}

/// Gives the merged tree of an image.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_view(
    image: *const plyfs_image,
    view: *mut *mut plyfs_view,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image and a writable place.
        let (image, place) = unsafe { (borrow(image)?, output(view)?) };
        place.give(plyfs_view(image.image.view()?))
    })
}

/// Gives the merged tree of a layer and all below it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_layer_view(
    layer: *const plyfs_layer,
    view: *mut *mut plyfs_view,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live layer and a writable place.
        let (layer, place) = unsafe { (borrow(layer)?, output(view)?) };
        place.give(plyfs_view(layer.layer.view()?))
    })
}

pub(crate) fn entry(view: &plyfs_view, path: &Path, flags: u64) -> Outcome<ViewEntry> {
    only(flags, PLYFS_VIEW_NOFOLLOW, "looking at a view")?;
    Ok(if flags & PLYFS_VIEW_NOFOLLOW == 0 { view.0.entry_resolved(path)? } else { view.0.entry(path)? })
}

/// Opens the regular file at `path` for reading; the descriptor is the caller's to close. Anything else is
/// PLYFS_ERR_INVALID_INPUT: no device is opened, and no FIFO waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_open(
    view: *const plyfs_view,
    path: *const c_char,
    flags: u64,
    fd: *mut i32,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live view, a NUL-terminated path, and NULL or a writable number.
        let (view, path, place) = unsafe { (borrow(view)?, input::path(path, "path in the view")?, fd.as_mut()) };
        let place = place.ok_or_else(|| Failure::invalid("the place for the descriptor is NULL"))?;
        *place = entry(view, path, flags)?.open()?.into_raw_fd();
        Ok(())
    })
}

/// Tells type, mode, owner, length and time of what is at `path`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_stat(
    view: *const plyfs_view,
    path: *const c_char,
    flags: u64,
    stat: *mut plyfs_file_stat,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live view, a NUL-terminated path, a structure of its stated size.
        let (view, path, place) =
            unsafe { (borrow(view)?, input::path(path, "path in the view")?, sized::output(stat)?) };
        place.give(&entry(view, path, flags)?.metadata()?.into())
    })
}

/// Writes where the symbolic link at `path` points. The text is the caller's, who frees it with plyfs_text_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_read_link(
    view: *const plyfs_view,
    path: *const c_char,
    target: *mut *mut c_char,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live view and a NUL-terminated path.
        let (view, path) = unsafe { (borrow(view)?, input::path(path, "path in the view")?) };
        let pointed = view.0.read_link(path)?;
        // SAFETY: the header demands a writable place.
        unsafe { give_text(target, Some(c_text(pointed.as_bytes())), "target of the link") }
    })
}

/// Lists the names in the directory at `path`, sorted bytewise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_list(
    view: *const plyfs_view,
    path: *const c_char,
    flags: u64,
    names: *mut *mut plyfs_names,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live view, a NUL-terminated path and a writable place.
        let (view, path, place) = unsafe { (borrow(view)?, input::path(path, "path in the view")?, output(names)?) };
        let listed = entry(view, path, flags)?.read_dir()?;
        place.give(plyfs_names(listed.iter().map(|name| c_text(name.as_bytes())).collect()))
    })
}

/// Frees a view.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_view_free(view: *mut plyfs_view) {
    // SAFETY: the header demands NULL or a view that the caller owns.
    unsafe { free(view) }
}

/// The name at `index`, any bytes but NUL; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_names_get(names: *const plyfs_names, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    let name = || unsafe { look(names) }.and_then(|names| names.0.get(index));
    shield(null(), || name().map_or(null(), |name| name.as_ptr()))
}

/// Frees a list of names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_names_free(names: *mut plyfs_names) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(names) }
}
