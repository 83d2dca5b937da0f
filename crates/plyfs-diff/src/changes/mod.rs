//! What an upper directory changes in what the chain below it shows.
//!
//! The answer is that of `docker diff`, which compares two merged trees; only the upper is walked here, since what it
//! does not name cannot differ.

mod compare;
mod walk;

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub(crate) use compare::{facts, is_same_content};
pub use walk::Changes;

use crate::{Chain, Result};

/// One path that a layer changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path from the root, which is `/`.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What a layer does to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// No lower shows it.
    Added,
    /// A lower shows it otherwise, maybe as another type (rule 33), or something below it changed (rule 32).
    Modified,
    /// A lower shows it and the layer does not; what was below it is not listed.
    Deleted,
}

/// Lists what `upper` changes in what `chain` shows, sorted bytewise by path.
///
/// A file that was copied up and is as it was is no change. Compared are type, mode, owner, device number and file
/// capabilities, and of anything but directories also length and modification time (rule 30); where a regular file
/// differs in none of those, its content decides, so that an edit whose time was set back is found. Parents of a change
/// are listed as modified (rule 32).
///
/// Changes are found while the iterator is read. A directory that was renamed without its content is listed with what the
/// chain has for it (rule 25); what changes under the reader is [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
#[doc(alias = "Changes")]
pub fn changes(upper: impl AsFd, chain: &Chain) -> Result<Changes> {
    Changes::new(upper.as_fd(), chain)
}

impl ChangeKind {
    /// The letter `docker diff` prints.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'C',
            Self::Deleted => 'D',
        }
    }
}

impl fmt::Display for Change {
    /// Prints `A /path` on one line: control characters, backslashes and bytes that are not UTF-8 are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.letter())?;
        for chunk in self.path.as_os_str().as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || character == '\\' {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_change_prints_on_one_line_whatever_its_name_is() {
        for (name, printed) in [
            (&b"/etc/hosts"[..], "C /etc/hosts"),
            ("/caf\u{e9} \"x\"".as_bytes(), "C /caf\u{e9} \"x\""),
            (b"/a\nb\\c\xff\x1b", "C /a\\nb\\\\c\\xff\\u{1b}"),
        ] {
            let change = Change { path: OsStr::from_bytes(name).into(), kind: ChangeKind::Modified };
            assert_eq!(change.to_string(), printed);
        }
    }
}
