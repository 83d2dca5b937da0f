//! Each layer's and container's record against its directory.

use std::io::Read;
use std::os::fd::OwnedFd;

use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use super::finding::{FindingKind, Severity};
use super::repair::Fix;
use super::{Check, report};
use crate::layer::lower_text;
use crate::{Result, layout};

/// Whose directory is looked at. A power cut may take what creating a container made, and nothing is lost by it;
/// of a layer everything was synced before its record.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Layer,
    Container,
}

impl Owner {
    fn severity(self, of_layer: Severity) -> Severity {
        match self {
            Self::Layer => of_layer,
            Self::Container => Severity::Note,
        }
    }
}

struct Subject {
    name: String,
    id: LayerId,
    link: LinkId,
    owner: Owner,
}

impl Check<'_> {
    pub(super) fn directories(&mut self) -> Result<()> {
        let layers: Vec<_> = self.layers.values().map(|layer| (layer.id, layer.link, layer.parent)).collect();
        let mut below = std::collections::BTreeSet::new();
        for (id, link, parent) in layers {
            let subject = Subject { name: format!("layer {id}"), id, link, owner: Owner::Layer };
            self.visit(&subject.name)?;
            below.extend(parent);
            self.with_chain(&subject, parent);
            let is_saved = self.layers[&id].diff_id.is_some();
            if is_saved && fs::try_stat_at(&self.store.0.tar_split, id.to_string()).is_ok_and(|s| s.is_none()) {
                let problem = "its tar-split record is missing: it cannot be saved";
                self.find(Severity::Error, FindingKind::TarSplitMissing, &subject.name, problem, None);
            }
        }
        for record in self.containers.clone() {
            let subject = Subject {
                name: format!("container {}", record.name),
                id: record.layer,
                link: record.link,
                owner: Owner::Container,
            };
            self.visit(&subject.name)?;
            if self.store.is_unmade(record.layer, record.link)? {
                continue;
            }
            self.with_chain(&subject, record.parent);
        }
        self.marks(&below);
        Ok(())
    }

    fn with_chain(&mut self, subject: &Subject, parent: Option<LayerId>) {
        let (links, missing) = self.chain(parent);
        if let Some(id) = missing {
            let problem = format!("its ancestor {id} has no record");
            self.find(Severity::Error, FindingKind::LayerMissing, &subject.name, problem, None);
        }
        let lower = match lower_text(&links) {
            Ok(lower) if missing.is_none() && !links.is_empty() => Some(lower),
            _ => None,
        };
        self.directory(subject, lower.as_deref());
    }

    /// Compares one directory of the driver home with its record.
    fn directory(&mut self, subject: &Subject, lower: Option<&str>) {
        let directory = match fs::open_dir_at(self.store.home(), subject.id.to_string()) {
            Ok(directory) => directory,
            Err(error) if error.is_not_found() => {
                if self.is_still_recorded(subject) {
                    let problem = format!("its directory overlay2/{} is missing", subject.id);
                    self.find(Severity::Error, FindingKind::DirectoryMissing, &subject.name, problem, None);
                }
                return;
            }
            Err(error) => {
                return self.find(Severity::Error, FindingKind::DirectoryMissing, &subject.name, report(&error), None);
            }
        };
        if let Err(error) = fs::open_dir_at(&directory, plyfs_link::DIFF) {
            self.find(Severity::Error, FindingKind::DirectoryMissing, &subject.name, report(&error), None);
        }
        self.file(subject, &directory, plyfs_link::LINK, subject.link.as_str());
        if let Some(lower) = lower {
            self.file(subject, &directory, plyfs_link::LOWER, lower);
        }
        self.short_link(subject);
    }

    /// Says whether the record is there now: what was removed since the check began is no damage.
    fn is_still_recorded(&self, subject: &Subject) -> bool {
        let key = match subject.owner {
            Owner::Layer => crate::key::layer(subject.id),
            Owner::Container => crate::key::container_directory(subject.id),
        };
        self.store.snapshot().and_then(|now| Ok(now.contains(&key)?)).unwrap_or(true)
    }

    fn short_link(&mut self, subject: &Subject) {
        let Subject { id, link, .. } = *subject;
        let fix = Some(Fix::ShortLink { layer: id, link });
        match self.store.0.links.layer(link) {
            Ok(Some(found)) if found == id => {}
            Ok(Some(found)) => {
                let problem = format!("l/{link} points to layer {found}");
                self.find(Severity::Error, FindingKind::ShortLinkWrong, &subject.name, problem, fix);
            }
            Ok(None) if self.is_still_recorded(subject) => {
                let severity = subject.owner.severity(Severity::Error);
                let problem = format!("l/{link} is missing");
                self.find(severity, FindingKind::ShortLinkMissing, &subject.name, problem, fix);
            }
            Ok(None) => {}
            Err(error) => {
                self.find(Severity::Error, FindingKind::ShortLinkWrong, &subject.name, report(&error), fix);
            }
        }
    }

    /// Compares a file that repeats a record.
    fn file(&mut self, subject: &Subject, directory: &OwnedFd, name: &'static str, expected: &str) {
        let problem = match read_file(directory, name, expected.len()) {
            Ok(bytes) if bytes == expected.as_bytes() => return,
            Ok(bytes) if bytes.is_empty() => {
                (subject.owner.severity(Severity::Warning), format!("its file {name} is empty"))
            }
            Ok(_) => (Severity::Warning, format!("its file {name} is not what the record says")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (subject.owner.severity(Severity::Warning), format!("its file {name} is missing"))
            }
            Err(error) => (Severity::Warning, format!("its file {name}: {error}")),
        };
        let fix = Fix::File { layer: subject.id, name, content: expected.to_owned() };
        self.find(problem.0, FindingKind::FileWrong, &subject.name, problem.1, Some(fix));
    }

    /// Looks for Docker's mark on the layers that another one stands on; a container's parent may have lost it to
    /// a power cut.
    fn marks(&mut self, below: &std::collections::BTreeSet<LayerId>) {
        for &id in below.iter().filter(|id| self.layers.contains_key(id)).collect::<Vec<_>>() {
            let marked = fs::open_dir_at(self.store.home(), id.to_string())
                .and_then(|directory| fs::try_stat_at(&directory, layout::COMMITTED));
            if marked.is_ok_and(|mark| mark.is_none()) {
                let (subject, problem) = (format!("layer {id}"), "its mark `committed` is missing");
                self.find(Severity::Warning, FindingKind::MarkMissing, subject, problem, Some(Fix::Committed(id)));
            }
        }
    }
}

/// Reads a file up to one byte more than it should have.
fn read_file(directory: &OwnedFd, name: &str, length: usize) -> std::io::Result<Vec<u8>> {
    let file = fs::open_at(directory, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(length as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
