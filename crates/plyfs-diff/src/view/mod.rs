//! The merged tree read in user space, without a mount.
//!
//! A [`View`] answers what a mount of the same layers would, to those who may not mount or need not. Paths mean what they
//! mean to a process whose root is the view: a symbolic link on the way is followed, an absolute one and `..` stay
//! inside. What the path leads to is never followed but by [`View::resolve`].

mod between;
mod entry;
mod metadata;
mod resolve;
mod unpack;
mod walk;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use entry::ViewEntry;
pub use metadata::{FileKind, Metadata};
pub use unpack::{CopyOptions, Unpacked};
pub use walk::Walk;

use crate::{Chain, Dialect, Error, ErrorKind, Result};

/// The merged tree of some layers, uppermost first.
///
/// Cloning shares the descriptors. The layers must be kept from removal by whoever made the view.
///
/// A view has one descriptor for each layer. Whoever looks into a directory has one more for each layer that has it, and a
/// walk or a comparison those of the directories it is in, at most 32 deep. So images of hundreds of layers need a higher limit
/// (`RLIMIT_NOFILE`) than the usual 1,024; one that is too low is an error that says so.
///
/// ```
/// use plyfs_diff::{Chain, Dialect, View};
/// use plyfs_sys::fs::open_dir;
///
/// let temp = tempfile::tempdir()?;
/// for (layer, version) in [("upper", "2"), ("lower", "1")] {
///     std::fs::create_dir_all(temp.path().join(layer).join("etc"))?;
///     std::fs::write(temp.path().join(layer).join("etc/version"), version)?;
/// }
/// std::os::unix::fs::symlink("/etc/version", temp.path().join("lower/current"))?;
///
/// let layers = vec![open_dir(temp.path().join("upper"))?, open_dir(temp.path().join("lower"))?];
/// let view = View::new(Chain::new(layers, Dialect::User))?;
/// assert_eq!(view.read(view.resolve("current")?, 100)?, b"2");
/// assert_eq!(view.read_dir("/")?, ["current", "etc"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What it shows
///
/// - Whiteouts in both forms, opaque directories, redirects and files copied up without content are resolved as the kernel
///   does with `redirect_dir=on,metacopy=on`; a tree whose marks the caller cannot see or the kernel would not follow is an
///   error, never another tree.
/// - A whiteout in a directory that nothing lies below is hidden too; the kernel lists such and finds nothing there (rule 11).
/// - [`Metadata::inode`] and [`Metadata::filesystem`] are those of the inode in its layer: two paths are one file when both
///   agree. A mount may number them otherwise. A merged directory has one link, as in a mount.
/// - What changes while it is read shows as it is at that moment; nothing is cached between calls.
#[derive(Clone, Debug)]
pub struct View {
    chain: Chain,
}

impl View {
    /// The merged tree of a chain whose first layer is the uppermost of all, a container's upper for one.
    ///
    /// Whoever cannot see `trusted.*` attributes gets no view of layers that keep their marks there:
    /// [`ErrorKind::Permission`].
    pub fn new(layers: Chain) -> Result<Self> {
        if !layers.is_known() {
            return Err(Error::new(ErrorKind::InvalidInput, "a view needs layers that can be looked at"));
        }
        if layers.dialect() == Dialect::Trusted && !plyfs_sys::xattr::sees_trusted() {
            let message = "the marks of these layers are trusted.* attributes, which this process cannot see";
            return Err(Error::new(ErrorKind::Permission, message));
        }
        Ok(Self { chain: layers })
    }

    /// The layers, uppermost first.
    #[must_use]
    pub fn layers(&self) -> &Chain {
        &self.chain
    }

    /// What is at `path`, a symbolic link itself.
    ///
    /// [`ErrorKind::NotFound`] when nothing is there; a path that leads through anything but directories and links is
    /// [`ErrorKind::InvalidInput`], and so is one through more than 40 links.
    pub fn entry(&self, path: impl AsRef<Path>) -> Result<ViewEntry> {
        resolve::entry(&self.chain, path.as_ref(), false)
    }

    /// The path that `path` leads to when links are followed to the end; no link is in it.
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        Ok(self.entry_resolved(path)?.path())
    }

    /// What `path` leads to when links are followed to the end.
    pub fn entry_resolved(&self, path: impl AsRef<Path>) -> Result<ViewEntry> {
        resolve::entry(&self.chain, path.as_ref(), true)
    }

    /// Type, mode, owner, size and times of what is at `path`.
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        self.entry(path)?.metadata()
    }

    /// The names in the directory at `path`, sorted bytewise.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> {
        self.entry(path)?.read_dir()
    }

    /// Opens the regular file at `path` for reading.
    ///
    /// Anything else is [`ErrorKind::InvalidInput`]: no device is opened, and no FIFO waited for.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        self.entry(path)?.open()
    }

    /// Reads the regular file at `path` whole; one of more than `limit` bytes is [`ErrorKind::InvalidInput`].
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
        self.entry(path)?.read(limit)
    }

    /// Where the symbolic link at `path` points.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<OsString> {
        self.entry(path)?.read_link()
    }

    /// The extended attributes of what is at `path`, as a mount shows them.
    pub fn xattrs(&self, path: impl AsRef<Path>) -> Result<BTreeMap<OsString, Vec<u8>>> {
        self.entry(path)?.xattrs()
    }

    /// Everything at and below `path`, each directory before what is in it, names sorted bytewise.
    pub fn walk(&self, path: impl AsRef<Path>) -> Result<Walk> {
        Ok(Walk::new(self.chain.clone(), self.entry(path)?))
    }
}
