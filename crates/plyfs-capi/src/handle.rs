//! Handles: Rust values in boxes that C owns by pointer.
//!
//! Only a [`Handle`] can be given to C, borrowed from it or taken back, and each only as its own type: what frees
//! a store does not compile with a mount.

use std::marker::PhantomData;

use crate::guard::{Failure, Outcome, shield};

/// A type whose values C holds by pointer.
pub(crate) trait Handle: Sized {
    /// What messages call it.
    const NAME: &'static str;
}

/// Where a new handle goes.
pub(crate) struct Output<'a, T> {
    place: *mut *mut T,
    _of_the_caller: PhantomData<&'a mut *mut T>,
}

impl<T: Handle> Output<'_, T> {
    /// Gives the value to the caller; the last step of a call, so that outputs are written on success alone.
    pub(crate) fn give(self, value: T) -> Outcome {
        // SAFETY: `output` is the only way to make one, and its caller promised a writable place.
        unsafe { self.place.write(Box::into_raw(Box::new(value))) };
        Ok(())
    }

    /// Says that there is none; as final as [`Self::give`].
    pub(crate) fn give_none(self) -> Outcome {
        // SAFETY: as in `give`.
        unsafe { self.place.write(std::ptr::null_mut()) };
        Ok(())
    }
}

/// Accepts the place of a new handle.
///
/// # Safety
///
/// `place` is NULL or writable for as long as `'a`.
pub(crate) unsafe fn output<'a, T: Handle>(place: *mut *mut T) -> Outcome<Output<'a, T>> {
    if place.is_null() {
        return Err(Failure::invalid(format!("the place for the {} is NULL", T::NAME)));
    }
    Ok(Output { place, _of_the_caller: PhantomData })
}

/// Accepts the place of a handle that the caller may not want.
///
/// # Safety
///
/// As for [`output`].
pub(crate) unsafe fn optional_output<'a, T: Handle>(place: *mut *mut T) -> Option<Output<'a, T>> {
    (!place.is_null()).then_some(Output { place, _of_the_caller: PhantomData })
}

/// Borrows a handle.
///
/// # Safety
///
/// `handle` is NULL or came from [`Output::give`], was not taken back, and nobody changes it during `'a`.
pub(crate) unsafe fn borrow<'a, T: Handle>(handle: *const T) -> Outcome<&'a T> {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { look(handle) }.ok_or_else(|| Failure::invalid(format!("the {} is NULL", T::NAME)))
}

/// Borrows a handle to change it.
///
/// # Safety
///
/// `handle` is NULL or came from [`Output::give`], was not taken back, and nobody else uses it during `'a`.
pub(crate) unsafe fn borrow_mut<'a, T: Handle>(handle: *mut T) -> Outcome<&'a mut T> {
    // SAFETY: the caller promised a live handle that nobody else uses.
    unsafe { handle.as_mut() }.ok_or_else(|| Failure::invalid(format!("the {} is NULL", T::NAME)))
}

/// Borrows a handle where NULL is an answer of its own.
///
/// # Safety
///
/// As for [`borrow`].
pub(crate) unsafe fn look<'a, T: Handle>(handle: *const T) -> Option<&'a T> {
    // SAFETY: the caller promised NULL or a live handle that nobody changes.
    unsafe { handle.as_ref() }
}

/// Takes a handle back from C.
///
/// # Safety
///
/// `handle` is NULL or came from [`Output::give`], and nobody uses it any more.
pub(crate) unsafe fn take<T: Handle>(handle: *mut T) -> Outcome<Box<T>> {
    if handle.is_null() {
        return Err(Failure::invalid(format!("the {} is NULL", T::NAME)));
    }
    // SAFETY: the caller promised that it came out of a box by `give` and is used no more.
    Ok(unsafe { Box::from_raw(handle) })
}

/// Ends a handle; NULL is none.
///
/// # Safety
///
/// As for [`take`].
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    // SAFETY: the caller's promise is the one asked for.
    shield((), || drop(unsafe { take(handle) }.ok()));
}
