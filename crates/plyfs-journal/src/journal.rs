//! A journal: created, opened, read and written.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::batch::{Closed, Part};
use crate::disk::{Access, Disk};
use crate::error::{Error, ErrorKind, Named, Result};
use crate::generation::{Files, Generation};
use crate::group::{self, AWAKE, Group};
use crate::guard;
use crate::head::{self, Head, remove_if_there};
use crate::layout::{BLOCK, LOCK, SYNCED, is_log_or_run, log_name, wide};
use crate::log;
use crate::merging::Looked;
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::synced::{Marks, Synced};
use crate::transaction::Transaction;
use crate::view::{Role, View};
use crate::writer::Writer;

/// An open journal, shared by threads in an `Arc`; other processes may have it open too.
#[derive(Debug)]
pub struct Journal {
    pub(crate) files: Files,
    pub(crate) options: Options,
    /// What readers see.
    pub(crate) view: Mutex<View>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) group: Group,
    pub(crate) looked: Looked,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Journal>();
    shared::<Snapshot>();
};

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
        let start = Synced { generation: head.generation, blocks: 0, marks: Marks::empty(), merges: head.next_merge };
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
        let files = Files::open(disk, &options)?;
        let view = View::load(&files, None, Role::Reader)?.view;
        Ok(Self {
            files,
            options,
            view: Mutex::new(view),
            writer: Mutex::default(),
            group: Group::default(),
            looked: Looked::default(),
        })
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
    /// Waits for other writers, of this process and of others, while they append; `change` then runs on the newest
    /// state, and no other writer until it has returned. It must not write to the same journal. What threads of one handle
    /// do that wait for each other becomes one commit; after a few of them another process has its turn. The sync is waited
    /// for without the lock. The state `change` sees may not be durable when it sees it; it is when `Ok` is returned. When
    /// it returns an error or panics, nothing of it is written, but this thread may first write and sync what others wait
    /// for.
    ///
    /// A failed write is an error for all whose changes it was to write, and none of them is there. A panic of the [`Disk`]
    /// is one of the thread that writes or syncs, and an error for those who wait for it.
    ///
    /// A failed sync is an error, and whether the changes are there is decided by whoever writes next: no
    /// reader sees them before. From then on this handle refuses to write with [`ErrorKind::Poisoned`]; a
    /// journal that is opened anew does not trust the log, and copies what is sound into a new one first.
    pub fn write<T, E: From<Error>>(&self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "journal is open for reading only").into());
        }
        let Ran { result, part, generation } = self.in_turn(|writer, full| self.ran(writer, full, change))?;
        part.map_or(Ok(()), |part| part.wait())?;
        self.merge_if_due(&generation.head);
        Ok(result)
    }

    /// Runs `change` on the newest state, which has on return what it did.
    fn ran<T, E: From<Error>>(
        &self,
        writer: &mut Writer,
        full: &mut Option<Closed>,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<Ran<T>, E> {
        self.group.require_sound()?;
        let view = self.enter(writer)?;
        let generation = Arc::clone(&view.generation);
        let mut transaction = Transaction::new(&view.snapshot);
        let result = change(&mut transaction)?;
        let changes = transaction.into_changes()?;
        // What only read waits as well: what it saw may not be durable yet.
        let is_settled = !self.options.durable || view.durable >= view.end;
        let is_done = changes.table.is_empty() && is_settled && writer.open.is_none();
        let part = if is_done { None } else { Some(self.join(writer, changes, full)?) };
        Ok(Ran { result, part, generation })
    }

    /// Waits until no other thread of this handle writes.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let queue = &self.group.queue;
        queue.fetch_add(1, Ordering::Relaxed);
        // An append takes less time than being woken behind it.
        let mut writer = None;
        group::awake_until(AWAKE, || {
            writer = match self.writer.try_lock() {
                Err(TryLockError::WouldBlock) => None,
                Ok(writer) => Some(writer),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            };
            writer.is_some()
        });
        Turn { writer: writer.unwrap_or_else(|| guard(&self.writer)), queue }
    }
}

/// A thread's turn to write, in the queue until it ends.
pub(crate) struct Turn<'a> {
    pub(crate) writer: MutexGuard<'a, Writer>,
    queue: &'a AtomicUsize,
}

impl Turn<'_> {
    /// Says whether other threads wait for theirs: nothing but the wait is between.
    pub(crate) fn is_awaited(&self) -> bool {
        self.queue.load(Ordering::Relaxed) > 1
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Before the writer is let go of: whoever has it next would count on this thread.
        self.queue.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a change left to do once it is another thread's turn.
struct Ran<T> {
    result: T,
    /// What has to become durable before anyone hears of it.
    part: Option<Part>,
    /// What it saw.
    generation: Arc<Generation>,
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
pub(crate) fn log_blocks(options: &Options) -> u64 {
    (options.log_limit / wide(BLOCK)).saturating_mul(5) / 4 + 1
}
