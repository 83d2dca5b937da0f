//! Stores.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plyfs::prelude::*;
use plyfs::{
    Archive, CheckOptions, Compression, ContainerName, ContainerOptions, Durability, Format, ImportOptions, Inspected,
    LabelFilter, LeaseOptions, Parent, Platform, PruneOptions, Reference, Source,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::container::{Container, instructions};
use crate::error::{Outcome, detached};
use crate::file::{Input, writing};
use crate::image::Image;
use crate::layer::Layer;
use crate::lease::{self, Lease, LeaseInfo};
use crate::place::Place;
use crate::values::{self, Finding, Info, Pruned, Rebuilt, Repaired, StoreUsage, Usage};
use crate::watch::{watched, watched_aside};

/// One directory tree with a journal.
#[pyclass(frozen, module = "plyfs._native")]
pub(crate) struct Store(pub(crate) plyfs::Store);

/// What a container is made on.
#[derive(FromPyObject)]
pub(crate) enum On<'py> {
    Image(PyRef<'py, Image>),
    Layer(PyRef<'py, Layer>),
}

/// An image, the names it came with, and what could not be taken over, in words.
type Loaded = (Image, Vec<String>, Vec<String>);

#[pymethods]
impl Store {
    /// Opens a store; with `create`, makes one where there is none.
    #[staticmethod]
    #[pyo3(signature = (path, *, create, read_only, durability, threads, mapped, salvage))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn open(
        py: Python<'_>,
        path: Place,
        create: bool,
        read_only: bool,
        durability: &str,
        threads: Option<usize>,
        mapped: bool,
        salvage: bool,
    ) -> PyResult<Store> {
        let durability = match durability {
            "file-system" => Durability::FileSystem,
            "files" => Durability::Files,
            "none" => Durability::None,
            other => return Err(PyValueError::new_err(format!("{other:?} is no durability"))),
        };
        let options = plyfs::Store::options().read_only(read_only).durability(durability).mapped(mapped);
        let options = threads.into_iter().fold(options.salvage(salvage), plyfs::StoreOptions::threads);
        let open = || Ok(if create { options.ensure(path.0) } else { options.open(path.0) }?);
        detached(py, open).map(Store)
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    #[getter]
    fn is_writable(&self) -> bool {
        self.0.is_writable()
    }

    #[getter]
    fn damage(&self) -> Vec<String> {
        self.0.damage().to_vec()
    }

    #[pyo3(signature = (input, *, platform, keep_blobs, timeout, zstd_window, progress))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn load(
        &self,
        py: Python<'_>,
        input: Input,
        platform: Option<&str>,
        keep_blobs: bool,
        timeout: Option<Duration>,
        zstd_window: Option<u32>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Loaded>> {
        let loaded = input.watched(py, progress, |source, progress| {
            let platform = platform.map(str::parse::<Platform>).transpose()?;
            let source = platform.into_iter().fold(source.keep_blobs(keep_blobs), Source::platform);
            let source = timeout.into_iter().fold(source, Source::timeout);
            let source = zstd_window.into_iter().fold(source, Source::zstd_window);
            Ok(self.0.load(source, progress)?)
        })?;
        let parts = |loaded: plyfs::Loaded| {
            let names = loaded.names.iter().map(ToString::to_string).collect();
            (Image(loaded.image), names, loaded.skipped)
        };
        Ok(loaded.into_iter().map(parts).collect())
    }

    /// Writes images into an object with a method `write`, as one of the archive formats.
    #[pyo3(signature = (images, file, *, format, compression, level, progress))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn save(
        &self,
        py: Python<'_>,
        images: Vec<PyRef<'_, Image>>,
        file: Py<PyAny>,
        format: &str,
        compression: Option<&str>,
        level: Option<u32>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let images: Vec<&plyfs::Image> = images.iter().map(|image| &image.0).collect();
        watched(py, progress, |raised, progress| -> Outcome<_> {
            let format: Format = format.parse()?;
            let compression = compression.map(str::parse::<Compression>).transpose()?;
            writing(file, raised, |out| {
                let archive = if format == Format::OciArchive { Archive::oci(out) } else { Archive::docker(out) };
                Ok(self.0.save(&images, compressed(archive, compression, level), progress)?)
            })
        })
    }

    /// Writes images as an OCI layout in a directory.
    #[pyo3(signature = (images, path, *, compression, level, progress))]
    fn save_layout(
        &self,
        py: Python<'_>,
        images: Vec<PyRef<'_, Image>>,
        path: Place,
        compression: Option<&str>,
        level: Option<u32>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let images: Vec<&plyfs::Image> = images.iter().map(|image| &image.0).collect();
        watched_aside(py, progress, |progress| {
            let compression = compression.map(str::parse::<Compression>).transpose()?;
            Ok(self.0.save(&images, compressed(Archive::layout(path.0), compression, level), progress)?)
        })
    }

    #[pyo3(signature = (input, *, name, parent, message, changes, progress))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn import_tree(
        &self,
        py: Python<'_>,
        input: Input,
        name: Option<&str>,
        parent: Option<PyRef<'_, Image>>,
        message: Option<String>,
        changes: Vec<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Image> {
        let parent = parent.as_ref().map(|image| &image.0);
        let image = input.watched(py, progress, |source, progress| {
            let name = name.map(str::parse::<Reference>).transpose()?;
            let options =
                message.into_iter().fold(ImportOptions::new().name(name).parent(parent), ImportOptions::message);
            let options = instructions(&changes)?.into_iter().fold(options, ImportOptions::change);
            Ok(self.0.import(source, options, progress)?)
        });
        image.map(Image)
    }

    #[pyo3(signature = (input, *, parent, progress))]
    fn apply(
        &self,
        py: Python<'_>,
        input: Input,
        parent: Option<PyRef<'_, Layer>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Layer> {
        let parent = parent.as_ref().map(|layer| &layer.0);
        input.watched(py, progress, |source, progress| Ok(self.0.apply_source(source, parent, progress)?)).map(Layer)
    }

    fn image(&self, py: Python<'_>, name_or_id: &str) -> PyResult<Image> {
        detached(py, || Ok(self.0.image(name_or_id)?)).map(Image)
    }

    fn images(&self, py: Python<'_>) -> PyResult<Vec<Image>> {
        let images = detached(py, || Ok(self.0.images()?))?;
        Ok(images.into_iter().map(Image).collect())
    }

    fn tag(&self, py: Python<'_>, image: PyRef<'_, Image>, name: &str) -> PyResult<()> {
        let image = &image.0;
        detached(py, || Ok(self.0.tag(image, &name.parse::<Reference>()?)?))
    }

    #[pyo3(signature = (name, *, image))]
    fn untag(&self, py: Python<'_>, name: &str, image: Option<PyRef<'_, Image>>) -> PyResult<()> {
        let image = image.as_ref().map(|image| &image.0);
        detached(py, || {
            let name = name.parse::<Reference>()?;
            Ok(image.map_or_else(|| self.0.untag(&name), |image| self.0.untag_from(image, &name))?)
        })
    }

    #[pyo3(signature = (image, *, name))]
    fn remove_image(&self, py: Python<'_>, image: PyRef<'_, Image>, name: Option<&str>) -> PyResult<Pruned> {
        let image = &image.0;
        detached(py, || {
            let removed = match name {
                Some(name) => self.0.remove_image_name(image, &name.parse::<Reference>()?),
                None => self.0.remove_image(image),
            };
            Ok(removed?.into())
        })
    }

    fn layer(&self, py: Python<'_>, id: &str) -> PyResult<Layer> {
        detached(py, || Ok(self.0.layer(id)?)).map(Layer)
    }

    fn layers(&self, py: Python<'_>) -> PyResult<Vec<Layer>> {
        let layers = detached(py, || Ok(self.0.layers()?))?;
        Ok(layers.into_iter().map(Layer).collect())
    }

    /// Finds the layer made upon `parent` under a key.
    fn cached(&self, py: Python<'_>, parent: Option<PyRef<'_, Layer>>, key: &[u8]) -> PyResult<Option<Layer>> {
        let parent = parent.as_ref().map(|layer| &layer.0);
        Ok(detached(py, || Ok(self.0.cached(parent, key)?))?.map(Layer))
    }

    fn remove_layer(&self, py: Python<'_>, layer: PyRef<'_, Layer>) -> PyResult<Pruned> {
        let layer = &layer.0;
        detached(py, || Ok(self.0.remove_layer(layer)?.into()))
    }

    #[pyo3(signature = (on, *, image_name, name, read_only, labels))]
    fn create(
        &self,
        py: Python<'_>,
        on: Option<On<'_>>,
        image_name: Option<String>,
        name: Option<&str>,
        read_only: bool,
        labels: BTreeMap<String, String>,
    ) -> PyResult<Container> {
        let (parent, options) = (parent(on.as_ref()), container_options(image_name, read_only, labels));
        let container = detached(py, || Ok(self.0.create(parent, with_name(options, name)?)?));
        container.map(Container)
    }

    #[pyo3(signature = (on, *, image_name, names, read_only, labels))]
    fn create_all(
        &self,
        py: Python<'_>,
        on: Option<On<'_>>,
        image_name: Option<String>,
        names: Vec<String>,
        read_only: bool,
        labels: BTreeMap<String, String>,
    ) -> PyResult<Vec<Container>> {
        let (parent, options) = (parent(on.as_ref()), container_options(image_name, read_only, labels));
        let created = detached(py, || {
            let wanted = names.iter().map(|name| with_name(options.clone(), Some(name)));
            Ok(self.0.create_all(parent, wanted.collect::<Result<Vec<_>, _>>()?)?)
        });
        Ok(created?.into_iter().map(Container).collect())
    }

    fn container(&self, py: Python<'_>, name: &str) -> PyResult<Container> {
        detached(py, || Ok(self.0.container(name)?)).map(Container)
    }

    fn containers(&self, py: Python<'_>) -> PyResult<Vec<Container>> {
        let containers = detached(py, || Ok(self.0.containers()?))?;
        Ok(containers.into_iter().map(Container).collect())
    }

    /// A container, else an image, else a layer.
    fn inspect(&self, py: Python<'_>, what: &str) -> PyResult<Py<PyAny>> {
        Ok(match detached(py, || Ok(self.0.inspect(what)?))? {
            Inspected::Container(found) => Py::new(py, Container(found))?.into_any(),
            Inspected::Image(found) => Py::new(py, Image(found))?.into_any(),
            Inspected::Layer(found) => Py::new(py, Layer(found))?.into_any(),
        })
    }

    fn usage(&self, py: Python<'_>) -> PyResult<StoreUsage> {
        detached(py, || Ok(self.0.usage()?.into()))
    }

    fn measure(&self, py: Python<'_>) -> PyResult<StoreUsage> {
        detached(py, || Ok(self.0.measure()?.into()))
    }

    #[pyo3(signature = (*, all, added_before, only, labels, without_labels, dry_run))]
    #[expect(clippy::too_many_arguments, reason = "one for each keyword of Python")]
    fn prune(
        &self,
        py: Python<'_>,
        all: bool,
        added_before: Option<u64>,
        only: Option<Vec<PyRef<'_, Image>>>,
        labels: Vec<String>,
        without_labels: Vec<String>,
        dry_run: bool,
    ) -> PyResult<Pruned> {
        let options = PruneOptions::new().all(all).dry_run(dry_run);
        let options = added_before.into_iter().fold(options, PruneOptions::added_before);
        let only = only.map(|images| images.iter().map(|image| image.0.id()).collect::<Vec<_>>());
        let options = only.into_iter().fold(options, PruneOptions::only);
        let has = labels.iter().map(|label| LabelFilter::has(label));
        let labels: Vec<_> = has.chain(without_labels.iter().map(|label| LabelFilter::lacks(label))).collect();
        detached(py, || Ok(self.0.prune_labelled(options, &labels)?.into()))
    }

    /// Takes a lease.
    #[pyo3(signature = (lasts, *, survives))]
    fn lease(&self, py: Python<'_>, lasts: Duration, survives: bool) -> PyResult<Lease> {
        let options = LeaseOptions::new(lasts).survives_holder(survives);
        detached(py, || Ok(self.0.lease(options)?)).map(Lease::from)
    }

    fn open_lease(&self, py: Python<'_>, id: &str) -> PyResult<Lease> {
        detached(py, || Ok(self.0.open_lease(id.parse()?)?)).map(Lease::from)
    }

    fn leases(&self, py: Python<'_>) -> PyResult<Vec<LeaseInfo>> {
        let leases = detached(py, || Ok(self.0.leases()?))?;
        Ok(leases.iter().map(lease::listed).collect())
    }

    /// Pairs of a word and an id.
    fn leased(&self, py: Python<'_>, id: &str) -> PyResult<Vec<(&'static str, String)>> {
        let leased = detached(py, || Ok(self.0.leased(id.parse()?)?))?;
        Ok(leased.iter().map(values::subject).collect())
    }

    fn reap(&self, py: Python<'_>) -> PyResult<Usage> {
        detached(py, || Ok(values::usage(self.0.reap()?)))
    }

    #[pyo3(signature = (*, data, progress))]
    fn check(&self, py: Python<'_>, data: bool, progress: Option<Py<PyAny>>) -> PyResult<Vec<Finding>> {
        let findings = watched_aside(py, progress, |progress| Ok(self.0.check_with(check_options(data), progress)?))?;
        Ok(findings.into_iter().map(values::finding).collect())
    }

    /// What was done, each with what was wrong, and what is left.
    #[pyo3(signature = (*, data, progress))]
    fn repair(&self, py: Python<'_>, data: bool, progress: Option<Py<PyAny>>) -> PyResult<Repaired> {
        let repaired = watched_aside(py, progress, |progress| Ok(self.0.repair(&check_options(data), progress)?))?;
        Ok(values::repaired(repaired))
    }

    /// Checks the store at a path, which need not open.
    #[staticmethod]
    #[pyo3(signature = (path, *, data, progress))]
    fn check_at(py: Python<'_>, path: Place, data: bool, progress: Option<Py<PyAny>>) -> PyResult<Vec<Finding>> {
        let check = |progress: plyfs::Progress<'_>| {
            Ok(plyfs::Store::options().check(&path.0, check_options(data), progress)?)
        };
        Ok(watched_aside(py, progress, check)?.into_iter().map(values::finding).collect())
    }

    /// What was made anew, each with what was wrong.
    #[staticmethod]
    fn restore_parts(py: Python<'_>, path: Place) -> PyResult<Vec<(Finding, String)>> {
        let acts = detached(py, || Ok(plyfs::Store::options().restore_parts(path.0)?))?;
        Ok(acts.into_iter().map(values::act).collect())
    }

    /// Makes the journal of the store at a path anew.
    #[staticmethod]
    #[pyo3(signature = (path, *, progress))]
    fn rebuild(py: Python<'_>, path: Place, progress: Option<Py<PyAny>>) -> PyResult<Rebuilt> {
        let rebuild = |progress: plyfs::Progress<'_>| Ok(plyfs::Store::options().rebuild(&path.0, progress)?);
        Ok(watched_aside(py, progress, rebuild)?.into())
    }

    fn info(&self, py: Python<'_>) -> PyResult<Info> {
        detached(py, || Ok(self.0.info()?.into()))
    }
}

fn check_options(data: bool) -> CheckOptions {
    if data { CheckOptions::data() } else { CheckOptions::quick() }
}

fn compressed(archive: Archive<'_>, compression: Option<Compression>, level: Option<u32>) -> Archive<'_> {
    let archive = compression.into_iter().fold(archive, Archive::compression);
    level.into_iter().fold(archive, Archive::level)
}

fn parent<'a>(on: Option<&'a On<'_>>) -> Parent<'a> {
    match on {
        Some(On::Image(image)) => Parent::Image(&image.0),
        Some(On::Layer(layer)) => Parent::Layer(&layer.0),
        None => Parent::Empty,
    }
}

fn container_options(
    image_name: Option<String>,
    read_only: bool,
    labels: BTreeMap<String, String>,
) -> ContainerOptions {
    let options = ContainerOptions::new().read_only(read_only);
    let options = image_name.into_iter().fold(options, ContainerOptions::image_name);
    labels.into_iter().fold(options, |options, (key, value)| options.label(key, value))
}

fn with_name(options: ContainerOptions, name: Option<&str>) -> plyfs::Result<ContainerOptions> {
    Ok(match name {
        Some(name) => options.name(name.parse::<ContainerName>()?),
        None => options,
    })
}
