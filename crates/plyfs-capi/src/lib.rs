//! The C door to plyfs: every verb of the facade as a C function over opaque handles.
//!
//! `include/plyfs.h` is generated from this crate by `cargo xtask header`, and its first comment is the contract
//! between both sides: who owns what, which threads may call, what a status means. The functions convert, call
//! the facade and report; they decide nothing.
//!
//! | here | is |
//! |---|---|
//! | a handle (`plyfs_store`, `plyfs_image`, …) | a Rust value in a box that C owns, and the texts C may borrow from it |
//! | a list (`plyfs_images`, `plyfs_containers`, `plyfs_layers`) | handles that belong to the list |
//! | a status | [`PLYFS_OK`], or the number of an error's kind |
//! | [`plyfs_error`] | kind, errno and message of one failed call |
//!
//! Rust programs depend on the crate `plyfs`; this one can be called from Rust as C would:
//!
//! ```
//! use plyfs_capi::*;
//!
//! let (mut store, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
//! // SAFETY: the path is NUL-terminated, both outputs are writable, and the error is freed once.
//! unsafe {
//!     let status = plyfs_store_open(c"/no/such/store".as_ptr(), &mut store, &mut error);
//!     assert_eq!(status, PLYFS_ERR_NOT_FOUND);
//!     assert!(store.is_null(), "outputs are written on success alone");
//!     assert_eq!(plyfs_error_kind(error), PLYFS_ERR_NOT_FOUND);
//!     plyfs_error_free(error);
//! }
//! ```
//!
//! # Guarantees
//!
//! - No panic leaves the library: it becomes [`PLYFS_ERR_PANIC`].
//! - A NULL pointer, a string that is not UTF-8 where text is wanted, an unknown flag: an error that names it.
//! - Status numbers, flags and the fields of structures never change their meaning; structures that may grow
//!   carry their size, so that a program and a library of different versions understand each other.
//! - Nothing is kept per thread.
//!
//! # Limits
//!
//! What a caller breaks of the header's contract (a freed handle, a pointer to too little memory) is undefined
//! behaviour, as in any C library.

// The names are those of the C API, and its contract stands once, in the header, not at each function.
#![allow(non_camel_case_types, clippy::missing_safety_doc, unsafe_code)]

mod guard;
mod handle;
mod input;
mod sized;

// From here on in the order of the header.
mod status;

mod error;
mod progress;

mod store;

mod history;
mod image;

mod load;
mod save;

mod layer;

mod container;
mod mount;
mod spec;

mod changes;
mod view;
mod xattrs;

mod check;
mod info;
mod lease;
mod prune;
mod rebuild;
mod subjects;
mod usage;

pub use changes::*;
pub use check::*;
pub use container::*;
pub use error::*;
pub use history::*;
pub use image::*;
pub use info::*;
pub use input::plyfs_text_free;
pub use layer::*;
pub use lease::*;
pub use load::*;
pub use mount::*;
pub use progress::*;
pub use prune::*;
pub use rebuild::*;
pub use save::*;
pub use spec::*;
pub use status::*;
pub use store::*;
pub use subjects::*;
pub use usage::*;
pub use view::*;
pub use xattrs::*;

/// The version of the library as text, such as `0.1.0`; it belongs to the library.
#[unsafe(no_mangle)]
pub extern "C" fn plyfs_version() -> *const std::ffi::c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
