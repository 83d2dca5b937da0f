//! What a store may stand on, and what its parts have to be: asked at every open, before anything is changed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use plyfs_sys::fs::{self, FileType};
use plyfs_sys::xattr;

use crate::{Durability, Error, ErrorKind, Result, Store, layout};

/// File systems that lose everything when the machine stops: magic number and name.
const VOLATILE: [(u64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// File systems whose files other machines share: their locks and their order of names are not the kernel's.
const NETWORK: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

const OVERLAY: u64 = 0x794c_7630;

/// A program serves it, on this machine or, by virtiofs and many a program, on another.
const FUSE: u64 = 0x6573_5546;

/// Refuses a file system on which what is written would not be there again.
pub(crate) fn check_file_system(directory: impl AsFd, durability: Durability) -> Result<()> {
    let magic = fs::filesystem_magic(directory).map_err(|e| Error::call("its file system", e))?;
    refusal(magic, durability).map_or(Ok(()), |why| Err(Error::new(ErrorKind::Unsupported, why)))
}

/// Says whether what is written to a file elsewhere is seen through a map of it here: not so where a server or a program has
/// the files. A store there is only read.
pub(crate) fn is_local(directory: impl AsFd) -> Result<bool> {
    let magic = fs::filesystem_magic(directory).map_err(|e| Error::call("its file system", e))?;
    Ok(magic != FUSE && NETWORK.iter().all(|(known, _)| *known != magic))
}

/// Why no store is written on the file system of this magic number, where none is.
fn refusal(magic: u64, durability: Durability) -> Option<String> {
    let name_in =
        |table: &[(u64, &'static str)]| table.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name);
    if magic == OVERLAY {
        return Some("on overlayfs, which cannot be the upper of another".to_owned());
    }
    if magic == FUSE {
        return Some(
            "on FUSE, a file system that a program serves: its locks and layers need one of the kernel".to_owned(),
        );
    }
    if let Some(name) = name_in(&NETWORK) {
        return Some(format!("on {name}, a network file system: its locks and layers need a local one"));
    }
    let name = name_in(&VOLATILE).filter(|_| durability.is_durable())?;
    Some(format!("on {name}, which nothing survives: it opens only with Durability::None"))
}

/// Takes off the default access list that a new root has of the directory it was made in: everything in layers and containers
/// would get it, and with it rights that no image gives.
pub(crate) fn drop_default_acl(root: impl AsFd) -> plyfs_sys::Result<()> {
    const DEFAULT: &str = "system.posix_acl_default";
    match xattr::get(&root, DEFAULT)? {
        Some(_) => xattr::remove(&root, DEFAULT),
        None => Ok(()),
    }
}

/// Refuses what only root can do on a store with `trusted` attributes, in one line.
pub(crate) fn require_root(what: &str, path: &Path) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permission, format!("{what} needs root on store {}", path.display())))
}

/// Refuses a root that belongs to somebody else or that others may enter: layers hold setuid programs.
pub(crate) fn check_root(root: &OwnedFd) -> Result<()> {
    let stat = fs::stat(root).map_err(|e| Error::call("its root", e))?;
    check_owner(&stat, "its root")?;
    check_mode(&stat, "its root", 0o700)
}

/// Opens a directory of the store for writing below it.
pub(crate) fn open_part(above: impl AsFd, name: &str, writable: bool) -> Result<OwnedFd> {
    let above = above.as_fd();
    let part = match fs::open_dir_at(above, name) {
        Ok(part) => part,
        Err(error) => return Err(not_a_directory(above, name, error)),
    };
    if writable {
        let stat = fs::stat(&part).map_err(|e| Error::call(name, e))?;
        check_owner(&stat, name)?;
        check_mode(&stat, name, if name == layout::HOME { 0o710 } else { 0o700 })?;
    }
    Ok(part)
}

/// Opens a directory of a part of the store.
pub(crate) fn open_below(part: impl AsFd, part_name: &str, name: &str, writable: bool) -> Result<OwnedFd> {
    open_part(part, name, writable).map_err(|error| Error::new(error.kind(), format!("in {part_name}")).because(error))
}

fn not_a_directory(above: impl AsFd, name: &str, error: plyfs_sys::CallError) -> Error {
    let found = match fs::stat_at(above, name) {
        Err(error) if error.is_not_found() => "is missing",
        Err(_) => return Error::call(name, error),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Error::call(name, error),
            FileType::Symlink => "is a symbolic link, not a directory",
            FileType::RegularFile => "is a file, not a directory",
            _ => "is a device, not a directory",
        },
    };
    Error::new(ErrorKind::Corrupt, format!("{name} {found}"))
}

fn check_owner(stat: &fs::Stat, what: &str) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid == own {
        return Ok(());
    }
    let message = format!("{what} belongs to user {}, not to user {own} who would change it", stat.st_uid);
    Err(Error::new(ErrorKind::Permission, message))
}

