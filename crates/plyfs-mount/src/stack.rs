//! What is to be stacked: names of directories below one home, uppermost first.
//!
//! Every name is relative to the home and made of plain components, so that a stack can be mounted from a descriptor of
//! the home however long its path is and whatever bytes it holds.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layout::MAX_LOWERS;
use crate::{Error, ErrorKind, Result};

/// The directories of one mount, all below a common home.
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) home: Arc<OwnedFd>,
    pub(crate) path: PathBuf,
    pub(crate) lowers: Vec<OsString>,
    pub(crate) upper: Option<Upper>,
    pub(crate) empty: Option<OsString>,
}

/// The writable pair: where changes go, and the kernel's own room beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upper {
    pub(crate) upper: OsString,
    pub(crate) work: OsString,
}

impl Stack {
    /// An empty stack below the open directory `home`; `path` is its name in options meant for people.
    ///
    /// Mounting goes by the descriptor alone.
    #[must_use]
    pub fn new(home: Arc<OwnedFd>, path: impl Into<PathBuf>) -> Self {
        Self { home, path: path.into(), lowers: Vec::new(), upper: None, empty: None }
    }

    /// Adds read-only layers below those there are, uppermost first.
    #[must_use]
    pub fn lowers(mut self, names: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.lowers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds the writable directory and its work directory, on one file system and used by no other mount (rule 65).
    #[must_use]
    pub fn upper(mut self, upper: impl Into<OsString>, work: impl Into<OsString>) -> Self {
        self.upper = Some(Upper { upper: upper.into(), work: work.into() });
        self
    }

    /// Names an empty directory, which is stacked lowest where the kernel wants one layer more (rule 66).
    #[must_use]
    pub fn empty(mut self, name: impl Into<OsString>) -> Self {
        self.empty = Some(name.into());
        self
    }

    /// The lowers the kernel gets: those given, and the empty one where they are too few.
    pub(crate) fn effective_lowers(&self) -> Result<Vec<OsString>> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        let needed = if self.upper.is_some() { 1 } else { 2 };
        let mut lowers = self.lowers.clone();
        if lowers.len() < needed {
            lowers.extend(self.empty.clone());
        }
        match (lowers.len() < needed, self.lowers.len(), &self.upper) {
            (_, 0, None) => return invalid("a mount needs at least one layer".into()),
            (true, _, None) => return invalid("a view of one layer needs an empty directory below it".into()),
            (true, _, Some(_)) => return invalid("an upper directory alone needs an empty one below it".into()),
            (false, ..) => {}
        }
        if lowers.len() > MAX_LOWERS {
            return invalid(format!("{} lower layers, the kernel stacks at most {MAX_LOWERS}", lowers.len()));
        }
        let uppers = self.upper.iter().flat_map(|pair| [&pair.upper, &pair.work]);
        lowers.iter().chain(uppers).try_for_each(|name| validate(name))?;
        Ok(lowers)
    }
}

/// Refuses names that could leave the home or end an option early.
fn validate(name: &OsStr) -> Result<()> {
    let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    if name.as_bytes().split(|&byte| byte == b'/').all(plain) {
        return Ok(());
    }
    let message = format!("layer directory {:?} is not a plain path below the home", Path::new(name));
    Err(Error::new(ErrorKind::InvalidInput, message))
}
