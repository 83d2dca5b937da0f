//! The error of this crate, and how text from outside appears in its messages.
//!
//! Malformed structure (no manifest, bad JSON, a bad name) is `InvalidInput`; bytes that are not what a digest,
//! a size or a format says, or that are missing, are `Corrupt`; what is well-formed but not for this crate is
//! `Unsupported` and named.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// What went wrong while an image came in or went out.
    ///
    /// `Display` says what this level adds; the cause, if any, is reached by `source()`.
}

/// The longest piece of foreign text a message repeats.
const SHOWN: usize = 120;

impl Error {
    /// Adds one level: what was being done when `cause` happened; the kind stays that of the cause.
    pub(crate) fn wrap(message: impl Into<String>, cause: Self) -> Self {
        Self::new(cause.kind(), message).because(cause)
    }

    /// Adds one level to an error of the store, whose kind is kept.
    pub(crate) fn store(message: impl Into<String>, cause: plyfs_store::Error) -> Self {
        Self::new(cause.kind(), message).because(cause)
    }

    /// Adds one level to an error of the changeset crate, whose kind is kept.
    pub(crate) fn diff(message: impl Into<String>, cause: plyfs_diff::Error) -> Self {
        Self::new(cause.kind(), message).because(cause)
    }

    /// Wraps an error of an I/O trait: an `Error` or a failed system call travelling inside keeps its kind.
    pub(crate) fn io(message: impl Into<String>, cause: io::Error) -> Self {
        Self::new(kind_of(&cause), message).because(cause)
    }

    /// Passes through a [`Read`](io::Read) or [`Write`](io::Write); [`Error::io`] on the other side knows its kind.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

/// The kind of an I/O error: of the error with a kind it carries, else of its errno, else of its Rust kind.
fn kind_of(error: &io::Error) -> ErrorKind {
    if let Some(known) = known_kind(error) {
        return known;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ErrorKind::Corrupt,
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Io,
    }
}

/// Says whether an I/O error comes from a system call or from an error of plyfs, not from a decoder's judgement.
pub(crate) fn is_from_below(error: &io::Error) -> bool {
    known_kind(error).is_some()
}

fn known_kind(error: &io::Error) -> Option<ErrorKind> {
    if let Some(errno) = error.raw_os_error() {
        return Some(ErrorKind::from_errno(rustix::io::Errno::from_raw_os_error(errno)));
    }
    let mut cause: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if let Some(known) = inner.downcast_ref::<Error>() {
            return Some(known.kind());
        }
        if let Some(known) = inner.downcast_ref::<plyfs_store::Error>() {
            return Some(known.kind());
        }
        if let Some(known) = inner.downcast_ref::<plyfs_diff::Error>() {
            return Some(known.kind());
        }
        if let Some(call) = inner.downcast_ref::<plyfs_sys::CallError>() {
            return Some(call.kind());
        }
        cause = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(nested) => Some(nested as _),
            None => inner.source(),
        };
    }
    None
}

/// Refuses more of something than is read: `what: 5 names, and 4 are the most`.
pub(crate) fn at_most<N: PartialOrd + Display>(most: N, count: N, what: &str, noun: &str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("{what}: {count} {noun}, and {most} are the most")))
}

/// The longest text of another's error that a message repeats, foreign text in it included.
const BOUND: usize = 300;

/// The text of another's error on one line, bounded.
pub(crate) fn bounded(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().map(plain).take(BOUND).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Foreign text as a message may repeat it: quoted, on one line, bounded.
pub(crate) fn shown(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let cut = &text[..text.len().min(SHOWN)];
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_passed_through_a_reader_keeps_its_kind() {
        let inner = Error::new(ErrorKind::Cancelled, "stopped");
        let nested = io::Error::other(inner.into_io());
        assert_eq!(Error::io("read layer", nested).kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn a_full_disk_is_told_by_its_errno() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        assert_eq!(Error::io("write", full).kind(), ErrorKind::NoSpace);
    }

    #[test]
    fn foreign_text_stays_on_one_line_and_is_bounded() {
        assert_eq!(shown("a\n\"b"), r#""a\n\"b""#);
        assert!(shown(vec![b'x'; 1 << 20]).len() < 200, "a hostile name does not fill the message");
    }
}
