//! A simulated disk that keeps apart what was written and what is safe, fails on request, and can be cut.
//!
//! A sync of a file saves its content and not its name; a sync of the directory saves names and no content. Until
//! then a power cut keeps any of the 512-byte sectors written and any of the changes of names. A sync that fails
//! forgets what it should have saved: later reads still see it, or the disk again, and later syncs do not write it.
//! Every descriptor that was open at the time reports it once, one that is opened later does not, as Linux does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use plyfs_journal::{Access, CallError, Disk, DiskFile, DiskLock, Map};
use rustix::io::Errno;

use crate::schedule::{self, Schedule};

type Result<T> = std::result::Result<T, CallError>;

const SECTOR: usize = 512;

/// A file: what readers see, what is safe, and the sectors written in between.
#[derive(Clone, Debug, Default, Hash)]
struct Inode {
    cached: Arc<Vec<u8>>,
    safe: Arc<Vec<u8>>,
    pending: Arc<Vec<(usize, Vec<u8>)>>,
    /// How often writing it back has failed.
    errors: u64,
}

/// One change of names: each with the inode it has from then on.
type NameChange = Vec<(String, Option<usize>)>;

/// All that a disk is at one moment.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct State {
    inodes: Vec<Inode>,
    cached: BTreeMap<String, usize>,
    safe: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
}

impl State {
    /// How many independent things a power cut now may keep or lose.
    pub(crate) fn choices(&self) -> usize {
        self.inodes.iter().map(|inode| inode.pending.len()).sum::<usize>() + self.pending.len()
    }

    /// The same choices in the order in which [`cut`](Self::cut) asks: how many sectors of each file, then each change of
    /// names by itself.
    pub(crate) fn groups(&self) -> Vec<usize> {
        let sectors = self.inodes.iter().map(|inode| inode.pending.len());
        sectors.chain(self.pending.iter().map(|_| 1)).filter(|size| *size > 0).collect()
    }

    /// The disk after a power cut that keeps what `keep` says.
    pub(crate) fn cut(&self, mut keep: impl FnMut() -> bool) -> Self {
        let inodes = self.inodes.iter().map(|inode| {
            let mut content = Arc::clone(&inode.safe);
            for (offset, sector) in inode.pending.iter().filter(|_| keep()) {
                write(Arc::make_mut(&mut content), *offset, sector);
            }
            Inode { cached: Arc::clone(&content), safe: content, ..Inode::default() }
        });
        let inodes = inodes.collect();
        let mut names = self.safe.clone();
        self.pending.iter().filter(|_| keep()).for_each(|change| rename(&mut names, change));
        Self { inodes, cached: names.clone(), safe: names, pending: Vec::new() }
    }

