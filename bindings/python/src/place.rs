//! Paths as Python gives them: text, bytes, or an object that stands for either.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plyfs::ErrorKind;
use pyo3::prelude::*;

use crate::error::of_kind;

/// A path of the caller, in which no NUL is.
#[derive(Debug)]
pub(crate) struct Place(pub(crate) PathBuf);

impl<'py> FromPyObject<'_, 'py> for Place {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = object.py().import("os")?.getattr("fsdecode")?.call1((object,))?;
        let path: PathBuf = text.extract()?;
        if path.as_os_str().as_bytes().contains(&0) {
            let number = ErrorKind::InvalidInput.errno().raw_os_error();
            return Err(of_kind(object.py(), ErrorKind::InvalidInput, number, &format!("a NUL byte is in {path:?}")));
        }
        Ok(Self(path))
    }
}
