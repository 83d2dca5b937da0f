//! What can go wrong in a journal.

use std::io;

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// A journal that cannot be read, or a change that was not made.
}

impl Error {
    /// Wraps a failed call on one of the journal's files.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        let errno = source.raw_os_error().or_else(|| {
            let inner = source.get_ref()?.downcast_ref::<plyfs_sys::CallError>()?;
            Some(inner.errno().raw_os_error())
        });
        let kind = match errno {
            Some(errno) => ErrorKind::from_errno(rustix::io::Errno::from_raw_os_error(errno)),
            None if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            None => ErrorKind::Io,
        };
        Self::new(kind, doing).because(source)
    }

    /// Damage at a place in a file.
    pub(crate) fn damage(file: &str, offset: u64, what: &str) -> Self {
        Self::new(ErrorKind::Corrupt, format!("journal/{file}: offset {offset}: {what}"))
    }
}
