//! One inode beside what its entry says.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use plyfs_sys::buffer::Buffer;
use plyfs_sys::fs::{self, FileType, Stat};
use plyfs_sys::{CallError, xattr};
use rustix::io::Errno;

use super::expected::Facts;
use crate::Dialect;
use crate::apply::key;
use crate::archive::{Extent, Kind, Time};
use crate::layout::{BUFFER, CAPABILITY, XFS_ACCESS_LISTS};
use crate::tar_split::Crc64;

/// What is under a name of a directory.
#[derive(Clone, Copy)]
pub(super) struct Inode<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    pub(super) stat: &'a Stat,
}

impl Inode<'_> {
    fn file_type(self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(super) fn has_type_of(self, facts: &Facts) -> bool {
        let expected = match facts.kind {
            Kind::File => FileType::RegularFile,
            Kind::Directory => FileType::Directory,
            Kind::Symlink => FileType::Symlink,
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::HardLink | Kind::Other(_) => return true,
        };
        self.file_type() == expected
    }

    pub(super) fn type_name(self) -> &'static str {
        match self.file_type() {
            FileType::RegularFile => "a file",
            FileType::Directory => "a directory",
            FileType::Symlink => "a symbolic link",
            FileType::CharacterDevice => "a character device",
            FileType::BlockDevice => "a block device",
            FileType::Fifo => "a named pipe",
            FileType::Socket => "a socket",
            FileType::Unknown => "of an unknown type",
        }
    }

    /// What of it is not as the entry says, in words.
    pub(super) fn differences(self, facts: &Facts) -> Result<Vec<String>, CallError> {
        let mut wrong = Vec::new();
        let stat = self.stat;
        if (stat.st_uid, stat.st_gid) != facts.owner {
            let (uid, gid) = facts.owner;
            wrong.push(format!("belongs to {}:{}, not {uid}:{gid}", stat.st_uid, stat.st_gid));
        }
        let mode = stat.st_mode & 0o7777;
        if facts.kind != Kind::Symlink && mode != facts.mode {
            wrong.push(format!("has the mode {mode:04o}, not {:04o}", facts.mode));
        }
        if !is_time(stat, facts.mtime) {
            let Time { seconds, nanoseconds } = facts.mtime;
            let (there, fraction) = (stat.st_mtime, stat.st_mtime_nsec);
            wrong.push(format!("was changed at {there}.{fraction:09}, not {seconds}.{nanoseconds:09}"));
        }
        self.content(facts, &mut wrong)?;
        self.attributes(facts, &mut wrong)?;
        Ok(wrong)
    }

    /// Compares what the record of a file's content does not.
    fn content(self, facts: &Facts, wrong: &mut Vec<String>) -> Result<(), CallError> {
        match facts.kind {
            Kind::Symlink if fs::read_link_at(self.dir, self.name)?.as_bytes() != facts.link => {
                wrong.push("leads elsewhere".to_owned());
            }
            Kind::CharDevice | Kind::BlockDevice => {
                let (major, minor) = facts.device;
                if self.stat.st_rdev != rustix::fs::makedev(major, minor) {
                    wrong.push(format!("is not the device {major}:{minor}"));
                }
            }
            Kind::File if u64::try_from(self.stat.st_size) != Ok(facts.size) => {
                wrong.push(format!("has {} bytes, not {}", self.stat.st_size, facts.size));
            }
            Kind::File => {
                if let Some((extents, crc)) = &facts.stored
                    && self.checksum(extents)? != Some(*crc)
                {
                    wrong.push("has another content".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The checksum of what a file holds in some stretches; `None` where it ends before.
    fn checksum(self, extents: &[Extent]) -> Result<Option<u64>, CallError> {
        let file = File::from(fs::open_to_read_at(self.dir, self.name)?);
        let failed = |error: std::io::Error| {
            CallError::new("pread64", self.name, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let (mut buffer, mut crc) = (Buffer::new(BUFFER), Crc64::new());
        for extent in extents {
            let mut at = 0;
            while at < extent.length {
                let most = usize::try_from(extent.length - at).unwrap_or(usize::MAX).min(BUFFER);
                let length = file.read_at(&mut buffer.spare()[..most], extent.offset + at).map_err(failed)?;
                if length == 0 {
                    return Ok(None);
                }
                crc.update(&buffer.spare()[..length]);
                at += length as u64;
            }
        }
        Ok(Some(crc.value()))
    }

    /// Compares the attributes that a layer carries.
    fn attributes(self, facts: &Facts, wrong: &mut Vec<String>) -> Result<(), CallError> {
        let names = xattr::list_at(self.dir, self.name)?;
        for (name, value) in &facts.xattrs {
            let name = OsStr::from_bytes(name);
            let there =
                if names.iter().any(|given| given == name) { xattr::get_at(self.dir, self.name, name)? } else { None };
            match there {
                None => wrong.push(format!("lacks the attribute {name:?}")),
                Some(there) if key(&there) != *value => wrong.push(format!("has another attribute {name:?}")),
                Some(_) => {}
            }
        }
        let is_given = |name: &OsStr| facts.xattrs.iter().any(|(given, _)| given == name.as_bytes());
        // The marks of directories are looked at by the walk.
        let is_mark = |name: &OsStr| facts.kind != Kind::Directory && Dialect::owns(name.as_bytes());
        for name in names.iter().filter(|name| (is_compared(name.as_bytes()) && !is_given(name)) || is_mark(name)) {
            wrong.push(format!("has the attribute {name:?}, which is not in the archive"));
        }
        Ok(())
    }
}

/// Says whether an attribute is compared: access lists are not, which the kernel writes in its own way.
pub(super) fn is_compared(name: &[u8]) -> bool {
    let is_trusted = name.starts_with(b"trusted.") && !XFS_ACCESS_LISTS.contains(&name);
    let is_carried = name.starts_with(b"user.") || name == CAPABILITY || (is_trusted && xattr::sees_trusted());
    is_carried && !Dialect::owns(name)
}

/// What an entry is, in words.
pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Directory => "a directory",
        Kind::Symlink => "a symbolic link",
        Kind::HardLink => "a hard link",
        Kind::CharDevice => "a character device",
        Kind::BlockDevice => "a block device",
        Kind::Fifo => "a named pipe",
        Kind::Other(_) => "what no layer holds",
    }
}

/// Says whether this is when the content changed, as exactly as the file system can say.
fn is_time(stat: &Stat, expected: Time) -> bool {
    // Beyond these, file systems cut times off in ways of their own; some keep whole seconds only.
    if i32::try_from(expected.seconds).is_err() {
        return true;
    }
    stat.st_mtime == expected.seconds && (stat.st_mtime_nsec as u32 == expected.nanoseconds || stat.st_mtime_nsec == 0)
}
