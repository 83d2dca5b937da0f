//! Creating containers: one, or many in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plyfs_journal::Transaction;
use plyfs_link::{LayerId, LinkId};

use crate::record::ContainerRecord;
use crate::store::now;
use crate::{Container, ContainerName, Error, ErrorKind, Image, Layer, Removal, Result, Store, User, key};

/// The most bytes all labels of a container may take together.
const MAX_LABELS: usize = 64 * 1024;

/// The most containers of one transaction, which is held in memory.
const MAX_AT_ONCE: usize = 1024;

/// What a container stands on.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// An image's uppermost layer.
    Image(&'a Image),
    /// Any layer.
    Layer(&'a Layer),
    /// Nothing: the container begins empty.
    Empty,
}

impl<'a> From<&'a Image> for Parent<'a> {
    fn from(image: &'a Image) -> Self {
        Self::Image(image)
    }
}

impl<'a> From<&'a Layer> for Parent<'a> {
    fn from(layer: &'a Layer) -> Self {
        Self::Layer(layer)
    }
}

impl Parent<'_> {
    fn layer(self) -> Option<LayerId> {
        match self {
            Self::Image(image) => image.top(),
            Self::Layer(layer) => Some(layer.id()),
            Self::Empty => None,
        }
    }

    fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            _ => None,
        }
    }
}

/// How to create a container.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "options do nothing until `create`"]
pub struct ContainerOptions {
    name: Option<ContainerName>,
    read_only: bool,
    labels: BTreeMap<String, String>,
    image_name: Option<String>,
}

impl ContainerOptions {
    /// A writable container with a made-up name and no labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name.
    pub fn name(mut self, name: ContainerName) -> Self {
        self.name = Some(name);
        self
    }

    /// Mounts it read-only unless a mount says otherwise.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Adds a label; a later value for the same key replaces the earlier.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Records the name the image was found by; without it the image's first name is recorded.
    pub fn image_name(mut self, name: impl Into<String>) -> Self {
        self.image_name = Some(name.into());
        self
    }
}

impl Store {
    /// Creates a container, as [`Self::create_all`] does. Durable on return.
    ///
    /// A name that is taken is [`ErrorKind::Exists`]; a parent that is gone is [`ErrorKind::NotFound`].
    #[doc(alias = "CreateReadWrite")]
    pub fn create<'a>(&self, parent: impl Into<Parent<'a>>, options: ContainerOptions) -> Result<Container> {
        let created = self.create_all(parent, [options])?;
        Ok(created.into_iter().next().expect("as many as there were options"))
    }

    /// Creates containers upon one parent: all, or none with an error that names the one that could not be. Durable on
    /// return, at the price of one sync for all.
    ///
    /// 1. One journal record: the moment they exist.
    /// 2. For each its directories, which hold nothing yet and follow from the record: when a crash takes them they are
    ///    made again, so no sync but the journal's is paid.
    /// 3. For each, behind its directories, its short link: from now on a missing directory is damage, never made again in
    ///    silence.
    ///
    /// Where one of them fails behind step 1, those that somebody has written into by then stay.
    ///
    /// A name that is taken is [`ErrorKind::Exists`]; one that is given twice, and more than 1,024 containers, are
    /// [`ErrorKind::InvalidInput`]; a parent that is gone is [`ErrorKind::NotFound`].
    pub fn create_all<'a>(
        &self,
        parent: impl Into<Parent<'a>>,
        options: impl IntoIterator<Item = ContainerOptions>,
    ) -> Result<Vec<Container>> {
        self.require_root("creating a container")?;
        let records = records(parent.into(), options)?;
        let Some(first) = records.first() else { return Ok(Vec::new()) };
        let layer = first.parent;
        self.commit(|journal| records.iter().try_for_each(|record| put_container(journal, record)))?;
        self.reached("create 1");
        let mut created: Vec<_> = records.into_iter().map(|record| Container::of(self, record)).collect();
        let made = self.footing(layer).map(Arc::new).and_then(|footing| {
            created.iter_mut().try_for_each(|container| {
                container.claim_new().and_then(|transition| container.make_directories(&transition, &footing))?;
                self.reached("create 3");
                container.made_from = Some(Arc::clone(&footing));
                Ok(())
            })
        });
        if let Err(error) = made {
            // They could be seen, so somebody may have used one of them already: that one stays.
            let unused = created.iter().filter(|container| container.is_unused());
            unused.for_each(|container| drop(container.remove(Removal::Unmounted)));
            let _ = self.reap();
            return Err(error);
        }
        Ok(created)
    }
}

/// The records of the containers that are wanted.
fn records(parent: Parent<'_>, options: impl IntoIterator<Item = ContainerOptions>) -> Result<Vec<ContainerRecord>> {
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    for options in options {
        if records.len() == MAX_AT_ONCE {
            return Err(Error::new(ErrorKind::InvalidInput, format!("more than {MAX_AT_ONCE} containers at once")));
        }
        let is_made_up = options.name.is_none();
        let mut record = record(parent, options)?;
        while is_made_up && names.contains(&record.name) {
            record.name = ContainerName::made_up(parent.image().and_then(|image| image.names().first()));
        }
        if !names.insert(record.name.clone()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("container {}: the name is given twice", record.name),
            ));
        }
        records.push(record);
    }
    Ok(records)
}

fn record(parent: Parent<'_>, options: ContainerOptions) -> Result<ContainerRecord> {
    let image = parent.image();
    let first_name = image.and_then(|image| image.names().first());
    let name = options.name.unwrap_or_else(|| ContainerName::made_up(first_name));
    let labels: usize = options.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    if labels > MAX_LABELS {
        let message = format!("container {name}: {labels} bytes of labels, over {MAX_LABELS}");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(ContainerRecord {
        name,
        layer: LayerId::random(),
        link: LinkId::random(),
        parent: parent.layer(),
        image: image.map(Image::id),
        image_name: options.image_name.or_else(|| first_name.map(ToString::to_string)),
        read_only: options.read_only,
        labels: options.labels,
        created: now(),
        rest: plyfs_journal::Record::default(),
    })
}

pub(crate) fn put_container(records: &mut Transaction<'_>, container: &ContainerRecord) -> Result<()> {
    let key = key::container(&container.name);
    if records.get(&key)?.is_some() {
        return Err(Error::taken(format!("container {}", container.name)));
    }
    if let Some(image) = container.image {
        if records.get(&key::image(&image))?.is_none() {
            return Err(Error::absent(format!("image {image}")));
        }
        records.put(&key::image_container(&image, container.layer), &[]);
    }
    if let Some(parent) = container.parent {
        if records.get(&key::layer(parent))?.is_none() {
            return Err(Error::absent(format!("layer {parent}")));
        }
        records.put(&key::user(parent, &User::Container(container.layer)), &[]);
    }
    records.put(&key, &container.encode());
    records.put(&key::container_directory(container.layer), container.name.as_str().as_bytes());
    Ok(())
}
