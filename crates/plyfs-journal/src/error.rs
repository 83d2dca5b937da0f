//! What can go wrong with a journal.

pub use plyfs_sys::ErrorKind;

plyfs_sys::define_error! {
    /// A journal that is damaged, newer, poisoned or read-only, or a call on its files that failed.
}

impl Error {
    /// The damage at `offset` of the file `name`.
    pub(crate) fn damage(name: &str, offset: u64, what: &str) -> Self {
        Self::new(ErrorKind::Corrupt, format!("journal file {name}, offset {offset}: {what}"))
    }
}

/// Names the file in errors of the disk.
pub(crate) trait Named<T> {
    /// Says which journal file the call was about.
    fn named(self, name: &str) -> Result<T>;
}

impl<T> Named<T> for plyfs_sys::Result<T> {
    fn named(self, name: &str) -> Result<T> {
        self.map_err(|e| Error::call(format!("journal file {name}"), e))
    }
}
