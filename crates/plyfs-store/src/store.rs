//! A store: one directory tree with a journal, opened once and shared by clones.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use plyfs_journal::{Journal, Snapshot, Transaction};
use plyfs_link::LinkDir;
use plyfs_mount::{Feature, Features};
use plyfs_sys::fs;
use rustix::fs::{Access, AtFlags};

use crate::directory::Uppers;
use crate::durability::Durability;
use crate::early_sync::EarlySync;
use crate::format::Format;
use crate::records::Records;
use crate::workers::FreeWorkers;
use crate::{Error, ErrorKind, LeaseId, Result, ground, layout, make};

/// How to open a store.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `open` or `ensure`"]
pub struct StoreOptions {
    read_only: bool,
    durability: Durability,
    threads: Option<usize>,
    refused: Option<Feature>,
    hook: Option<fn(&'static str)>,
    salvage: bool,
    is_unmapped: bool,
}

impl StoreOptions {
    /// Refuses every change, and makes none itself: what a crash left is not reclaimed.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets what an operation's return promises; the default is [`Durability::FileSystem`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how many threads all operations of this open store may have together, beside those of their callers;
    /// the default is one for each core. One more may wait for a sync that is begun early. With none everything happens on the
    /// caller's thread, and a commit or an import of a directory keeps its changeset in a file of the store meanwhile; but
    /// zstd compresses on one thread of its own in any case, for its bytes must not depend on how many there are.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Says whether the journal's files are read by `mmap(2)`; `true` unless said otherwise.
    ///
    /// With `false` a look-up costs some system calls more, and a medium that fails under the journal is an error where with a
    /// map it is `SIGBUS`. On a network file system and on FUSE, where a store is only read, nothing is mapped.
    pub fn mapped(mut self, mapped: bool) -> Self {
        self.is_unmapped = !mapped;
        self
    }

    /// Opens a store whose journal is damaged as well, for reading what is sound of it.
    ///
    /// [`Store::damage`] says what is not. Such a store takes no change: that is [`ErrorKind::Corrupt`], naming the file and
    /// the place. What is missing from it may be lost, and what is there may be older than what was lost.
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Does without these abilities of the kernel, so that what stands in for them runs: a test's way to the
    /// engine of older kernels.
    #[doc(hidden)]
    pub fn without(mut self, features: Feature) -> Self {
        self.refused = Some(features);
        self
    }

    /// Calls this behind every durable step of every operation, with the operation's name and the number of the step as its
    /// documentation counts them: a test's way to be killed there.
    #[doc(hidden)]
    pub fn at_each_step(mut self, hook: fn(&'static str)) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Opens the store at `path`, which must exist, and reclaims what a crash left in `staging` and `trash`.
    ///
    /// Where the caller may read but not write, or the medium is read-only, the store opens for reading alone. For writing,
    /// a part that is missing or no directory is [`ErrorKind::Corrupt`]; one that is somebody else's or that others
    /// may enter is [`ErrorKind::Permission`]; overlayfs, FUSE, a network file system, and a tmpfs unless with
    /// [`Durability::None`] are [`ErrorKind::Unsupported`]. Each is named, and nothing is changed.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let named = |e: Error| Error::new(e.kind(), format!("store {}", path.display())).because(e);
        let root = open_root(path)?;
        let store = Inner::open(root, &self, layout::JOURNAL).map_err(named)?;
        let store = Store(Arc::new(store), None);
        if store.is_writable() {
            store.recover().map_err(named)?;
        }
        Ok(store)
    }

    /// Opens the store at `path`; where there is nothing, or an empty directory, makes one first.
    pub fn ensure(self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        if !self.read_only {
            make::make(path, self.durability, self.hook)?;
        }
        self.open(path)
    }
}

pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    fs::open_dir(path).map_err(|e| Error::call(format!("store {}", path.display()), e))
}

/// An open store: a cheap clone, shared by threads; other processes may have it open too.
///
/// Look-ups see one durable state of the journal and take no lock; who reads content keeps it from removal. Writers hold the
/// journal's file lock for one append, and longer only where `ARCHITECTURE.md` says so. The last handle waits for a sync that
/// was begun early and still runs, which an operation that is cancelled does not.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>, Option<LeaseId>);

const _: () = {
    const fn shared<T: Send + Sync + Clone>() {}
    shared::<Store>();
};

/// The open descriptors of a store; every name below it is resolved from one of them.
pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) root: OwnedFd,
    pub(crate) home: Arc<OwnedFd>,
    pub(crate) links: LinkDir,
    pub(crate) blobs: OwnedFd,
    pub(crate) tar_split: OwnedFd,
    pub(crate) staging: OwnedFd,
    pub(crate) trash: OwnedFd,
    records: Records,
    pub(crate) format: Format,
    pub(crate) durability: Durability,
    pub(crate) workers: FreeWorkers,
    pub(crate) uppers: Uppers,
    pub(crate) early_sync: EarlySync,
    writable: bool,
    pub(crate) refused: Option<Feature>,
    hook: Option<fn(&'static str)>,
    pub(crate) features: OnceLock<Features>,
}

