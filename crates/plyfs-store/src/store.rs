//! A store: one directory tree with a journal, opened once and shared by clones.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use plyfs_journal::{DirDisk, Journal, Snapshot, Transaction};
use plyfs_link::LinkDir;
use plyfs_mount::{Feature, Features};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::{Access, AtFlags, Mode};

use crate::directory::Uppers;
use crate::durability::{Durability, sync_tree};
use crate::early_sync::EarlySync;
use crate::format::Format;
use crate::records::Records;
use crate::workers::FreeWorkers;
use crate::{Error, ErrorKind, LeaseId, Result, ground, layout};

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
    /// caller's thread.
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
        let store = Inner::open(root, &self).map_err(named)?;
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
            create(path, self.durability, self.hook)?;
        }
        self.open(path)
    }
}

pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    fs::open_dir(path).map_err(|e| Error::call(format!("store {}", path.display()), e))
}

/// Makes a store in an absent or empty directory; does nothing where there is one.
///
/// 1. The directories.
/// 2. An empty journal.
/// 3. One sync.
/// 4. The format file.
///
/// A crash before the last step leaves directories that the next call makes anew: nothing can be in them yet.
fn create(path: &Path, durability: Durability, hook: Option<fn(&'static str)>) -> Result<()> {
    let reached = |step| hook.into_iter().for_each(|hook| hook(step));
    let named = |e: plyfs_sys::CallError| Error::call(format!("store {}", path.display()), e);
    let wrapped = |e: Error| Error::new(e.kind(), format!("store {}", path.display())).because(e);
    // Before a directory is made.
    if let Some(ground) = ground::nearest(path) {
        ground::check_file_system(ground, durability).map_err(wrapped)?;
    }
    make_parents(path)?;
    // Two processes may come here at once; the root itself is the lock. `Lock` owns a descriptor of its own.
    let lock = Lock::take(open_root(path)?, Sharing::Exclusive).map_err(named)?;
    let root = lock.as_file();
    match Format::read(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(wrapped(error)),
        Ok(_) => return Ok(()),
    }
    refuse_foreign(root, path)?;
    ground::refuse_contents(root).map_err(wrapped)?;
    plyfs_mount::check_upper(root)
        .and_then(|()| plyfs_mount::check_types(root))
        .map_err(|e| Error::mount(format!("store {}", path.display()), e))?;
    let directories = || -> plyfs_sys::Result<OwnedFd> {
        for name in NAMES {
            fs::remove_tree(root, name)?;
        }
        fs::chmod_at(root, ".", Mode::RWXU)?;
        ground::drop_default_acl(root)?;
        let private = [layout::JOURNAL, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH];
        for name in private {
            fs::make_dir_at(root, name, Mode::RWXU)?;
        }
        // 0710, not wider: host users must not reach setuid files inside images (CVE-2021-41091).
        fs::make_dir_at(root, layout::HOME, Mode::from_raw_mode(0o710))?;
        fs::make_dir_at(fs::open_dir_at(root, layout::BLOBS)?, layout::SHA256, Mode::RWXU)?;
        fs::open_dir_at(root, layout::HOME)
    };
    let home = directories().map_err(named)?;
    LinkDir::ensure(home).map_err(|e| Error::link(format!("store {}", path.display()), e))?;
    reached("make 1");
    let disk = fs::open_dir_at(root, layout::JOURNAL).map_err(named)?;
    let options = plyfs_journal::Options::default().durable(durability.is_durable());
    Journal::create(Arc::new(DirDisk::new(disk)), options)?;
    reached("make 2");
    let synced = match durability {
        Durability::None => Ok(()),
        Durability::FileSystem => fs::sync_filesystem(root),
        Durability::Files => sync_tree(root, ".").and_then(|()| sync_ancestors(root)),
    };
    synced.map_err(named)?;
    reached("make 3");
    Format::new().write(root)?;
    reached("make 4");
    Ok(())
}

/// Syncs the directories above, some of which may be new, up to the root of the file system.
fn sync_ancestors(root: &OwnedFd) -> plyfs_sys::Result<()> {
    let mut below = fs::stat(root)?;
    let mut above = fs::open_dir_at(root, "..")?;
    loop {
        let here = fs::stat(&above)?;
        if here.st_dev != below.st_dev || here.st_ino == below.st_ino {
            return Ok(());
        }
        fs::sync(&above)?;
        below = here;
        above = fs::open_dir_at(&above, "..")?;
    }
}

/// What a store that was not finished may hold.
const NAMES: [&str; 6] =
    [layout::HOME, layout::JOURNAL, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH];

fn make_parents(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path).map_err(|e| {
        let kind = rustix::io::Errno::from_io_error(&e).map_or(ErrorKind::Io, ErrorKind::from_errno);
        Error::new(kind, format!("store {}", path.display())).because(e)
    })
}

