//! Writing under the journal's lock: learning what the log's end is, and appending behind it.
//!
//! A writer sees what earlier writers appended, durable or not; readers do not. What it appends counts only once all
//! before it is durable too, and one sync makes it so: of a log whose every block in doubt was written while this
//! handle's descriptor was open, or through it.

use std::sync::Arc;

use crate::batch::{Held, Open};
use crate::checkpoint;
use crate::entry::Entry;
use crate::error::{ErrorKind, Named, Result};
use crate::generation::Reading;
use crate::group::{self, Ticket};
use crate::guard;
use crate::head::HeadFile;
use crate::journal::{Journal, log_blocks};
use crate::layout::{BLOCK, wide};
use crate::log::{self, Commit};
use crate::snapshot::Table;
use crate::synced::{Marks, Synced};
use crate::view::{Loaded, Role, View};

/// Blocks a log grows by at least when a commit is larger than what is left of it.
const GROWTH: u64 = 128;

/// What only the thread that writes knows.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The end of the log when this handle last held the lock; none after anything went wrong since.
    pub(crate) view: Option<View>,
    /// The lock, when the thread before has left it to the next.
    pub(crate) held: Option<Held>,
    /// What is to be written behind the view, which has it already.
    pub(crate) open: Option<Open>,
}

impl Journal {
    /// The newest state, in a log that may be appended to; the caller holds the lock, and says whether anybody else may
    /// have held it since this handle did.
    pub(crate) fn newest(&self, writer: &mut Writer, may_be_behind: bool) -> Result<View> {
        let known = if may_be_behind { self.followed(writer)? } else { writer.view.take() };
        let (view, must_start) = match known {
            Some(view) => (view, false),
            None => self.loaded()?,
        };
        let is_full = view.end > 0 && view.end * wide(BLOCK) >= self.options.log_limit;
        if must_start || is_full { self.start_generation(view, must_start) } else { Ok(view) }
    }

    /// The state this handle knew, with what others appended since; `None` when that is not all there is to know.
    fn followed(&self, writer: &mut Writer) -> Result<Option<View>> {
        let Some(mut view) = writer.view.take() else { return Ok(None) };
        let generation = &view.generation;
        let synced = self
            .files
            .synced()
            .filter(|synced| synced.generation == generation.head.generation && !synced.marks.contains(Marks::FAILED));
        let Some(synced) = synced else { return Ok(None) };
        // What a server says of a name may be some time old; what it says of a file that is opened is not.
        let is_told = self.files.reading == Reading::Mapped;
        if !(is_told && generation.head_file.is_current()) {
            let head_file = HeadFile::read(&self.files.disk)?;
            if head_file.bytes != generation.head_file.bytes {
                let Some(merged) = generation.after_merge(&self.files, head_file)? else { return Ok(None) };
                view.replace_runs(merged);
            }
        }
        if !view.read_on()? {
            return Ok(None);
        }
        if synced.marks.is_empty() {
            view.durable = view.durable.max(synced.blocks);
        }
        Ok(Some(view))
    }

    /// The state read anew, and whether it must move to a new log before anything is appended.
    fn loaded(&self) -> Result<(View, bool)> {
        self.group.require_whole()?;
        let before = Arc::clone(&guard(&self.view).generation);
        let Loaded { view, is_sound, in_doubt } = View::load(&self.files, Some(&before), Role::Writer)?;
        let Ticket { log, generation, .. } = view.ticket();
        view.generation.head.require_writable()?;
        if is_sound {
            self.group.moved(generation);
            if self.options.durable && !in_doubt.is_empty() {
                // The same bytes at the same place: pages that an earlier sync failed to write are written by ours.
                log.file.write_at(&in_doubt, view.durable * wide(BLOCK)).named(&log.name)?;
            }
        }
        // Whoever gave the head its name may have ended before that was durable. Then who waits for this state waits for the
        // generation that is made of it.
        Ok((view, !is_sound))
    }

    /// Moves everything into a new generation. A full disk is no reason to refuse when the log can still grow.
    fn start_generation(&self, view: View, must: bool) -> Result<View> {
        let prepared = match checkpoint::prepare(&self.files.disk, &view, log_blocks(&self.options)) {
            Err(error) if !must && matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::QuotaExceeded) => {
                return Ok(view);
            }
            result => result?,
        };
        let published = checkpoint::publish(&self.files, &prepared, &view.generation);
        let view = published.inspect_err(|_| self.group.poison())?;
        self.group.moved(view.place().generation);
        Ok(view)
    }

    /// Writes one commit behind the view, which has the changes; not durable yet.
    pub(crate) fn append(&self, view: &mut View, changes: &Table) -> Result<()> {
        let place = view.place();
        let entries = changes.iter().map(|(key, value)| Entry { key, value: value.as_deref() });
        let commit = Commit::new(entries, place, view.durable);
        let end = place.end + commit.blocks();
        self.reserve(view, end)?;
        let log = &view.generation.log;
        log.file.write_at(commit.bytes(), place.end * wide(BLOCK)).named(&log.name)?;
        if !self.options.durable {
            let merges = view.generation.head.next_merge;
            let published = Synced { generation: place.generation, blocks: end, marks: Marks::RELAXED, merges };
            checkpoint::mark(&self.files, &published)?;
        }
        view.wrote(commit.bytes(), end);
        Ok(())
    }

    /// Makes room for a commit that is larger than what is left: zeros, synced before the commit is written.
    fn reserve(&self, view: &View, end: u64) -> Result<()> {
        let generation = &view.generation;
        let log = &generation.log;
        if end <= generation.head.log_blocks {
            return Ok(());
        }
        let size = log.file.size().named(&log.name)?;
        let needed = end * wide(BLOCK);
        if needed <= size {
            return Ok(());
        }
        let grown = needed.next_multiple_of(GROWTH * wide(BLOCK));
        log::write_zeros(&*log.file, size, grown).named(&log.name)?;
        log.sync().named(&log.name).inspect_err(|_| {
            group::mark_failed(&self.files, generation.head.generation);
            self.group.poison();
        })
    }
}
