//! Small files that are created first and filled later, by whoever would wait otherwise.
//!
//! To create a small file takes the kernel about as long as to write it and to set its times, and the two hardly ever wait for
//! each other: one works on directories, the other on inodes. So the applier sets aside what it has created, and whoever makes
//! the archive fills some of it instead of waiting for the applier. Once enough is set aside, the applier does so itself: neither
//! of the two threads rests while there is something to do, and a third would only take a processor from them. What is set
//! aside has no attributes but those every file has, and so nothing of it can be left out.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::applier::failed;
use super::metadata;
use super::tally::Tally;
use crate::archive::Entry;
use crate::{Error, Result, Usage, names};

/// Longer files are written where they are created: their bytes would be copied once more.
pub(super) const MOST: u64 = 64 << 10;
/// How many files are in a batch, each of them open.
const FILES: usize = 32;
/// How many bytes of content are in a batch, a file more or less.
const CONTENT: usize = 256 << 10;
/// How many batches may wait.
const WAITING: usize = 4;

/// Fills small files that an applier has created ([`ApplyOptions::share_filling`](crate::ApplyOptions::share_filling)).
///
/// It is shared by its clones. It serves one applier at a time; another that comes meanwhile does without.
#[derive(Clone, Default)]
pub struct Filler(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A batch came, was filled, or no more will come.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// An applier is at work.
    is_open: bool,
    waiting: Vec<Batch>,
    /// How many batches are being filled.
    filling: usize,
    spare: Vec<Batch>,
    /// What all that is filled costs.
    cost: Tally,
    error: Option<Error>,
}

/// Files that are filled one after the other.
#[derive(Default)]
struct Batch {
    files: Vec<Empty>,
    content: Vec<u8>,
    is_tolerant: bool,
}

/// A file that was created and has nothing yet.
struct Empty {
    file: File,
    path: Vec<u8>,
    /// What the archive says of it, but its names: as the archive has them they may be of any length.
    entry: Entry,
    /// Where in its batch the content is.
    content: Range<usize>,
}

impl Filler {
    /// Nothing is to be filled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills some of the files that wait; `false` when none does. What goes wrong is the applier's error.
    pub fn fill_some(&self) -> bool {
        self.0.fill_next(self.0.lock())
    }

    /// Fills files until the applier is done with them; returns at once where none is at work.
    pub fn fill_rest(&self) {
        loop {
            let is_idle = |state: &mut State| state.is_open && state.waiting.is_empty();
            let state = self.0.changed.wait_while(self.0.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
            if !self.0.fill_next(state) {
                return;
            }
        }
    }
}

impl fmt::Debug for Filler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filler").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the batch that came last; `false` when none waits.
    ///
    /// Its files are still in the processor's cache, and mostly so young that the kernel, whose file times move every few
    /// milliseconds, has no new time to note when they are written: it writes an inode once less then.
    fn fill_next(&self, mut state: MutexGuard<'_, State>) -> bool {
        let Some(mut batch) = state.waiting.pop() else { return false };
        state.filling += 1;
        drop(state);
        let mut filling = Filling { shared: self, filled: None };
        filling.filled = Some(batch.fill().map(|cost| (batch, cost)));
        true
    }

    /// Waits until nothing is filled any more.
    fn wait(&self) -> MutexGuard<'_, State> {
        let is_busy = |state: &mut State| state.filling > 0;
        self.changed.wait_while(self.lock(), is_busy).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what became of a batch when it is dropped, after a panic as well.
struct Filling<'a> {
    shared: &'a Shared,
    filled: Option<Result<(Batch, Tally)>>,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.filling -= 1;
        match self.filled.take() {
            Some(Ok((batch, cost))) => {
                state.spare.push(batch);
                state.cost.join(cost);
            }
            Some(Err(error)) => {
                state.waiting.clear();
                state.error.get_or_insert(error);
            }
            None => state.cost.forget(),
        }
        self.shared.changed.notify_all();
    }
}

impl Batch {
    /// Fills its files, and counts what they cost.
    fn fill(&mut self) -> Result<Tally> {
        let mut cost = Tally::default();
        for empty in self.files.drain(..) {
            let Empty { mut file, path, entry, content } = empty;
            let writing = |error: io::Error| Error::io(format!("write {}", names::quoted(&path)), error);
            file.write_all(&self.content[content]).map_err(writing)?;
            let (_, made) = metadata::complete(&file, &entry, self.is_tolerant)
                .map_err(|error| failed("set the attributes of", &path, error))?;
            // What else was set aside for it is known when it is closed, and by its name.
            if Usage::is_tight(&made) { cost.add(Usage::of(&made)) } else { cost.forget() }
        }
        self.content.clear();
        Ok(cost)
    }
}

/// The applier's side: what it has created and not filled.
pub(super) struct Aside {
    filler: Filler,
    next: Batch,
    is_tolerant: bool,
}

impl Aside {
    /// Lets others fill; `None` where they are at work for another applier.
    pub(super) fn new(filler: &Filler, is_tolerant: bool) -> Option<Self> {
        let is_taken = std::mem::replace(&mut filler.0.lock().is_open, true);
        let next = Batch { is_tolerant, ..Batch::default() };
        (!is_taken).then(|| Self { filler: filler.clone(), next, is_tolerant })
    }

    /// Where the content of the next file goes.
    pub(super) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.next.content
    }

    /// Sets a file aside whose content is what was added since the last one. An error may be of an earlier file.
    pub(super) fn set(&mut self, file: File, path: Vec<u8>, entry: Entry) -> Result<()> {
        let start = self.next.files.last().map_or(0, |before| before.content.end);
        let content = start..self.next.content.len();
        self.next.files.push(Empty { file, path, entry, content });
        if self.next.files.len() < FILES && self.next.content.len() < CONTENT {
            return Ok(());
        }
        self.pass()
    }

    /// Comes back once every file that was set aside is as it is to be.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.pass()?;
        while self.filler.fill_some() {}
        self.filler.0.wait().error.take().map_or(Ok(()), Err)
    }

    /// Ends: what all files cost that were set aside.
    pub(super) fn finish(mut self) -> Result<Tally> {
        self.settle()?;
        Ok(std::mem::take(&mut self.filler.0.lock().cost))
    }

    fn pass(&mut self) -> Result<()> {
        let shared = &self.filler.0;
        let mut state = shared.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if self.next.files.is_empty() {
            return Ok(());
        }
        let next = state.spare.pop().unwrap_or_default();
        state.waiting.push(std::mem::replace(&mut self.next, Batch { is_tolerant: self.is_tolerant, ..next }));
        shared.changed.notify_all();
        if state.waiting.len() > WAITING {
            shared.fill_next(state);
        }
        Ok(())
    }
}

impl Drop for Aside {
    /// Nothing is written to the layer once its applier is gone.
    fn drop(&mut self) {
        self.filler.0.lock().waiting.clear();
        *self.filler.0.wait() = State::default();
        self.filler.0.changed.notify_all();
    }
}
