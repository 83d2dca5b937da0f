//! A failed system call as strace would print it: the call, its subject, the errno.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::ErrorKind;

/// A result of one system call.
pub type Result<T> = std::result::Result<T, CallError>;

/// A system call that failed: `openat("etc/passwd")`, with the errno as its source.
#[derive(Debug, thiserror::Error)]
pub struct CallError {
    call: &'static str,
    subject: Box<str>,
    #[source]
    errno: std::io::Error,
    raw: Errno,
}

impl CallError {
    /// Makes the error of `call` on `subject`.
    pub fn new(call: &'static str, subject: impl AsRef<OsStr>, errno: Errno) -> Self {
        Self { call, subject: escape(subject.as_ref()), errno: errno.into(), raw: errno }
    }

    /// The errno the kernel returned.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.raw
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::from_errno(self.raw)
    }

    /// Says whether the call failed because the name does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.raw == Errno::NOENT
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(\"{}\")", self.call, self.subject)
    }
}

impl From<CallError> for std::io::Error {
    fn from(error: CallError) -> Self {
        let kind = error.errno.kind();
        Self::new(kind, error)
    }
}

/// Prints any name bytes on one line: quotes, backslashes, control and non-UTF-8 bytes are escaped.
fn escape(name: &OsStr) -> Box<str> {
    name.as_bytes()
        .utf8_chunks()
        .fold(String::new(), |mut text, chunk| {
            text.extend(chunk.valid().chars().flat_map(|c| {
                let quoted = matches!(c, '"' | '\\') || c.is_control();
                let escaped = quoted.then(|| c.escape_default().to_string());
                escaped.unwrap_or_else(|| c.to_string()).chars().collect::<Vec<_>>()
            }));
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            text
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_any_bytes_prints_on_one_line() {
        let error = CallError::new("openat", OsStr::from_bytes(b"a\n\"\\\xff\xc3\xa4"), Errno::NOENT);
        assert_eq!(error.to_string(), "openat(\"a\\n\\\"\\\\\\xff\u{e4}\")");
    }
}
