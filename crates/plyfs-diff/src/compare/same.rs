//! Whether two inodes are the same to whoever looks at the trees (rules 30, 31).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::xattr;

use crate::changes::{facts, is_same_content};
use crate::export::Style;
use crate::layout::{BUFFER, CAPABILITY};
use crate::{Error, Found, Merged, Result, upper};

/// One of the two.
pub(super) trait Inode {
    fn stat(&self) -> &Stat;
    /// Itself, if it is a directory.
    fn directory(&self) -> Option<&Merged>;
    /// The directory of the layer that has it, and its name there.
    fn place(&self) -> (BorrowedFd<'_>, &OsStr);
    fn parent(&self) -> &Merged;
}

/// Says whether nothing shows that one is not the other.
pub(super) fn is_same(was: &impl Inode, now: &impl Inode, style: Style, path: &Path) -> Result<bool> {
    let (old, new) = (was.stat(), now.stat());
    let inode = |stat: &Stat| (stat.st_dev, stat.st_ino);
    if was.directory().is_none() && inode(old) == inode(new) {
        return Ok(true);
    }
    if facts(old) != facts(new) {
        return Ok(false);
    }
    if now.directory().is_some() {
        return has_same_capability(was, now, path);
    }
    if old.st_size != new.st_size || old.st_mtime != new.st_mtime {
        return Ok(false);
    }
    let fractions = (old.st_mtime_nsec, new.st_mtime_nsec);
    let times_decide = match style {
        Style::Native => fractions.0 != 0 && fractions.1 != 0,
        Style::Containerd => fractions != (0, 0),
    };
    if times_decide && fractions.0 != fractions.1 {
        return Ok(false);
    }
    // The status says nothing of attributes; they are read last, for that many calls.
    if !has_same_capability(was, now, path)? {
        return Ok(false);
    }
    if times_decide {
        return Ok(true);
    }
    match FileType::from_raw_mode(new.st_mode) {
        FileType::Symlink => Ok(target(was, path)? == target(now, path)?),
        FileType::RegularFile if new.st_size > 0 => has_same_content(was, now, path),
        _ => Ok(true),
    }
}

fn has_same_capability(was: &impl Inode, now: &impl Inode, path: &Path) -> Result<bool> {
    Ok(capability(was, path)? == capability(now, path)?)
}

fn capability(inode: &impl Inode, path: &Path) -> Result<Option<Vec<u8>>> {
    let value = match inode.directory() {
        Some(dir) => dir.capability(),
        None => {
            let (dir, entry) = inode.place();
            xattr::get_at(dir, entry, OsStr::from_bytes(CAPABILITY))
        }
    };
    value.map_err(|error| upper::failed(path, error))
}

fn target(inode: &impl Inode, path: &Path) -> Result<std::ffi::OsString> {
    let (dir, name) = inode.place();
    fs::read_link_at(dir, name).map_err(|error| upper::failed(path, error))
}

fn has_same_content(was: &impl Inode, now: &impl Inode, path: &Path) -> Result<bool> {
    let length = usize::try_from(now.stat().st_size).unwrap_or(BUFFER).clamp(1, BUFFER);
    let same = is_same_content(open(was, path)?, open(now, path)?, length);
    same.map_err(|error| Error::io(format!("compare {path:?}"), error))
}

/// Opens the content, wherever in the chain it lies.
fn open(inode: &impl Inode, path: &Path) -> Result<File> {
    match inode.parent().lookup(inode.place().1)? {
        Some(Found::Other(entry)) => entry.open().map(File::from),
        _ => Err(upper::changed(path)),
    }
}
