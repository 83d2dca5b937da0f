//! Views: the merged tree read without a mount.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use plyfs::ViewEntry;
use pyo3::prelude::*;

use crate::error::{Outcome, detached};
use crate::place::Place;

/// What a container, an image or a layer shows.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct View(pub(crate) plyfs::View);

/// One inode, as plain data.
#[derive(IntoPyObject)]
pub(crate) struct FileStat {
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    links: u64,
    modified: (i64, u32),
    device: Option<(u32, u32)>,
    layer: usize,
}

impl View {
    fn entry(&self, path: PathBuf, follow: bool) -> Outcome<ViewEntry> {
        Ok(if follow { self.0.entry_resolved(path)? } else { self.0.entry(path)? })
    }
}

#[pymethods]
impl View {
    /// A descriptor of a regular file, which is the caller's to close.
    fn open(&self, py: Python<'_>, path: Place) -> PyResult<i32> {
        detached(py, || Ok(self.entry(path.0, true)?.open()?.into_raw_fd()))
    }

    fn listdir(&self, py: Python<'_>, path: Place) -> PyResult<Vec<OsString>> {
        detached(py, || Ok(self.entry(path.0, true)?.read_dir()?))
    }

    fn stat(&self, py: Python<'_>, path: Place, follow: bool) -> PyResult<FileStat> {
        detached(py, || {
            let of = self.entry(path.0, follow)?.metadata()?;
            Ok(FileStat {
                kind: of.kind.name(),
                mode: of.mode,
                uid: of.uid,
                gid: of.gid,
                size: of.size,
                links: of.links,
                modified: of.modified,
                device: of.device,
                layer: of.layer,
            })
        })
    }

    fn xattrs(&self, py: Python<'_>, path: Place, follow: bool) -> PyResult<BTreeMap<OsString, Vec<u8>>> {
        detached(py, || Ok(self.entry(path.0, follow)?.xattrs()?))
    }

    fn readlink(&self, py: Python<'_>, path: Place) -> PyResult<OsString> {
        detached(py, || Ok(self.0.read_link(path.0)?))
    }

    fn walk(&self, py: Python<'_>, path: Place) -> PyResult<Walk> {
        let walk = detached(py, || Ok(self.0.walk(self.0.resolve(path.0)?)?))?;
        Ok(Walk(Mutex::new(walk)))
    }
}

/// An iterator over paths.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Walk(Mutex<plyfs::Walk>);

#[pymethods]
impl Walk {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<OsString>> {
        detached(py, || -> Outcome<_> {
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
            Ok(next.transpose()?.map(|entry| entry.path().into_os_string()))
        })
    }
}