fn refuse_foreign(root: &OwnedFd, path: &Path) -> Result<()> {
    let entries = fs::read_dir(root).map_err(|e| Error::call(format!("store {}", path.display()), e))?;
    let own = |name: &std::ffi::OsStr| {
        name.to_str().is_some_and(|name| {
            NAMES.contains(&name) || name.strip_suffix(".new") == Some(layout::FORMAT_FILE) || name == "lost+found"
        })
    };
    match entries.into_iter().find(|entry| !own(&entry.name)) {
        None => Ok(()),
        Some(entry) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{} is not a store and not empty: it holds {:?}", path.display(), entry.name),
        )),
    }
}

/// An open store: a cheap clone, shared by threads; other processes may have it open too.
///
/// Readers see one durable state of the journal and take no lock. Writers hold the journal's file lock for
/// one append and nothing else. The last handle waits for a sync that was begun early and still runs, which an operation that
/// is cancelled does not.
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
    fn open(root: OwnedFd, options: &StoreOptions) -> Result<Self> {
        Self::open_over(root, options, layout::JOURNAL)
    }

    /// Opens a store whose journal is the directory of this name.
    pub(crate) fn open_over(root: OwnedFd, options: &StoreOptions, journal: &str) -> Result<Self> {
        let format = Format::read(&root)?;
        let may_write = rustix::fs::accessat(&root, journal, Access::WRITE_OK, AtFlags::empty()).is_ok();
        let writable = !options.read_only && !format.is_read_only() && may_write;
        if writable {
            ground::check_file_system(&root, options.durability)?;
            ground::check_root(&root)?;
        }
        let part = |name: &str| ground::open_part(&root, name, writable);
        let home = part(layout::HOME)?;
        let disk = part(journal)?;
        let journal_options =
            plyfs_journal::Options::default().read_only(!writable).durable(options.durability.is_durable());
        // What others write to a file of a server, a map may never show.
        let journal_options = journal_options.mapped(!options.is_unmapped && ground::is_local(&root)?);
        let blobs = ground::open_below(part(layout::BLOBS)?, layout::BLOBS, layout::SHA256, writable)?;
        // The path may have been relative, and the caller's directory may change.
        let path = std::fs::read_link(fs::proc_path(&root))
            .map_err(|e| Error::new(ErrorKind::Io, "its own path").because(e))?;
        let records = Records::open(disk, journal_options, options.salvage)?;
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
        self.require_writable()?;
        match &self.0.records {
            Records::Journal(journal) => journal.write(change).map_err(|e| self.explain_full(e)),
            Records::Salvaged { .. } => unreachable!("such a store is not writable"),
        }
    }

    /// Has the journal write its runs anew; durable on return.
    pub(crate) fn rewrite_runs(&self) -> Result<()> {
        self.require_writable()?;
        match &self.0.records {
            Records::Journal(journal) => journal.rewrite_runs().map_err(|e| self.explain_full(e.into())),
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
