//! What happened to a disk, in order: writes, flushes, and the marks that programs set.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::image::Image;

/// One thing the file system asked of the disk.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Taken by the disk, not yet safe.
    Write {
        /// Where on the disk, in bytes.
        offset: usize,
        data: Arc<[u8]>,
    },
    /// Everything before it is safe.
    Flush,
}

/// A line that a program wrote to the marks, and how many events there were by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: usize,
    pub(crate) line: String,
}

/// The history of a disk since its content was `start`.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) start: Image,
    pub(crate) events: Vec<Event>,
    pub(crate) marks: Vec<Mark>,
}

impl Record {
    pub(crate) fn new(start: Image) -> Self {
        Self { start, events: Vec::new(), marks: Vec::new() }
    }

    /// Bytes of all writes.
    pub(crate) fn written(&self) -> usize {
        self.events.iter().map(|event| if let Event::Write { data, .. } = event { data.len() } else { 0 }).sum()
    }

    /// How many times the file system asked for safety.
    pub(crate) fn flushes(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Flush)).count()
    }
}

/// A disk in use: its content now and how it came to be. Shared by the thread that serves it and the one that cuts.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
    size: usize,
}

#[derive(Debug)]
struct State {
    now: Image,
    record: Record,
}

impl Disk {
    pub(crate) fn new(start: Image) -> Self {
        let size = start.size();
        Self { state: Mutex::new(State { now: start.clone(), record: Record::new(start) }), size }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Puts another content on the disk and begins a new record. Nobody may use the disk meanwhile.
    pub(crate) fn begin(&self, start: Image) {
        let mut state = self.lock();
        state.now = start.clone();
        state.record = Record::new(start);
    }

    /// The record until now; a new one begins.
    pub(crate) fn restart(&self) -> Record {
        let mut state = self.lock();
        let next = Record::new(state.now.clone());
        std::mem::replace(&mut state.record, next)
    }

    /// Events until now.
    pub(crate) fn position(&self) -> usize {
        self.lock().record.events.len()
    }

    pub(crate) fn write(&self, offset: usize, data: &[u8]) {
        let mut state = self.lock();
        state.now.write(offset, data);
        state.record.events.push(Event::Write { offset, data: data.into() });
    }

    pub(crate) fn flush(&self) {
        self.lock().record.events.push(Event::Flush);
    }

    pub(crate) fn read(&self, offset: usize, length: usize, out: &mut Vec<u8>) {
        self.lock().now.read(offset, length, out);
    }

    /// Notes lines at the place the record has reached.
    pub(crate) fn mark(&self, lines: &str) {
        let mut state = self.lock();
        let at = state.record.events.len();
        state.record.marks.extend(lines.lines().map(|line| Mark { at, line: line.to_owned() }));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