    /// The names and contents as readers see them.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.cached.iter().map(|(name, &inode)| (name.clone(), self.inodes[inode].cached.to_vec())).collect()
    }

    /// The content of a file, to be damaged.
    pub(crate) fn content(&mut self, name: &str) -> &mut Vec<u8> {
        Arc::make_mut(&mut self.inodes[self.cached[name]].cached)
    }

    fn change_names(&mut self, change: NameChange) {
        rename(&mut self.cached, &change);
        self.pending.push(change);
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    content.resize(content.len().max(end), 0);
    content[offset..end].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    for (name, inode) in change {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

/// What goes wrong, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Syncs until one fails.
    pub(crate) failing_sync: Option<u32>,
    /// Whether it kills the caller as well, before it can tell anyone.
    pub(crate) kills: bool,
    /// Whether readers find the disk instead of what a failed sync forgot.
    pub(crate) evicts: bool,
    /// What a sync takes.
    pub(crate) slowness: std::time::Duration,
    /// Writes until one fails for want of space, half done.
    pub(crate) failing_write: Option<u32>,
    /// Whether a write that fails is a panic instead, and a sync.
    pub(crate) panics: bool,
    /// How this disk breaks its word.
    pub(crate) lie: Option<Lie>,
}

/// A promise the disk breaks and says that all is well: what a journal that leaves out a step would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The sync after the zeros of a new log.
    LogOfZeros,
    /// The sync after a commit.
    Commit,
    /// The sync of one actor's commits alone: of a reader that syncs what it finds.
    CommitOf(usize),
    Run,
    Head,
    /// The sync of the directory before the head is renamed.
    NamesBeforeHead,
    /// The one after.
    NamesAfterHead,
    /// A failed sync is reported to the caller and to no other descriptor, as before Linux 4.13.
    ToldOnce,
    /// Bytes that are there already are not written again.
    SameBytes,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    faults: Faults,
    locked: BTreeSet<String>,
    history: Option<Vec<(State, usize)>>,
    acknowledged: usize,
    syncs: u64,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    unlocked: Condvar,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The disk; clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultDisk {
    shared: Arc<Shared>,
    actor: Option<(Arc<Schedule>, usize)>,
}

impl FaultDisk {
    pub(crate) fn new(state: State) -> Self {
        let disk = Self::default();
        disk.inner().state = state;
        disk
    }

    /// A handle of the same disk for one actor of a schedule.
    pub(crate) fn actor(&self, schedule: &Arc<Schedule>, me: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), actor: Some((Arc::clone(schedule), me)) }
    }

    pub(crate) fn state(&self) -> State {
        self.inner().state.clone()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    fn panic_if_it_does(&self) {
        if self.inner().faults.panics {
            std::panic::resume_unwind(Box::new("a panic of the disk"));
        }
    }

    /// How often anything was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// Keeps the state after every change from now on.
    pub(crate) fn record(&self) {
        let mut inner = self.inner();
        inner.history = Some(Vec::new());
        inner.remember();
    }

    /// Says what was acknowledged by now: how many commits, or which.
    pub(crate) fn acknowledge(&self, what: usize) {
        let mut inner = self.inner();
        inner.acknowledged = what;
        inner.remember();
    }

    /// The states since [`record`](Self::record), each with what was acknowledged by then.
    pub(crate) fn history(&self) -> Vec<(State, usize)> {
        self.inner().history.take().expect("recorded")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner()
    }

    /// Waits for this actor's turn; says whether the call kills it.
    fn turn(&self) -> bool {
        self.actor.as_ref().is_some_and(|(schedule, me)| schedule.step(*me))
    }

    fn step(&self) -> MutexGuard<'_, Inner> {
        if self.turn() {
            schedule::kill();
        }
        self.inner()
    }

    fn file(&self, inner: &Inner, name: &str, inode: usize) -> Box<dyn DiskFile> {
        let heard = AtomicU64::new(inner.state.inodes[inode].errors);
        Box::new(FaultFile { disk: self.clone(), name: name.into(), inode, heard })
    }

    fn keeps_word(&self, inner: &Inner, what: &str, inode: Option<usize>) -> bool {
        let me = self.actor.as_ref().map(|(_, me)| *me);
        let is_commit = || {
            inode.is_some_and(|inode| inner.state.inodes[inode].pending.iter().any(|(_, s)| s.iter().any(|b| *b != 0)))
        };
        let is_renamed = || inner.state.pending.iter().any(|change| change.iter().any(|(name, _)| name == "head"));
        let is_broken = match inner.faults.lie {
            None | Some(Lie::ToldOnce | Lie::SameBytes) => false,
            Some(Lie::LogOfZeros) => what.ends_with(".log") && !is_commit(),
            Some(Lie::Commit) => what.ends_with(".log") && is_commit(),
            Some(Lie::CommitOf(actor)) => what.ends_with(".log") && is_commit() && me == Some(actor),
            Some(Lie::Run) => what.ends_with(".run"),
            Some(Lie::Head) => what == "head.new",
            Some(Lie::NamesBeforeHead) => what == "." && !is_renamed(),
            Some(Lie::NamesAfterHead) => what == "." && is_renamed(),
        };
        !is_broken
    }
}

impl Inner {
    fn remember(&mut self) {
        if let Some(history) = &mut self.history {
            history.push((self.state.clone(), self.acknowledged));
        }
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.state.cached.get(name).copied().ok_or_else(|| CallError::new("openat", name, Errno::NOENT))
    }
}

