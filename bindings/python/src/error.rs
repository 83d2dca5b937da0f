//! From the facade's errors to the package's exceptions: one class for each kind.

use std::error::Error as _;
use std::io;

use plyfs::ErrorKind;
use pyo3::prelude::*;

/// What a call of this module can end with, before it is an exception.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The facade failed.
    Facade(plyfs::Error),
    /// A file object of the caller failed; its exception is kept aside, see [`crate::watch::Raised`].
    File(io::Error),
    /// A reader of the facade's failed; its error is inside.
    Reader(io::Error),
}

/// A result of facade work.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl<E: Into<plyfs::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Facade(error.into())
    }
}

impl Failure {
    /// A failed copy of what the facade reads: by its own doing, or by a file object.
    pub(crate) fn reading(error: io::Error) -> Self {
        if plyfs::kind_of(&error).is_none() {
            return Self::File(error);
        }
        Self::Reader(error)
    }

    /// The exception that stands for it.
    pub(crate) fn into_exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Facade(error) => exception(py, &error),
            Self::File(error) => error.into(),
            Self::Reader(error) => reader_failed(py, &error),
        }
    }
}

/// Runs work that may wait with the interpreter released.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Outcome<T> + Send) -> PyResult<T> {
    py.detach(work).map_err(|failure| failure.into_exception(py))
}

fn exception(py: Python<'_>, error: &plyfs::Error) -> PyErr {
    of_kind(py, error.kind(), errno(error), &plyfs::report(error))
}

fn reader_failed(py: Python<'_>, error: &io::Error) -> PyErr {
    let kind = plyfs::kind_of(error).unwrap_or(ErrorKind::Io);
    of_kind(py, kind, kind.errno().raw_os_error(), &plyfs::report(error))
}

/// Makes the exception in Python, where its class is defined.
pub(crate) fn of_kind(py: Python<'_>, kind: ErrorKind, number: i32, words: &str) -> PyErr {
    let make = || py.import("plyfs._errors")?.getattr("of_kind")?.call1((kind.name(), number, words));
    make().map_or_else(|raised| raised, PyErr::from_value)
}

/// The errno of the kind; where the kind says nothing more, that of the system call.
fn errno(error: &plyfs::Error) -> i32 {
    let of_kind = error.kind().errno().raw_os_error();
    if error.kind() != ErrorKind::Io {
        return of_kind;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(of_call) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return of_call;
        }
        next = cause.source();
    }
    of_kind
}
