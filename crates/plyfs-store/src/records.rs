//! Where the records are read from: the journal, or what is sound of one that is damaged.

use std::error::Error as _;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Disk, Journal, Options, Salvage, Snapshot};
use plyfs_sys::CallError;
use rustix::io::Errno;

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

/// What is wrong with a journal.
pub(crate) struct Damage {
    /// Each damaged place, or why it does not open, a line each; none of a sound journal.
    pub(crate) places: Vec<String>,
    /// Whether it does not open or records of it cannot be read.
    pub(crate) is_lost: bool,
}

/// Looks for damage in the journal of a directory.
///
/// Whether it opens is asked of whoever opens it: a journal whose places are all sound may still be refused, say for a
/// head that is older than what was published. What stops this process alone, or this version, is an error and no damage.
pub(crate) fn damage_in(directory: OwnedFd) -> Result<Damage> {
    let disk: Arc<dyn Disk> = Arc::new(DirDisk::new(directory));
    let opened = Journal::open(Arc::clone(&disk), Options::default().read_only(true).mapped(false));
    let Err(refusal) = opened else {
        let salvage = Salvage::read(&disk)?;
        return Ok(Damage { places: told(&salvage), is_lost: !salvage.is_whole() });
    };
    if !is_damage(&refusal) {
        return Err(refusal.into());
    }
    let mut places = Salvage::read(&disk).map_or_else(|error| vec![report(&error)], |salvage| told(&salvage));
    if places.is_empty() {
        places.push(report(&refusal));
    }
    Ok(Damage { places, is_lost: true })
}

/// Says whether an error is of the journal, and not of its version or of the process that asks.
fn is_damage(error: &plyfs_journal::Error) -> bool {
    let errno = error.source().and_then(|call| call.downcast_ref::<CallError>()).map(CallError::errno);
    let is_scarce = matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM));
    let kinds = [ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Io, ErrorKind::InvalidInput];
    kinds.contains(&error.kind()) && !is_scarce
}

fn told(salvage: &Salvage) -> Vec<String> {
    salvage.damage().iter().map(|error| report(error)).collect()
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Journal(_)) { "Journal" } else { "Salvaged" })
    }
}
