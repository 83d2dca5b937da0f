//! Where the records are read from: the journal, or what is sound of one that is damaged.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Disk, Journal, Options, Salvage, Snapshot};

use crate::check::report;
use crate::{Error, ErrorKind, Result};

/// The records of a store.
pub(crate) enum Records {
    /// The journal, which may be written.
    Journal(Box<Journal>),
    /// One state that never changes: what could be read of a journal that cannot be opened.
    Salvaged { sound: Snapshot, damage: Vec<String> },
}

impl Records {
    /// Opens the journal of a directory; with `salvage`, one that is damaged as far as it is sound.
    ///
    /// A store without one is damaged, and not absent.
    pub(crate) fn open(directory: OwnedFd, options: Options, salvage: bool) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(DirDisk::new(directory));
        match Journal::open(Arc::clone(&disk), options) {
            Ok(journal) => Ok(Self::Journal(Box::new(journal))),
            Err(error) if salvage && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                let salvage = Salvage::read(&disk)?;
                let mut damage = told(&salvage);
                if damage.is_empty() {
                    damage.push(report(&error));
                }
                Ok(Self::Salvaged { sound: salvage.into_snapshot(), damage })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Corrupt, "journal: its head is missing").because(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One consistent, durable state.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        match self {
            Self::Journal(journal) => Ok(journal.snapshot()?),
            Self::Salvaged { sound, .. } => Ok(sound.clone()),
        }
    }

    /// The damaged places; none of a journal that could be opened.
    pub(crate) fn damage(&self) -> &[String] {
        match self {
            Self::Journal(_) => &[],
            Self::Salvaged { damage, .. } => damage,
        }
    }
}

/// Each damaged place of the journal in a directory, a line each; none of a sound one.
pub(crate) fn damage_in(directory: OwnedFd) -> Result<Vec<String>> {
    let disk: Arc<dyn Disk> = Arc::new(DirDisk::new(directory));
    Ok(told(&Salvage::read(&disk)?))
}

fn told(salvage: &Salvage) -> Vec<String> {
    salvage.damage().iter().map(|error| report(error)).collect()
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Journal(_)) { "Journal" } else { "Salvaged" })
    }
}
