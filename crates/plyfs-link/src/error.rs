//! What can go wrong with ids and links.

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// A malformed id or `lower` list, or a system call on `l/` that failed.
}
