//! Comparing the records with the directories, both ways (rule 79).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::OwnedFd;

use plyfs_journal::Snapshot;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::container::container_records;
use crate::layer::{layer_records, lower_text};
use crate::record::{ImageRecord, LayerRecord};
use crate::{Digest, Error, Result, Store, key, layout};

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

    /// Also every layer's content against its DiffID; everything is read.
    pub fn data() -> Self {
        Self { data: true }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Space that no record speaks of, or a file that repeats a record and differs from it.
    Warning,
    /// Something recorded is missing or has other content.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is not as the records say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `layer <id>`, `container <name>`, `l/<link>`.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.subject, self.problem)
    }
}

impl Store {
    /// Lists what is not as it should be, worst first; changes nothing.
    ///
    /// A layer that cannot be read is a finding of that layer, not a failure of the check (rule 80). What other
    /// processes build or remove meanwhile may be listed.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        let snapshot = self.snapshot()?;
        let mut check = Check { store: self, snapshot: &snapshot, findings: Vec::new(), links: BTreeMap::new() };
        let layers = layer_records(&snapshot).collect::<Result<Vec<_>>>()?;
        check.layers(&layers)?;
        check.containers()?;
        check.images()?;
        check.strays()?;
        if options.data {
            check.data(&layers);
        }
        check.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        Ok(check.findings)
    }
}

struct Check<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
    /// The links and directories that records speak of.
    links: BTreeMap<LinkId, LayerId>,
}

