//! A head, opened: the log and the runs it names.

use std::sync::Arc;

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Named, Result};
use crate::group::Log;
use crate::head::Head;
use crate::layout::log_name;
use crate::run::Run;
use crate::synced::{self, Synced};

/// The files of a journal that outlive its generations.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) access: Access,
    pub(crate) synced: Option<Box<dyn DiskFile>>,
}

impl Files {
    pub(crate) fn open(disk: Arc<dyn Disk>, access: Access) -> Result<Self> {
        let synced = synced::open(&*disk, access).named(crate::layout::SYNCED)?;
        Ok(Self { disk, access, synced })
    }

    /// How far the log was published; `None` when that is not known.
    pub(crate) fn synced(&self) -> Option<Synced> {
        self.synced.as_deref().and_then(Synced::read)
    }
}

/// One generation of the journal; nothing in it changes but what is appended to the log.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) head: Head,
    /// The head as it was read: a writer compares it to see whether it is still the newest.
    pub(crate) head_bytes: Vec<u8>,
    pub(crate) log: Arc<Log>,
    pub(crate) runs: Vec<Arc<Run>>,
}

impl Generation {
    /// Opens what a head names; runs that `before` has open are shared with it.
    pub(crate) fn open(files: &Files, head_bytes: Vec<u8>, before: Option<&Self>) -> Result<Self> {
        let head = Head::decode(&head_bytes)?;
        let name = log_name(head.generation);
        let log = Arc::new(Log::new(files.disk.open(&name, files.access).named(&name)?, head.generation));
        let open_runs = before.map_or(&[][..], |generation| &generation.runs);
        let run = |reference| match open_runs.iter().find(|run| run.reference() == reference) {
            Some(run) => Ok(Arc::clone(run)),
            None => Run::open(&*files.disk, reference).map(Arc::new),
        };
        let runs = head.runs.iter().copied().map(run).collect::<Result<_>>()?;
        Ok(Self { head, head_bytes, log, runs })
    }
}
