//! The one error of the facade.

pub use plyfs_store::ErrorKind;
pub use plyfs_sys::report;

/// Anything that went wrong behind the facade; [`Self::kind`] is what a caller can act on.
///
/// `Display` says what failed at the outermost level; [`report`] adds the causes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Inner);

#[derive(Debug, thiserror::Error)]
enum Inner {
    #[error(transparent)]
    Store(#[from] plyfs_store::Error),
    #[error(transparent)]
    Image(#[from] plyfs_image::Error),
    #[error(transparent)]
    Link(#[from] plyfs_link::Error),
    #[error(transparent)]
    Diff(#[from] plyfs_diff::Error),
}

/// A result with the facade's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            Inner::Store(error) => error.kind(),
            Inner::Image(error) => error.kind(),
            Inner::Link(error) => error.kind(),
            Inner::Diff(error) => error.kind(),
        }
    }
}

macro_rules! from {
    ($($source:ty),*) => {
        $(impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Self(source.into())
            }
        })*
    };
}

from!(plyfs_store::Error, plyfs_image::Error, plyfs_link::Error, plyfs_diff::Error);

/// The kind of what a reader that the library gave, such as a [`BlobReader`](crate::BlobReader), failed with; `None` when that
/// is no error of the library's own, but of a system call, say.
#[must_use]
pub fn kind_of(error: &std::io::Error) -> Option<ErrorKind> {
    error.get_ref()?.downcast_ref::<plyfs_store::Error>().map(plyfs_store::Error::kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_has_a_kind_where_the_library_failed_it() {
        let ours = std::io::Error::from(plyfs_store::Error::new(ErrorKind::Corrupt, "other bytes"));
        assert_eq!(kind_of(&ours), Some(ErrorKind::Corrupt));
        assert_eq!(kind_of(&std::io::Error::from_raw_os_error(5)), None);
    }

    #[test]
    fn a_report_says_each_level_once() {
        let inner = plyfs_store::Error::new(ErrorKind::Io, "inner");
        let error = Error::from(plyfs_store::Error::new(ErrorKind::NotFound, "outer").because(inner));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(report(&error), "outer: inner");
    }

    #[test]
    fn a_failed_system_call_is_reported_in_lower_case_and_without_its_number() {
        let error = plyfs_image::Source::path("no-such-file").expect_err("it is not there");
        assert_eq!(report(&Error::from(error)), "open no-such-file: no such file or directory");
    }
}