fn check_mode(stat: &fs::Stat, what: &str, widest: u32) -> Result<()> {
    let mode = stat.st_mode & 0o7777;
    if mode & 0o777 & !widest == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permission, format!("{what} has mode {mode:04o}, wider than {widest:04o}")))
}

/// The nearest directory at or above `path` that is there.
pub(crate) fn nearest(path: &Path) -> Option<OwnedFd> {
    let from_here = if path.is_relative() { Some(Path::new(".")) } else { None };
    path.ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .chain(from_here)
        .find_map(|path| fs::open_dir(path).ok())
}

/// Says whether a root without its format file was a store: there is something in it, and all that it could lie in.
pub(crate) fn was_store(root: BorrowedFd<'_>) -> bool {
    let parts = [layout::HOME, layout::BLOBS, layout::TAR_SPLIT];
    parts.iter().all(|part| fs::open_dir_at(root, part).is_ok()) && refuse_contents(root).is_err()
}

/// The error of a store whose format file was lost.
pub(crate) fn lost_format() -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} is missing, and there are layers or images", layout::FORMAT_FILE))
}

/// Refuses to make a store anew over layers whose format file was lost.
pub(crate) fn refuse_contents(root: impl AsFd) -> Result<()> {
    let holds = |path: &[&str], but: &[&str]| {
        let Some(above) = rustix::io::dup(&root).ok() else { return false };
        let directory = path.iter().try_fold(above, fs::open_dir_at);
        let entries = directory.and_then(fs::read_dir).unwrap_or_default();
        entries.iter().any(|entry| !but.iter().any(|name| entry.name == *name))
    };
    let kept = holds(&[layout::HOME], &[plyfs_link::LINK_DIR, layout::EMPTY])
        || holds(&[layout::BLOBS, layout::SHA256], &[])
        || holds(&[layout::TAR_SPLIT], &[]);
    if kept { Err(lost_format()) } else { Ok(()) }
}

impl Store {
    /// Says whether the store lies in this directory, however deep, or is it: who copies the directory into the store would copy
    /// the copy.
    pub fn lies_in(&self, directory: impl AsFd) -> Result<bool> {
        let same = |a: &fs::Stat, b: &fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        let climb = || -> plyfs_sys::Result<bool> {
            let searched = fs::stat(directory)?;
            let mut at = fs::open_dir_at(&self.0.root, ".")?;
            loop {
                let (here, above) = (fs::stat(&at)?, fs::open_dir_at(&at, "..")?);
                if same(&here, &searched) {
                    return Ok(true);
                }
                if same(&here, &fs::stat(&above)?) {
                    return Ok(false);
                }
                at = above;
            }
        };
        climb().map_err(|e| Error::call("the directories above the store", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own table of magic numbers, by the names it has for them.
    fn magic(header: &str, name: &str) -> u64 {
        let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let number = line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_else(|| panic!("no {name}"));
        u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or_else(|e| panic!("{name} {number}: {e}"))
    }

    #[test]
    fn what_other_machines_share_and_what_nothing_survives_is_refused_by_its_name() {
        const HEADER: &str = "/usr/include/linux/magic.h";
        if !plyfs_testkit::require::file(HEADER, module_path!(), line!()) {
            return;
        }
        let header = std::fs::read_to_string(HEADER).expect("it is there");
        let told = |name: &str, durability| refusal(magic(&header, name), durability);
        for (name, says) in [
            ("NFS_SUPER_MAGIC", "on NFS, a network file system"),
            ("SMB_SUPER_MAGIC", "on SMB, a network"),
            ("SMB2_SUPER_MAGIC", "on SMB, a network"),
            ("CIFS_SUPER_MAGIC", "on CIFS, a network"),
            ("CEPH_SUPER_MAGIC", "on Ceph, a network"),
            ("V9FS_MAGIC", "on 9p, a network"),
            ("AFS_SUPER_MAGIC", "on AFS, a network"),
            ("AFS_FS_MAGIC", "on AFS, a network"),
            ("CODA_SUPER_MAGIC", "on Coda, a network"),
            ("FUSE_SUPER_MAGIC", "on FUSE, a file system that a program serves"),
            ("OVERLAYFS_SUPER_MAGIC", "on overlayfs"),
        ] {
            for durability in [Durability::FileSystem, Durability::None] {
                let why = told(name, durability).unwrap_or_else(|| panic!("{name} is taken"));
                assert!(why.starts_with(says), "{name}: {why}");
            }
        }
        for name in ["TMPFS_MAGIC", "RAMFS_MAGIC"] {
            let why = told(name, Durability::Files).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(why.ends_with("only with Durability::None"), "{name}: {why}");
            assert_eq!(told(name, Durability::None), None, "{name}");
        }
        for name in ["EXT4_SUPER_MAGIC", "XFS_SUPER_MAGIC", "BTRFS_SUPER_MAGIC", "F2FS_SUPER_MAGIC"] {
            assert_eq!(told(name, Durability::FileSystem), None, "{name}");
        }
    }
}
