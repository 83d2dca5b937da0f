//! How an image came to be.

use std::ffi::{CString, c_char};
use std::ptr::null;

use plyfs::HistoryEntry;
use plyfs::prelude::*;

use crate::error::plyfs_error;
use crate::guard::{Failure, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::image::plyfs_image;
use crate::input::c_text;
use crate::sized::{self, growing};
use crate::usage::plyfs_usage;

/// The instructions that made an image, newest first.
#[derive(Debug)]
pub struct plyfs_history(Vec<Told>);

impl Handle for plyfs_history {
    const NAME: &'static str = "history";
}

/// The texts that C borrows of one entry.
#[derive(Debug)]
struct Told {
    created: Option<CString>,
    created_by: Option<CString>,
    author: Option<CString>,
    comment: Option<CString>,
    layer: Option<CString>,
    usage: plyfs_usage,
}

impl From<HistoryEntry> for Told {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            created: entry.created.map(c_text),
            created_by: entry.created_by.map(c_text),
            author: entry.author.map(c_text),
            comment: entry.comment.map(c_text),
            layer: entry.layer.map(|id| c_text(id.to_string())),
            usage: entry.usage.into(),
        }
    }
}

/// One instruction of a history; begin with PLYFS_HISTORY_ENTRY_INIT. Its texts live as long as the history.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_history_entry {
    /// sizeof(plyfs_history_entry), set by the caller.
    pub size: usize,
    /// When, as the config says it, or NULL.
    pub created: *const c_char,
    /// By what instruction or command, or NULL.
    pub created_by: *const c_char,
    /// By whom, or NULL.
    pub author: *const c_char,
    /// Why, or NULL.
    pub comment: *const c_char,
    /// The id of the layer it made; NULL for an instruction that only changed the config.
    pub layer: *const c_char,
    /// What that layer takes, nothing without one.
    pub usage: plyfs_usage,
}
growing!(plyfs_history_entry, "entry of a history", usage: plyfs_usage);

impl From<&Told> for plyfs_history_entry {
    fn from(told: &Told) -> Self {
        let lent = |text: &Option<CString>| text.as_ref().map_or(null(), |text| text.as_ptr());
        Self {
            size: size_of::<Self>(),
            created: lent(&told.created),
            created_by: lent(&told.created_by),
            author: lent(&told.author),
            comment: lent(&told.comment),
            layer: lent(&told.layer),
            usage: told.usage,
        }
    }
}

/// Tells how an image came to be: the instructions its config tells of, newest first, and its layers that it does not
/// tell of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_image_history(
    image: *const plyfs_image,
    history: *mut *mut plyfs_history,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live image and a writable place.
        let (image, place) = unsafe { (borrow(image)?, output(history)?) };
        place.give(plyfs_history(image.image.history()?.into_iter().map(Told::from).collect()))
    })
}

/// How many entries a history has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_history_count(history: *const plyfs_history) -> usize {
    // SAFETY: the header demands NULL or a live history.
    shield(0, || unsafe { look(history) }.map_or(0, |history| history.0.len()))
}

/// Writes the entry at `index`, 0 the newest; PLYFS_ERR_NOT_FOUND behind the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_history_get(
    history: *const plyfs_history,
    index: usize,
    entry: *mut plyfs_history_entry,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live history and a structure of its stated size.
        let (history, place) = unsafe { (borrow(history)?, sized::output(entry)?) };
        let told = history.0.get(index);
        let absent = || Failure::new(plyfs::ErrorKind::NotFound, format!("a history has no entry {index}"));
        place.give(&told.ok_or_else(absent)?.into())
    })
}

/// Frees a history.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_history_free(history: *mut plyfs_history) {
    // SAFETY: the header demands NULL or a history that the caller owns.
    unsafe { free(history) }
}
