//! What a container changed, one path at a time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use plyfs::{Change, ChangeKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Outcome, detached};

/// An iterator over pairs of path and letter.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Changes(pub(crate) Mutex<plyfs::Changes>);

#[pymethods]
impl Changes {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<(OsString, char)>> {
        detached(py, || -> Outcome<_> {
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
            Ok(next.transpose()?.map(|change| (change.path.into_os_string(), change.kind.letter())))
        })
    }
}

/// A change as all doors print it, on one line.
#[pyfunction]
pub(crate) fn describe_change(path: PathBuf, letter: char) -> PyResult<String> {
    let kinds = [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted];
    let kind = kinds.into_iter().find(|kind| kind.letter() == letter);
    let kind = kind.ok_or_else(|| PyValueError::new_err(format!("{letter:?} is no kind of change")))?;
    Ok(Change { path, kind }.to_string())
}