impl Check<'_> {
    fn find(&mut self, severity: Severity, subject: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { severity, subject: subject.into(), problem: problem.into() });
    }

    fn layers(&mut self, layers: &[LayerRecord]) -> Result<()> {
        let by_id: BTreeMap<_, _> = layers.iter().map(|layer| (layer.id, layer)).collect();
        for layer in layers {
            let subject = format!("layer {}", layer.id);
            let mut links = Vec::new();
            let mut next = layer.parent;
            while let Some(id) = next {
                let Some(parent) = by_id.get(&id) else {
                    self.find(Severity::Error, &subject, format!("its ancestor {id} has no record"));
                    break;
                };
                links.push(parent.link);
                next = parent.parent;
            }
            self.directory(&subject, layer.id, layer.link, &links);
            if layer.diff_id.is_some()
                && fs::try_stat_at(&self.store.0.tar_split, layer.id.to_string()).is_ok_and(|s| s.is_none())
            {
                self.find(Severity::Error, &subject, "its tar-split record is missing: it cannot be saved");
            }
        }
        Ok(())
    }

    fn containers(&mut self) -> Result<()> {
        for record in container_records(self.snapshot) {
            let record = record?;
            if self.store.is_unmade(record.layer, record.link)? {
                self.links.insert(record.link, record.layer);
                continue;
            }
            let subject = format!("container {}", record.name);
            let links = match self.store.ancestry(record.parent) {
                Ok(chain) => chain.iter().map(|layer| layer.link).collect(),
                Err(error) => {
                    self.find(Severity::Error, &subject, format!("its chain: {error}"));
                    Vec::new()
                }
            };
            self.directory(&subject, record.layer, record.link, &links);
        }
        Ok(())
    }

    /// Compares one directory of the driver home with its record.
    fn directory(&mut self, subject: &str, id: LayerId, link: LinkId, below: &[LinkId]) {
        self.links.insert(link, id);
        let directory = match fs::open_dir_at(self.store.home(), id.to_string()) {
            Ok(directory) => directory,
            Err(error) if error.is_not_found() => {
                return self.find(Severity::Error, subject, format!("its directory overlay2/{id} is missing"));
            }
            Err(error) => return self.find(Severity::Error, subject, report(&error)),
        };
        if let Err(error) = fs::open_dir_at(&directory, plyfs_link::DIFF) {
            self.find(Severity::Error, subject, report(&error));
        }
        self.text(subject, &directory, plyfs_link::LINK, link.as_str());
        if let (false, Ok(lower)) = (below.is_empty(), lower_text(below)) {
            self.text(subject, &directory, plyfs_link::LOWER, &lower);
        }
        match self.store.0.links.layer(link) {
            Ok(Some(found)) if found == id => {}
            Ok(Some(found)) => self.find(Severity::Error, subject, format!("l/{link} points to layer {found}")),
            Ok(None) => self.find(Severity::Error, subject, format!("l/{link} is missing")),
            Err(error) => self.find(Severity::Error, subject, report(&error)),
        }
    }

    /// Compares a file that repeats a record.
    fn text(&mut self, subject: &str, directory: &OwnedFd, name: &str, expected: &str) {
        let read = || -> std::io::Result<Vec<u8>> {
            let file = fs::open_at(directory, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
            let mut bytes = Vec::new();
            let limit = expected.len() as u64 + 1;
            std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::from(file), limit), &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes == expected.as_bytes() => {}
            Ok(_) => self.find(Severity::Warning, subject, format!("its file {name} is not what the record says")),
            Err(error) => self.find(Severity::Warning, subject, format!("its file {name}: {error}")),
        }
    }

    fn images(&mut self) -> Result<()> {
        for entry in self.snapshot.scan(key::IMAGES) {
            let (key, value) = entry?;
            let image = ImageRecord::decode(Digest::from_bytes(key::id(&key)?), &value)?;
            let subject = format!("image {}", image.id);
            if let Some(top) = image.top
                && self.snapshot.get(&key::layer(top))?.is_none()
            {
                self.find(Severity::Error, &subject, format!("its layer {top} has no record"));
            }
            for blob in [Some(image.id), image.manifest].into_iter().flatten() {
                if let Err(error) = self.store.blob(&blob) {
                    self.find(Severity::Error, &subject, report(&error));
                }
            }
        }
        Ok(())
    }

    /// Directories and links that no record speaks of, and that no operation or removal will take back.
    fn strays(&mut self) -> Result<()> {
        let mut expected: BTreeSet<_> = self.links.values().copied().collect();
        let pending = self.store.pending_removals()?;
        expected.extend(pending.iter().map(|(layer, _)| *layer));
        let failed = |e| Error::call(layout::HOME, e);
        for entry in fs::read_dir(self.store.home()).map_err(failed)? {
            let name = entry.name.to_string_lossy().into_owned();
            if name == plyfs_link::LINK_DIR || name == layout::EMPTY {
                continue;
            }
            match name.parse::<LayerId>() {
                Ok(id) if expected.contains(&id) || self.is_staged(&name)? => {}
                _ => self.find(Severity::Warning, format!("overlay2/{name}"), "no record speaks of it"),
            }
        }
        for name in self.store.0.links.names().map_err(|e| Error::link("check", e))? {
            let name = name.to_string_lossy().into_owned();
            let known = name.parse::<LinkId>().is_ok_and(|link| {
                self.links.contains_key(&link) || pending.iter().any(|(_, pending)| *pending == link)
            });
            if !known && !self.is_staged(&name)? {
                self.find(Severity::Warning, format!("l/{name}"), "no record speaks of it");
            }
        }
        Ok(())
    }

    /// Says whether an operation in `staging` names this layer or link.
    fn is_staged(&self, id: &str) -> Result<bool> {
        for operation in fs::read_dir(&self.store.0.staging).map_err(|e| Error::call("staging", e))? {
            let Ok(directory) = fs::open_dir_at(&self.store.0.staging, &operation.name) else { continue };
            let names = fs::read_dir(&directory).unwrap_or_default();
            if names.iter().any(|entry| entry.name.to_str().is_some_and(|name| name.contains(id))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rebuilds every layer's archive and compares digests.
    fn data(&mut self, layers: &[LayerRecord]) {
        for record in layers.iter().filter(|layer| layer.diff_id.is_some()) {
            let layer = self.store.layer_of(record.clone());
            if let Err(error) = layer.write_archive(std::io::sink()) {
                self.find(Severity::Error, format!("layer {}", record.id), report(&error));
            }
        }
    }
}

/// An error with its causes on one line.
fn report(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
