//! Small files filled by a thread of their own, while the next ones are created.
//!
//! To create a small file takes the kernel about as long as to write it and to set its times, and the two hardly ever wait for
//! each other: one works on directories, the other on inodes. What is handed over has no attributes but those every
//! file has, and so nothing of it can be left out.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::applier::failed;
use super::metadata;
use super::tally::Tally;
use crate::archive::Entry;
use crate::{Error, Result, Usage, names};

/// Longer files are written where they are created: their bytes would be copied once more.
pub(super) const MOST: u64 = 64 << 10;
/// How many files are handed over at a time, each of them open.
const FILES: usize = 32;
/// How many bytes of content are handed over at a time, a file more or less.
const CONTENT: usize = 256 << 10;
/// How many batches may wait or be worked on.
const WAITING: usize = 4;

/// A file that was created and has nothing yet.
struct Empty {
    file: File,
    path: Vec<u8>,
    entry: Entry,
    /// Where in its batch the content is.
    content: Range<usize>,
}

/// Files that are handed over together.
#[derive(Default)]
struct Batch {
    files: Vec<Empty>,
    content: Vec<u8>,
}

/// The thread, and what it is to do next.
pub(super) struct Aside {
    /// `None` once nothing more will come.
    ready: Option<Sender<Batch>>,
    done: Receiver<Batch>,
    thread: Option<JoinHandle<Result<Tally>>>,
    waiting: usize,
    spare: Vec<Batch>,
    next: Batch,
}

impl Aside {
    /// Starts the thread; `None` where there can be none.
    pub(super) fn start(is_tolerant: bool) -> Option<Self> {
        let (ready, batches) = channel();
        let (back, done) = channel();
        let work = move || fill(&batches, &back, is_tolerant);
        let thread = std::thread::Builder::new().name("plyfs-fill".into()).spawn(work).ok()?;
        let (spare, next) = (Vec::new(), Batch::default());
        Some(Self { ready: Some(ready), done, thread: Some(thread), waiting: 0, spare, next })
    }

    /// Where the content of the next file goes.
    pub(super) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.next.content
    }

    /// Hands over a file whose content is what was added since the last one. An error may be of an earlier file.
    pub(super) fn hand_over(&mut self, file: File, path: Vec<u8>, entry: Entry) -> Result<()> {
        let start = self.next.files.last().map_or(0, |before| before.content.end);
        let content = start..self.next.content.len();
        self.next.files.push(Empty { file, path, entry, content });
        if self.next.files.len() < FILES && self.next.content.len() < CONTENT {
            return Ok(());
        }
        self.pass()
    }

    /// Waits until every file that was handed over is as it is to be.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.pass()?;
        while self.waiting > 0 {
            self.take_back()?;
        }
        Ok(())
    }

    /// Ends the thread: what all its files cost.
    pub(super) fn finish(mut self) -> Result<Tally> {
        self.pass()?;
        self.end()
    }

    fn pass(&mut self) -> Result<()> {
        if self.next.files.is_empty() {
            return Ok(());
        }
        while self.waiting == WAITING {
            self.take_back()?;
        }
        let batch = std::mem::replace(&mut self.next, self.spare.pop().unwrap_or_default());
        self.waiting += 1;
        match self.ready.as_ref().map(|ready| ready.send(batch)) {
            Some(Ok(())) => Ok(()),
            _ => self.end().map(drop), // it has failed
        }
    }

    fn take_back(&mut self) -> Result<()> {
        let Ok(batch) = self.done.recv() else { return self.end().map(drop) };
        self.waiting -= 1;
        self.spare.push(batch);
        Ok(())
    }

    fn end(&mut self) -> Result<Tally> {
        self.ready = None;
        self.waiting = 0;
        let Some(thread) = self.thread.take() else { return Ok(Tally::default()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Aside {
    /// Nothing is written to the layer once its applier is gone.
    fn drop(&mut self) {
        self.ready = None;
        self.thread.take().map(JoinHandle::join);
    }
}

/// Fills the files of all batches, and counts what they cost.
fn fill(batches: &Receiver<Batch>, back: &Sender<Batch>, is_tolerant: bool) -> Result<Tally> {
    let mut cost = Tally::default();
    for mut batch in batches {
        for empty in batch.files.drain(..) {
            let Empty { mut file, path, entry, content } = empty;
            let writing = |error: io::Error| Error::io(format!("write {}", names::quoted(&entry.path)), error);
            file.write_all(&batch.content[content]).map_err(writing)?;
            let (_, made) = metadata::complete(&file, &entry, is_tolerant)
                .map_err(|error| failed("set the attributes of", &path, error))?;
            // What else was set aside for it is known when it is closed, and by its name.
            if Usage::is_tight(&made) { cost.add(Usage::of(&made)) } else { cost.forget() }
        }
        batch.content.clear();
        back.send(batch).ok(); // nobody waits for it where the applier has failed
    }
    Ok(cost)
}
