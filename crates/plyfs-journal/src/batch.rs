//! Transactions of several threads that become one commit.
//!
//! A thread that has changed the journal while others wait for their turn leaves its changes to them, and the lock as
//! well: the changes are in the view that the next transaction runs on, and in no file. The last one writes them all as
//! one commit, releases the lock and syncs; the others wait for the *batch*, which tells all of them at once what became
//! of it. Nobody hears of a transaction before the commit it is part of is durable, and a commit is whole or absent: so
//! is each of its transactions.
//!
//! Of those in the queue it is certain that they come, and nobody else is waited for under the lock: who comes later is
//! the next batch, which the same sync covers if it was waited for ([`Group`](crate::group::Group)).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use crate::disk::DiskLock;
use crate::error::{Error, ErrorKind, Named, Result};
use crate::group::Ticket;
use crate::journal::{Journal, Turn};
use crate::layout::{BLOCK_PAYLOAD, LOCK, MAX_COMMIT, wide};
use crate::snapshot::Table;
use crate::transaction::Changes;
use crate::view::View;
use crate::writer::Writer;

/// How many transactions may follow each other under one lock: a group of commits, and no more than a few hundred
/// microseconds that other processes wait.
const MOST_TURNS: u32 = 16;

/// What the threads have in common whose transactions are one commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    outcome: OnceLock<Result<(), Arc<Error>>>,
}

impl Batch {
    /// Wakes all its threads; what they were told before stays.
    pub(crate) fn tell(&self, outcome: Result<()>) {
        let _ = self.outcome.set(outcome.map_err(Arc::new));
    }
}

/// The duty to tell a batch what became of it. Where a panic ends it, of a disk for instance, its threads hear of that.
#[derive(Debug, Default)]
struct Duty(Arc<Batch>);

impl Drop for Duty {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            self.0.tell(Err(Error::new(ErrorKind::Io, "journal: the thread that was to write and sync it panicked")));
        }
    }
}

/// The held lock, and how many have run under it.
#[derive(Debug)]
pub(crate) struct Held {
    lock: Box<dyn DiskLock>,
    turns: u32,
}

/// A batch that others may join. The writer's view has its changes, and the log has not.
#[derive(Debug, Default)]
pub(crate) struct Open {
    duty: Duty,
    changes: Table,
    /// Bytes of all that joined; fewer are written where one has replaced what another did.
    size: usize,
    members: usize,
}

/// A batch that is written or was to be. Whoever has closed it sees to it that it is synced and the others are told.
#[derive(Debug)]
#[must_use = "threads wait for it"]
pub(crate) struct Closed {
    duty: Duty,
    written: Result<Option<Ticket>>,
}

/// A thread's part in a batch.
#[derive(Debug)]
pub(crate) struct Part {
    batch: Arc<Batch>,
}

impl Part {
    /// Waits until what it belongs to is durable.
    pub(crate) fn wait(&self) -> Result<()> {
        let failed = |error: &Arc<Error>| Error::new(error.kind(), "commit").because(Arc::clone(error));
        self.batch.outcome.wait().as_ref().copied().map_err(failed)
    }
}

