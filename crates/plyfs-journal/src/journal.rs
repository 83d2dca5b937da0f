//! The open journal: snapshots for readers, transactions for writers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{self, Table};
use crate::disk::{Access, Disk};
use crate::head::Head;
use crate::layout::LOG_LIMIT;
use crate::log::Log;
use crate::run::{self, Run};
use crate::view::{Merge, Scan, View};
use crate::{Error, ErrorKind, Result, layout};

/// How often the head is read again when what it names was replaced meanwhile.
const RETRIES: u32 = 100;

/// How a journal is opened.
#[derive(Clone, Copy, Debug)]
#[must_use = "options do nothing until a journal is opened with them"]
pub struct Options {
    read_only: bool,
    durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, durable: true }
    }
}

impl Options {
    /// Refuses every write, and needs no permission to write.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// With `false` nothing is synced: commits survive the process, and a power cut may lose any of them or leave
    /// the journal damaged.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }
}

/// A key/value log in one directory, shared by threads and processes.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    options: Options,
    state: Mutex<State>,
    is_poisoned: AtomicBool,
}

#[derive(Debug)]
struct State {
    head: Head,
    log: Log,
    view: View,
}

/// One consistent, durable state; what is committed later is not seen.
#[derive(Clone, Debug)]
pub struct Snapshot {
    view: View,
}

/// The newest state and what is to become of it, while the writers' lock is held.
#[derive(Debug)]
pub struct Transaction<'a> {
    view: &'a View,
    changes: Table,
}

impl Journal {
    /// Makes an empty journal and opens it; one that is there is [`ErrorKind::Exists`]. Durable on return.
    pub fn create(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        let lock = disk.lock().map_err(|e| Error::io("lock journal", e))?;
        match Head::read(&*disk) {
            Ok(_) => return Err(Error::new(ErrorKind::Exists, "journal/head")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let head = Head::first();
        Log::create(&*disk, head.generation, head.sequence, options.durable)?;
        if options.durable {
            disk.sync_names().map_err(|e| Error::io("sync journal", e))?;
        }
        head.publish(&*disk, options.durable)?;
        drop(lock);
        Self::open(disk, options)
    }

    /// Opens a journal; [`ErrorKind::NotFound`] where there is none, [`ErrorKind::Unsupported`] when it is of a
    /// later version, [`ErrorKind::Corrupt`] with file and offset when it is damaged.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        let mut state = State::load(&*disk, options, None)?;
        state.believe(&*disk, options)?;
        Ok(Self { disk, options, state: Mutex::new(state), is_poisoned: AtomicBool::new(false) })
    }

    /// One durable state of the journal, with everything any process had committed before the call.
    ///
    /// No lock of another process is waited for. Where another process's commit is seen that may not be durable yet,
    /// the log is synced first.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut state = self.state();
        if !self.is_poisoned.load(Ordering::Relaxed) {
            state.refresh(&*self.disk, self.options).inspect_err(|error| self.note(error, &state))?;
        }
        Ok(Snapshot { view: state.view.clone() })
    }

