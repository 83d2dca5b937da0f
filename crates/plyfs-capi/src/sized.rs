//! Structures that may grow: their first field is their size, as the side that was compiled knew it.
//!
//! Fields are only ever added at the end, and zero means what the version before did. So a program of an older
//! version gives fewer bytes, and zeros stand for the rest; one of a newer version gives more, which is an error
//! only where they say something.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use plyfs::ErrorKind;

use crate::guard::{Failure, Outcome};

/// A structure that carries its size.
///
/// # Safety
///
/// It is `repr(C)`, begins with `size: usize`, and every pattern of bits is a value of it.
pub(crate) unsafe trait Growing: Copy {
    /// What messages call it.
    const NAME: &'static str;
    /// Its size in the first version that had it.
    const FIRST: usize;
}

/// Declares a structure as [`Growing`]; `last` is the last field of its first version.
macro_rules! growing {
    ($type:ty, $name:literal, $last:ident: $field:ty) => {
        // SAFETY: it is declared `repr(C)` beside this line with `size` first, of numbers and raw pointers alone.
        unsafe impl $crate::sized::Growing for $type {
            const NAME: &'static str = $name;
            const FIRST: usize = ::std::mem::offset_of!($type, $last) + size_of::<$field>();
        }
        const _: () = assert!(::std::mem::offset_of!($type, size) == 0);
    };
}
pub(crate) use growing;

/// Reads a structure; `None` for NULL.
///
/// # Safety
///
/// `from` is NULL or points to as many bytes as its first field says.
pub(crate) unsafe fn read<T: Growing>(from: *const T) -> Outcome<Option<T>> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promised a structure, which begins with its size.
    let size = unsafe { stated::<T>(from) }?;
    let (from, known) = (from.cast::<u8>(), size_of::<T>().min(size));
    // SAFETY: the caller promised `size` bytes, of which the part behind `known` is looked at.
    let unknown = unsafe { std::slice::from_raw_parts(from.add(known), size - known) };
    if unknown.iter().any(|byte| *byte != 0) {
        let message = format!("{}: {size} bytes say more than this version's {known} can", T::NAME);
        return Err(Failure::new(ErrorKind::Unsupported, message));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable behind `from` and fit into `value`.
    unsafe { ptr::copy_nonoverlapping(from, value.as_mut_ptr().cast(), known) };
    // SAFETY: any bits are a value of a growing structure, and all of them are written.
    Ok(Some(unsafe { value.assume_init() }))
}

/// Where a structure is written.
pub(crate) struct SizedOutput<'a, T> {
    to: *mut T,
    size: usize,
    _of_the_caller: PhantomData<&'a mut T>,
}

impl<T: Growing> SizedOutput<'_, T> {
    /// Writes as much of `value` as the caller knows, zeros behind what this version knows, and not the size.
    pub(crate) fn give(self, value: &T) -> Outcome {
        const SIZE: usize = size_of::<usize>();
        let known = size_of::<T>().min(self.size);
        let (to, from) = (self.to.cast::<u8>(), ptr::from_ref(value).cast::<u8>());
        // SAFETY: `sized_output` made sure of `FIRST`, more than a size, and its caller promised `size` bytes.
        unsafe { ptr::copy_nonoverlapping(from.add(SIZE), to.add(SIZE), known - SIZE) };
        // SAFETY: as before; what is behind `known` ends where the caller's bytes end.
        unsafe { ptr::write_bytes(to.add(known), 0, self.size - known) };
        Ok(())
    }
}

/// Accepts the place of a structure.
///
/// # Safety
///
/// `to` is NULL or points to as many writable bytes as its first field says, during `'a`.
pub(crate) unsafe fn output<'a, T: Growing>(to: *mut T) -> Outcome<SizedOutput<'a, T>> {
    // SAFETY: the caller's promise is the one asked for.
    let place = unsafe { optional_output(to) }?;
    place.ok_or_else(|| Failure::invalid(format!("the place for the {} is NULL", T::NAME)))
}

/// Accepts the place of a structure that the caller may not want.
///
/// # Safety
///
/// As for [`output`].
pub(crate) unsafe fn optional_output<'a, T: Growing>(to: *mut T) -> Outcome<Option<SizedOutput<'a, T>>> {
    if to.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promised a structure, which begins with its size.
    let size = unsafe { stated::<T>(to) }?;
    Ok(Some(SizedOutput { to, size, _of_the_caller: PhantomData }))
}

/// The size a structure states, if it can be one.
///
/// # Safety
///
/// `structure` points to a `size_t` at least.
unsafe fn stated<T: Growing>(structure: *const T) -> Outcome<usize> {
    // SAFETY: the caller promised a size there.
    let size = unsafe { structure.cast::<usize>().read() };
    if (T::FIRST..=isize::MAX as usize).contains(&size) {
        return Ok(size);
    }
    Err(Failure::invalid(format!("{}: its size is {size}, not set to sizeof", T::NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a version knows that added `more` to a structure of `size` and `first`.
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Newer {
        size: usize,
        first: u64,
        more: u64,
        most: u64,
    }
    growing!(Newer, "newer", first: u64);

    fn newer(size: usize, more: u64, most: u64) -> Newer {
        Newer { size, first: 1, more, most }
    }

    /// The same, as the version before knows it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Older {
        size: usize,
        first: u64,
    }
    growing!(Older, "older", first: u64);

    #[test]
    fn an_older_programs_structure_is_filled_up_with_zeros() {
        let given = newer(Newer::FIRST, 7, 7);
        // SAFETY: fewer bytes are claimed than there are.
        let read = unsafe { read(&given) }.expect("old programs go on working").expect("not NULL");
        assert_eq!((read.first, read.more, read.most), (1, 0, 0));
    }

    #[test]
    fn a_newer_programs_structure_is_an_error_only_where_it_says_more() {
        for (more, is_fine) in [(0, true), (1, false)] {
            let given = newer(size_of::<Newer>(), 0, more);
            // SAFETY: as many bytes are claimed as there are; `Older` is how `Newer` begins.
            let read = unsafe { read((&raw const given).cast::<Older>()) };
            assert_eq!(read.is_ok(), is_fine, "{more}");
        }
    }

    #[test]
    fn an_unset_size_is_an_error() {
        for size in [0, Newer::FIRST - 1, usize::MAX] {
            // SAFETY: the size is refused before anything behind it is looked at.
            assert!(unsafe { read(&newer(size, 0, 0)) }.is_err(), "{size}");
        }
    }

    #[test]
    fn output_keeps_to_the_callers_size_and_leaves_no_stale_byte_in_it() {
        let mut short = newer(Newer::FIRST, 7, 7);
        // SAFETY: fewer bytes are claimed than there are.
        let place = unsafe { output(&mut short) }.expect("it is large enough");
        place.give(&Newer { size: 0, first: 2, more: 3, most: 4 }).expect("it is written");
        assert_eq!(short, Newer { size: Newer::FIRST, first: 2, more: 7, most: 7 });

        let mut long = newer(size_of::<Newer>(), 7, 7);
        // SAFETY: as many bytes are claimed as there are; `Older` is how `Newer` begins.
        let place = unsafe { output((&raw mut long).cast::<Older>()) }.expect("it is large enough");
        place.give(&Older { size: 0, first: 2 }).expect("it is written");
        assert_eq!(long, Newer { size: size_of::<Newer>(), first: 2, more: 0, most: 0 });
    }
}
