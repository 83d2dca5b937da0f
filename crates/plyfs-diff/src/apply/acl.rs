//! Default access lists of directories, which the kernel gives to whatever is made in them.
//!
//! Nothing in a layer is to have rights that its archive does not give. So no directory has a default list while it is
//! filled: one that it should have is set aside when it is entered, and set when it is left.

use std::os::fd::AsFd;

use plyfs_sys::{CallError, xattr};

use crate::archive::Entry;

const DEFAULT: &str = "system.posix_acl_default";
const ACCESS: &str = "system.posix_acl_access";

/// Takes the default list off a directory, and returns it.
pub(super) fn set_aside(dir: impl AsFd) -> Result<Option<Vec<u8>>, CallError> {
    let list = xattr::get(&dir, DEFAULT)?;
    if list.is_some() {
        xattr::remove(&dir, DEFAULT)?;
    }
    Ok(list)
}

/// Gives a directory its default list.
pub(super) fn set(dir: impl AsFd, list: &[u8]) -> Result<(), CallError> {
    xattr::set(dir, DEFAULT, list)
}

/// Takes off what a new root has of the directory that it was made in, which is no part of the layer.
pub(super) fn forget(root: impl AsFd) -> Result<(), CallError> {
    set_aside(&root)?;
    match xattr::get(&root, ACCESS)? {
        Some(_) => xattr::remove(&root, ACCESS),
        None => Ok(()),
    }
}

/// Says whether an entry gives its directory a default list.
pub(super) fn is_given(entry: &Entry) -> bool {
    entry.xattrs.iter().any(|(name, _)| name == DEFAULT.as_bytes())
}
