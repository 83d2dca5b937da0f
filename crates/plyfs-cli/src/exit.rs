//! How a failure ends the program: one line, its hints, and the exit code of its kind.

use std::fmt;

use plyfs::ErrorKind;

/// The exit code of a wrong command line, as clap ends with.
pub(crate) const USAGE: u8 = 2;

/// The exit code when whoever reads an archive or a file goes away before its end: a shell's number for SIGPIPE.
pub(crate) const CUT_SHORT: u8 = 128 + 13;

/// A result with what ends the program.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: Cause,
    hints: Vec<String>,
}

#[derive(Debug)]
enum Cause {
    /// The library refused.
    Library(plyfs::Error),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// A file or stream of the command's own failed.
    Stream { doing: String, error: std::io::Error },
    /// Nobody reads standard output any more; `cuts` says whether that leaves half of an archive or of a file somewhere.
    ReaderGone { cuts: bool },
}

impl Failure {
    fn of(cause: Cause) -> Self {
        Self { cause, hints: Vec::new() }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::of(Cause::Usage(message.into()))
    }

    /// A file or stream of the command's own failed.
    pub(crate) fn stream(doing: impl Into<String>, error: std::io::Error) -> Self {
        Self::of(Cause::Stream { doing: doing.into(), error })
    }

    /// Nobody reads standard output any more: the quiet end of `plyfs … | head`, and of `plyfs save … | ssh` half way.
    pub(crate) fn reader_gone(cuts: bool) -> Self {
        Self::of(Cause::ReaderGone { cuts })
    }

    /// Says whether there is nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.cause, Cause::ReaderGone { .. })
    }

    /// The kind, where the failure has one.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match &self.cause {
            Cause::Library(error) => Some(error.kind()),
            Cause::Stream { error, .. } => {
                Some(rustix::io::Errno::from_io_error(error).map_or(ErrorKind::Io, ErrorKind::from_errno))
            }
            Cause::Usage(_) | Cause::ReaderGone { .. } => None,
        }
    }

    /// The exit code: that of the kind, [`USAGE`], or when the reader went away 0 for a listing and [`CUT_SHORT`] for data.
    pub(crate) fn code(&self) -> u8 {
        match (&self.cause, self.kind()) {
            (_, Some(kind)) => u8::try_from(kind.code()).unwrap_or(1),
            (Cause::ReaderGone { cuts: true }, None) => CUT_SHORT,
            (Cause::ReaderGone { cuts: false }, None) => 0,
            (_, None) => USAGE,
        }
    }

    /// What the person may do next: what the command knew, else what the kind says to anybody.
    pub(crate) fn hints(&self) -> Vec<String> {
        if !self.hints.is_empty() {
            return self.hints.clone();
        }
        match &self.cause {
            Cause::Library(error) => {
                let is_root = rustix::process::geteuid().is_root();
                common_hint(error.kind(), is_root).map(str::to_owned).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }
}

/// What helps where a container is read while somebody writes in it.
pub(crate) const WRITTEN: &str = "stop what writes in the container, or unmount it, and try again";

/// What helps where a file system other than the store's may be full.
const NO_ROOM: &str = "make room where it is written to; `plyfs prune` does so on the store's own file system alone";

/// What helps a person who may not.
pub(crate) const AS_ROOT: &str = "run it as root";

/// What helps whatever the command was.
fn common_hint(kind: ErrorKind, is_root: bool) -> Option<&'static str> {
    match kind {
        ErrorKind::Permission if !is_root => Some(AS_ROOT),
        ErrorKind::Conflict => Some("somebody changed it meanwhile: try again"),
        ErrorKind::NoSpace | ErrorKind::NoInodes => Some("`plyfs prune` removes what nothing uses"),
        ErrorKind::Poisoned => Some("run the command again: the next open decides what was kept"),
        _ => None,
    }
}

