//! Commits that wait together: one sync for all of them, and the `synced` file moved forward after it.
//!
//! A commit is appended under the journal's lock and synced without it. Of the threads of one handle that have appended,
//! one syncs for all that was until then; processes sync side by side. Threads that commit again and again would fall into
//! two groups, one syncing while the other appends; so the one that syncs waits a little for those that were there lately,
//! and then tells the threads of every batch it has synced by itself: those who heard it from the thread that closed their
//! batch would come too late for the next.
//! A successful sync proves what lies before it because of two things: the kernel reports a write that failed to every
//! descriptor that was open at the time (Linux 4.13), and what was in doubt before this descriptor was opened has been
//! written through it once more. So the first failure is the handle's last word: it is poisoned.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::batch::Batch;
use crate::checkpoint;
use crate::disk::DiskFile;
use crate::error::{Error, ErrorKind, Named, Result};
use crate::generation::Files;
use crate::guard;
use crate::layout::{LOCK, log_name};
use crate::synced::{Marks, Synced};

/// The most a sync is put off, as a part of what the last one took, for commits that are expected to join it.
const PATIENCE: u32 = 2;

/// How long a thread that waits for others stays awake, which is about what it takes to be woken on a processor that sleeps.
pub(crate) const AWAKE: Duration = Duration::from_micros(50);

/// An open log, by one descriptor whose syncs are one after another and whose first failure is final.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) name: String,
    /// Two syncs at once would share one report of an error: one of them would not hear of it.
    one_at_a_time: Mutex<()>,
    is_failed: AtomicBool,
}

impl Log {
    pub(crate) fn new(file: Box<dyn DiskFile>, generation: u64) -> Self {
        let name = log_name(generation);
        Self { file, name, one_at_a_time: Mutex::default(), is_failed: AtomicBool::new(false) }
    }

    /// Syncs; after one failure never again.
    pub(crate) fn sync(&self) -> plyfs_sys::Result<()> {
        let _turn = guard(&self.one_at_a_time);
        // Until it has succeeded: a disk may panic.
        if self.is_failed.swap(true, Ordering::Relaxed) {
            return Err(plyfs_sys::CallError::new("fdatasync", &*self.name, Errno::IO));
        }
        self.file.sync()?;
        self.is_failed.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// A state of the log that someone waits to be durable.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) log: Arc<Log>,
    pub(crate) generation: u64,
    /// Blocks of the log that belong to it.
    pub(crate) end: u64,
}

impl Ticket {
    fn place(&self) -> (u64, u64) {
        (self.generation, self.end)
    }
}

/// The threads of one handle that wait for a sync.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Threads that wait for their turn to append, or have it: they are sure to come.
    pub(crate) queue: AtomicUsize,
    state: Mutex<State>,
    /// As many have appended as are expected: the one that is about to sync waits for this, and nobody else.
    joined: Condvar,
    /// A sync ended or failed.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Generation and blocks up to which this handle knows all to be durable and published.
    durable: (u64, u64),
    /// The last state this handle appended or read under the lock.
    newest: Option<Ticket>,
    is_syncing: bool,
    /// Says whether the one that syncs still waits for others to join.
    is_gathering: bool,
    is_poisoned: bool,
    /// How many wait for a sync to end, each for all of a batch: waking nobody is a system call too.
    waiting: usize,
    /// What was written since the last sync began.
    batches: Vec<Arc<Batch>>,
    /// How many transactions that is.
    pending: usize,
    /// How many there were lately: those of the last sync and those that were written while it ran.
    expected: usize,
    /// What the last sync took.
    took: Duration,
}

impl Group {
    /// [`ErrorKind::Poisoned`] once a sync of this handle has failed.
    pub(crate) fn require_sound(&self) -> Result<()> {
        if guard(&self.state).is_poisoned { Err(poisoned()) } else { Ok(()) }
    }

    /// Refuses to write from now on, and fails whoever waits.
    pub(crate) fn poison(&self) {
        guard(&self.state).is_poisoned = true;
        self.joined.notify_one();
        self.settled.notify_all();
    }

    /// Notes what the next sync will cover: a state of which all blocks are written, with what so many have done.
    pub(crate) fn note(&self, ticket: &Ticket, batch: &Arc<Batch>, members: usize) {
        let mut state = guard(&self.state);
        state.newest = Some(ticket.clone());
        state.batches.push(Arc::clone(batch));
        state.pending += members;
        let is_awaited = state.is_gathering && state.pending >= state.expected;
        // Whoever is woken needs it.
        drop(state);
        if is_awaited {
            self.joined.notify_one();
        }
    }

    /// Makes sure that nothing of what this handle appended or saw was lost, before it believes a state that it has read anew;
    /// the caller holds the lock.
    ///
    /// A number does not tell one commit from another: where what was written could not be written back and is gone from
    /// memory, others append at its place, under its number, and start generations of that. The log tells. Its descriptor here
    /// is older than all this handle waits for, so while its syncs succeed none of that was ever lost, and whoever read the
    /// log meanwhile has read it.
    pub(crate) fn require_whole(&self) -> Result<()> {
        let unsettled = {
            let state = guard(&self.state);
            state.newest.clone().filter(|newest| newest.place() > state.durable)
        };
        let Some(ticket) = unsettled else { return Ok(()) };
        ticket.log.sync().named(&ticket.log.name).inspect_err(|_| self.poison())
    }

