//! The directories a store is made of, where one is missing or something else stands in its place.
//!
//! A store without one of them does not open. Three hold nothing that is not elsewhere: what was staged or deleted, and the
//! short links, which follow from the records. They are made anew, empty. What was in the others is lost with them, or lies on a
//! disk that is not mounted: those are named and left to the person.

use std::os::fd::OwnedFd;
use std::path::Path;

use plyfs_link::{LINK_DIR, LinkDir};
use plyfs_sys::fs;
use rustix::fs::Mode;

use super::{Act, Finding, FindingKind, Severity};
use crate::format::Format;
use crate::store::open_root;
use crate::{Error, Result, StoreOptions, ground, layout};

/// A part that does not open.
pub(crate) struct Wrong {
    /// Its path in the store.
    part: String,
    is_missing: bool,
    problem: String,
}

impl Wrong {
    pub(crate) fn finding(&self) -> Finding {
        let (subject, problem) = (self.part.clone(), self.problem.clone());
        Finding { severity: Severity::Error, kind: FindingKind::PartMissing, subject, problem }
    }

    /// Whether it is missing, and what was in it is elsewhere too or needed no more.
    fn can_be_made(&self) -> bool {
        let holds_nothing = [layout::STAGING, layout::TRASH].contains(&&*self.part) || self.is_short_links();
        self.is_missing && holds_nothing
    }

    fn is_short_links(&self) -> bool {
        self.part.split_once('/') == Some((layout::HOME, LINK_DIR))
    }

    fn make(&self, root: &OwnedFd) -> Result<()> {
        let failed = |e| Error::call(&self.part, e);
        if !self.is_short_links() {
            return fs::ensure_dir_at(root, &self.part, Mode::RWXU).map_err(failed);
        }
        let home = fs::open_dir_at(root, layout::HOME).map_err(failed)?;
        LinkDir::ensure(&home).map_err(|e| Error::link(&self.part, e))?;
        fs::sync(&home).map_err(failed)
    }
}

/// Each part that does not open, and why; of the journal there are findings of its own.
pub(crate) fn wrong(root: &OwnedFd) -> Vec<Wrong> {
    let mut found = Vec::new();
    for part in [layout::HOME, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH] {
        let below = match part {
            layout::HOME => Some(LINK_DIR),
            layout::BLOBS => Some(layout::SHA256),
            _ => None,
        };
        let opened = look(root, part, part, &mut found);
        if let (Some(opened), Some(below)) = (opened, below) {
            look(&opened, below, &format!("{part}/{below}"), &mut found);
        }
    }
    found
}

fn look(above: &OwnedFd, name: &str, part: &str, found: &mut Vec<Wrong>) -> Option<OwnedFd> {
    ground::open_part(above, name, false)
        .inspect_err(|error| {
            let is_missing = matches!(fs::try_stat_at(above, name), Ok(None));
            let problem = if is_missing { "it is missing".to_owned() } else { super::report(error) };
            found.push(Wrong { part: part.to_owned(), is_missing, problem });
        })
        .ok()
}

impl StoreOptions {
    /// Makes the directories `staging`, `trash` and `overlay2/l` of the store at `path` anew where they are missing; durable on
    /// return. Without them it does not open, and nothing is lost with them: [`Store::repair`](crate::Store::repair) then makes
    /// the short links again.
    pub fn restore_parts(self, path: impl AsRef<Path>) -> Result<Vec<Act>> {
        let path = path.as_ref();
        let root = open_root(path)?;
        Format::read(&root)?;
        let parts: Vec<_> = wrong(&root).into_iter().filter(Wrong::can_be_made).collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        ground::require_root("repairing", path)?;
        parts.iter().try_for_each(|part| part.make(&root))?;
        fs::sync(&root).map_err(|e| Error::call("its root", e))?;
        Ok(parts.iter().map(|part| Act { finding: part.finding(), done: "made anew, empty".to_owned() }).collect())
    }
}
