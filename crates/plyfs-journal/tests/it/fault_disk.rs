//! A simulated disk that keeps apart what was written and what is safe, fails on request, and can be cut.
//!
//! A sync of a file saves its content and not its name; a sync of the directory saves names and no content. Until
//! then a power cut keeps any of the 512-byte sectors written and any of the changes of names. A sync that fails
//! forgets what it should have saved: later reads still see it and later syncs do not write it, as Linux does.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use plyfs_journal::{Access, CallError, Disk, DiskFile, DiskLock, Map};
use rustix::io::Errno;

type Result<T> = std::result::Result<T, CallError>;

const SECTOR: usize = 512;

/// A file: what readers see, what is safe, and the sectors written in between.
#[derive(Clone, Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// One change of names: each with the inode it has from then on.
type NameChange = Vec<(String, Option<usize>)>;

/// All that a disk is at one moment.
#[derive(Clone, Debug, Default)]
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

    /// The disk after a power cut that keeps what `keep` says.
    pub(crate) fn cut(&self, mut keep: impl FnMut() -> bool) -> Self {
        let inodes = self.inodes.iter().map(|inode| {
            let mut content = inode.safe.clone();
            for (offset, sector) in inode.pending.iter().filter(|_| keep()) {
                write(&mut content, *offset, sector);
            }
            Inode { cached: content.clone(), safe: content, pending: Vec::new() }
        });
        let inodes = inodes.collect();
        let mut names = self.safe.clone();
        self.pending.iter().filter(|_| keep()).for_each(|change| rename(&mut names, change));
        Self { inodes, cached: names.clone(), safe: names, pending: Vec::new() }
    }

    /// The names and contents as readers see them.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.cached.iter().map(|(name, &inode)| (name.clone(), self.inodes[inode].cached.clone())).collect()
    }

    /// The content of a file, to be damaged.
    pub(crate) fn content(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.inodes[self.cached[name]].cached
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
    /// Writes until one fails for want of space, half done.
    pub(crate) failing_write: Option<u32>,
    /// Syncs of files whose name ends so do nothing and say that all is well; `"."` is the directory.
    pub(crate) lie: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    faults: Faults,
    is_locked: bool,
    history: Option<Vec<(State, usize)>>,
    acknowledged: usize,
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
pub(crate) struct FaultDisk(Arc<Shared>);

impl FaultDisk {
    pub(crate) fn new(state: State) -> Self {
        let disk = Self::default();
        disk.0.inner().state = state;
        disk
    }

    pub(crate) fn state(&self) -> State {
        self.0.inner().state.clone()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.0.inner().faults = faults;
    }

    /// Keeps the state after every change from now on.
    pub(crate) fn record(&self) {
        let mut inner = self.0.inner();
        inner.history = Some(Vec::new());
        inner.remember();
    }

    /// Says that one more commit was acknowledged.
    pub(crate) fn acknowledge(&self) {
        let mut inner = self.0.inner();
        inner.acknowledged += 1;
        inner.remember();
    }

    /// The states since [`record`](Self::record), each with the number of commits acknowledged by then.
    pub(crate) fn history(&self) -> Vec<(State, usize)> {
        self.0.inner().history.take().expect("recorded")
    }

    fn file(&self, name: &str, inode: usize) -> Box<dyn DiskFile> {
        Box::new(FaultFile { disk: self.clone(), name: name.into(), inode })
    }
}

impl Inner {
    fn remember(&mut self) {
        let moment = (self.state.clone(), self.acknowledged);
        self.history.iter_mut().for_each(|history| history.push(moment.clone()));
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.state.cached.get(name).copied().ok_or_else(|| CallError::new("openat", name, Errno::NOENT))
    }

    /// Counts a sync and says what it shall do: save, or claim to have saved.
    fn sync(&mut self, name: &str, forget: impl FnOnce(&mut State)) -> Result<bool> {
        if count_down(&mut self.faults.failing_sync) {
            forget(&mut self.state);
            self.remember();
            return Err(CallError::new("fdatasync", name, Errno::IO));
        }
        Ok(!self.faults.lie.is_some_and(|end| name.ends_with(end)))
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
        let inode = self.0.inner().find(name)?;
        Ok(self.file(name, inode))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        let mut inner = self.0.inner();
        if inner.find(name).is_ok() {
            return Err(CallError::new("openat", name, Errno::EXIST));
        }
        let inode = inner.state.inodes.len();
        inner.state.inodes.push(Inode::default());
        inner.state.change_names(vec![(name.into(), Some(inode))]);
        inner.remember();
        Ok(self.file(name, inode))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut inner = self.0.inner();
        let inode = inner.find(from)?;
        inner.state.change_names(vec![(from.into(), None), (to.into(), Some(inode))]);
        inner.remember();
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut inner = self.0.inner();
        inner.find(name)?;
        inner.state.change_names(vec![(name.into(), None)]);
        inner.remember();
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.0.inner().state.cached.keys().cloned().collect())
    }

    fn sync(&self) -> Result<()> {
        let mut inner = self.0.inner();
        if inner.sync(".", |state| state.pending.clear())? {
            inner.state.safe = inner.state.cached.clone();
            inner.state.pending.clear();
            inner.remember();
        }
        Ok(())
    }

    fn lock(&self, _: &str) -> Result<Box<dyn DiskLock>> {
        let inner = self.0.inner();
        let waited = self.0.unlocked.wait_while(inner, |inner| inner.is_locked);
        waited.unwrap_or_else(PoisonError::into_inner).is_locked = true;
        Ok(Box::new(FaultLock(self.clone())))
    }
}

#[derive(Debug)]
struct FaultLock(FaultDisk);

impl DiskLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.0.0.inner().is_locked = false;
        self.0.0.unlocked.notify_one();
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    name: String,
    inode: usize,
}

impl DiskFile for FaultFile {
    fn size(&self) -> Result<u64> {
        Ok(self.disk.0.inner().state.inodes[self.inode].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let inner = self.disk.0.inner();
        let content = &inner.state.inodes[self.inode].cached;
        let rest = content.get(usize::try_from(offset).expect("small files")..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut inner = self.disk.0.inner();
        let offset = usize::try_from(offset).expect("small files");
        let is_full = count_down(&mut inner.faults.failing_write);
        let done = if is_full { bytes.len() / 2 / SECTOR * SECTOR } else { bytes.len() };
        let inode = &mut inner.state.inodes[self.inode];
        write(&mut inode.cached, offset, &bytes[..done]);
        let mut at = 0;
        while at < done {
            let length = (SECTOR - (offset + at) % SECTOR).min(done - at);
            inode.pending.push((offset + at, bytes[at..at + length].to_vec()));
            at += length;
        }
        inner.remember();
        if is_full { Err(CallError::new("pwrite", &self.name, Errno::NOSPC)) } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        let mut inner = self.disk.0.inner();
        if inner.sync(&self.name, |state| state.inodes[self.inode].pending.clear())? {
            let inode = &mut inner.state.inodes[self.inode];
            // Not all that readers see: what an earlier sync failed to write is not written by this one.
            for (offset, sector) in std::mem::take(&mut inode.pending) {
                write(&mut inode.safe, offset, &sector);
            }
            inner.remember();
        }
        Ok(())
    }

    fn map(&self) -> Result<Map> {
        Ok(self.disk.0.inner().state.inodes[self.inode].cached.clone().into())
    }
}
