//! The guard of a mount.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::error::detached;

/// A mount and its guard, until one of the ways out is taken.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Mount {
    path: PathBuf,
    guard: Mutex<Option<plyfs::Mount>>,
}

impl From<plyfs::Mount> for Mount {
    fn from(mount: plyfs::Mount) -> Self {
        Self { path: mount.path().to_owned(), guard: Mutex::new(Some(mount)) }
    }
}

impl Mount {
    fn take(&self) -> Option<plyfs::Mount> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Mount {
    #[getter]
    fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Says whether this guard made the mount; false once it is gone.
    #[getter]
    fn is_maker(&self) -> bool {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(plyfs::Mount::is_maker)
    }

    /// Says whether the guard still lives.
    #[getter]
    fn is_held(&self) -> bool {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Unmounts; nothing happens after another way out was taken.
    fn unmount(&self, py: Python<'_>) -> PyResult<()> {
        let guard = self.take();
        detached(py, || Ok(guard.map_or(Ok(()), plyfs::Mount::unmount)?))
    }

    /// Lets the guard go and leaves it mounted.
    fn keep(&self) {
        if let Some(guard) = self.take() {
            guard.keep();
        }
    }

    /// Lets the guard go as its drop does: unmounts what it mounted unless others hold it, and says nothing.
    fn release(&self, py: Python<'_>) {
        let guard = self.take();
        py.detach(|| drop(guard));
    }
}
