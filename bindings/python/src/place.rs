//! Paths as Python gives them: text, bytes, or an object that stands for either.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plyfs::ErrorKind;
use pyo3::prelude::*;

use crate::error::of_kind;

/// How many bytes before a NUL an error names at most.
const NAMED: usize = 64;

/// A path of the caller, in which no NUL is.
#[derive(Debug)]
pub(crate) struct Place(pub(crate) PathBuf);

impl<'py> FromPyObject<'_, 'py> for Place {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = object.py().import("os")?.getattr("fsdecode")?.call1((object,))?;
        let path: PathBuf = text.extract()?;
        let bytes = path.as_os_str().as_bytes();
        if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
            // What was taken for a path may be a whole archive.
            let before = OsStr::from_bytes(&bytes[at.saturating_sub(NAMED)..at]);
            let number = ErrorKind::InvalidInput.errno().raw_os_error();
            let message = format!("a NUL byte is in the path, behind {before:?}");
            return Err(of_kind(object.py(), ErrorKind::InvalidInput, number, &message));
        }
        Ok(Self(path))
    }
}
