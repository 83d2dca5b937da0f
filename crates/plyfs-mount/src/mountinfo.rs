//! The kernel's table of mounts, `/proc/<pid>/mountinfo`, byte for byte.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! │  │  │    │     │     │          │          │    │         └ options of the file system
//! │  │  │    │     │     │          │          │    └ source
//! │  │  │    │     │     │          │          └ type
//! │  │  │    │     │     │          └ any number of tagged fields
//! │  │  │    │     │     └ options of the mount
//! │  │  │    │     └ mount point, from the reader's root
//! │  │  │    └ root of the mount within its file system
//! │  │  └ device
//! │  └ parent
//! └ id
//! ```
//!
//! Paths are any bytes, with space, tab, newline and backslash as three octal digits. Lines have no bound: an overlay of
//! 400 layers is one line of tens of kilobytes.

mod parse;
mod table;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub use parse::parse;
pub use table::{at, over_upper, read};

use crate::layout::{LOWER, LOWER_APPEND, OVERLAY, UPPER};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The mount's id; reused after the mount has ended.
    pub id: u64,
    /// The id of the mount it lies on.
    pub parent: u64,
    /// Major and minor number, as `st_dev` has them.
    pub device: (u32, u32),
    /// What of its file system the mount shows.
    pub root: PathBuf,
    /// Where it is.
    pub mount_point: PathBuf,
    /// The mount's own options, as `rw,nosuid`.
    pub options: OsString,
    /// Tagged fields, as `shared:3`.
    pub tags: Vec<OsString>,
    /// The file system type.
    pub fs_type: OsString,
    /// The source, which may be any text.
    pub source: OsString,
    /// The file system's options as the table has them, still escaped; see [`Self::super_option`].
    pub super_options: OsString,
}

impl Entry {
    /// The values of every file system option `name`, unescaped, in order; a flag has the value "".
    pub fn super_option<'a>(&'a self, name: &'a str) -> impl Iterator<Item = OsString> + 'a {
        let options = self.super_options.as_bytes().split(|&byte| byte == b',');
        options.filter_map(move |option| {
            let end = option.iter().position(|&byte| byte == b'=').unwrap_or(option.len());
            let value = option.get(end + 1..).unwrap_or_default();
            (&option[..end] == name.as_bytes()).then(|| OsString::from_vec(parse::unescape(value)))
        })
    }

    /// Says whether this is an overlay mount.
    #[must_use]
    pub fn is_overlay(&self) -> bool {
        self.fs_type == OVERLAY
    }

    /// The lower directories of an overlay mount as they were given to the kernel, uppermost first.
    #[must_use]
    pub fn lowers(&self) -> Vec<OsString> {
        let listed = self.super_option(LOWER).flat_map(|list| split_lowers(&list));
        listed.chain(self.super_option(LOWER_APPEND)).collect()
    }

    /// The upper directory of an overlay mount as it was given to the kernel: absolute, or relative to what was then the
    /// current directory of the thread that mounted it.
    #[must_use]
    pub fn upper(&self) -> Option<OsString> {
        self.super_option(UPPER).next().filter(|_| self.is_overlay())
    }

    /// The paths that the upper directory may have: given as a string, it is shown with the backslashes it was given
    /// with; as a descriptor, without.
    pub fn upper_paths(&self) -> impl Iterator<Item = PathBuf> {
        let bare = self.upper().map(|upper| strip_backslashes(upper.as_bytes()));
        self.upper().into_iter().chain(bare).map(PathBuf::from)
    }

    /// Says whether the upper directory's path ends in the components of `tail`.
    ///
    /// Mounts made relative to their store show no more than that; a tail with a layer's random id names one directory
    /// of every copy of a store.
    #[must_use]
    pub fn is_over(&self, tail: impl AsRef<Path>) -> bool {
        self.upper_paths().any(|path| path.ends_with(tail.as_ref()))
    }
}

/// Splits the value of `lowerdir` at its colons, taking the backslashes away (rule 64).
fn split_lowers(list: &OsStr) -> Vec<OsString> {
    let mut lowers = vec![Vec::new()];
    let mut bytes = list.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let last = lowers.last_mut().expect("starts with one and only grows");
        match byte {
            b':' => lowers.push(Vec::new()),
            b'\\' => last.extend(bytes.next()),
            byte => last.push(byte),
        }
    }
    lowers.into_iter().map(OsString::from_vec).collect()
}

fn strip_backslashes(path: &[u8]) -> OsString {
    let mut bytes = path.iter();
    let strip = || bytes.next().and_then(|&byte| if byte == b'\\' { bytes.next().copied() } else { Some(byte) });
    OsString::from_vec(std::iter::from_fn(strip).collect())
}
