//! Python's file objects as readers and writers; the interpreter is taken once per chunk.

use std::io::{self, BufWriter, Read, Write};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::error::{Failure, Outcome};
use crate::place::Place;
use crate::watch::{Raised, watched, watched_aside};

/// How much is asked of a file object, or given to it, at once.
const CHUNK: usize = 1 << 20;

/// Where an archive comes from.
#[derive(Debug)]
pub(crate) enum Input {
    /// A file or directory.
    Path(std::path::PathBuf),
    /// An object with a method `read`.
    File(Py<PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Input {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.hasattr("read")? {
            return Ok(Self::File(object.to_owned().unbind()));
        }
        object.extract().map(|Place(path)| Self::Path(path))
    }
}

impl Input {
    /// Runs long work on the facade's source of it: aside for a path, on this thread for a file object.
    pub(crate) fn watched<T: Send>(
        self,
        py: Python<'_>,
        callback: Option<Py<PyAny>>,
        work: impl FnOnce(plyfs::Source<'_>, plyfs::Progress<'_>) -> Outcome<T> + Send,
    ) -> PyResult<T> {
        match self {
            Self::Path(path) => watched_aside(py, callback, |progress| work(plyfs::Source::path(path)?, progress)),
            Self::File(file) => {
                watched(py, callback, |raised, progress| work(plyfs::Source::reader(reader(file, raised)), progress))
            }
        }
    }
}

/// A reader of an object with a method `read`.
fn reader(file: Py<PyAny>, raised: &Raised) -> impl Read + Send + '_ {
    Reader { file, raised, chunk: None, at: 0 }
}

struct Reader<'a> {
    file: Py<PyAny>,
    raised: &'a Raised,
    chunk: Option<PyBackedBytes>,
    at: usize,
}

impl Reader<'_> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let chunk = Python::attach(|py| {
            let chunk = self.file.bind(py).call_method1("read", (CHUNK,))?;
            chunk.extract::<PyBackedBytes>().map_err(PyErr::from)
        });
        let chunk = chunk.map_err(|error| failed(self.raised, error))?;
        (self.chunk, self.at) = (Some(chunk), 0);
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at == chunk.len()) && !buffer.is_empty() {
            self.next_chunk()?;
        }
        let rest = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk[self.at..]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Lets `work` write into an object with a method `write`, through a buffer that is empty in the end.
pub(crate) fn writing<T>(
    file: Py<PyAny>,
    raised: &Raised,
    work: impl FnOnce(&mut (dyn Write + Send)) -> Outcome<T>,
) -> Outcome<T> {
    let mut out = BufWriter::with_capacity(CHUNK, Writer { file, raised });
    let done = work(&mut out);
    // What is left of failed work is nobody's; without this the buffer would still be written when dropped.
    let (writer, rest) = out.into_parts();
    let done = done?;
    let rest = rest.map_err(|_| Failure::File(io::ErrorKind::WriteZero.into()))?;
    writer.write_rest(&rest).map_err(Failure::File)?;
    Ok(done)
}

/// Writes into an object with a method `write`.
struct Writer<'a> {
    file: Py<PyAny>,
    raised: &'a Raised,
}

impl Writer<'_> {
    fn write_rest(mut self, rest: &[u8]) -> io::Result<()> {
        self.write_all(rest)
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = Python::attach(|py| {
            let taken = self.file.bind(py).call_method1("write", (PyBytes::new(py, bytes),))?;
            taken.extract::<Option<usize>>()
        });
        // Not every file object counts what it took; those that do not, took it all.
        let count = written.map_err(|error| failed(self.raised, error))?.unwrap_or(bytes.len());
        Ok(count.min(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the exception for the end of the call.
fn failed(raised: &Raised, error: PyErr) -> io::Error {
    raised.keep(error);
    io::Error::other("a file object raised an exception")
}
