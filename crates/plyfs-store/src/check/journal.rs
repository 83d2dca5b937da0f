//! The places of the journal that are damaged or wrong, a finding each.

use std::os::fd::OwnedFd;

use plyfs_journal::Snapshot;
use plyfs_sys::fs;

use super::{Finding, FindingKind, Severity, report};
use crate::records::{self, Damage};
use crate::{Error, ErrorKind, Result, layout};

/// Each damaged place of the journal of the store at `root`; one finding for all of it where nothing can be read.
///
/// Of a sound journal there are none; one of another version is [`ErrorKind::Unsupported`]. It is read as a whole, by a reader
/// that others do not wait for: what they write and merge meanwhile may look like damage, so this is asked only where something
/// did not open or read.
pub(crate) fn damage(root: &OwnedFd) -> Result<Vec<Finding>> {
    Ok(look(root)?.places.into_iter().map(finding).collect())
}

/// The same of a journal that does not open or of which records are lost; none of one that a repair puts right.
pub(crate) fn loss(root: &OwnedFd) -> Result<Vec<Finding>> {
    let damage = look(root)?;
    let places = if damage.is_lost { damage.places } else { Vec::new() };
    Ok(places.into_iter().map(finding).collect())
}

fn look(root: &OwnedFd) -> Result<Damage> {
    match fs::open_dir_at(root, layout::JOURNAL).map_err(|e| Error::call(layout::JOURNAL, e)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            Ok(Damage { places: vec![report(&error)], is_lost: true })
        }
        journal => records::damage_in(journal?),
    }
}

/// The damage of the journal as a finding.
pub(crate) fn finding(problem: String) -> Finding {
    of(FindingKind::JournalDamaged, problem)
}

/// A finding of each place of the journal that does not find what it holds, though its checksums are right.
pub(super) fn misleading(journal: &Snapshot) -> Vec<Finding> {
    let places = journal.misleading();
    places.iter().map(|error| of(FindingKind::JournalMisleading, report(error))).collect()
}

fn of(kind: FindingKind, problem: String) -> Finding {
    Finding { severity: Severity::Error, kind, subject: "journal".to_owned(), problem }
}
