//! Where a container is mounted: an attribute of its directory, believed only when the kernel confirms it.
//!
//! The attribute says of which directory it is: a store that is copied has the same ids and the same attributes, and the
//! mounts of the one are none of the other's.
//!
//! | offset | bytes | what, little-endian |
//! |---|---|---|
//! | 0 | 8 | boot: the first 16 digits of the kernel's boot id |
//! | 8 | 8 | mount namespace |
//! | 16 | 8 | unique id of the mount, or 0 |
//! | 24, 32 | 8 each | device and inode of the directory |
//! | 40 | | absolute path; nothing for the container's own `merged` |
//!
//! Numbers and no path make it small enough for the inode itself, where ext4 has about 60 bytes for it: more would take a
//! block of the disk and several times as long.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use plyfs_link::LayerId;
use plyfs_mount::mountinfo::{self, Entry};
use plyfs_sys::{fs, xattr};
use rustix::fs::StatxFlags;

use crate::{Error, ErrorKind, Result, layout};

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: an id the kernel never gives again until it is booted anew.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What was true when the mount was made.
#[derive(Debug, PartialEq)]
pub(crate) struct Mark {
    boot: u64,
    namespace: u64,
    /// 0 while the classic engine makes the mount, and on kernels without unique ids.
    mount: u64,
    /// The container's own.
    directory: Identity,
    /// `None`: at the container's own `merged`.
    path: Option<PathBuf>,
}

/// The bytes before the path.
const FIXED: usize = 40;

/// Device and inode: what a directory is, whatever its name.
type Identity = (u64, u64);

/// A mount that is there now.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    /// Says whether that is the container's own `merged`.
    pub(crate) is_own: bool,
    pub(crate) sight: Sight,
}

/// How far a mount that is there can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is what is at its path.
    Open,
    /// Another mount is over it: an unmount would end that one.
    Covered,
    /// It is not in the caller's mount namespace.
    Elsewhere,
}

impl Mark {
    /// A mount of the container in `directory` that is about to be made; without a path at its own `merged`.
    pub(crate) fn about_to_mount(directory: &OwnedFd, path: Option<&Path>) -> Result<Self> {
        let (boot, namespace, directory) = (boot_number()?, own_namespace()?, identity(directory)?);
        Ok(Self { boot, namespace, mount: 0, directory, path: path.map(Path::to_owned) })
    }

    /// The same with the id of the mount whose root `mount` is.
    pub(crate) fn of(self, mount: &OwnedFd) -> Result<Self> {
        Ok(Self { mount: mount_id(mount, Path::new(""))?.unwrap_or(0), ..self })
    }

    /// The same with the id of the mount that was made at `path`.
    pub(crate) fn made(self, path: &Path) -> Result<Self> {
        Ok(Self { mount: mount_id(rustix::fs::CWD, path)?.unwrap_or(0), ..self })
    }

    /// Reads the mark of a container's directory.
    pub(crate) fn read(directory: &OwnedFd) -> Result<Option<Self>> {
        let value = xattr::get(directory, layout::MOUNT_MARK).map_err(|e| Error::call("mount mark", e))?;
        let Some(value) = value else { return Ok(None) };
        // One of another shape says that there was a mount, and not which: whatever can be asked is asked.
        let Some(mark) = Self::parse(&value) else { return Self::about_to_mount(directory, None).map(Some) };
        // One that was copied says nothing about this directory.
        Ok((mark.directory == identity(directory)?).then_some(mark))
    }

    pub(crate) fn write(&self, directory: &OwnedFd) -> Result<()> {
        xattr::set(directory, layout::MOUNT_MARK, &self.encode()).map_err(|e| Error::call("mount mark", e))
    }

    pub(crate) fn remove(directory: &OwnedFd) -> Result<()> {
        xattr::remove(directory, layout::MOUNT_MARK).map_err(|e| Error::call("mount mark", e))
    }

    fn encode(&self) -> Vec<u8> {
        let (device, inode) = self.directory;
        let numbers = [self.boot, self.namespace, self.mount, device, inode];
        let path = self.path.iter().flat_map(|path| path.as_os_str().as_bytes());
        numbers.iter().flat_map(|number| number.to_le_bytes()).chain(path.copied()).collect()
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (numbers, path) = value.split_at_checked(FIXED)?;
        let mut numbers = numbers.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next();
        let (boot, namespace, mount, directory) = (next()?, next()?, next()?, (next()?, next()?));
        let path = (!path.is_empty()).then(|| OsString::from_vec(path.to_vec()).into());
        Some(Self { boot, namespace, mount, directory, path })
    }