    /// Runs `change` upon the newest state, alone in all processes, and commits what it put and deleted.
    ///
    /// One append and one sync; durable on return. When `change` fails, or changes nothing, nothing is written.
    /// After a sync that failed this journal refuses to write ([`ErrorKind::Poisoned`]) until it is opened anew:
    /// what the disk has is not known.
    pub fn write<T, E: From<Error>>(&self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "journal is open for reading alone").into());
        }
        if self.is_poisoned.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Poisoned, "journal: an earlier sync failed; open it anew").into());
        }
        let mut state = self.state();
        let _alone = self.disk.lock().map_err(|e| Error::io("lock journal", e))?;
        state.refresh(&*self.disk, self.options).inspect_err(|error| self.note(error, &state))?;
        if !state.head.is_writable() {
            return Err(Error::new(ErrorKind::ReadOnly, "journal has features this version cannot write").into());
        }
        let mut transaction = Transaction { view: &state.view, changes: Table::new() };
        let answer = change(&mut transaction)?;
        let changes = transaction.changes;
        if !changes.is_empty() {
            self.commit(&mut state, changes)?;
        }
        Ok(answer)
    }

    fn commit(&self, state: &mut State, changes: Table) -> Result<()> {
        let payload = batch::encode(&changes)?;
        if state.log.size() >= LOG_LIMIT {
            // Without space for a run the log goes on growing; the next commit tries again.
            let made = state.checkpoint(&*self.disk, self.options);
            made.or_else(|error| if error.kind() == ErrorKind::NoSpace { Ok(()) } else { Err(error) })
                .inspect_err(|error| self.note(error, state))?;
        }
        state.log.append(&payload, self.options.durable).inspect_err(|error| self.note(error, state))?;
        Arc::make_mut(&mut state.view.table).extend(changes);
        Ok(())
    }

    /// Poisons the journal when the log says that the disk may have something else than was written.
    fn note(&self, _error: &Error, state: &State) {
        if state.log.is_broken() {
            self.is_poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// The state is whole between any two of its steps, so a thread that panicked with it left it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Journal>();
    shared::<Snapshot>();
};

impl State {
    /// Reads what the head names; `known` are runs that are open already.
    fn load(disk: &dyn Disk, options: Options, known: Option<&Self>) -> Result<Self> {
        let mut patience = RETRIES;
        loop {
            let head = Head::read(disk)?;
            match Self::of(disk, options, &head, known) {
                // A checkpoint replaced the head and removed what the old one names.
                Err(error) if error.kind() == ErrorKind::NotFound && patience > 0 && Head::read(disk)? != head => {
                    patience -= 1;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Error::new(ErrorKind::Corrupt, "journal/head names a missing file").because(error));
                }
                result => return result,
            }
        }
    }

    fn of(disk: &dyn Disk, options: Options, head: &Head, known: Option<&Self>) -> Result<Self> {
        let open = |number: &u64| {
            let known = known.and_then(|known| known.view.runs.iter().find(|run| run.number() == *number));
            known.map_or_else(|| Run::open(disk, *number), |run| Ok(run.clone()))
        };
        let runs = head.runs.iter().map(open).collect::<Result<Vec<_>>>()?;
        let access = if options.read_only { Access::Read } else { Access::Write };
        let log = Log::open(disk, head.generation, head.sequence, access)?;
        Ok(Self { head: head.clone(), log, view: View { table: Arc::default(), runs } })
    }

    /// Reads what the log holds and makes it durable before anybody sees it.
    fn believe(&mut self, disk: &dyn Disk, options: Options) -> Result<()> {
        let mut fresh = Vec::new();
        if self.log.catch_up(|table| fresh.push(table))? && options.durable {
            self.log.sync_for_reading(options.read_only)?;
        }
        if !fresh.is_empty() {
            let table = Arc::make_mut(&mut self.view.table);
            fresh.into_iter().for_each(|changes| table.extend(changes));
        }
        // Between the reading of the head and of the log another process may have begun a new log: what it holds
        // is later, and this state is still one that was.
        let _ = disk;
        Ok(())
    }

    /// Takes over what other processes did since.
    fn refresh(&mut self, disk: &dyn Disk, options: Options) -> Result<()> {
        if Head::read(disk)? != self.head {
            *self = Self::load(disk, options, Some(self))?;
        }
        self.believe(disk, options)
    }

    /// Makes the log's content a run and begins a new log. The caller holds the writers' lock.
    ///
    /// 1. The run is written and synced.
    /// 2. The new log is made and synced.
    /// 3. Their names are synced.
    /// 4. The head is replaced: the moment they are the journal.
    /// 5. The old log and the merged runs are removed; readers that have them open keep them.
    ///
    /// A crash before 4 leaves files that no head names; their names are used again.
    fn checkpoint(&mut self, disk: &dyn Disk, options: Options) -> Result<()> {
        let keep = self.runs_to_keep();
        let merged = &self.view.runs[keep..];
        let number = self.head.next_run;
        let written = write_run(disk, number, &self.view.table, merged, keep == 0, options.durable);
        let made = written.and_then(|()| {
            let log = Log::create(disk, self.log.generation() + 1, self.log.sequence(), options.durable)?;
            if options.durable {
                disk.sync_names().map_err(|e| Error::io("sync journal", e))?;
            }
            Ok((Run::open(disk, number)?, log))
        });
        let (run, log) = made.inspect_err(|_| {
            let _ = disk.remove(&layout::run(number));
            let _ = disk.remove(&layout::log(self.log.generation() + 1));
        })?;
        let runs: Vec<_> = self.view.runs[..keep].iter().cloned().chain([run]).collect();
        let head = Head {
            generation: log.generation(),
            sequence: log.sequence(),
            next_run: number + 1,
            runs: runs.iter().map(|run| run.number()).collect(),
            ..self.head.clone()
        };
        head.publish(disk, options.durable)?;
        for run in merged {
            let _ = disk.remove(&layout::run(run.number()));
        }
        let _ = disk.remove(&layout::log(self.log.generation()));
        *self = Self { head, log, view: View { table: Arc::default(), runs } };
        Ok(())
    }

    /// How many of the oldest runs a new one leaves alone: each run stays at least twice as large as all after it,
    /// so that an entry is written again a number of times that grows with the logarithm of the journal.
    fn runs_to_keep(&self) -> usize {
        let mut size = self.view.table.len() as u64;
        let mut keep = self.view.runs.len();
        while keep > 0 && self.view.runs[keep - 1].entries() < 2 * size {
            keep -= 1;
            size += self.view.runs[keep].entries();
        }
        keep
    }
}

/// Writes a table over runs as a new run; deletions go when nothing older is left for them to hide.
fn write_run(
    disk: &dyn Disk,
    number: u64,
    table: &Table,
    runs: &[Arc<Run>],
    is_oldest: bool,
    is_durable: bool,
) -> Result<()> {
    let mut merge = Merge::of_table(table, runs)?;
    let entries = std::iter::from_fn(|| merge.next_entry().transpose());
    let entries = entries.filter(|entry| !(is_oldest && matches!(entry, Ok((_, None)))));
    run::write(disk, number, entries, is_durable)
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.view.get(key)
    }

    /// Says whether a key has a value.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The items whose keys begin with `prefix`, ascending bytewise.
    pub fn scan(&self, prefix: &[u8]) -> Scan {
        self.view.scan(prefix, None)
    }
}

impl Transaction<'_> {
    /// The value of a key, with this transaction's own changes.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(key),
        }
    }

    /// Says whether a key has a value.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The items whose keys begin with `prefix`, ascending bytewise, with the changes made so far.
    pub fn scan(&self, prefix: &[u8]) -> Scan {
        self.view.scan(prefix, Some(&self.changes))
    }

    /// Gives a key a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.insert(key.to_vec(), Some(value.to_vec()));
    }

    /// Takes a key away; a missing one is fine.
    pub fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.to_vec(), None);
    }
}
