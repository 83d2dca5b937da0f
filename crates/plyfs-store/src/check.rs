//! Comparing the records with the directories, both ways (rule 79), and the records with one another.
//!
//! | file | compares |
//! |---|---|
//! | `directories.rs` | each layer's and container's record with its directory, its files and its short link |
//! | `relations.rs` | the records with the look-ups and totals that follow from them |
//! | `images.rs` | each image with its layers and blobs |
//! | `journal.rs` | each run with the keys it holds; its checksums, where it does not give a record |
//! | `blobs.rs` | each layer with the compressed forms it came in |
//! | `parts.rs` | the store with the directories it is made of and its format file, where it does not open |
//! | `strays.rs` | what lies in the store, and what is mounted of it, with the records |
//! | `content.rs` | each layer's tree with its archive |
//! | `repair.rs` | nothing: it undoes what the others found |
//!
//! Where the journal does not find what it holds, nothing else is looked at. Nothing is judged a stray while a record could
//! not be read: it might be the one that speaks of it.

mod blobs;
mod content;
mod directories;
mod finding;
mod images;
pub(crate) mod journal;
pub(crate) mod parts;
mod relations;
mod repair;
mod strays;

use std::collections::BTreeMap;

use plyfs_journal::Snapshot;
use plyfs_link::{LayerId, LinkId};

pub(crate) use plyfs_sys::report;

pub use self::finding::{Finding, FindingKind, Severity};
use self::repair::Fix;
pub(crate) use self::repair::move_aside;
pub use self::repair::{Act, Repaired};
use crate::container::container_records;
use crate::image::image_records;
use crate::layer::layer_records;
use crate::progress::{Progress, Stage};
use crate::record::{ContainerRecord, ImageRecord, LayerRecord};
use crate::{Digest, Result, Store};

/// What [`Store::check`] looks at.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "options do nothing until `check`"]
pub struct CheckOptions {
    data: bool,
}

impl CheckOptions {
    /// Records against directories; no file inside a layer is read.
    pub fn quick() -> Self {
        Self { data: false }
    }

    /// Also every layer against the archive it came from: its DiffID, and every inode; everything is read.
    pub fn data() -> Self {
        Self { data: true }
    }
}

impl Store {
    /// Lists what is not as it should be, worst first; changes nothing.
    ///
    /// A layer that cannot be read is a finding of that layer, not a failure of the check (rule 80). What other
    /// processes change meanwhile is not mistaken for damage, and may be missed.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        self.check_with(options, Progress::none())
    }

    /// The same as [`Self::check`], reporting each thing looked at; a callback that stops it makes it
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn check_with(&self, options: CheckOptions, progress: Progress<'_>) -> Result<Vec<Finding>> {
        let found = self.find(&options, progress)?;
        Ok(found.into_iter().map(|found| found.finding).collect())
    }

    fn find(&self, options: &CheckOptions, progress: Progress<'_>) -> Result<Vec<Found>> {
        let misleading = journal::misleading(&self.snapshot()?);
        if !misleading.is_empty() {
            // Look-ups give wrong answers: whatever else they would show may be as wrong.
            let found = misleading.into_iter().map(|finding| Found { finding, fix: Some(Fix::RewriteRuns) });
            return Ok(found.collect());
        }
        let mut check = Check::new(self, progress)?;
        check.directories()?;
        check.relations()?;
        check.images()?;
        check.blobs(options.data)?;
        check.strays()?;
        if options.data {
            check.content()?;
        }
        check.found.sort_by(|a, b| {
            let (a, b) = (&a.finding, &b.finding);
            b.severity.cmp(&a.severity).then_with(|| a.cmp(b))
        });
        Ok(check.found)
    }
}

/// A finding and what undoes it, where anything does.
#[derive(Debug)]
struct Found {
    finding: Finding,
    fix: Option<Fix>,
}

/// One check: the records of one state, and what was found so far.
struct Check<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    progress: Progress<'a>,
    layers: BTreeMap<LayerId, LayerRecord>,
    containers: Vec<ContainerRecord>,
    images: BTreeMap<Digest, ImageRecord>,
    /// Whether every record could be read.
    is_complete: bool,
    found: Vec<Found>,
}

impl<'a> Check<'a> {
    fn new(store: &'a Store, progress: Progress<'a>) -> Result<Self> {
        let snapshot = store.snapshot()?;
        let mut check = Self {
            store,
            snapshot: snapshot.clone(),
            progress,
            layers: BTreeMap::new(),
            containers: Vec::new(),
            images: BTreeMap::new(),
            // What is lost with it may be what speaks of a thing.
            is_complete: store.damage().is_empty(),
            found: Vec::new(),
        };
        for record in layer_records(&snapshot) {
            if let Some(record) = check.sound(record) {
                check.layers.insert(record.id, record);
            }
        }
        for record in container_records(&snapshot) {
            let record = check.sound(record);
            check.containers.extend(record);
        }
        for entry in image_records(&snapshot) {
            let decoded = entry.and_then(|(id, record)| ImageRecord::decode(id, &record));
            if let Some(record) = check.sound(decoded) {
                check.images.insert(record.id, record);
            }
        }
        if !check.is_complete {
            let damage = journal::damage(&store.0.root)?;
            check.found.extend(damage.into_iter().map(|finding| Found { finding, fix: None }));
        }
        Ok(check)
    }

    /// The record, or a finding that it cannot be read.
    fn sound<T>(&mut self, record: Result<T>) -> Option<T> {
        record
            .inspect_err(|error| {
                self.is_complete = false;
                self.find(Severity::Error, FindingKind::RecordUnreadable, "journal", report(error), None);
            })
            .ok()
    }

    fn find(
        &mut self,
        severity: Severity,
        kind: FindingKind,
        subject: impl Into<String>,
        problem: impl Into<String>,
        fix: Option<Fix>,
    ) {
        let finding = Finding { severity, kind, subject: subject.into(), problem: problem.into() };
        self.found.push(Found { finding, fix });
    }

    /// Reports that this is looked at now.
    fn visit(&self, subject: &str) -> Result<()> {
        self.progress.report(Stage::Check, subject, 0, None)
    }

    /// The links of a layer and its ancestors, uppermost first, as far as there are records, and the ancestor
    /// without one.
    fn chain(&self, top: Option<LayerId>) -> (Vec<LinkId>, Option<LayerId>) {
        let mut links = Vec::new();
        let mut next = top;
        while let Some(id) = next {
            let Some(layer) = self.layers.get(&id) else { return (links, Some(id)) };
            // A circle cannot be written, but damage is what is looked for here.
            if links.len() > self.layers.len() {
                return (links, Some(id));
            }
            links.push(layer.link);
            next = layer.parent;
        }
        (links, None)
    }
}