    /// Settles what this handle appended to an earlier log, now that `generation` is durable: it holds what its writer found
    /// there, which is all of it, or this handle's own state.
    pub(crate) fn moved(&self, generation: u64) {
        let mut state = guard(&self.state);
        if state.newest.take_if(|newest| newest.generation < generation).is_none() {
            return;
        }
        state.pending = 0;
        state.batches.clear();
        state.durable = state.durable.max((generation, 0));
        self.settled.notify_all();
    }

    /// Waits until the state of the ticket is durable and published: by this thread's sync or another's.
    pub(crate) fn settle(&self, files: &Files, ticket: &Ticket) -> Result<()> {
        let mut state = guard(&self.state);
        loop {
            if state.durable >= ticket.place() {
                return Ok(());
            }
            if state.is_poisoned {
                return Err(poisoned());
            }
            if !state.is_syncing {
                return self.lead(files, ticket, state);
            }
            state.waiting += 1;
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Syncs for all, and wakes them.
    fn lead(&self, files: &Files, ticket: &Ticket, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.is_syncing = true;
        let mut state = self.gather(state);
        let target = state.newest.clone().filter(|newest| newest.place() >= ticket.place());
        let target = target.unwrap_or_else(|| ticket.clone());
        let covered = std::mem::take(&mut state.pending);
        let batches = std::mem::take(&mut state.batches);
        drop(state);

        let began = Instant::now();
        let synced = || {
            sync(files, &target)?;
            let took = began.elapsed();
            publish(files, &target).map(|()| took)
        };
        let synced = catch_unwind(AssertUnwindSafe(synced));

        let mut state = guard(&self.state);
        state.is_syncing = false;
        state.expected = covered + state.pending;
        if let Ok(Ok(took)) = synced {
            state.took = took;
            state.durable = state.durable.max(target.place());
        } else {
            state.is_poisoned = true;
        }
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.settled.notify_all();
        }
        if let Ok(Ok(_)) = synced {
            batches.iter().for_each(|batch| batch.tell(Ok(())));
        }
        synced.unwrap_or_else(|panic| resume_unwind(panic)).map(drop)
    }

    /// Waits a little for the commits that are expected to join the next sync, and a little more while some are on their way.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let is_early = |state: &mut State| state.pending < state.expected && !state.is_poisoned;
        if !is_early(&mut state) {
            return state;
        }
        let patience = state.took / PATIENCE;
        drop(state);
        awake_until(patience.min(AWAKE), || !is_early(&mut guard(&self.state)));
        let mut state = guard(&self.state);
        state.is_gathering = true;
        let waited = self.joined.wait_timeout_while(state, patience.saturating_sub(AWAKE), is_early);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_gathering = false;
        drop(state);
        awake_until(AWAKE, || !is_early(&mut guard(&self.state)) || self.queue.load(Ordering::Relaxed) == 0);
        guard(&self.state)
    }
}

/// Lets other threads run until something is so, or until it is time to sleep.
pub(crate) fn awake_until(limit: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() && began.elapsed() < limit {
        std::thread::yield_now();
    }
}

/// Syncs the log of a ticket; a failure is marked for all others.
fn sync(files: &Files, ticket: &Ticket) -> Result<()> {
    let Err(error) = ticket.log.sync() else { return Ok(()) };
    // Best effort, on a disk that fails.
    if let Ok(_lock) = files.disk.lock(LOCK) {
        mark_failed(files, ticket.generation);
    }
    Err(error).named(&ticket.log.name)
}

/// Marks that a sync of a log failed, so that nobody believes or appends to what lies beyond what was published; the
/// caller holds the lock.
pub(crate) fn mark_failed(files: &Files, generation: u64) {
    if let Some(synced) = files.synced().filter(|synced| synced.generation == generation) {
        let _ = checkpoint::mark(files, &Synced { marks: synced.marks | Marks::FAILED, ..synced });
    }
}

/// Moves the `synced` file forward to what was just synced.
///
/// It only changes under the lock, by someone who has read it there: so it never goes back, and no mark of a failure
/// is lost. Where it is further already, or names a later generation, there is nothing to do: others
/// synced more, or copied it.
fn publish(files: &Files, ticket: &Ticket) -> Result<()> {
    let _lock = files.disk.lock(LOCK).named(LOCK)?;
    let there = files.synced().filter(|synced| synced.generation >= ticket.generation);
    if let Some(synced) = there {
        if (synced.generation, synced.blocks) >= ticket.place() {
            return Ok(());
        }
        if synced.marks.contains(Marks::FAILED) {
            let message =
                "journal: a sync of another writer failed; the next write decides whether the changes are there";
            return Err(Error::new(ErrorKind::Io, message));
        }
    }
    let merges = there.map_or(0, |synced| synced.merges);
    let synced = Synced { generation: ticket.generation, blocks: ticket.end, marks: Marks::empty(), merges };
    checkpoint::mark(files, &synced)
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Poisoned, "journal: a sync failed; open it anew to write")
}