/// Counts one down; says whether this was the one.
fn count_down(counter: &mut Option<u32>) -> bool {
    match counter {
        Some(0) => {
            *counter = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl Disk for FaultDisk {
    fn open(&self, name: &str, _: Access) -> Result<Box<dyn DiskFile>> {
        let inner = self.step();
        let inode = inner.find(name)?;
        Ok(self.file(&inner, name, inode))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        let mut inner = self.step();
        if inner.find(name).is_ok() {
            return Err(CallError::new("openat", name, Errno::EXIST));
        }
        let inode = inner.state.inodes.len();
        inner.state.inodes.push(Inode::default());
        inner.state.change_names(vec![(name.into(), Some(inode))]);
        inner.remember();
        Ok(self.file(&inner, name, inode))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut inner = self.step();
        let inode = inner.find(from)?;
        inner.state.change_names(vec![(from.into(), None), (to.into(), Some(inode))]);
        inner.remember();
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut inner = self.step();
        inner.find(name)?;
        inner.state.change_names(vec![(name.into(), None)]);
        inner.remember();
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.step().state.cached.keys().cloned().collect())
    }

    fn sync(&self) -> Result<()> {
        let mut inner = self.step();
        inner.syncs += 1;
        if count_down(&mut inner.faults.failing_sync) {
            inner.state.pending.clear();
            inner.remember();
            return Err(CallError::new("fdatasync", ".", Errno::IO));
        }
        if self.keeps_word(&inner, ".", None) {
            inner.state.safe = inner.state.cached.clone();
            inner.state.pending.clear();
            inner.remember();
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        let mut inner = self.step();
        while inner.locked.contains(name) {
            inner = match &self.actor {
                None => self.shared.unlocked.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some((schedule, me)) => {
                    drop(inner);
                    schedule.block(*me);
                    self.inner()
                }
            };
        }
        inner.locked.insert(name.into());
        Ok(Box::new(FaultLock { disk: self.clone(), name: name.into() }))
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        let is_free = self.step().locked.insert(name.into());
        Ok(is_free.then(|| Box::new(FaultLock { disk: self.clone(), name: name.into() }) as Box<dyn DiskLock>))
    }
}

#[derive(Debug)]
struct FaultLock {
    disk: FaultDisk,
    name: String,
}

impl DiskLock for FaultLock {
    fn counts(&self) -> Result<bool> {
        Ok(true)
    }
}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.disk.inner().locked.remove(&self.name);
        self.disk.shared.unlocked.notify_all();
        if let Some((schedule, _)) = &self.disk.actor {
            schedule.unblock();
        }
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    name: String,
    inode: usize,
    /// The failures this descriptor has reported, or that were reported before it was opened.
    heard: AtomicU64,
}

impl FaultFile {
    fn write_part(&self, bytes: &[u8], offset: usize) {
        let mut inner = self.disk.inner();
        let skips_same = inner.faults.lie == Some(Lie::SameBytes);
        let inode = &mut inner.state.inodes[self.inode];
        if skips_same && inode.cached.get(offset..offset + bytes.len()) == Some(bytes) {
            return;
        }
        write(Arc::make_mut(&mut inode.cached), offset, bytes);
        let mut at = 0;
        while at < bytes.len() {
            let length = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
            Arc::make_mut(&mut inode.pending).push((offset + at, bytes[at..at + length].to_vec()));
            at += length;
        }
        inner.remember();
    }
}

impl DiskFile for FaultFile {
    fn size(&self) -> Result<u64> {
        Ok(self.disk.step().state.inodes[self.inode].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let inner = self.disk.step();
        let content = &inner.state.inodes[self.inode].cached;
        let rest = content.get(usize::try_from(offset).expect("small files")..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn has_its_name(&self) -> Option<bool> {
        Some(self.disk.step().find(&self.name).ok() == Some(self.inode))
    }

    /// In two parts, between which others may look and the caller may be killed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let is_killed = self.disk.turn();
        let offset = usize::try_from(offset).expect("small files");
        let half = bytes.len() / 2 / SECTOR * SECTOR;
        if half > 0 {
            self.write_part(&bytes[..half], offset);
        }
        if is_killed || half > 0 && self.disk.turn() {
            schedule::kill();
        }
        if count_down(&mut self.disk.inner().faults.failing_write) {
            self.disk.panic_if_it_does();
            return Err(CallError::new("pwrite", &self.name, Errno::NOSPC));
        }
        self.write_part(&bytes[half..], offset + half);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if let Some((schedule, me)) = &self.disk.actor {
            schedule.sync_follows(*me);
        }
        let slowness = self.disk.inner().faults.slowness;
        std::thread::sleep(slowness);
        let mut guard = self.disk.step();
        let inner = &mut *guard;
        inner.syncs += 1;
        let evicts = inner.faults.evicts;
        if count_down(&mut inner.faults.failing_sync) {
            let inode = &mut inner.state.inodes[self.inode];
            inode.errors += 1;
            inode.pending = Arc::default();
            if evicts {
                inode.cached = Arc::clone(&inode.safe);
            }
            inner.remember();
        }
        let errors = inner.state.inodes[self.inode].errors;
        if self.heard.swap(errors, Ordering::Relaxed) < errors {
            if inner.faults.lie == Some(Lie::ToldOnce) {
                inner.state.inodes[self.inode].errors = 0;
            }
            if inner.faults.kills {
                inner.faults.kills = false;
                drop(guard);
                schedule::kill();
            }
            drop(guard);
            self.disk.panic_if_it_does();
            return Err(CallError::new("fdatasync", &self.name, Errno::IO));
        }
        if self.disk.keeps_word(inner, &self.name, Some(self.inode)) {
            let inode = &mut inner.state.inodes[self.inode];
            // Not all that readers see: what an earlier sync failed to write is not written by this one.
            for (offset, sector) in std::mem::take(&mut inode.pending).iter() {
                write(Arc::make_mut(&mut inode.safe), *offset, sector);
            }
            inner.remember();
        }
        Ok(())
    }

    fn map(&self) -> Result<Map> {
        Ok(self.disk.step().state.inodes[self.inode].cached.to_vec().into())
    }
}