impl Journal {
    /// Runs a transaction in its turn; what others left to this thread is written and synced on return, whatever became
    /// of its own.
    pub(crate) fn in_turn<T>(&self, run: impl FnOnce(&mut Writer, &mut Option<Closed>) -> T) -> T {
        let mut turn = self.turn();
        let mut full = None;
        let ran = catch_unwind(AssertUnwindSafe(|| run(&mut turn.writer, &mut full)));
        let left = self.leave(&mut turn, full.is_some());
        drop(turn);
        [full, left].into_iter().flatten().for_each(|closed| self.settle(closed));
        ran.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes the lock, unless the thread before has left it; the answer is the newest state.
    pub(crate) fn enter<'a>(&self, writer: &'a mut Writer) -> Result<&'a View> {
        let is_first = writer.held.is_none();
        if is_first {
            writer.held = Some(Held { lock: self.files.disk.lock(LOCK).named(LOCK)?, turns: 0 });
        }
        if let Some(held) = &mut writer.held {
            held.turns += 1;
        }
        if writer.open.is_none() {
            // Nobody else can have appended while the lock went from hand to hand.
            writer.view = Some(self.newest(writer, is_first)?);
        }
        Ok(writer.view.as_ref().expect("a batch is open behind a view"))
    }

    /// Makes the changes of a transaction part of the batch, which begins with it if there is none. One that they do not
    /// fit into any more is written without them and becomes `full`.
    pub(crate) fn join(
        &self,
        writer: &mut Writer,
        Changes { mut table, size }: Changes,
        full: &mut Option<Closed>,
    ) -> Result<Part> {
        if writer.open.as_ref().is_some_and(|open| !fits(writer.view.as_ref(), open.size + size)) {
            *full = self.close(writer);
            // What was not written, this transaction has seen.
            if let Some(Closed { written: Err(error), .. }) = full {
                return Err(Error::new(error.kind(), "journal: the changes it builds on were not written"));
            }
            writer.view = Some(self.newest(writer, false)?);
        }
        let open = writer.open.get_or_insert_with(Open::default);
        open.members += 1;
        open.size += size;
        if let Some(view) = &mut writer.view {
            view.show(&table);
        }
        open.changes.append(&mut table);
        Ok(Part { batch: Arc::clone(&open.duty.0) })
    }

    /// Leaves the lock and the batch to those who come next, or closes the batch and releases the lock.
    ///
    /// It must be released before this thread has something synced: that ends by taking it once more.
    fn leave(&self, turn: &mut Turn<'_>, must_release: bool) -> Option<Closed> {
        let held = turn.writer.held.as_ref()?;
        if turn.is_awaited() && held.turns < MOST_TURNS && !must_release {
            return None;
        }
        let closed = self.close(&mut turn.writer);
        turn.writer.held = None;
        closed
    }

    /// Writes the batch, if there is one, as one commit.
    fn close(&self, writer: &mut Writer) -> Option<Closed> {
        let Open { duty, changes, members, .. } = writer.open.take()?;
        let written = self.written(writer, &changes, &duty.0, members);
        Some(Closed { duty, written })
    }

    /// Appends the changes, which the view has already, and says what has to be synced. After an error
    /// or a panic the view is gone, and so is the lock.
    fn written(
        &self,
        writer: &mut Writer,
        changes: &Table,
        batch: &Arc<Batch>,
        members: usize,
    ) -> Result<Option<Ticket>> {
        let (held, view) = (writer.held.take(), writer.view.take());
        let (held, mut view) = held.zip(view).expect("a batch is open under the lock and behind a view");
        if !changes.is_empty() {
            if !held.lock.counts().named(LOCK)? {
                let message = "journal file lock: removed while it was held; others may have written";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            self.append(&mut view, changes)?;
        }
        let ticket = self.options.durable.then(|| view.ticket());
        if let Some(ticket) = &ticket {
            self.group.note(ticket, batch, members);
        }
        (writer.held, writer.view) = (Some(held), Some(view));
        Ok(ticket)
    }

    /// Has a batch synced and tells its threads, unless whoever synced it has.
    fn settle(&self, Closed { duty, written }: Closed) {
        let settled =
            written.and_then(|ticket| ticket.map_or(Ok(()), |ticket| self.group.settle(&self.files, &ticket)));
        duty.0.tell(settled);
    }
}

/// Says whether so many bytes are one commit for which the log has room, and had it when it was created.
fn fits(view: Option<&View>, size: usize) -> bool {
    let blocks = wide(size.div_ceil(BLOCK_PAYLOAD));
    size <= MAX_COMMIT && view.is_some_and(|view| view.end + blocks <= view.generation.head.log_blocks)
}
