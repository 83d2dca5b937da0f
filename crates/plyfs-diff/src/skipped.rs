//! What a changeset or a file system cannot hold: reported by path, never silently lost.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing an operation left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Where it is, relative to the root of the layer.
    pub path: PathBuf,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// No archive holds a socket (rule 41).
    Socket,
    /// The caller may not make device nodes here (rule 41).
    Device,
    /// The name begins with `.wh.`, which would mean a deletion.
    Name,
    /// The extended attribute cannot be represented, or is not to leave or enter a layer (rules 19, 21, 24).
    Attribute(OsString),
}

impl Skipped {
    /// How many are listed one by one of one operation.
    pub(crate) const LISTED_MOST: usize = 10_000;
    /// How many bytes their paths and the names of their attributes have.
    pub(crate) const LISTED_BYTES: usize = 1 << 20;

    /// About how many bytes of memory one takes beside its own size.
    pub(crate) fn weight(&self) -> usize {
        self.path.as_os_str().len() + self.reason.name().len()
    }
}

/// What was left out so far: listed as long as it fits in memory, and counted from then on.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    listed: Vec<Skipped>,
    more: u64,
    bytes: usize,
}

impl Losses {
    /// Reports that `path` was left out.
    pub(crate) fn report(&mut self, path: impl AsRef<Path>, reason: SkipReason) {
        let path = path.as_ref();
        self.bytes = self.bytes.saturating_add(path.as_os_str().len() + reason.name().len());
        let is_full = self.listed.len() == Skipped::LISTED_MOST || self.bytes > Skipped::LISTED_BYTES;
        if is_full || self.more > 0 {
            self.more += 1;
            return;
        }
        self.listed.push(Skipped { path: path.to_owned(), reason });
    }

    /// What is listed, and how much more was left out.
    pub(crate) fn into_parts(self) -> (Vec<Skipped>, u64) {
        (self.listed, self.more)
    }
}

impl SkipReason {
    /// What it names beside the path.
    fn name(&self) -> &OsStr {
        match self {
            Self::Attribute(name) => name,
            Self::Socket | Self::Device | Self::Name => OsStr::new(""),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.path, self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => f.write_str("a socket cannot be archived"),
            Self::Device => f.write_str("a device node cannot be made here"),
            Self::Name => f.write_str("the name would mean a deletion"),
            Self::Attribute(name) => write!(f, "the attribute {name:?} cannot be kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_listed_up_to_a_number_and_a_length_and_none_is_left_uncounted() {
        let listed = |number: usize, name: &str| {
            let mut losses = Losses::default();
            (0..number).for_each(|_| losses.report("path", SkipReason::Attribute(name.into())));
            losses.report("", SkipReason::Socket);
            let (listed, more) = losses.into_parts();
            assert_eq!(listed.len() as u64 + more, number as u64 + 1);
            listed.len()
        };
        assert_eq!(listed(3, "user.short"), 4);
        assert_eq!(listed(20_000, "user.short"), Skipped::LISTED_MOST);
        let long = "n".repeat(1 << 10);
        assert_eq!(listed(20_000, &long), Skipped::LISTED_BYTES / ("path".len() + long.len()));
    }
}
