//! How a journal is opened.

/// How a journal is opened; the default writes and is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    pub(crate) read_only: bool,
    pub(crate) durable: bool,
    pub(crate) log_limit: u64,
    pub(crate) mapped: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, durable: true, log_limit: 256 << 10, mapped: true }
    }
}

impl Options {
    /// Opens for reading only: nothing is created, locked or written, so reading permission is enough.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Says whether [`write`](crate::Journal::write) syncs before it returns; `true` unless said otherwise.
    ///
    /// With `false` a commit is visible at once and durable when the system gets around to it: a power cut
    /// takes the newest commits, each whole and the newest first, never the journal. For file systems that
    /// forget anyway, such as tmpfs.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Sets the bytes of log after which its content becomes a run; 256 KiB unless said otherwise.
    ///
    /// It bounds what opening reads. Each handle may have its own.
    #[must_use]
    pub fn log_limit(mut self, bytes: u64) -> Self {
        self.log_limit = bytes;
        self
    }

    /// Says whether runs, and the file that tells what is new, are read by `mmap(2)`; `true` unless said otherwise.
    ///
    /// With `false` they are read by `pread(2)`: a look-up costs a system call, a copy and a checksum more, a medium that
    /// fails is an error and not `SIGBUS`, and what was read does not count as memory of this process.
    #[must_use]
    pub fn mapped(mut self, mapped: bool) -> Self {
        self.mapped = mapped;
        self
    }
}
