//! Files and directories by descriptor and name.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::{CallError, Result, listing};

pub use rustix::fs::{FileType, Gid, Stat, StatVfs, Timespec, Timestamps, Uid};

pub use crate::beneath::{open_beneath, open_in_root};
pub use crate::listing::Listing;
pub use crate::remove::{move_tree, remove_tree, remove_tree_while};

/// How deep walks that keep a descriptor or a name a level may go before they refuse: a name costs a byte, `PATH_MAX`
/// bounds what the kernel would resolve, but a tree built by descriptor can be deeper.
pub const MAX_DEPTH: usize = 4096;

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Adds call and name to the errno of a rustix result.
fn named<T>(call: &'static str, name: impl AsRef<OsStr>, result: rustix::io::Result<T>) -> Result<T> {
    result.map_err(|errno| CallError::new(call, name, errno))
}

/// Opens the directory at a path given by the caller of the library; symbolic links are followed.
pub fn open_dir(path: impl AsRef<Path>) -> Result<OwnedFd> {
    let path = path.as_ref();
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    named("open", path, fs::open(path, flags, Mode::empty()))
}

/// Opens the directory `name` below `dir` for reading; a symbolic link is refused.
pub fn open_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd> {
    let name = name.as_ref();
    named("openat", name, fs::openat(dir, name, DIR, Mode::empty()))
}

/// Opens `name` below `dir`; close-on-exec and no-follow are added.
pub fn open_at(dir: impl AsFd, name: impl AsRef<OsStr>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    named("openat", name, fs::openat(dir, name, flags, mode))
}

/// Opens what should be a file or a directory below `dir` for reading: a FIFO in its place does not block.
///
/// The access time stays as it is where the caller may ask for that, as the owner or with `CAP_FOWNER`: else the first
/// read of each new file would write its inode anew (`relatime` in mount(8)).
pub fn open_to_read_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    match open_at(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(error) if error.errno() == Errno::PERM => open_at(dir, name, flags, Mode::empty()),
        result => result,
    }
}

/// Creates the file `name` below `dir`, which must not exist, for reading and writing.
pub fn create_file_at(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<OwnedFd> {
    open_at(dir, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
}

/// Makes the directory `name` below `dir`; the answer is what the umask and the directory above have made of it.
pub fn new_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<Stat> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    named("mkdirat", name, fs::mkdirat(dir, name, mode))?;
    stat_at(dir, name)
}

/// Makes the directory `name` below `dir` and gives it exactly `mode`, whatever the umask is.
pub fn make_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    // Seldom needed, and a change of the mode costs several times a look at it.
    if new_dir_at(dir, name, mode)?.st_mode & 0o7777 == mode.as_raw_mode() {
        return Ok(());
    }
    named("fchmodat", name, fs::chmodat(dir, name, mode, AtFlags::empty()))
}

/// Makes the directory `name` as [`make_dir_at`] does, or accepts the directory that is there.
pub fn ensure_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    match make_dir_at(dir, name, mode) {
        Err(error) if error.errno() == Errno::EXIST => open_dir_at(dir, name).map(drop),
        result => result,
    }
}

/// The status of `name` below `dir` itself, never of what a symbolic link points to.
pub fn stat_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<Stat> {
    let name = name.as_ref();
    named("fstatat", name, fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))
}

/// The status of `name` below `dir`, or `None` when there is no such name.
pub fn try_stat_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
    match stat_at(dir, name) {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

/// Says whether `name` below `dir` is the open file.
pub fn is_named(fd: impl AsFd, dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
    let held = stat(fd)?;
    let named = try_stat_at(dir, name)?;
    Ok(named.is_some_and(|named| (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)))
}

/// The status of an open descriptor.
pub fn stat(fd: impl AsFd) -> Result<Stat> {
    let fd = fd.as_fd();
    fs::fstat(fd).map_err(|errno| CallError::new("fstat", number(fd), errno))
}

/// The extended status of `name` below `dir`; with an empty name, of `dir` itself.
pub fn statx_at(dir: impl AsFd, name: impl AsRef<OsStr>, mask: StatxFlags) -> Result<Statx> {
    let name = name.as_ref();
    named("statx", name, fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH, mask))
}

/// Bytes and inodes of the file system that holds `fd`.
pub fn statvfs(fd: impl AsFd) -> Result<StatVfs> {
    let fd = fd.as_fd();
    fs::fstatvfs(fd).map_err(|errno| CallError::new("fstatvfs", number(fd), errno))
}

/// The magic number of the file system that holds `fd`, as `statfs(2)` lists them.
pub fn filesystem_magic(fd: impl AsFd) -> Result<u64> {
    let fd = fd.as_fd();
    let status = fs::fstatfs(fd).map_err(|errno| CallError::new("fstatfs", number(fd), errno))?;
    #[allow(clippy::cast_sign_loss, reason = "magic numbers are bit patterns")]
    Ok(status.f_type as u64)
}

