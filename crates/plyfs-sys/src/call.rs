//! A failed system call as strace would print it: the call, its subject, the errno.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::ErrorKind;

/// A result of one system call.
pub type Result<T> = std::result::Result<T, CallError>;

/// A system call that failed: `openat("etc/passwd")`, with the errno as its source.
#[derive(Debug, thiserror::Error)]
pub struct CallError {
    call: &'static str,
    subject: Box<str>,
    #[source]
    reason: Reason,
}

/// What an errno means, in the words of the C library: lower case, without its number.
#[derive(Debug)]
struct Reason(Errno);

impl std::error::Error for Reason {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&std::io::Error::from(self.0)))?;
        match (self.0, getrlimit(Resource::Nofile).current) {
            // There is a limit of the process and one of the machine; a person has to know which.
            (Errno::MFILE, Some(limit)) => write!(f, ": this process may hold {limit} (RLIMIT_NOFILE)"),
            _ => Ok(()),
        }
    }
}

/// What an I/O error says, as this project says it: lower case, without its number.
#[must_use]
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    // An acronym such as RFS keeps its capitals.
    let is_word = text.chars().nth(1).is_some_and(char::is_lowercase);
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    if is_word { format!("{}{rest}", first.to_lowercase()) } else { text.to_owned() }
}

/// An error and its causes on one line, outermost first, as all doors print it.
#[must_use]
pub fn report(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| match cause.downcast_ref::<std::io::Error>() {
        Some(call) if call.raw_os_error().is_some() => format!("{text}: {}", plain(call)),
        _ => format!("{text}: {cause}"),
    })
}

impl CallError {
    /// Makes the error of `call` on `subject`.
    pub fn new(call: &'static str, subject: impl AsRef<OsStr>, errno: Errno) -> Self {
        Self { call, subject: escape(subject.as_ref()), reason: Reason(errno) }
    }

    /// The errno the kernel returned.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.reason.0
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::from_errno(self.errno())
    }

    /// Says whether the call failed because the name does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.errno() == Errno::NOENT
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(\"{}\")", self.call, self.subject)
    }
}

impl From<CallError> for std::io::Error {
    fn from(error: CallError) -> Self {
        let kind = std::io::Error::from(error.errno()).kind();
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
    fn a_reason_is_lower_case_and_has_no_number() {
        use std::error::Error;
        let error = CallError::new("openat", "x", Errno::NOENT);
        assert_eq!(error.source().expect("an errno").to_string(), "no such file or directory");
    }

    #[test]
    fn a_limit_that_is_reached_is_named_with_what_it_is() {
        use std::error::Error;
        let error = CallError::new("openat", "x", Errno::MFILE);
        let limit = getrlimit(Resource::Nofile).current.expect("tests run with one");
        let told = format!("too many open files: this process may hold {limit} (RLIMIT_NOFILE)");
        assert_eq!(error.source().expect("an errno").to_string(), told);
    }

    #[test]
    fn a_name_with_any_bytes_prints_on_one_line() {
        let error = CallError::new("openat", OsStr::from_bytes(b"a\n\"\\\xff\xc3\xa4"), Errno::NOENT);
        assert_eq!(error.to_string(), "openat(\"a\\n\\\"\\\\\\xff\u{e4}\")");
    }
}
