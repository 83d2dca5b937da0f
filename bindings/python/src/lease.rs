//! Leases.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Outcome, detached};
use crate::image::Image;
use crate::layer::Layer;
use crate::store::Store;

/// A held lease, until one of the ways out is taken.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Lease {
    id: plyfs::LeaseId,
    held: Mutex<Option<plyfs::Lease>>,
}

impl From<plyfs::Lease> for Lease {
    fn from(lease: plyfs::Lease) -> Self {
        Self { id: lease.id(), held: Mutex::new(Some(lease)) }
    }
}

impl Lease {
    /// Does something with the lease while it is held.
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut plyfs::Lease) -> Outcome<T> + Send) -> PyResult<T> {
        let done = detached(py, || match &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(lease) => work(lease).map(Some),
            None => Ok(None),
        })?;
        done.ok_or_else(|| PyValueError::new_err(format!("lease {} was let go", self.id)))
    }

    fn take(&self) -> Option<plyfs::Lease> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Lease {
    #[getter]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[getter]
    fn is_held(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    #[getter]
    fn expires(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |lease| Ok(lease.expires_unix()))
    }

    /// The store under this lease.
    #[getter]
    fn store(&self, py: Python<'_>) -> PyResult<Store> {
        self.with(py, |lease| Ok(Store(lease.store().clone())))
    }

    fn hold(&self, py: Python<'_>, layer: PyRef<'_, Layer>) -> PyResult<()> {
        let layer = &layer.0;
        self.with(py, |lease| Ok(lease.hold(layer)?))
    }

    fn hold_image(&self, py: Python<'_>, image: PyRef<'_, Image>) -> PyResult<()> {
        let image = &image.0;
        self.with(py, |lease| Ok(lease.hold_image(image)?))
    }

    fn renew(&self, py: Python<'_>, lasts: Duration) -> PyResult<()> {
        self.with(py, |lease| Ok(lease.renew(lasts)?))
    }

    /// Ends it; nothing happens after another way out was taken.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let lease = self.take();
        detached(py, || Ok(lease.map_or(Ok(()), plyfs::Lease::release)?))
    }

    /// Lets it go as its drop does: one that does not survive ends, best effort.
    fn let_go(&self, py: Python<'_>) {
        let lease = self.take();
        py.detach(|| drop(lease));
    }
}

/// Id, expiry, whether it survives its holder, whether it is held.
pub(crate) type LeaseInfo = (String, u64, bool, bool);

/// What a list says of a lease.
pub(crate) fn listed(lease: &plyfs::LeaseInfo) -> LeaseInfo {
    (lease.id.to_string(), lease.expires_unix, lease.survives_holder, lease.is_held)
}
