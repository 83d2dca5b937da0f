//! Layers.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Failure, Outcome, detached};
use crate::file::writing;
use crate::mount::Mount;
use crate::place::Place;
use crate::values::{self, Exported, Usage};
use crate::view::View;
use crate::watch::watched;

/// An immutable tree and what made it.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Layer(pub(crate) plyfs::Layer);

#[pymethods]
impl Layer {
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    #[getter]
    fn link(&self) -> String {
        self.0.link().to_string()
    }

    #[getter]
    fn parent(&self) -> Option<String> {
        self.0.parent().map(|id| id.to_string())
    }

    #[getter]
    fn diff_id(&self) -> Option<String> {
        self.0.diff_id().map(|id| id.to_string())
    }

    #[getter]
    fn chain_id(&self) -> Option<String> {
        self.0.chain_id().map(|id| id.to_string())
    }

    #[getter]
    fn depth(&self) -> u64 {
        self.0.depth()
    }

    #[getter]
    fn archive_size(&self) -> Option<u64> {
        self.0.archive_size()
    }

    #[getter]
    fn created(&self) -> u64 {
        self.0.created_unix()
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path()
    }

    #[getter]
    fn usage(&self) -> Usage {
        values::usage(self.0.usage())
    }

    #[getter]
    fn chain_usage(&self) -> Usage {
        values::usage(self.0.chain_usage())
    }

    fn chain(&self, py: Python<'_>) -> PyResult<Vec<Layer>> {
        let chain = detached(py, || Ok(self.0.chain()?))?;
        Ok(chain.into_iter().map(Layer).collect())
    }

    /// Pairs of a word and an id.
    fn users(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        let users = detached(py, || Ok(self.0.users()?))?;
        let pair = |user| match user {
            plyfs::User::Layer(id) => ("layer", id.to_string()),
            plyfs::User::Image(id) => ("image", id.to_string()),
            plyfs::User::Container(id) => ("container", id.to_string()),
            plyfs::User::Lease(id) => ("lease", id.to_string()),
        };
        Ok(users.into_iter().map(pair).collect())
    }

    fn mount(&self, py: Python<'_>, at: Place) -> PyResult<Mount> {
        detached(py, || Ok(self.0.mount(at.0)?)).map(Mount::from)
    }

    fn write_archive(&self, py: Python<'_>, file: Py<PyAny>) -> PyResult<Exported> {
        watched(py, None, |raised, _| -> Outcome<_> {
            writing(file, raised, |out| Ok(values::exported(&self.0.write_archive(out)?)))
        })
    }

    /// Pairs of digest and usage.
    #[getter]
    fn blobs(&self) -> Vec<(String, Usage)> {
        self.0.blobs().iter().map(|blob| (blob.digest.to_string(), values::usage(blob.usage))).collect()
    }

    /// Writes a kept blob into an object with a method `write`.
    fn write_blob(&self, py: Python<'_>, digest: &str, file: Py<PyAny>) -> PyResult<()> {
        let blob = self.0.blobs().iter().find(|blob| blob.digest.to_string() == digest);
        let blob = blob.ok_or_else(|| PyValueError::new_err(format!("layer {} has no blob {digest}", self.0.id())))?;
        watched(py, None, |raised, _| -> Outcome<_> {
            let mut reader = self.0.blob(&blob.digest)?;
            writing(file, raised, |out| {
                let copied = std::io::copy(&mut reader, out);
                copied.map(drop).map_err(Failure::reading)
            })
        })
    }

    fn view(&self, py: Python<'_>) -> PyResult<View> {
        detached(py, || Ok(self.0.view()?)).map(View)
    }
}