    /// Says whether the mount is there: after a reboot nothing is; in this namespace the kernel's id tells, or the mount
    /// table; of another one `is_in_use` tells, the kernel's word on the upper directory. `layer` is the container's own,
    /// `merged` its default mount point.
    pub(crate) fn confirm(
        self,
        layer: LayerId,
        merged: PathBuf,
        is_in_use: impl FnOnce() -> Result<bool>,
    ) -> Result<Option<Seen>> {
        if self.boot != boot_number()? {
            return Ok(None);
        }
        let seen = |path: PathBuf, sight| Some(Seen { is_own: path == merged, path, sight });
        let path = self.path.unwrap_or_else(|| merged.clone());
        if self.namespace != own_namespace()? {
            return Ok(if is_in_use()? { seen(path, Sight::Elsewhere) } else { None });
        }
        if self.mount != 0 && mount_id(rustix::fs::CWD, &path)? == Some(self.mount) {
            return Ok(seen(path, Sight::Open));
        }
        // Moved, covered by another mount, or never finished: the whole table is asked.
        let table = mountinfo::read().map_err(|e| Error::mount("mount table", e))?;
        if let Some(entry) = table.iter().find(|entry| is_over(entry, layer, self.directory)) {
            return Ok(seen(entry.mount_point.clone(), sight(&table, entry)));
        }
        let mut named_alone = table.iter().filter(|entry| is_named_alone(entry, layer));
        if let Some(entry) = named_alone.clone().find(|entry| entry.mount_point == path) {
            return Ok(seen(path, sight(&table, entry)));
        }
        // At its own `merged` another container is mounted, of a copy of this store; anywhere else it may be this one.
        let moved = named_alone.find(|entry| !entry.mount_point.ends_with(plyfs_link::MERGED));
        let Some(entry) = moved else { return Ok(None) };
        Ok(if is_in_use()? { seen(entry.mount_point.clone(), sight(&table, entry)) } else { None })
    }
}

/// How far an entry of the caller's table can be reached: later ones lie over those before.
fn sight(table: &[Entry], entry: &Entry) -> Sight {
    let topmost = table.iter().rfind(|other| other.mount_point == entry.mount_point);
    if topmost.is_some_and(|topmost| topmost.id == entry.id) { Sight::Open } else { Sight::Covered }
}

/// Says whether a mount is over an upper directory that the table shows no more of than the name, which is the container's
/// or that of a copy.
fn is_named_alone(entry: &Entry, layer: LayerId) -> bool {
    entry.is_over(tail(layer)) && entry.upper_paths().all(|path| path.is_relative())
}

/// Says whether an overlay mount is over the upper directory of the container in `directory`.
pub(crate) fn is_mount_of(entry: &Entry, layer: LayerId, directory: &OwnedFd) -> Result<bool> {
    Ok(is_over(entry, layer, identity(directory)?))
}

/// The name of the upper directory alone does not tell: it is the same in every copy of a store. Where it was given as
/// no more than the name, the mount point tells, as long as it is the container's own.
fn is_over(entry: &Entry, layer: LayerId, directory: Identity) -> bool {
    let is_it = |path: &Path| {
        let status = path.parent().filter(|path| path.is_absolute()).map(|path| fs::stat_at(rustix::fs::CWD, path));
        matches!(status, Some(Ok(status)) if (status.st_dev, status.st_ino) == directory)
    };
    let is_default = entry.mount_point.ends_with(plyfs_link::MERGED) && is_it(&entry.mount_point);
    entry.is_over(tail(layer)) && (entry.upper_paths().any(|path| is_it(&path)) || is_default)
}

/// How the path of a container's upper directory ends.
fn tail(layer: LayerId) -> PathBuf {
    Path::new(&layer.to_string()).join(plyfs_link::DIFF)
}

fn identity(directory: &OwnedFd) -> Result<Identity> {
    let status = fs::stat(directory).map_err(|e| Error::call("mount mark", e))?;
    Ok((status.st_dev, status.st_ino))
}

/// The unique id of the mount whose root `path` below `dir` is, or `dir` itself where it is empty; `None` when that is no
/// root of a mount or the kernel has no such ids.
pub(crate) fn mount_id(dir: impl AsFd, path: &Path) -> Result<Option<u64>> {
    id_of_root(dir, path, MNT_ID_UNIQUE)
}

/// The unique id of the mount that `path` shows, or before Linux 6.8 the one that the mount table has, which another gets
/// once this one has ended; `None` when nothing is mounted there.
pub(crate) fn mount_id_while_mounted(path: &Path) -> Result<Option<u64>> {
    id_of_root(rustix::fs::CWD, path, MNT_ID_UNIQUE | StatxFlags::MNT_ID)
}

/// Asked for ids of both kinds, a kernel gives the one that it has and is unique.
fn id_of_root(dir: impl AsFd, path: &Path, kinds: StatxFlags) -> Result<Option<u64>> {
    let status = match fs::statx_at(dir, path.as_os_str(), kinds) {
        Err(error) if error.is_not_found() => return Ok(None),
        result => result.map_err(|e| Error::call("mount point", e))?,
    };
    let is_known = status.stx_mask & kinds.bits() != 0;
    Ok((is_known && is_mount_root(&status)).then_some(status.stx_mnt_id))
}

