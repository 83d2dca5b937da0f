//! What can go wrong in a store.

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// An operation on a store that failed; it left the store as it was unless its documentation says more.
}

/// Wraps an error of a crate below, keeping its kind; the message says what the store was doing.
macro_rules! wrap {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl Error {
            $(pub(crate) fn $name(message: impl Into<String>, source: $type) -> Self {
                Self::new(source.kind(), message).because(source)
            })*
        }
    };
}

wrap! { journal: plyfs_journal::Error, link: plyfs_link::Error, mount: plyfs_mount::Error }

impl Error {
    /// There is no such thing.
    pub(crate) fn absent(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what}: not found"))
    }

    /// There is such a thing already.
    pub(crate) fn taken(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::Exists, format!("{what}: exists already"))
    }

    /// Wraps an error of the standard library; it is of the kind `otherwise` where no call failed.
    pub(crate) fn io(message: impl Into<String>, source: std::io::Error, otherwise: ErrorKind) -> Self {
        let kind = rustix::io::Errno::from_io_error(&source).map_or(otherwise, ErrorKind::from_errno);
        Self::new(kind, message).because(source)
    }

    /// Wraps an error of `plyfs-diff`; when a reader or writer handed in by the caller stopped it, its kind is kept.
    pub(crate) fn diff(message: impl Into<String>, source: plyfs_diff::Error) -> Self {
        let kind = foreign_kind(&source).unwrap_or(source.kind());
        Self::new(kind, message).because(source)
    }
}

impl From<plyfs_journal::Error> for Error {
    fn from(source: plyfs_journal::Error) -> Self {
        Self::journal("journal", source)
    }
}

/// The kind of a store error that travelled inside an `io::Error` through a reader or writer.
fn foreign_kind(error: &dyn std::error::Error) -> Option<ErrorKind> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(error) = source.downcast_ref::<Error>() {
            return Some(error.kind());
        }
        // `io::Error::source` skips the error it wraps and answers with that one's source.
        if let Some(kind) = source.downcast_ref::<std::io::Error>().and_then(inner_kind) {
            return Some(kind);
        }
        next = source.source();
    }
    None
}

fn inner_kind(error: &std::io::Error) -> Option<ErrorKind> {
    error.get_ref()?.downcast_ref::<Error>().map(Error::kind)
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
