//! Owner, attributes, mode and times, in the one order that keeps them all (rule 48).
//!
//! Chown clears set-id bits and file capabilities, so owner comes first, then attributes, then mode; times are last,
//! because everything before them counts as a change. Open files are changed through their descriptor, everything else
//! by name in a held directory and never through a symbolic link (rule 40).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use plyfs_sys::fs::{self, Gid, Stat, Timespec, Timestamps, Uid};
use plyfs_sys::{CallError, xattr};
use rustix::fs::{Mode, StatxFlags};
use rustix::io::Errno;

use crate::archive::{Entry, Kind, Time};
use crate::{Dialect, Error, names};

/// Where attributes that belong to a machine rather than to a layer live (rule 23); capabilities are no labels.
const LABELS: [&[u8]; 2] = [b"security.selinux", b"security.SMACK"];

/// How long the name of an attribute may be, its namespace counted, and its value: `linux/limits.h`.
const XATTR_NAME_MAX: usize = 255;
const XATTR_SIZE_MAX: usize = 65_536;

/// Who owns what nothing describes; `None` leaves it to the caller, who may not give it to anyone else.
pub(super) type Owner = Option<(u32, u32)>;

/// What an entry is changed through.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// The same of one that was made here, and its status since: what it has already need not be set.
    New(BorrowedFd<'a>, &'a Stat),
    /// A name in a directory: what cannot be opened without side effects.
    Name(BorrowedFd<'a>, &'a OsStr),
}

/// The mode of a file that nobody else may look into yet.
pub(super) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Who owns what this process makes, but for its group in some directories.
pub(super) fn creator() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// What of its mode a file can be made with: nothing that another could use before its owner is right.
pub(super) fn first_mode(entry: &Entry, creator: (u32, u32)) -> Mode {
    if creator == (entry.uid, entry.gid) { Mode::from_raw_mode(entry.mode & 0o777) } else { PRIVATE }
}

/// The same of a directory, which whoever made it must be able to fill.
pub(super) fn first_dir_mode(entry: &Entry, creator: (u32, u32)) -> Mode {
    let mode = first_mode(entry, creator);
    if mode.contains(Mode::RWXU) { mode } else { Mode::RWXU }
}

/// Closes a file that was just made with this mode to others until its own group is set, where the directory gave it
/// another one.
///
/// Where its group may do what everyone may, whose group it is makes no difference, and nothing is looked at. Nor are the
/// times ever: from then on the kernel would keep the next change apart from what was seen, and write the inode once more.
pub(super) fn ensure_private(file: impl AsFd, entry: &Entry, mode: Mode) -> Result<(), CallError> {
    if (mode.as_raw_mode() >> 3) & 0o7 == mode.as_raw_mode() & 0o7 {
        return Ok(());
    }
    let file = file.as_fd();
    let made = fs::statx_at(file, "", StatxFlags::UID | StatxFlags::GID | StatxFlags::MODE)?;
    if (made.stx_uid, made.stx_gid) == (entry.uid, entry.gid) {
        return Ok(());
    }
    set_mode(file, PRIVATE.as_raw_mode())
}

/// The status of a directory that was just made with [`first_dir_mode`], closed to others as [`ensure_private`] does.
pub(super) fn ensure_private_dir(dir: impl AsFd, entry: &Entry) -> Result<Stat, CallError> {
    let dir = dir.as_fd();
    let status = fs::stat(dir)?;
    if (status.st_uid, status.st_gid) == (entry.uid, entry.gid) || status.st_mode & 0o077 == 0 {
        return Ok(status);
    }
    set_mode(dir, Mode::RWXU.as_raw_mode())?;
    fs::stat(dir)
}

/// Refuses attributes that no file can have, whose refusal by the kernel would read as a failure of the disk; what is left out
/// anyway is not looked at. An attribute of a size that only this file system cannot keep is for that to say.
pub(super) fn check_attributes(entry: &Entry) -> Result<(), Error> {
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| may_carry(name, entry.kind)) {
        let wrong = match (name.len(), value.len()) {
            (0, _) => "an empty name".to_owned(),
            (length, _) if length > XATTR_NAME_MAX => {
                format!("a name of {length} bytes; {XATTR_NAME_MAX} are possible")
            }
            (_, length) if length > XATTR_SIZE_MAX => {
                format!("a value of {length} bytes; {XATTR_SIZE_MAX} are possible")
            }
            _ => continue,
        };
        return Err(names::invalid(&entry.path, &format!("has an attribute {} with {wrong}", names::quoted(name))));
    }
    Ok(())
}

/// Gives `target` what the entry says, but the times of a directory; returns the attributes that were left out.
pub(super) fn restore(target: Target<'_>, entry: &Entry, tolerant: bool) -> Result<Vec<OsString>, CallError> {
    target.set_owner(entry.uid, entry.gid)?;
    let mut dropped = Vec::new();
    for (name, value) in &entry.xattrs {
        if !may_carry(name, entry.kind) {
            dropped.push(told(name));
            continue;
        }
        match target.set_xattr(OsStr::from_bytes(name), value) {
            Err(error) if tolerant && is_unsupported(&error) => dropped.push(told(name)),
            result => result?,
        }
    }
    // An access list among the attributes counts as a change of the mode, and so may a change of the owner.
    let is_mode_right = matches!(target, Target::New(_, made) if entry.xattrs.is_empty() && has_facts_of(made, entry));
    if entry.kind != Kind::Symlink && !is_mode_right {
        target.set_mode(entry.mode)?;
    }
    if entry.kind != Kind::Directory {
        target.set_times(&times(entry))?;
    }
    Ok(dropped)
}

