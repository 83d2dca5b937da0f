//! A journal: created, opened, read and written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint;
use crate::disk::{Access, Disk};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Named, Result};
use crate::generation::{Files, Generation};
use crate::head::{self, Head, remove_if_there};
use crate::layout::{BLOCK, LOCK, SYNCED, is_log_or_run, log_name, wide};
use crate::log::{self, Commit};
use crate::options::Options;
use crate::snapshot::{Snapshot, Table};
use crate::synced::{Marks, Synced};
use crate::transaction::Transaction;
use crate::view::{Role, View, is_published};

/// Blocks a log grows by at least when a commit is larger than what is left of it.
const GROWTH: u64 = 128;

/// An open journal, shared by threads in an `Arc`; other processes may have it open too.
#[derive(Debug)]
pub struct Journal {
    files: Files,
    options: Options,
    view: Mutex<View>,
    writer: Mutex<Writer>,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Journal>();
    shared::<Snapshot>();
};

/// What only the thread that writes knows.
#[derive(Debug, Default)]
struct Writer {
    /// Set for good by a failed sync.
    is_poisoned: bool,
    /// Whether the whole log was judged under the lock since anything went wrong.
    is_verified: bool,
}

impl Journal {
    /// Makes an empty journal in a directory and opens it; durable on return, whatever the options say of commits.
    ///
    /// Where there is one already it is [`ErrorKind::Exists`], and nothing has changed. A crash leaves an empty
    /// journal or none.
    pub fn create(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        if options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "journal is to be open for reading only"));
        }
        let lock = disk.lock(LOCK).named(LOCK)?;
        match head::read(&disk) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(Error::new(ErrorKind::Exists, "journal is there already")),
        }
        refuse_headless(&disk)?;
        let head = Head::first(log_blocks(&options));
        log::create(&disk, head.generation, head.log_blocks)?;
        remove_if_there(&disk, SYNCED)?;
        let synced = disk.create(SYNCED).named(SYNCED)?;
        let start = Synced { generation: head.generation, blocks: 0, marks: Marks::empty() };
        synced.write_at(&start.encode(), 0).named(SYNCED)?;
        synced.sync().named(SYNCED)?;
        head.stage(&disk)?;
        disk.sync().named(&log_name(head.generation))?;
        head::publish(&disk)?;
        drop(lock);
        Self::open(disk, options)
    }

    /// Opens the journal of a directory; [`ErrorKind::NotFound`] when there is none.
    ///
    /// What is read is bounded by the log limit, whatever the journal holds. Nothing is written: what a crash
    /// left is dealt with by the next write.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        let access = if options.read_only { Access::Read } else { Access::Write };
        let files = Files::open(disk, access)?;
        let view = View::load(&files, None, Role::Reader)?.view;
        Ok(Self { files, options, view: Mutex::new(view), writer: Mutex::default() })
    }

    /// The newest durable state, with what other processes committed; takes no lock of theirs.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut view = guard(&self.view);
        view.catch_up(&self.files)?;
        Ok(view.snapshot.clone())
    }

    /// Changes the journal: all that `change` does, or nothing. Durable on return, unless the journal was opened
    /// with [`Options::durable`] off.
    ///
    /// Waits for other writers, of this process and of others; `change` then runs on the newest state, and no
    /// other writer until it has returned. It must not write to the same journal. When it returns an error,
    /// or changes nothing, nothing is written.
    ///
    /// A failed sync is an error, and whether the changes are there is decided by whoever writes next: no
    /// reader sees them before. From then on this handle refuses to write with [`ErrorKind::Poisoned`]; a
    /// journal that is opened anew does not trust the log, and copies what is sound into a new one first.
    pub fn write<T, E: From<Error>>(&self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "journal is open for reading only").into());
        }
        let mut writer = guard(&self.writer);
        writer.require_sound()?;
        let _lock = self.files.disk.lock(LOCK).named(LOCK)?;
        let view = self.newest(&mut writer)?;
        let mut transaction = Transaction::new(&view.snapshot);
        let result = change(&mut transaction)?;
        let changes = transaction.into_changes()?;
        if !changes.is_empty() {
            self.append(&mut writer, view, changes)?;
        }
        Ok(result)
    }

    /// The newest state, in a log that may be appended to; the caller holds the lock.
    fn newest(&self, writer: &mut Writer) -> Result<View> {
        let view = self.unchanged(writer)?;
        let (view, must_start) = match view {
            Some(view) => (view, false),
            None => {
                let before = Arc::clone(&guard(&self.view).snapshot.generation);
                let loaded = View::load(&self.files, Some(&before), Role::Writer)?;
                loaded.view.snapshot.generation.head.require_writable()?;
                (loaded.view, !loaded.is_clean)
            }
        };
        let is_full = view.end > 0 && view.end * wide(BLOCK) >= self.options.log_limit;
        let view = if must_start || is_full { self.start_generation(writer, view, must_start)? } else { view };
        // All of it is durable by now, or was published without a sync: readers of this handle may have it.
        *guard(&self.view) = view.clone();
        writer.is_verified = true;
        Ok(view)
    }

    /// The handle's own view, brought up to date, when that is all there is to know.
    fn unchanged(&self, writer: &Writer) -> Result<Option<View>> {
        if !writer.is_verified {
            return Ok(None);
        }
        let mut view = guard(&self.view);
        view.catch_up(&self.files)?;
        let is_newest = is_published(&view, self.files.synced())
            && head::read(&self.files.disk)? == view.snapshot.generation.head_bytes
            && view.is_blank_beyond()?;
        Ok(is_newest.then(|| view.clone()))
    }

    /// Moves everything into a new generation. A full disk is no reason to refuse when the log can still grow.
    fn start_generation(&self, writer: &mut Writer, view: View, must: bool) -> Result<View> {
        let prepared = match checkpoint::prepare(&self.files.disk, &view, log_blocks(&self.options)) {
            Err(error) if !must && matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::QuotaExceeded) => {
                return Ok(view);
            }
            result => result?,
        };
        let published = checkpoint::publish(&self.files, &prepared, &view.snapshot.generation);
        published.inspect_err(|_| writer.is_poisoned = true)
    }

    /// Writes, syncs and publishes one commit.
    fn append(&self, writer: &mut Writer, view: View, changes: Table) -> Result<()> {
        let place = view.place();
        let entries = changes.iter().map(|(key, value)| Entry { key, value: value.as_deref() });
        let commit = Commit::new(entries, place, view.durable);
        let published = Synced {
            generation: place.generation,
            blocks: place.end,
            marks: if view.durable < place.end { Marks::RELAXED } else { Marks::empty() },
        };
        let end = place.end + commit.blocks();
        let generation = Arc::clone(&view.snapshot.generation);
        let name = generation.log_name();
        // The view's tables are shared with this handle's; without this one they need not be copied.
        drop(view);

        // Until all is done the log is in doubt: whoever writes next looks at all of it again.
        writer.is_verified = false;
        self.reserve(writer, &generation, end, published)?;
        generation.log.write_at(commit.bytes(), place.end * wide(BLOCK)).named(&name)?;
        let (marks, durable) = if self.options.durable {
            self.sync(writer, &generation, published)?;
            (Marks::empty(), end)
        } else {
            (Marks::RELAXED, 0)
        };
        checkpoint::mark(&self.files, &Synced { blocks: end, marks, ..published })
            .inspect_err(|_| writer.is_poisoned = true)?;
        guard(&self.view).append(place, end, changes, durable);
        writer.is_verified = true;
        Ok(())
    }

    /// Makes room for a commit that is larger than what is left: zeros, synced before the commit is written.
    fn reserve(&self, writer: &mut Writer, generation: &Generation, end: u64, published: Synced) -> Result<()> {
        if end <= generation.head.log_blocks {
            return Ok(());
        }
        let name = generation.log_name();
        let size = generation.log.size().named(&name)?;
        let needed = end * wide(BLOCK);
        if needed <= size {
            return Ok(());
        }
        let grown = needed.next_multiple_of(GROWTH * wide(BLOCK));
        log::write_zeros(&*generation.log, size, grown).named(&name)?;
        self.sync(writer, generation, published)
    }

    /// Syncs the log. A failure poisons this handle and is marked for all others, who then believe nothing
    /// beyond `published`: a later sync that succeeds would not mean that these pages are on the disk.
    fn sync(&self, writer: &mut Writer, generation: &Generation, published: Synced) -> Result<()> {
        let Err(error) = generation.log.sync() else { return Ok(()) };
        writer.is_poisoned = true;
        // Best effort, on a disk that fails.
        let _ = checkpoint::mark(&self.files, &Synced { marks: published.marks | Marks::FAILED, ..published });
        Err(error).named(&generation.log_name())
    }
}

impl Writer {
    fn require_sound(&self) -> Result<()> {
        if !self.is_poisoned {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Poisoned, "journal: a sync failed; open it anew to write"))
    }
}

/// Refuses a directory that holds what only a journal with a head could have: it lost its head.
fn refuse_headless(disk: &Arc<dyn Disk>) -> Result<()> {
    let lost = |name: &str| Err(Error::new(ErrorKind::Corrupt, format!("journal has a file {name} and no head")));
    let first = log_name(Head::first(0).generation);
    for name in disk.list().named(".")? {
        if name == first {
            // A creation that was cut leaves zeros.
            let bytes = log::read(&*disk.open(&name, Access::Read).named(&name)?, 0, None).named(&name)?;
            if bytes.iter().any(|&byte| byte != 0) {
                return lost(&name);
            }
        } else if is_log_or_run(&name) {
            return lost(&name);
        }
    }
    Ok(())
}

/// Blocks a new log gets: the limit, and a quarter of it for what is written when the disk is full.
fn log_blocks(options: &Options) -> u64 {
    (options.log_limit / wide(BLOCK)).saturating_mul(5) / 4 + 1
}

/// Locks a mutex; what it guards is whole after a panic elsewhere, since each change is one assignment.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