fn is_mount_root(status: &rustix::fs::Statx) -> bool {
    status.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT)
}

/// The id the kernel drew when it was booted; no process outlives it, so it is read once.
pub(crate) fn boot_id() -> Result<&'static str> {
    static BOOT: OnceLock<Box<str>> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot);
    }
    let text = read_proc("sys/kernel/random/boot_id")?;
    Ok(BOOT.get_or_init(|| text.trim_end().into()))
}

/// The first 16 digits of the boot id, which are as good as all to tell one boot from another.
fn boot_number() -> Result<u64> {
    let boot = boot_id()?;
    let digits: String = boot.chars().filter(|&c| c != '-').take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(|_| Error::new(ErrorKind::Io, format!("boot id {boot:?}")))
}

fn read_proc(name: &str) -> Result<String> {
    let path = Path::new("/proc").join(name);
    std::fs::read_to_string(&path).map_err(|e| Error::io(path.display().to_string(), e, ErrorKind::Io))
}

/// The number of the calling thread's mount namespace.
fn own_namespace() -> Result<u64> {
    static LAST: LastNamespace = LastNamespace(Mutex::new(None));
    LAST.number(read_namespace)
}

/// The root of a thread and its mount namespace, as they were when the namespace was last read, by whatever thread.
///
/// Reading takes several times as long as to see that the caller's root is still that mount, and that it is of the caller's
/// namespace: a mount that is in one never gets into another.
struct LastNamespace(Mutex<Option<(u64, u64)>>);

impl LastNamespace {
    fn number(&self, read: impl FnOnce() -> Result<u64>) -> Result<u64> {
        let root = mount_id(rustix::fs::CWD, Path::new("/"))?;
        // Who changed its root may be in another namespace than that is.
        let root = root.filter(|&root| plyfs_sys::mount::is_in_own_namespace(root));
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(root), Some((seen, namespace))) = (root, *last())
            && root == seen
        {
            return Ok(namespace);
        }
        let namespace = read()?;
        *last() = root.map(|root| (root, namespace));
        Ok(namespace)
    }
}

fn read_namespace() -> Result<u64> {
    let named = |e: std::io::Error| Error::io("/proc/thread-self/ns/mnt", e, ErrorKind::Io);
    let link = std::fs::read_link("/proc/thread-self/ns/mnt").map_err(named)?;
    namespace_number(link.as_os_str()).ok_or_else(|| Error::new(ErrorKind::Io, format!("namespace {link:?}")))
}

/// The number in `mnt:[4026531841]`.
fn namespace_number(link: &OsStr) -> Option<u64> {
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_with_any_path_bytes_reads_back() {
        let path = PathBuf::from(OsString::from_vec(b"/a b\n\xff".to_vec()));
        for path in [Some(path), None] {
            let mark = Mark { boot: 3, namespace: 4, mount: 7, directory: (8, 9), path };
            let bytes = mark.encode();
            assert_eq!(Mark::parse(&bytes).expect("its own bytes"), mark);
            assert_eq!(Mark::parse(&bytes[..FIXED - 1]), None, "half a mark says nothing");
        }
    }

    #[test]
    fn root_a_thread_that_enters_another_namespace_is_told_its_own() {
        plyfs_testkit::require_root!();
        let last = LastNamespace(Mutex::new(None));
        let told = || (last.number(read_namespace).expect("told"), read_namespace().expect("read"));
        let (here, read) = told();
        assert_eq!(here, read);
        if mount_id(rustix::fs::CWD, Path::new("/")).expect("asked").is_some() {
            let again = last.number(|| unreachable!("it was read already"));
            assert_eq!(again.expect("told"), here);
        }
        // The root of this namespace: whoever has it may keep it as a root in another.
        let root = fs::open_dir("/").expect("open");
        let (there, with_root) = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a mount namespace");
                let there = told();
                rustix::process::fchdir(&root).expect("changed");
                rustix::process::chroot(".").expect("changed");
                (there, last.number(|| Ok(there.1)).expect("told"))
            });
            other.join().expect("no panic")
        });
        assert_eq!(there.0, there.1);
        assert_ne!(there.0, here);
        assert_eq!(with_root, there.0, "a root says nothing of a namespace that it is not in");
        assert_eq!(told().0, here, "what another thread was told is not believed");
    }

    #[test]
    fn a_mark_of_the_default_place_fits_an_inode_of_ext4() {
        // 256 bytes, less 160 of the inode, 8 of the attributes' head and end, 16 of the entry, 12 of its name.
        let mark = Mark { boot: u64::MAX, namespace: u64::MAX, mount: 1, directory: (1, 2), path: None };
        assert!(mark.encode().len() <= 60);
    }
}
