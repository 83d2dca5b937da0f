//! Lists of things by kind and id: what stands on a layer, what a lease keeps, what a prune took and left.

use std::ffi::{CString, c_char};
use std::ptr::null;

use plyfs::{Kept, Subject, User};

use crate::guard::shield;
use crate::handle::{Handle, free, look};
use crate::input::c_text;

/// A thing of a kind that this version of the header does not know.
pub const PLYFS_SUBJECT_OTHER: i32 = 0;
/// An image.
pub const PLYFS_SUBJECT_IMAGE: i32 = 1;
/// A layer.
pub const PLYFS_SUBJECT_LAYER: i32 = 2;
/// A container, by the id of its own layer.
pub const PLYFS_SUBJECT_CONTAINER: i32 = 3;
/// A lease.
pub const PLYFS_SUBJECT_LEASE: i32 = 4;

/// Things by kind and id, in an order that the function which made the list states.
#[derive(Debug)]
pub struct plyfs_subjects(Vec<Named>);

#[derive(Debug)]
struct Named {
    kind: i32,
    id: CString,
    reason: Option<CString>,
}

impl Named {
    fn new(kind: i32, id: impl ToString) -> Self {
        Self { kind, id: c_text(id.to_string()), reason: None }
    }
}

impl From<Subject> for Named {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Image(id) => Self::new(PLYFS_SUBJECT_IMAGE, id),
            Subject::Layer(id) => Self::new(PLYFS_SUBJECT_LAYER, id),
            other => Self::new(PLYFS_SUBJECT_OTHER, other),
        }
    }
}

impl From<User> for Named {
    fn from(user: User) -> Self {
        match user {
            User::Image(id) => Self::new(PLYFS_SUBJECT_IMAGE, id),
            User::Layer(id) => Self::new(PLYFS_SUBJECT_LAYER, id),
            User::Container(id) => Self::new(PLYFS_SUBJECT_CONTAINER, id),
            User::Lease(id) => Self::new(PLYFS_SUBJECT_LEASE, id),
        }
    }
}

impl From<&Kept> for Named {
    fn from(kept: &Kept) -> Self {
        Self { reason: Some(c_text(kept.reason.to_string())), ..kept.subject.into() }
    }
}

impl<T: Into<Named>> FromIterator<T> for plyfs_subjects {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        Self(things.into_iter().map(T::into).collect())
    }
}

impl Handle for plyfs_subjects {
    const NAME: &'static str = "list of things";
}

/// How many things a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_subjects_count(subjects: *const plyfs_subjects) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(subjects) }.map_or(0, |subjects| subjects.0.len()))
}

/// The kind of the thing at `index`, PLYFS_SUBJECT_*; PLYFS_SUBJECT_OTHER where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_subjects_kind(subjects: *const plyfs_subjects, index: usize) -> i32 {
    // SAFETY: the header demands NULL or a live list.
    let kind = || unsafe { look(subjects) }.and_then(|subjects| subjects.0.get(index)).map(|one| one.kind);
    shield(PLYFS_SUBJECT_OTHER, || kind().unwrap_or(PLYFS_SUBJECT_OTHER))
}

/// A text of the thing at `index`, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(
    subjects: *const plyfs_subjects,
    index: usize,
    of: impl FnOnce(&Named) -> Option<&CString>,
) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    let one = || unsafe { look(subjects) }.and_then(|subjects| subjects.0.get(index));
    shield(null(), || one().and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// The id of the thing at `index`; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_subjects_id(subjects: *const plyfs_subjects, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(subjects, index, |one| Some(&one.id)) }
}

/// Why the thing at `index` of what a prune left stays, in words: "is kept by lease …". NULL in other lists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_subjects_reason(subjects: *const plyfs_subjects, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(subjects, index, |one| one.reason.as_ref()) }
}

/// Frees a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_subjects_free(subjects: *mut plyfs_subjects) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(subjects) }
}
