//! What OverlayFS writes into layers instead of content: whiteouts, opaque directories, redirects, metacopies.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::fs::{FileType, Stat};
use plyfs_sys::{CallError, xattr};

use crate::Dialect;
use crate::layout::{CAPABILITY, OPAQUE_VALUE, XWHITEOUTS_VALUE};

/// The marks of one directory of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DirMarks {
    /// Nothing of the same directory in lower layers shows through.
    pub(crate) is_opaque: bool,
    /// Empty regular files in it may be whiteouts (rule 15).
    pub(crate) has_xwhiteouts: bool,
    /// Its lower content lies under another name (rule 25).
    pub(crate) is_redirected: bool,
    /// It carries file capabilities: no mark, but the same call tells it (rule 30).
    pub(crate) has_capability: bool,
}

impl DirMarks {
    /// Reads the marks of an open directory.
    pub(crate) fn read(dir: impl AsFd, dialect: Dialect) -> Result<Self, CallError> {
        let dir = dir.as_fd();
        let names = xattr::list(dir)?;
        let has = |mark: &str| names.iter().any(|name| name == mark);
        let opaque = if has(dialect.opaque()) { xattr::get(dir, dialect.opaque())? } else { None };
        Ok(Self {
            // Only the exact value counts, as for the kernel (rule 13).
            is_opaque: opaque.as_deref() == Some(OPAQUE_VALUE),
            has_xwhiteouts: opaque.as_deref() == Some(XWHITEOUTS_VALUE),
            is_redirected: has(dialect.redirect()),
            has_capability: names.iter().any(|name| name.as_bytes() == CAPABILITY),
        })
    }
}

/// Says whether an inode is the character device 0:0 that hides a name.
pub(crate) fn is_whiteout_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Says whether `name` in a directory with `marks` hides the name in lower layers, in either form.
pub(crate) fn is_whiteout(
    dir: impl AsFd,
    name: &OsStr,
    stat: &Stat,
    marks: DirMarks,
    dialect: Dialect,
) -> Result<bool, CallError> {
    let may_be_marked =
        marks.has_xwhiteouts && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
    if !may_be_marked {
        return Ok(is_whiteout_device(stat));
    }
    Ok(xattr::get_at(dir, name, dialect.whiteout())?.is_some())
}

/// Says whether the open file was copied up without its content (rule 25).
pub(crate) fn is_metacopy(file: impl AsFd, dialect: Dialect) -> Result<bool, CallError> {
    Ok(xattr::get(file, dialect.metacopy())?.is_some())
}
