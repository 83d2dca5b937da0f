//! The native half of the Python package: the facade, call by call, without opinions.
//!
//! Each class is frozen and holds one facade value; each call that may wait releases the interpreter. What goes
//! in and out is plain (strings, tuples, dictionaries); the package `plyfs` makes Python of it and is the only
//! one to import this module.

mod changes;
mod container;
mod error;
mod file;
mod image;
mod layer;
mod lease;
mod mount;
mod place;
mod store;
mod values;
mod view;
mod watch;

/// The native half of `plyfs`; private.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::changes::{Changes, describe_change};
    #[pymodule_export]
    use super::container::Container;
    #[pymodule_export]
    use super::image::Image;
    #[pymodule_export]
    use super::layer::Layer;
    #[pymodule_export]
    use super::lease::Lease;
    #[pymodule_export]
    use super::mount::Mount;
    #[pymodule_export]
    use super::store::Store;
    #[pymodule_export]
    use super::values::kinds;
    #[pymodule_export]
    use super::view::{View, Walk};

    /// The version of the library.
    #[pymodule_export]
    const VERSION: &str = plyfs::VERSION;
}