/// The name by which an attribute is reported that was left out: longer than any file can have it, it is cut.
fn told(name: &[u8]) -> OsString {
    OsString::from_vec(name[..name.len().min(XATTR_NAME_MAX)].to_vec())
}

/// Gives a new file, which holds all its content, what the entry says; returns the attributes that were left out, and its
/// status before, which mostly tells what it costs.
pub(super) fn complete(file: &File, entry: &Entry, tolerant: bool) -> Result<(Vec<OsString>, Stat), CallError> {
    // One look, when all is written: it says what is left to set.
    let made = fs::stat(file)?;
    let dropped = restore(Target::New(file.as_fd(), &made), entry, tolerant)?;
    Ok((dropped, made))
}

/// Says whether owner, group and mode are those of the entry.
fn has_facts_of(made: &Stat, entry: &Entry) -> bool {
    (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (entry.uid, entry.gid, entry.mode)
}

/// Removes the attributes that an earlier description left and `entry` does not have.
pub(super) fn forget_xattrs(dir: BorrowedFd<'_>, entry: &Entry) -> Result<(), CallError> {
    for name in xattr::list(dir)? {
        let bytes = name.as_bytes();
        let is_kept = Dialect::owns(bytes) || is_label(bytes) || entry.xattrs.iter().any(|(given, _)| given == bytes);
        if !is_kept {
            xattr::remove(dir, &name)?;
        }
    }
    Ok(())
}

/// Access and modification time as the archive gives them (rule 50); without an access time, that of the modification.
pub(super) fn times(entry: &Entry) -> Timestamps {
    Timestamps { last_access: timespec(entry.atime.unwrap_or(entry.mtime)), last_modification: timespec(entry.mtime) }
}

/// Both times at one moment.
pub(super) fn at(time: Time) -> Timestamps {
    Timestamps { last_access: timespec(time), last_modification: timespec(time) }
}

fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}

pub(super) fn set_times(fd: impl AsFd, times: &Timestamps) -> Result<(), CallError> {
    rustix::fs::futimens(fd, times).map_err(|errno| CallError::new("futimens", "", errno))
}

/// Sets exactly this mode, whatever the umask is.
pub(super) fn set_mode(fd: impl AsFd, mode: u32) -> Result<(), CallError> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(|errno| CallError::new("fchmod", "", errno))
}

pub(super) fn own(fd: impl AsFd, owner: Owner) -> Result<(), CallError> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::fchown(fd, Some(uid), Some(gid)).map_err(|errno| CallError::new("fchown", "", errno))
}

impl Target<'_> {
    pub(super) fn set_owner(self, uid: u32, gid: u32) -> Result<(), CallError> {
        match self {
            Self::New(_, made) if (made.st_uid, made.st_gid) == (uid, gid) => Ok(()),
            Self::Open(fd) | Self::New(fd, _) => own(fd, Some((uid, gid))),
            Self::Name(dir, name) => fs::chown_at(dir, name, uid, gid),
        }
    }

    pub(super) fn set_xattr(self, attribute: &OsStr, value: &[u8]) -> Result<(), CallError> {
        match self {
            Self::Open(fd) | Self::New(fd, _) => xattr::set(fd, attribute, value),
            Self::Name(dir, name) => xattr::set_at(dir, name, attribute, value),
        }
    }

    pub(super) fn set_mode(self, mode: u32) -> Result<(), CallError> {
        match self {
            Self::Open(fd) | Self::New(fd, _) => set_mode(fd, mode),
            Self::Name(dir, name) => fs::chmod_at(dir, name, Mode::from_raw_mode(mode)),
        }
    }

    pub(super) fn set_times(self, times: &Timestamps) -> Result<(), CallError> {
        match self {
            Self::Open(fd) | Self::New(fd, _) => set_times(fd, times),
            Self::Name(dir, name) => fs::set_times_at(dir, name, times),
        }
    }
}

/// Says whether an attribute enters a layer: not OverlayFS' own (rule 19), no label (rule 23), and `user.*` only where
/// the kernel keeps such (rule 21).
pub(crate) fn may_carry(name: &[u8], kind: Kind) -> bool {
    let has_user_attributes = matches!(kind, Kind::File | Kind::Directory);
    !Dialect::owns(name) && !is_label(name) && (has_user_attributes || !name.starts_with(b"user."))
}

pub(super) fn is_label(name: &[u8]) -> bool {
    LABELS.iter().any(|label| name.starts_with(label))
}

fn is_unsupported(error: &CallError) -> bool {
    matches!(error.errno(), Errno::OPNOTSUPP | Errno::PERM)
}
