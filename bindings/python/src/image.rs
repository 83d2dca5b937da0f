//! Images.

use plyfs::prelude::*;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::detached;
use crate::layer::Layer;
use crate::store::Store;
use crate::values::{self, HistoryEntry, Usage};
use crate::view::View;

/// A config, a chain of layers, any number of names.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Image(pub(crate) plyfs::Image);

#[pymethods]
impl Image {
    #[getter]
    fn store(&self) -> Store {
        Store(self.0.store().clone())
    }

    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    #[getter]
    fn names(&self) -> Vec<String> {
        self.0.names().iter().map(ToString::to_string).collect()
    }

    #[getter]
    fn top(&self) -> Option<String> {
        self.0.top().map(|id| id.to_string())
    }

    #[getter]
    fn manifest_digest(&self) -> Option<String> {
        self.0.manifest_digest().map(|digest| digest.to_string())
    }

    #[getter]
    fn created(&self) -> Option<&str> {
        self.0.created()
    }

    #[getter]
    fn added(&self) -> u64 {
        self.0.added_unix()
    }

    #[getter]
    fn architecture(&self) -> Option<&str> {
        self.0.architecture()
    }

    #[getter]
    fn os(&self) -> Option<&str> {
        self.0.os()
    }

    /// The bytes of the config as received.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let config = detached(py, || Ok(self.0.config()?))?;
        Ok(PyBytes::new(py, &config))
    }

    fn layers(&self, py: Python<'_>) -> PyResult<Vec<Layer>> {
        let layers = detached(py, || Ok(self.0.layers()?))?;
        Ok(layers.into_iter().map(Layer).collect())
    }

    /// The ids of the containers made of it.
    fn containers(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let made = detached(py, || Ok(self.0.containers()?))?;
        Ok(made.iter().map(ToString::to_string).collect())
    }

    fn history(&self, py: Python<'_>) -> PyResult<Vec<HistoryEntry>> {
        let entries = detached(py, || Ok(self.0.history()?))?;
        Ok(entries.into_iter().map(HistoryEntry::from).collect())
    }

    fn usage(&self, py: Python<'_>) -> PyResult<Usage> {
        detached(py, || Ok(values::usage(self.0.usage()?)))
    }

    fn view(&self, py: Python<'_>) -> PyResult<View> {
        detached(py, || Ok(self.0.view()?)).map(View)
    }
}