/// Says whether `fd` is on btrfs, where a sync of one file or directory promises less than elsewhere.
pub fn is_on_btrfs(fd: impl AsFd) -> Result<bool> {
    /// `BTRFS_SUPER_MAGIC` of statfs(2).
    const BTRFS: u64 = 0x9123_683e;
    filesystem_magic(fd).map(|magic| magic == BTRFS)
}

/// The target of the symbolic link `name` below `dir`, of any length.
pub fn read_link_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OsString> {
    let name = name.as_ref();
    let target: CString = named("readlinkat", name, fs::readlinkat(dir, name, Vec::new()))?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// Makes the symbolic link `name` below `dir`.
pub fn symlink_at(target: impl AsRef<OsStr>, dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    named("symlinkat", name, fs::symlinkat(target.as_ref(), dir, name))
}

/// Links `from` itself, symbolic link or not, as `to`.
pub fn link_at(from_dir: impl AsFd, from: impl AsRef<OsStr>, to_dir: impl AsFd, to: impl AsRef<OsStr>) -> Result<()> {
    let to = to.as_ref();
    named("linkat", to, fs::linkat(from_dir, from.as_ref(), to_dir, to, AtFlags::empty()))
}

/// Makes the device, FIFO or socket `name` below `dir`; the umask applies to `mode`.
pub fn make_node_at(dir: impl AsFd, name: impl AsRef<OsStr>, kind: FileType, mode: Mode, device: u64) -> Result<()> {
    let name = name.as_ref();
    named("mknodat", name, fs::mknodat(dir, name, kind, mode, device))
}

/// Removes the name of anything but a directory.
pub fn unlink_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    named("unlinkat", name, fs::unlinkat(dir, name, AtFlags::empty()))
}

