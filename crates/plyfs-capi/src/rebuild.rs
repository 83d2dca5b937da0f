//! A store that does not open, by its path: what is wrong with it, and how it is put right.

use std::ffi::{CString, c_char, c_void};
use std::ptr::null;

use plyfs::prelude::*;
use plyfs::{Rebuilt, Store, Subject};

use crate::check::{options, plyfs_findings};
use crate::error::plyfs_error;
use crate::guard::{guard, shield};
use crate::handle::{Handle, free, look, output};
use crate::input::{self, c_text};
use crate::progress::{plyfs_progress, reporting};
use crate::subjects::plyfs_subjects;

/// What a rebuild found again, lost and repaired.
#[derive(Debug)]
pub struct plyfs_rebuilt {
    found: plyfs_subjects,
    containers: Vec<CString>,
    lost: Vec<CString>,
    kept: Option<CString>,
    acts: plyfs_findings,
    left: plyfs_findings,
}

impl Handle for plyfs_rebuilt {
    const NAME: &'static str = "account of a rebuild";
}

impl From<Rebuilt> for plyfs_rebuilt {
    fn from(rebuilt: Rebuilt) -> Self {
        let images = rebuilt.images.into_iter().map(Subject::Image);
        let texts = |lines: Vec<String>| lines.into_iter().map(c_text).collect();
        Self {
            found: images.chain(rebuilt.layers.into_iter().map(Subject::Layer)).collect(),
            containers: texts(rebuilt.containers.iter().map(ToString::to_string).collect()),
            lost: texts(rebuilt.lost),
            kept: rebuilt.kept.map(c_text),
            acts: rebuilt.repaired.acts.into_iter().collect(),
            left: rebuilt.repaired.left.into_iter().collect(),
        }
    }
}

/// Checks the store at `path` as plyfs_store_check() does; of one that does not open, lists each part that is missing or
/// damaged and each damaged place of its journal, and looks at nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_check_at(
    path: *const c_char,
    flags: u64,
    progress: plyfs_progress,
    user: *mut c_void,
    findings: *mut *mut plyfs_findings,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        let options = options(flags)?;
        // SAFETY: the header demands a NUL-terminated path and a writable place.
        let (path, place) = unsafe { (input::path(path, "path of the store")?, output(findings)?) };
        reporting(progress, user, |progress| {
            place.give(Store::options().check(path, options, progress)?.into_iter().collect())
        })
    })
}

/// Makes those parts of the store at `path` anew that are missing and follow from the others: `staging`, `trash`,
/// `overlay2/l`, and plyfs.toml where it is damaged, too. `acts` lists what was done. Durable on return; plyfs_store_repair()
/// then puts right the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_restore_parts(
    path: *const c_char,
    acts: *mut *mut plyfs_findings,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a NUL-terminated path and a writable place.
        let (path, place) = unsafe { (input::path(path, "path of the store")?, output(acts)?) };
        place.give(Store::options().restore_parts(path)?.into_iter().collect())
    })
}

/// Makes the journal of the store at `path` anew from its directories, where it is lost or damaged, and repairs what is left.
/// Names, labels and options lived in the journal alone: they are listed as lost, and containers get made-up names. The old
/// journal is kept in the store's `aside/`; one that is sound is PLYFS_ERR_INVALID_INPUT. No other process may have the store
/// open. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_rebuild(
    path: *const c_char,
    progress: plyfs_progress,
    user: *mut c_void,
    rebuilt: *mut *mut plyfs_rebuilt,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a NUL-terminated path and a writable place.
        let (path, place) = unsafe { (input::path(path, "path of the store")?, output(rebuilt)?) };
        reporting(progress, user, |progress| place.give(Store::options().rebuild(path, progress)?.into()))
    })
}

/// The images, which have no names, and layers that were found; the list belongs to the account. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_found(rebuilt: *const plyfs_rebuilt) -> *const plyfs_subjects {
    // SAFETY: the header demands NULL or a live account.
    shield(null(), || unsafe { look(rebuilt) }.map_or(null(), |rebuilt| &raw const rebuilt.found))
}

/// What was wrong with the store and was done about it; the list belongs to the account. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_acts(rebuilt: *const plyfs_rebuilt) -> *const plyfs_findings {
    // SAFETY: the header demands NULL or a live account.
    shield(null(), || unsafe { look(rebuilt) }.map_or(null(), |rebuilt| &raw const rebuilt.acts))
}

/// What is wrong still; the list belongs to the account. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_left(rebuilt: *const plyfs_rebuilt) -> *const plyfs_findings {
    // SAFETY: the header demands NULL or a live account.
    shield(null(), || unsafe { look(rebuilt) }.map_or(null(), |rebuilt| &raw const rebuilt.left))
}

/// A text of an account, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(rebuilt: *const plyfs_rebuilt, of: impl FnOnce(&plyfs_rebuilt) -> Option<&CString>) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    shield(null(), || unsafe { look(rebuilt) }.and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// The made-up name of the container at `index` that was made of a writable layer; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_container(rebuilt: *const plyfs_rebuilt, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live account.
    unsafe { text(rebuilt, |rebuilt| rebuilt.containers.get(index)) }
}

/// What is lost, the line at `index`; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_lost(rebuilt: *const plyfs_rebuilt, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live account.
    unsafe { text(rebuilt, |rebuilt| rebuilt.lost.get(index)) }
}

/// Where in the store the old journal is kept; NULL where there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_kept(rebuilt: *const plyfs_rebuilt) -> *const c_char {
    // SAFETY: the header demands NULL or a live account.
    unsafe { text(rebuilt, |rebuilt| rebuilt.kept.as_ref()) }
}

/// Frees an account, and the lists that belong to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_rebuilt_free(rebuilt: *mut plyfs_rebuilt) {
    // SAFETY: the header demands NULL or an account that the caller owns.
    unsafe { free(rebuilt) }
}