impl fmt::Display for Failure {
    /// The failure and its causes on one line, whatever bytes its names hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.cause {
            Cause::Library(error) => plyfs::report(error),
            Cause::Usage(message) => message.clone(),
            Cause::Stream { doing, error } => format!("{doing}: {}", plain(error)),
            Cause::ReaderGone { .. } => "standard output: nobody reads it".to_owned(),
        };
        f.write_str(&crate::human::one_line(&text))
    }
}

/// An I/O error in this program's own style: no number, no capital.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

impl<E: Into<plyfs::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(Cause::Library(error.into()))
    }
}

/// Adds hints where the command knows more than the error.
pub(crate) trait Hinted<T> {
    /// Adds `hint` when the failure is of this kind.
    fn hint_on(self, kind: ErrorKind, hint: impl Into<String>) -> Result<T>;

    /// Says where room is missing for what is written outside the store.
    fn hint_no_room(self) -> Result<T>;
}

impl<T, E: Into<Failure>> Hinted<T> for Result<T, E> {
    fn hint_on(self, kind: ErrorKind, hint: impl Into<String>) -> Result<T> {
        self.map_err(|error| {
            let failure: Failure = error.into();
            if failure.kind() == Some(kind) { failure.hint(hint) } else { failure }
        })
    }

    fn hint_no_room(self) -> Result<T> {
        self.hint_on(ErrorKind::NoSpace, NO_ROOM).hint_on(ErrorKind::NoInodes, NO_ROOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_exit_code_of_its_own_and_stands_in_the_help() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        assert_eq!(codes, (3..=19).collect::<Vec<_>>(), "0 is success, 1 no kind, 2 the command line");
        let numbers: Vec<i32> =
            crate::cli::EXIT_CODES.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(codes.iter().all(|code| numbers.contains(code)), "{numbers:?}");
        assert!(numbers.contains(&i32::from(CUT_SHORT)), "{numbers:?}");
    }

    #[test]
    fn each_kind_has_its_code_and_its_hint() {
        let row = |kind: ErrorKind| {
            let hint = common_hint(kind, false).unwrap_or("-");
            format!("{:<14} {:>2}  {hint}", kind.name(), kind.code())
        };
        let table = ErrorKind::ALL.map(row).join("\n");
        insta::assert_snapshot!(table);
        assert_eq!(common_hint(ErrorKind::Permission, true), None, "root is told nothing it could do");
    }

    #[test]
    fn a_failure_of_the_library_ends_with_the_code_of_its_kind() {
        let failure = Failure::from("../x".parse::<plyfs::ContainerName>().expect_err("a path is no name"));
        assert_eq!(i32::from(failure.code()), ErrorKind::InvalidInput.code());
        assert!(failure.to_string().contains("../x"), "{failure}");
    }

    #[test]
    fn a_failed_stream_ends_with_the_code_of_its_errno() {
        let failure = Failure::stream("open x", rustix::io::Errno::NOENT.into());
        assert_eq!(i32::from(failure.code()), ErrorKind::NotFound.code());
        assert_eq!(failure.to_string(), "open x: no such file or directory");
    }

    #[test]
    fn a_failure_is_one_line_whatever_it_names() {
        let failure = Failure::usage("a\nb\x1b[31m");
        assert_eq!(failure.to_string(), "a\\nb\\u{1b}[31m");
        assert_eq!(failure.code(), USAGE);
    }

    #[test]
    fn a_reader_that_went_away_is_success_unless_it_took_half_of_something() {
        for (cuts, code) in [(false, 0), (true, CUT_SHORT)] {
            let failure = Failure::reader_gone(cuts);
            assert!(failure.is_quiet());
            assert_eq!(failure.code(), code);
        }
    }

    #[test]
    fn hints_of_the_command_stand_before_those_of_the_kind() {
        let full = || Err::<(), _>(Failure::stream("write", rustix::io::Errno::NOSPC.into()));
        let failure = full().hint_on(ErrorKind::NoSpace, "elsewhere").expect_err("full");
        assert_eq!(failure.hints(), ["elsewhere"]);
        let failure = full().hint_on(ErrorKind::NotFound, "elsewhere").expect_err("full");
        assert!(failure.hints().is_empty(), "another file system's space is not the store's");
    }
}