impl Inner {
    /// Opens a store whose journal is the directory of this name.
    pub(crate) fn open(root: OwnedFd, options: &StoreOptions, journal: &str) -> Result<Self> {
        let format = Format::read(&root)?;
        let may_write = rustix::fs::accessat(&root, journal, Access::WRITE_OK, AtFlags::empty()).is_ok();
        let writable = !options.read_only && !format.is_read_only() && may_write;
        if writable {
            ground::check_file_system(&root, options.durability)?;
            ground::check_root(&root)?;
        }
        let part = |name: &str| ground::open_part(&root, name, writable);
        let home = part(layout::HOME)?;
        let journal_options = plyfs_journal::Options::default().durable(options.durability.is_durable());
        // What others write to a file of a server, a map may never show.
        let journal_options = journal_options.mapped(!options.is_unmapped && ground::is_local(&root)?);
        let blobs = ground::open_below(part(layout::BLOBS)?, layout::BLOBS, layout::SHA256, writable)?;
        // The path may have been relative, and the caller's directory may change.
        let path = std::fs::read_link(fs::proc_path(&root))
            .map_err(|e| Error::new(ErrorKind::Io, "its own path").because(e))?;
        let open = |writable: bool| {
            Records::open(part(journal)?, journal_options.read_only(!writable), options.salvage)
                .map(|records| (records, writable))
        };
        let (records, writable) = match open(writable) {
            // A file system that stopped writes after an error of its disk says so only to who tries: access(2) does not.
            Err(error) if writable && error.kind() == ErrorKind::ReadOnly => open(false)?,
            opened => opened?,
        };
        let durability = options.durability.on(&root).map_err(|e| Error::call("file system", e))?;
        Ok(Self {
            path,
            links: ground::open_below(&home, layout::HOME, plyfs_link::LINK_DIR, writable)
                .and_then(|_| LinkDir::open(&home).map_err(|e| Error::link(plyfs_link::LINK_DIR, e)))?,
            home: Arc::new(home),
            blobs,
            tar_split: part(layout::TAR_SPLIT)?,
            staging: part(layout::STAGING)?,
            trash: part(layout::TRASH)?,
            writable: writable && records.damage().is_empty(),
            records,
            durability,
            workers: FreeWorkers::new(options.threads),
            uppers: Uppers::default(),
            early_sync: EarlySync::new(durability, options.threads),
            refused: options.refused,
            hook: options.hook,
            features: OnceLock::new(),
            format,
            root,
        })
    }
}

