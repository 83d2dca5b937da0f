//! One path of a view: what was found there, to be asked further.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use plyfs_sys::{CallError, xattr};

use super::Metadata;
use crate::{Dialect, Error, ErrorKind, Found, Merged, Result};

/// What a view shows at one path.
///
/// It stays what it was when it was found: a name that is replaced later is [`ErrorKind::Conflict`] where its content is
/// asked for, never another file.
#[derive(Debug)]
pub struct ViewEntry {
    found: Found,
    dialect: Dialect,
}

impl ViewEntry {
    pub(super) fn new(found: Found, dialect: Dialect) -> Self {
        Self { found, dialect }
    }

    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// The path from the root, which is `/`; no link is on the way.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/").join(self.relative())
    }

    pub(crate) fn relative(&self) -> &Path {
        match &self.found {
            Found::Directory(merged) => merged.path(),
            Found::Symlink(entry) | Found::Other(entry) => entry.path(),
        }
    }

    /// Says whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.found, Found::Directory(_))
    }

    /// Type, mode, owner, size and times; of a directory as they are now, else as they were when it was found.
    pub fn metadata(&self) -> Result<Metadata> {
        match &self.found {
            Found::Symlink(entry) | Found::Other(entry) => Ok(Metadata::of(entry.stat(), entry.lower())),
            Found::Directory(merged) => {
                let Some(stat) = merged.stat()? else { return Ok(Metadata::empty_root()) };
                let mut parts = merged.parts().map(|(layer, _)| layer);
                let mut metadata = Metadata::of(&stat, parts.next().unwrap_or(0));
                if parts.next().is_some() {
                    metadata.links = 1;
                }
                Ok(metadata)
            }
        }
    }

    /// The names in a directory, sorted bytewise.
    pub fn read_dir(&self) -> Result<Vec<OsString>> {
        self.directory()?.read_dir()
    }

    /// One name in a directory, or `None` when there is no such name.
    pub fn lookup(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        Ok(self.directory()?.lookup(name)?.map(|found| Self::new(found, self.dialect)))
    }

    /// Opens a regular file for reading.
    ///
    /// Anything else is [`ErrorKind::InvalidInput`]: no device is opened, and no FIFO waited for.
    pub fn open(&self) -> Result<File> {
        match &self.found {
            Found::Other(entry) => entry.open().map(File::from),
            _ => Err(self.is_not("a regular file")),
        }
    }

    /// Reads a regular file whole; one of more than `limit` bytes is [`ErrorKind::InvalidInput`].
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let read = self.open()?.take(limit.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| Error::io(format!("read {:?}", self.path()), error))?;
        if content.len() as u64 > limit {
            let message = format!("{:?} is longer than {limit} bytes", self.path());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(content)
    }

    /// Where a symbolic link points.
    pub fn read_link(&self) -> Result<OsString> {
        match &self.found {
            Found::Symlink(entry) => entry.read_link(),
            _ => Err(self.is_not("a symbolic link")),
        }
    }

    /// The extended attributes as a mount shows them: without OverlayFS' own, and with those that were escaped for a tree
    /// that has such as content under their own name (rule 20).
    pub fn xattrs(&self) -> Result<BTreeMap<OsString, Vec<u8>>> {
        let mut shown = BTreeMap::new();
        for name in self.raw_names()? {
            let Some(seen_as) = shown_name(&name, self.dialect) else { continue };
            if let Some(value) = self.raw_value(&name)? {
                shown.insert(seen_as, value);
            }
        }
        Ok(shown)
    }

    fn raw_names(&self) -> Result<Vec<OsString>> {
        match &self.found {
            Found::Symlink(entry) | Found::Other(entry) => entry.xattrs(),
            Found::Directory(merged) => {
                merged.uppermost().map_or(Ok(Vec::new()), |dir| xattr::list(dir).map_err(|error| self.failed(error)))
            }
        }
    }

    fn raw_value(&self, name: &OsStr) -> Result<Option<Vec<u8>>> {
        match &self.found {
            Found::Symlink(entry) | Found::Other(entry) => entry.xattr(name),
            Found::Directory(merged) => merged
                .uppermost()
                .map_or(Ok(None), |dir| xattr::get(dir.as_fd(), name).map_err(|error| self.failed(error))),
        }
    }

    pub(crate) fn directory(&self) -> Result<&Merged> {
        match &self.found {
            Found::Directory(merged) => Ok(merged),
            _ => Err(self.is_not("a directory")),
        }
    }

    fn is_not(&self, what: &str) -> Error {
        Error::new(ErrorKind::InvalidInput, format!("{:?} is not {what}", self.path()))
    }

    fn failed(&self, error: CallError) -> Error {
        Error::call(format!("read the attributes of {:?}", self.path()), error)
    }
}

/// The name a mount shows an attribute of a layer under; `None` for OverlayFS' own.
fn shown_name(name: &OsStr, dialect: Dialect) -> Option<OsString> {
    let Some(rest) = name.as_bytes().strip_prefix(dialect.prefix().as_bytes()) else { return Some(name.to_owned()) };
    let unescaped = rest.strip_prefix(b"overlay.")?;
    Some(OsString::from_vec([dialect.prefix().as_bytes(), unescaped].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_20_marks_are_hidden_and_escaped_ones_are_content() {
        for (name, dialect, shown) in [
            ("user.note", Dialect::Trusted, Some("user.note")),
            ("trusted.overlay.opaque", Dialect::Trusted, None),
            ("trusted.overlay.overlay.opaque", Dialect::Trusted, Some("trusted.overlay.opaque")),
            ("trusted.overlay.overlay.overlay.x", Dialect::Trusted, Some("trusted.overlay.overlay.x")),
            ("user.overlay.opaque", Dialect::Trusted, Some("user.overlay.opaque")),
            ("user.overlay.origin", Dialect::User, None),
            ("user.overlay.overlay.origin", Dialect::User, Some("user.overlay.origin")),
        ] {
            assert_eq!(shown_name(OsStr::new(name), dialect).as_deref(), shown.map(OsStr::new), "{name}");
        }
    }
}