/// Removes an empty directory.
pub fn remove_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    named("rmdir", name, fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

/// Renames, replacing what is at `to` as `rename(2)` does.
pub fn rename_at(from_dir: impl AsFd, from: impl AsRef<OsStr>, to_dir: impl AsFd, to: impl AsRef<OsStr>) -> Result<()> {
    let to = to.as_ref();
    named("renameat", to, fs::renameat(from_dir, from.as_ref(), to_dir, to))
}

/// Renames, failing with `EEXIST` when `to` is taken.
pub fn rename_new_at(
    from_dir: impl AsFd,
    from: impl AsRef<OsStr>,
    to_dir: impl AsFd,
    to: impl AsRef<OsStr>,
) -> Result<()> {
    let to = to.as_ref();
    named("renameat2", to, fs::renameat_with(from_dir, from.as_ref(), to_dir, to, RenameFlags::NOREPLACE))
}

/// Changes the owner of `name` itself.
pub fn chown_at(dir: impl AsFd, name: impl AsRef<OsStr>, uid: u32, gid: u32) -> Result<()> {
    let name = name.as_ref();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    named("fchownat", name, fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
}

/// Sets access and modification time of `name` itself.
pub fn set_times_at(dir: impl AsFd, name: impl AsRef<OsStr>, times: &Timestamps) -> Result<()> {
    let name = name.as_ref();
    named("utimensat", name, fs::utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW))
}

/// Changes the mode of `name`, which is not a symbolic link, without following one that a race put there.
///
/// `fchmodat2(2)` exists since Linux 6.6; before, the name is pinned with `O_PATH` and changed through
/// `/proc/self/fd`.
pub fn chmod_at(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    match fchmodat2(dir, name, mode) {
        Err(Errno::NOSYS) => {}
        result => return named("fchmodat2", name, result),
    }
    let pinned = open_at(dir, name, OFlags::PATH, Mode::empty())?;
    if FileType::from_raw_mode(stat(&pinned)?.st_mode) == FileType::Symlink {
        return Err(CallError::new("fchmodat2", name, Errno::OPNOTSUPP));
    }
    named("chmod", name, fs::chmod(proc_path(&pinned), mode))
}

/// Calls `fchmodat2(2)` with `AT_SYMLINK_NOFOLLOW`; neither std, nix nor rustix has it.
#[allow(unsafe_code)]
fn fchmodat2(dir: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> rustix::io::Result<()> {
    /// One number on every architecture but MIPS, which has no call of this number. libc knows it on some alone.
    const FCHMODAT2: libc::c_long = 452;
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: `dir` is open for the call's duration, `name` is NUL-terminated and outlives it, and the kernel
    // writes to neither.
    let result = unsafe {
        libc::syscall(FCHMODAT2, dir.as_raw_fd(), name.as_ptr(), mode.as_raw_mode(), libc::AT_SYMLINK_NOFOLLOW)
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// Flushes the data and metadata of a file, or the entries of a directory, to the disk.
pub fn sync(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    fs::fsync(fd).map_err(|errno| CallError::new("fsync", number(fd), errno))
}

/// Lets the disk begin to write `length` bytes of a file from `offset`, and does not wait for it; nothing is durable by that.
#[allow(unsafe_code)]
pub fn start_writing(fd: impl AsFd, offset: u64, length: u64) -> Result<()> {
    let fd = fd.as_fd();
    let bound = |number: u64| libc::off64_t::try_from(number).unwrap_or(libc::off64_t::MAX);
    // SAFETY: `fd` is open for the call's duration; the other arguments are numbers, which the kernel checks.
    let result =
        unsafe { libc::sync_file_range(fd.as_raw_fd(), bound(offset), bound(length), libc::SYNC_FILE_RANGE_WRITE) };
    let errno = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    if result == 0 { Ok(()) } else { Err(CallError::new("sync_file_range", number(fd), errno())) }
}

/// Flushes the whole file system that holds `fd`; a write error since `fd` was opened is returned.
pub fn sync_filesystem(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    fs::syncfs(fd).map_err(|errno| CallError::new("syncfs", number(fd), errno))
}

/// The `/proc/self/fd` name of a descriptor, for calls that take only paths.
#[must_use]
pub fn proc_path(fd: impl AsFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()).into()
}

/// One name in a directory and the type its entry states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, any bytes but `/` and NUL.
    pub name: OsString,
    /// The type as the directory records it; [`FileType::Unknown`] on file systems without `d_type`.
    pub kind: FileType,
    /// The inode number the directory states; below a mount point it is the covered directory's.
    pub inode: u64,
}

/// The entries of an open directory but `.` and `..`, sorted bytewise.
///
/// The descriptor's position is not used: the directory is opened anew. [`Listing`] does without.
pub fn read_dir(dir: impl AsFd) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    let push = |name: &[u8], kind, inode| {
        entries.push(DirEntry { name: OsStr::from_bytes(name).to_owned(), kind, inode });
        Ok(())
    };
    let read = fs::openat(dir, ".", DIR, Mode::empty()).and_then(|dir| match listing::for_each(dir, push) {
        // It was removed since it was opened, and so is empty.
        Err(Errno::NOENT) => Ok(()),
        result => result,
    });
    named("getdents64", ".", read)?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn number(fd: BorrowedFd<'_>) -> String {
    format!("[{}]", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{FileType, ResolveFlags};

    use super::*;

    #[test]
    fn remove_tree_removes_links_but_not_what_they_point_to() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(temp.path().join("tree/inner")).expect("directories");
        std::fs::write(temp.path().join("kept"), "kept").expect("a file");
        std::os::unix::fs::symlink("../kept", temp.path().join("tree/link")).expect("a link");
        let dir = open_dir(temp.path()).expect("open");

        remove_tree(&dir, "tree").expect("removed");
        remove_tree(&dir, "tree").expect("a missing tree is fine");

        assert_eq!(read_dir(&dir).expect("list").len(), 1, "only the file outside the tree is left");
    }

    #[test]
    fn what_is_read_keeps_its_access_time_and_a_fifo_does_not_block() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("new"), "text").expect("a file");
        let dir = open_dir(temp.path()).expect("open");
        fs::mknodat(&dir, "fifo", FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let accessed = |fd: &OwnedFd| stat(fd).map(|stat| (stat.st_atime, stat.st_atime_nsec)).expect("a status");

        let file = open_to_read_at(&dir, "new").expect("open");
        let before = accessed(&file);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut File::from(file.try_clone().expect("one more")), &mut text).expect("read");
        assert_eq!((text.as_str(), accessed(&file)), ("text", before), "relatime would move it now");
        open_to_read_at(&dir, "fifo").expect("nobody writes it");
    }

    #[test]
    fn a_removal_that_is_stopped_says_so_and_the_next_one_goes_on() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(temp.path().join("tree/inner")).expect("directories");
        for name in ["tree/a", "tree/inner/b", "tree/inner/c"] {
            std::fs::write(temp.path().join(name), "").expect("a file");
        }
        let dir = open_dir(temp.path()).expect("open");

        let mut left = 3;
        let stop = || {
            left -= 1;
            left >= 0
        };
        assert!(!remove_tree_while(&dir, "tree", stop).expect("nothing is in the way"), "it was stopped");
        assert!(temp.path().join("tree").exists());
        assert!(remove_tree_while(&dir, "tree", || true).expect("nothing is in the way"), "all is gone");
        assert!(!temp.path().join("tree").exists());
    }

    #[test]
    fn chmod_refuses_a_symbolic_link() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("target"), "").expect("a file");
        std::os::unix::fs::symlink("target", temp.path().join("link")).expect("a link");
        let dir = open_dir(temp.path()).expect("open");
        let before = stat_at(&dir, "target").expect("stat").st_mode;

        let error = chmod_at(&dir, "link", Mode::from_raw_mode(0o4777)).expect_err("a link has no mode");

        assert_eq!(error.errno(), Errno::OPNOTSUPP);
        assert_eq!(stat_at(&dir, "target").expect("stat").st_mode, before);
    }

    #[test]
    fn a_path_that_leaves_the_root_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = open_dir(temp.path()).expect("open");
        let error = open_beneath(&dir, "../etc", OFlags::PATH, ResolveFlags::empty()).expect_err("left the root");
        assert_eq!(error.errno(), Errno::XDEV);
    }
}
