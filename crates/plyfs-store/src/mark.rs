//! Where a container is mounted: an attribute of its directory, believed only when the kernel confirms it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use plyfs_sys::{fs, xattr};
use rustix::fs::StatxFlags;

use crate::{Error, ErrorKind, Result, layout};

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: an id the kernel never gives again until it is booted anew.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What was true when the mount was made.
#[derive(Debug, PartialEq)]
pub(crate) struct Mark {
    boot: String,
    namespace: u64,
    /// 0 while the mount is being made, and on kernels without unique ids.
    mount: u64,
    path: PathBuf,
}

/// A mount that is there now.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    /// Says whether it is in the caller's mount namespace.
    pub(crate) is_here: bool,
}

impl Mark {
    /// A mount that is about to be made.
    pub(crate) fn about_to_mount(path: &Path) -> Result<Self> {
        Ok(Self { boot: boot_id()?, namespace: own_namespace()?, mount: 0, path: path.to_owned() })
    }

    /// The mount that was just made at `path`.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        Ok(Self { mount: mount_id(path)?.unwrap_or(0), ..Self::about_to_mount(path)? })
    }

    /// Reads the mark of a container's directory.
    pub(crate) fn read(directory: &OwnedFd) -> Result<Option<Self>> {
        let value = xattr::get(directory, layout::MOUNT_MARK).map_err(|e| Error::call("mount mark", e))?;
        // A mark of another shape says nothing about this boot.
        Ok(value.and_then(|value| Self::parse(&value)))
    }

    /// Boot id, namespace, mount id and path, separated by spaces; the path is last and may hold any byte.
    pub(crate) fn write(&self, directory: &OwnedFd) -> Result<()> {
        let mut value = format!("{} {} {} ", self.boot, self.namespace, self.mount).into_bytes();
        value.extend(self.path.as_os_str().as_bytes());
        xattr::set(directory, layout::MOUNT_MARK, &value).map_err(|e| Error::call("mount mark", e))
    }

    pub(crate) fn remove(directory: &OwnedFd) -> Result<()> {
        xattr::remove(directory, layout::MOUNT_MARK).map_err(|e| Error::call("mount mark", e))
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.splitn(4, |&byte| byte == b' ');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let (boot, namespace, mount) = (text()?.to_owned(), text()?.parse().ok()?, text()?.parse().ok()?);
        let path = OsString::from_vec(parts.next()?.to_vec()).into();
        Some(Self { boot, namespace, mount, path })
    }

    /// Says whether the mount is there: after a reboot nothing is; in this namespace the kernel tells; in
    /// another one a living guard tells, else whether any process still lives in it. `upper` is the end of the
    /// upper directory's path.
    pub(crate) fn confirm(self, upper: &Path, is_guarded: impl FnOnce() -> Result<bool>) -> Result<Option<Seen>> {
        if self.boot != boot_id()? {
            return Ok(None);
        }
        if self.namespace != own_namespace()? {
            let alive = is_guarded()? || is_inhabited(self.namespace)?;
            return Ok(alive.then_some(Seen { path: self.path, is_here: false }));
        }
        if self.mount != 0 && mount_id(&self.path)? == Some(self.mount) {
            return Ok(Some(Seen { path: self.path, is_here: true }));
        }
        // Moved, covered by another mount, or never finished: the whole table is asked.
        let table = plyfs_mount::mountinfo::read().map_err(|e| Error::mount("mount table", e))?;
        let found = plyfs_mount::mountinfo::over_upper(&table, upper).next();
        Ok(found.map(|entry| Seen { path: entry.mount_point.clone(), is_here: true }))
    }
}

/// The unique id of the mount whose root `path` is; `None` when it is no mount point or the kernel has no such ids.
fn mount_id(path: &Path) -> Result<Option<u64>> {
    let status = match fs::statx_at(rustix::fs::CWD, path.as_os_str(), MNT_ID_UNIQUE) {
        Err(error) if error.is_not_found() => return Ok(None),
        result => result.map_err(|e| Error::call("mount point", e))?,
    };
    let is_known = status.stx_mask & MNT_ID_UNIQUE.bits() != 0;
    Ok((is_known && is_mount_root(&status)).then_some(status.stx_mnt_id))
}

fn is_mount_root(status: &rustix::fs::Statx) -> bool {
    status.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT)
}

pub(crate) fn boot_id() -> Result<String> {
    let text = read_proc("sys/kernel/random/boot_id")?;
    Ok(text.trim_end().to_owned())
}

fn read_proc(name: &str) -> Result<String> {
    let path = Path::new("/proc").join(name);
    std::fs::read_to_string(&path).map_err(|e| Error::io(path.display().to_string(), e, ErrorKind::Io))
}

/// The number of the calling thread's mount namespace.
fn own_namespace() -> Result<u64> {
    let named = |e: std::io::Error| Error::io("/proc/thread-self/ns/mnt", e, ErrorKind::Io);
    let link = std::fs::read_link("/proc/thread-self/ns/mnt").map_err(named)?;
    namespace_number(link.as_os_str()).ok_or_else(|| Error::new(ErrorKind::Io, format!("namespace {link:?}")))
}

/// The number in `mnt:[4026531841]`.
fn namespace_number(link: &OsStr) -> Option<u64> {
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// Says whether any process lives in a mount namespace. One kept alive by a bind mount of its file alone is not
/// found; nothing in it can use a mount then.
fn is_inhabited(namespace: u64) -> Result<bool> {
    let named = |e: std::io::Error| Error::io("/proc", e, ErrorKind::Io);
    for entry in std::fs::read_dir("/proc").map_err(named)? {
        let path = entry.map_err(named)?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_bytes().iter().all(u8::is_ascii_digit));
        // A process may end while it is looked at.
        let Ok(link) = std::fs::read_link(path.join("ns/mnt")) else { continue };
        if is_process && namespace_number(link.as_os_str()) == Some(namespace) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_with_any_path_bytes_reads_back() {
        let path = PathBuf::from(OsString::from_vec(b"/a b\n\xff".to_vec()));
        let mark = Mark { boot: "boot".to_owned(), namespace: 4, mount: 7, path };
        let text = b"boot 4 7 /a b\n\xff";
        assert_eq!(Mark::parse(text).expect("its own bytes"), mark);
        assert_eq!(Mark::parse(b"boot 4"), None);
        assert_eq!(Mark::parse(b""), None);
    }

    #[test]
    fn the_callers_own_namespace_is_inhabited() {
        let own = own_namespace().expect("a namespace");
        assert!(is_inhabited(own).expect("/proc"));
        assert!(!is_inhabited(1).expect("/proc"), "namespace numbers begin far above 1");
    }
}
