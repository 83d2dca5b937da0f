//! Names that hide: told from their bytes alone, before anything looks at the type (rule 3).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::CallError;
use plyfs_sys::fs::{self, FileType};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::applier::{Applier, Done, failed};
use super::cursor::Purpose;
use super::metadata;
use crate::archive::{Entry, Time};
use crate::chain::is_whiteout_device;
use crate::layout::{OPAQUE_MARKER, WHITEOUT_META_PREFIX, WHITEOUT_PREFIX};
use crate::{Error, ErrorKind, Result, names};

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAYFS: u64 = 0x794c_7630;

/// What a clean path means by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// The root of the layer.
    Root,
    /// Bookkeeping of AUFS, which is no part of the tree (rule 5).
    Aufs,
    /// The mark that hides everything lower layers have in a directory (rule 2).
    Opaque(&'a [u8]),
    /// The mark that hides one name in a directory (rule 1).
    Whiteout(&'a [u8], &'a [u8]),
    /// A directory and a name in it.
    Plain(&'a [u8], &'a [u8]),
}

impl<'a> Name<'a> {
    pub(crate) fn of(path: &'a [u8]) -> Result<Self> {
        let (dir, name) = names::split(path);
        if name.is_empty() {
            return Ok(Self::Root);
        }
        for component in dir.split(|&byte| byte == b'/') {
            if component.starts_with(WHITEOUT_META_PREFIX) {
                return Ok(Self::Aufs);
            }
            if component.starts_with(WHITEOUT_PREFIX) {
                return Err(names::invalid(path, "lies below a whiteout"));
            }
        }
        if name == OPAQUE_MARKER {
            return Ok(Self::Opaque(dir));
        }
        if name.starts_with(WHITEOUT_META_PREFIX) {
            return Ok(Self::Aufs);
        }
        match name.strip_prefix(WHITEOUT_PREFIX) {
            Some(b"" | b"." | b"..") => Err(names::invalid(path, "is a whiteout of nothing")), // rule 4
            Some(hidden) => Ok(Self::Whiteout(dir, hidden)),
            None => Ok(Self::Plain(dir, name)),
        }
    }
}

impl Applier<'_> {
    /// Hides what the lowers have in `dir`, whatever this layer brought into it before (rule 6).
    pub(super) fn make_opaque(&mut self, path: &[u8], dir: &[u8], entry: &Entry) -> Result<Done> {
        if self.cursor.enter(dir, Purpose::Whiteout(entry.mtime))? {
            match self.cursor.names_below_root()? {
                // The kernel heeds no mark on the root of a layer: what is below is hidden name by name.
                Some(names) => names.iter().try_for_each(|name| self.hide(dir, name, entry))?,
                None => self.cursor.make_opaque()?,
            }
        }
        Ok(self.once(path))
    }

    /// Hides one name of the lowers.
    ///
    /// What this layer has under the name stays (rule 8), but a directory no longer shows what lay below it.
    pub(super) fn whiteout(&mut self, path: &[u8], dir: &[u8], name: &[u8], entry: &Entry) -> Result<Done> {
        self.hide(dir, OsStr::from_bytes(name), entry)?;
        Ok(self.once(path))
    }

    fn hide(&mut self, dir: &[u8], name: &OsStr, entry: &Entry) -> Result<()> {
        if self.cursor.enter(dir, Purpose::Whiteout(entry.mtime))? {
            let there = fs::try_stat_at(self.cursor.dir(), name);
            let there = there.map_err(|error| failed("look at", &self.cursor.path_of(name), error))?;
            match there {
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    self.cursor.enter_existing(name)?;
                    self.cursor.make_opaque()?;
                }
                Some(_) => {}
                None if self.cursor.may_be_below(name)? => self.make_whiteout(name)?,
                None => {}
            }
        }
        Ok(())
    }

    fn make_whiteout(&mut self, name: &OsStr) -> Result<()> {
        self.cursor.ask_whiteout(name)?;
        let dir = self.cursor.dir();
        fs::make_node_at(dir, name, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(|error| self.refused(error, name))?;
        // The kernel looks at neither owner nor times; these are the same wherever the layer is applied (rule 55).
        fs::set_times_at(dir, name, &metadata::at(Time::default()))
            .map_err(|error| failed("make a whiteout of", &self.cursor.path_of(name), error))?;
        self.cursor.touch();
        self.cursor.count(name)
    }

    /// The error of a whiteout that could not be made; on OverlayFS itself no privilege helps (rule 17a).
    fn refused(&self, error: CallError, name: &OsStr) -> Error {
        let path = self.cursor.path_of(name);
        let is_overlay = fs::filesystem_magic(self.cursor.dir()).is_ok_and(|magic| magic == OVERLAYFS);
        if error.errno() == Errno::PERM && is_overlay {
            let message =
                format!("make a whiteout of {}: OverlayFS cannot hold another's layers", names::quoted(&path));
            return Error::new(ErrorKind::Unsupported, message).because(error);
        }
        failed("make a whiteout of", &path, error)
    }

    /// Says that a mark was handled; one that comes twice has one line in the record, as vbatts' reader demands.
    fn once(&mut self, path: &[u8]) -> Done {
        match self.record.as_mut().is_none_or(|record| record.may_repeat(path)) {
            true => Done::Empty(path.to_vec()),
            false => Done::Nowhere,
        }
    }
}

/// Says whether a status is of something the layer really has.
pub(super) fn is_present(stat: &fs::Stat) -> bool {
    !is_whiteout_device(stat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_hides_before_any_type_does() {
        let table: [(&str, Option<Name<'_>>); 14] = [
            ("", Some(Name::Root)),
            ("a", Some(Name::Plain(b"", b"a"))),
            ("d/a", Some(Name::Plain(b"d", b"a"))),
            ("d/.wh.a", Some(Name::Whiteout(b"d", b"a"))),
            ("d/.wh..wh..opq", Some(Name::Opaque(b"d"))),
            (".wh..wh..opq", Some(Name::Opaque(b""))),
            (".wh..wh.aufs", Some(Name::Aufs)),
            (".wh..wh.plnk/1.2", Some(Name::Aufs)),
            (".wh..wh.orph/.wh..wh..opq", Some(Name::Aufs)),
            (".wh.", None),
            ("d/.wh..", None),
            ("d/.wh...", None),
            (".wh.d/a", None),
            ("d/.whatever", Some(Name::Plain(b"d", b".whatever"))),
        ];
        for (path, expected) in table {
            assert_eq!(Name::of(path.as_bytes()).ok(), expected, "{path}");
        }
    }
}
