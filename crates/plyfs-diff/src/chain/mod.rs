//! The lower layers of a layer, looked through as the kernel would.
//!
//! A [`Chain`] is only the list of lowers; [`Merged`] is one directory of their merged view. Names are resolved one
//! component at a time from a [`Merged`] directory, so that who walks a tree pays for each step once, and nothing
//! follows a symbolic link: what a link means is the caller's to decide (rule 52).
//!
//! The view is complete or an error (rule 25): redirects and files without content are followed to wherever in the chain
//! their content lies, as a mount with `redirect_dir=on,metacopy=on` does. In [`Dialect::User`] the kernel follows
//! neither, and [`ErrorKind::Unsupported`] names the path.

mod attributes;
mod entry;
mod marks;
mod merged;
mod names;
mod search;

use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::Arc;

pub(crate) use attributes::{copy_directory_attributes, times_of};
pub use entry::Entry;
pub(crate) use marks::{DirMarks, is_metacopy, is_whiteout, is_whiteout_device};
pub use merged::{Found, Merged};
pub(crate) use names::Names;

use crate::{Dialect, Error, ErrorKind, Result};

/// The lowers of a layer, uppermost first, and the dialect their marks are in.
///
/// Cloning shares the descriptors.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    lowers: Vec<Arc<OwnedFd>>,
    dialect: Dialect,
    is_unknown: bool,
}

impl Chain {
    /// The chain of these `diff` directories, uppermost first.
    #[must_use]
    pub fn new(lowers: Vec<OwnedFd>, dialect: Dialect) -> Self {
        Self { lowers: lowers.into_iter().map(Arc::new).collect(), dialect, is_unknown: false }
    }

    /// The chain of a base layer or a plain directory: nothing below it, marks in [`Dialect::Trusted`].
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A chain whose lowers exist but cannot be looked at.
    ///
    /// An export over it keeps every opaque marker, since each may hide something (rule 14).
    #[must_use]
    pub fn unknown(dialect: Dialect) -> Self {
        Self { lowers: Vec::new(), dialect, is_unknown: true }
    }

    /// Where the marks of the lowers, and of the layer above them, are kept.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many lowers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lowers.len()
    }

    /// Says whether there is no lower.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lowers.is_empty()
    }

    /// Says whether the lowers can be looked at; only [`Chain::unknown`] cannot.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.is_unknown
    }

    /// The merged root directory; without lowers it is a directory that has nothing in it.
    pub fn root(&self) -> Result<Merged> {
        Merged::root(&self.lowers, self.dialect)
    }

    /// This chain with `upper` on top of it: what a mount of the upper shows.
    pub(crate) fn with_upper(&self, upper: OwnedFd) -> Self {
        let lowers = std::iter::once(Arc::new(upper)).chain(self.lowers.iter().cloned()).collect();
        Self { lowers, dialect: self.dialect, is_unknown: self.is_unknown }
    }

    /// Finds what the merged view shows at `path`, which is relative to the root and free of `..`.
    ///
    /// No symbolic link is followed: a path that leads through one, or through any file, is not found. The root
    /// itself is found as a directory.
    pub fn lookup(&self, path: impl AsRef<Path>) -> Result<Option<Found>> {
        let path = path.as_ref();
        if path.components().any(|component| component == Component::ParentDir) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path:?} leaves the root")));
        }
        let mut found = Found::Directory(self.root()?);
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let Found::Directory(merged) = found else { return Ok(None) };
            match merged.lookup(name)? {
                Some(next) => found = next,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}
