//! Containers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use plyfs::prelude::*;
use plyfs::{
    CommitOptions, ContainerName, ExportOptions, Instruction, MountOptions, Reference, Removal, Style, Unmount,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::changes::Changes;
use crate::error::{Outcome, detached};
use crate::file::writing;
use crate::image::Image;
use crate::mount::Mount;
use crate::place::Place;
use crate::store::Store;
use crate::values::{self, Exported, MountSpec, Usage};
use crate::view::View;
use crate::watch::{watched, watched_aside};

/// A writable layer with a name.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Container(pub(crate) plyfs::Container);

#[pymethods]
impl Container {
    #[getter]
    fn store(&self) -> Store {
        Store(self.0.store().clone())
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name().as_str()
    }

    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    #[getter]
    fn image(&self) -> Option<String> {
        self.0.image().map(|id| id.to_string())
    }

    #[getter]
    fn image_name(&self) -> Option<&str> {
        self.0.image_name()
    }

    #[getter]
    fn parent(&self) -> Option<String> {
        self.0.parent().map(|id| id.to_string())
    }

    #[getter]
    fn labels(&self) -> BTreeMap<String, String> {
        self.0.labels().clone()
    }

    #[getter]
    fn read_only(&self) -> bool {
        self.0.is_read_only()
    }

    #[getter]
    fn created(&self) -> u64 {
        self.0.created_unix()
    }

    #[pyo3(signature = (*, at, read_only, nosuid, nodev, noexec))]
    fn mount(
        &self,
        py: Python<'_>,
        at: Option<Place>,
        read_only: Option<bool>,
        nosuid: bool,
        nodev: bool,
        noexec: bool,
    ) -> PyResult<Mount> {
        let mut options = MountOptions::new().nosuid(nosuid).nodev(nodev).noexec(noexec);
        if let Some(at) = at {
            options = options.at(at.0);
        }
        if let Some(read_only) = read_only {
            options = options.read_only(read_only);
        }
        detached(py, || Ok(self.0.mount(&options)?)).map(Mount::from)
    }

    fn mount_spec(&self, py: Python<'_>) -> PyResult<MountSpec> {
        detached(py, || Ok(self.0.mount_spec()?.into()))
    }

    fn mounted_at(&self, py: Python<'_>) -> PyResult<Option<PathBuf>> {
        detached(py, || Ok(self.0.mounted_at()?))
    }

    #[pyo3(signature = (*, detach))]
    fn unmount(&self, py: Python<'_>, detach: bool) -> PyResult<()> {
        let how = if detach { Unmount::Detach } else { Unmount::Plain };
        detached(py, || Ok(self.0.unmount(how)?))
    }

    fn changes(&self, py: Python<'_>) -> PyResult<Changes> {
        let changes = detached(py, || Ok(self.0.changes()?))?;
        Ok(Changes(Mutex::new(changes)))
    }

    #[pyo3(signature = (file, *, clamp_mtime, style, progress))]
    fn export(
        &self,
        py: Python<'_>,
        file: Py<PyAny>,
        clamp_mtime: Option<i64>,
        style: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Exported> {
        let style = match style {
            "native" => Style::Native,
            "containerd" => Style::Containerd,
            other => return Err(PyValueError::new_err(format!("{other:?} is no style: native or containerd"))),
        };
        let options = clamp_mtime.into_iter().fold(ExportOptions::new().style(style), ExportOptions::clamp_mtime);
        watched(py, progress, |raised, progress| -> Outcome<_> {
            writing(file, raised, |out| Ok(values::exported(&self.0.export_with(out, &options, progress)?)))
        })
    }

    #[pyo3(signature = (*, name, message, author, changes, cache_key, created, clamp_mtime, progress))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn commit(
        &self,
        py: Python<'_>,
        name: Option<&str>,
        message: Option<String>,
        author: Option<String>,
        changes: Vec<String>,
        cache_key: Option<Vec<u8>>,
        created: Option<SystemTime>,
        clamp_mtime: Option<i64>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Image> {
        let image = watched_aside(py, progress, |progress| {
            let mut options = CommitOptions::new();
            if let Some(name) = name {
                options = options.name(name.parse::<Reference>()?);
            }
            if let Some(message) = message {
                options = options.message(message);
            }
            if let Some(author) = author {
                options = options.author(author);
            }
            if let Some(key) = cache_key {
                options = options.cache_key(key);
            }
            if let Some(time) = created {
                options = options.created(time)?;
            }
            options = clamp_mtime.into_iter().fold(options, CommitOptions::clamp_mtime);
            options = instructions(&changes)?.into_iter().fold(options, CommitOptions::change);
            Ok(self.0.commit(options, progress)?)
        });
        image.map(Image)
    }

    fn rename(&self, py: Python<'_>, name: &str) -> PyResult<Container> {
        detached(py, || Ok(self.0.rename(name.parse::<ContainerName>()?)?)).map(Container)
    }

    #[pyo3(signature = (*, force))]
    fn remove(&self, py: Python<'_>, force: bool) -> PyResult<()> {
        let removal = if force { Removal::Force } else { Removal::Unmounted };
        detached(py, || Ok(self.0.remove(removal)?))
    }

    fn usage(&self, py: Python<'_>) -> PyResult<Usage> {
        detached(py, || Ok(values::usage(self.0.usage()?)))
    }

    fn view(&self, py: Python<'_>) -> PyResult<View> {
        detached(py, || Ok(self.0.view()?)).map(View)
    }
}

/// Reads instructions of a Dockerfile.
pub(crate) fn instructions(changes: &[String]) -> Outcome<Vec<Instruction>> {
    changes.iter().map(|change| Ok(change.parse::<Instruction>()?)).collect()
}
