//! A head, opened: the log and the runs it names.

use std::sync::{Arc, OnceLock};

use crate::disk::{Access, Disk};
use crate::error::{Named, Result};
use crate::group::Log;
use crate::head::{Head, HeadFile};
use crate::layout::log_name;
use crate::options::Options;
use crate::run::Run;
use crate::synced::{Synced, SyncedFile};

/// How the bytes of files that are asked often come into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// By `mmap(2)`: nothing is copied, and a medium that fails is `SIGBUS`.
    Mapped,
    /// By `pread(2)`: a medium that fails is an error.
    Copied,
}

/// The files of a journal that outlive its generations.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) access: Access,
    pub(crate) reading: Reading,
    /// Unset where the file is missing: readers do without, the next writer makes it.
    pub(crate) synced: OnceLock<SyncedFile>,
}

impl Files {
    pub(crate) fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<Self> {
        let access = if options.read_only { Access::Read } else { Access::Write };
        let reading = if options.mapped { Reading::Mapped } else { Reading::Copied };
        let synced = SyncedFile::open(&*disk, access, reading)?.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { disk, access, reading, synced })
    }

    /// How far the log was published; `None` when that is not known.
    pub(crate) fn synced(&self) -> Option<Synced> {
        self.synced.get().and_then(SyncedFile::read)
    }
}

/// One generation of the journal; nothing in it changes but what is appended to the log.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) head: Head,
    /// Where it was read: a writer looks whether it is still the newest.
    pub(crate) head_file: HeadFile,
    pub(crate) log: Arc<Log>,
    pub(crate) runs: Arc<[Arc<Run>]>,
}

impl Generation {
    /// Opens what a head names; runs that `before` has open are shared with it.
    pub(crate) fn open(files: &Files, head_file: HeadFile, before: Option<&Self>) -> Result<Self> {
        let head = Head::decode(&head_file.bytes)?;
        let name = log_name(head.generation);
        let log = Arc::new(Log::new(files.disk.open(&name, files.access).named(&name)?, head.generation));
        let runs = open_runs(files, &head, before)?;
        Ok(Self { head, head_file, log, runs })
    }

    /// The same generation after a merge: other runs, the same log by the same descriptor. `None` when the head is of
    /// another generation.
    pub(crate) fn after_merge(&self, files: &Files, head_file: HeadFile) -> Result<Option<Self>> {
        let head = Head::decode(&head_file.bytes)?;
        if head.generation != self.head.generation {
            return Ok(None);
        }
        let runs = open_runs(files, &head, Some(self))?;
        Ok(Some(Self { head, head_file, log: Arc::clone(&self.log), runs }))
    }
}

/// Opens the runs that a head names; those that `before` has open are shared with it.
fn open_runs(files: &Files, head: &Head, before: Option<&Generation>) -> Result<Arc<[Arc<Run>]>> {
    let open = before.map_or(&[][..], |generation| &generation.runs);
    let run = |reference| match open.iter().find(|run| run.reference() == reference) {
        Some(run) => Ok(Arc::clone(run)),
        None => Run::open(&*files.disk, reference, files.reading).map(Arc::new),
    };
    head.runs.iter().copied().map(run).collect()
}
