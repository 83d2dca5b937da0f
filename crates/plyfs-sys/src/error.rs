//! The kinds of failure all plyfs crates share, and the shape of their error types.

use rustix::io::Errno;

/// What a caller can act on; each maps to one errno, C code, Python class and exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such layer, image, container, file or store.
    NotFound,
    /// The name or id is taken.
    Exists,
    /// The argument or the archive is malformed; the message names what.
    InvalidInput,
    /// Something else still refers to it: a child layer, an image, a container.
    InUse,
    /// Held by the kernel or by another process for now.
    Busy,
    /// Stored or received bytes are not what their checksum or format says.
    Corrupt,
    /// The kernel, the file system or this version cannot do it.
    Unsupported,
    /// No bytes left on the file system.
    NoSpace,
    /// No inodes left on the file system.
    NoInodes,
    /// A quota is used up.
    QuotaExceeded,
    /// The caller may not do this.
    Permission,
    /// The progress callback asked to stop.
    Cancelled,
    /// A bounded wait ended.
    TimedOut,
    /// The thing changed while it was read.
    Conflict,
    /// The store or the medium is read-only.
    ReadOnly,
    /// A sync failed earlier; nothing is written until the store is reopened.
    Poisoned,
    /// Any other failure of a system call.
    Io,
}

impl ErrorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::NotFound,
        Self::Exists,
        Self::InvalidInput,
        Self::InUse,
        Self::Busy,
        Self::Corrupt,
        Self::Unsupported,
        Self::NoSpace,
        Self::NoInodes,
        Self::QuotaExceeded,
        Self::Permission,
        Self::Cancelled,
        Self::TimedOut,
        Self::Conflict,
        Self::ReadOnly,
        Self::Poisoned,
        Self::Io,
    ];

    /// The name of the kind as all doors spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Exists => "Exists",
            Self::InvalidInput => "InvalidInput",
            Self::InUse => "InUse",
            Self::Busy => "Busy",
            Self::Corrupt => "Corrupt",
            Self::Unsupported => "Unsupported",
            Self::NoSpace => "NoSpace",
            Self::NoInodes => "NoInodes",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::Permission => "Permission",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "TimedOut",
            Self::Conflict => "Conflict",
            Self::ReadOnly => "ReadOnly",
            Self::Poisoned => "Poisoned",
            Self::Io => "Io",
        }
    }

    /// The number of the kind: the exit code of the command and the status of the C door.
    ///
    /// Numbers are never reused. 0 is success, 1 any failure without a kind, 2 a wrong command line.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::NotFound => 3,
            Self::Exists => 4,
            Self::InvalidInput => 5,
            Self::InUse => 6,
            Self::Busy => 7,
            Self::Corrupt => 8,
            Self::Unsupported => 9,
            Self::NoSpace => 10,
            Self::NoInodes => 11,
            Self::QuotaExceeded => 12,
            Self::Permission => 13,
            Self::Cancelled => 14,
            Self::TimedOut => 15,
            Self::Conflict => 16,
            Self::ReadOnly => 17,
            Self::Poisoned => 18,
            Self::Io => 19,
        }
    }

    /// The kind an errno means where nothing more is known.
    ///
    /// `ENOSPC` is [`Self::NoSpace`]; whether inodes ran out instead only `statfs` can tell.
    #[must_use]
    pub fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST | Errno::NOTEMPTY => Self::Exists,
            Errno::INVAL | Errno::NAMETOOLONG | Errno::ISDIR | Errno::NOTDIR | Errno::LOOP => Self::InvalidInput,
            Errno::BUSY | Errno::TXTBSY | Errno::WOULDBLOCK => Self::Busy,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV => Self::Unsupported,
            Errno::NOSPC => Self::NoSpace,
            Errno::DQUOT => Self::QuotaExceeded,
            Errno::ACCESS | Errno::PERM => Self::Permission,
            Errno::CANCELED => Self::Cancelled,
            Errno::TIMEDOUT => Self::TimedOut,
            Errno::ROFS => Self::ReadOnly,
            _ => Self::Io,
        }
    }

    /// The errno that stands for this kind at doors that speak errno.
    #[must_use]
    pub fn errno(self) -> Errno {
        match self {
            Self::NotFound => Errno::NOENT,
            Self::Exists => Errno::EXIST,
            Self::InvalidInput => Errno::INVAL,
            Self::InUse => Errno::NOTEMPTY,
            Self::Busy => Errno::BUSY,
            Self::Corrupt => Errno::BADMSG,
            Self::Unsupported => Errno::OPNOTSUPP,
            Self::NoSpace | Self::NoInodes => Errno::NOSPC,
            Self::QuotaExceeded => Errno::DQUOT,
            Self::Permission => Errno::PERM,
            Self::Cancelled => Errno::CANCELED,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::Conflict => Errno::STALE,
            Self::ReadOnly => Errno::ROFS,
            Self::Poisoned => Errno::NOTRECOVERABLE,
            Self::Io => Errno::IO,
        }
    }
}

/// Defines a crate's opaque `Error` and its `Result`.
///
/// The type has `kind()`, `new(kind, message)` and `because(source)`; `Display` says only what this level
/// adds, the causes are reached by `source()`. The invoking crate depends on `thiserror`.
#[macro_export]
macro_rules! define_error {
    ($(#[$doc:meta])*) => {
        $(#[$doc])*
        #[derive(Debug, thiserror::Error)]
        #[error("{message}")]
        pub struct Error {
            kind: $crate::ErrorKind,
            message: Box<str>,
            source: Option<Box<dyn ::std::error::Error + Send + Sync + 'static>>,
        }

        impl Error {
            /// Makes an error that nothing lower down caused.
            pub fn new(kind: $crate::ErrorKind, message: impl Into<String>) -> Self {
                Self { kind, message: message.into().into(), source: None }
            }

            /// Adds the cause that `source()` will return.
            #[must_use]
            pub fn because(mut self, source: impl ::std::error::Error + Send + Sync + 'static) -> Self {
                self.source = Some(Box::new(source));
                self
            }

            /// Wraps a failed system call, keeping its kind.
            pub fn call(message: impl Into<String>, source: $crate::CallError) -> Self {
                Self::new(source.kind(), message).because(source)
            }

            /// What a caller can act on.
            #[must_use]
            pub fn kind(&self) -> $crate::ErrorKind {
                self.kind
            }
        }

        /// A result with this crate's [`Error`].
        pub type Result<T, E = Error> = ::std::result::Result<T, E>;
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_a_kind_stands_for_reads_back_as_that_kind_where_one_errno_has_one_meaning() {
        for kind in ErrorKind::ALL {
            let back = ErrorKind::from_errno(kind.errno());
            let expected = match kind {
                ErrorKind::NoInodes => ErrorKind::NoSpace,
                ErrorKind::InUse => ErrorKind::Exists,
                ErrorKind::Corrupt | ErrorKind::Conflict | ErrorKind::Poisoned => ErrorKind::Io,
                same => same,
            };
            assert_eq!(back, expected, "{kind:?}");
        }
    }
}