impl Store {
    pub(crate) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner), None)
    }

    /// The options a store is opened with.
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// Opens the store at `path`; [`ErrorKind::NotFound`] when there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens the store at `path`; where there is nothing, or an empty directory, makes one first.
    pub fn ensure(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().ensure(path)
    }

    /// The absolute path of the store's root as it was when the store was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The store as an operation under this lease sees it.
    pub(crate) fn under(&self, lease: LeaseId) -> Self {
        Self(Arc::clone(&self.0), Some(lease))
    }

    /// The lease that operations of this handle are under.
    pub(crate) fn lease_id(&self) -> Option<LeaseId> {
        self.1
    }

    /// Says that a durable step of an operation is done.
    pub(crate) fn reached(&self, step: &'static str) {
        if let Some(hook) = self.0.hook {
            hook(step);
        }
    }

    /// The damaged places of the journal, each naming the file and the offset; none unless the store was opened with
    /// [`StoreOptions::salvage`] and needed it.
    #[must_use]
    pub fn damage(&self) -> &[String] {
        self.0.records.damage()
    }

    /// Says whether changes are possible.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.writable
    }

    /// One consistent, durable state of all records.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        self.0.records.snapshot()
    }

    /// Changes records: all that `change` does, or nothing. Durable on return.
    pub(crate) fn commit<T>(&self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        self.journal()?.write(change).map_err(|e| self.explain_full(e))
    }

    /// Has the journal write its runs anew; durable on return.
    pub(crate) fn rewrite_runs(&self) -> Result<()> {
        self.journal()?.rewrite_runs().map_err(|e| self.explain_full(e.into()))
    }

    /// The journal, for a change.
    fn journal(&self) -> Result<&Journal> {
        self.require_writable()?;
        match &self.0.records {
            Records::Journal(journal) => Ok(journal),
            Records::Salvaged { .. } => unreachable!("such a store is not writable"),
        }
    }

    pub(crate) fn require_writable(&self) -> Result<()> {
        if self.0.writable {
            return Ok(());
        }
        if let Some(damage) = self.damage().first() {
            let message = format!("store {} takes no change: {damage}", self.0.path.display());
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let message = format!("store {} is open for reading alone", self.0.path.display());
        Err(Error::new(ErrorKind::ReadOnly, message))
    }

    /// Refuses what only root can do, and on a store that takes no change everybody.
    pub(crate) fn require_root(&self, what: &str) -> Result<()> {
        ground::require_root(what, &self.0.path)?;
        self.require_writable()
    }

    /// Wraps a failed call; where space ran out it says whether bytes or inodes did, and what is left.
    pub(crate) fn explain(&self, doing: &str, error: plyfs_sys::CallError) -> Error {
        if error.kind() != ErrorKind::NoSpace {
            return Error::call(doing, error);
        }
        let (kind, left) = self.space_left();
        Error::new(kind, format!("{doing}: {left}")).because(error)
    }

    /// Says what is left where an error of a crate below means that space ran out.
    pub(crate) fn explain_full(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::NoSpace {
            return error;
        }
        let (kind, left) = self.space_left();
        Error::new(kind, left).because(error)
    }

    /// Which of both ran out, and the sentence that says how much of each is left.
    pub(crate) fn space_left(&self) -> (ErrorKind, String) {
        let Ok(status) = fs::statvfs(&self.0.root) else {
            return (ErrorKind::NoSpace, "the file system is full".to_owned());
        };
        // xfs makes inodes 64 at a time and refuses when so many no longer fit.
        let is_short_of_bytes = status.f_bavail * status.f_frsize < SHORT_OF_BYTES;
        let out_of_inodes =
            status.f_files > 0 && (status.f_favail == 0 || (status.f_favail <= 64 && !is_short_of_bytes));
        let kind = if out_of_inodes { ErrorKind::NoInodes } else { ErrorKind::NoSpace };
        let (bytes, inodes) = (status.f_bavail * status.f_frsize, status.f_favail);
        (kind, format!("{bytes} bytes and {inodes} inodes left on the file system of {}", self.0.path.display()))
    }

    pub(crate) fn home(&self) -> impl AsFd + '_ {
        &*self.0.home
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).field("writable", &self.0.writable).finish_non_exhaustive()
    }
}

/// With more than this left, a call that found no space wanted an inode if those are few.
const SHORT_OF_BYTES: u64 = 1024 * 1024;

/// Seconds since the epoch, 0 before it.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
