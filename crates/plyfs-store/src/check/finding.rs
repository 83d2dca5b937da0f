//! What a check finds: one thing, how bad it is, and a kind that programs can tell apart.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// What a power cut may leave by design: nothing is lost, and the next use makes it whole.
    Note,
    /// Space that no record speaks of, or something that repeats a record and differs from it.
    Warning,
    /// Something recorded is missing or has other content.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The journal cannot be opened, or not for writing.
    JournalDamaged,
    /// A directory the store is made of is missing, or something else stands in its place; or `plyfs.toml` is lost or damaged.
    PartMissing,
    /// A part of the store belongs to somebody else or may be entered by others, or something else stands in the place of a
    /// file of the journal: it does not open for writing.
    PartUnfit,
    /// The journal's checksums are right, and a part of it does not find what it holds.
    JournalMisleading,
    /// The journal does not give a record, or the record makes no sense.
    RecordUnreadable,
    /// A record's directory or its tree is missing.
    DirectoryMissing,
    /// A `link` or `lower` file is missing or differs from its record.
    FileWrong,
    /// A short link is missing.
    ShortLinkMissing,
    /// A short link points elsewhere.
    ShortLinkWrong,
    /// Docker's mark on a layer that another one stands on is missing.
    MarkMissing,
    /// A layer's tar-split record is missing.
    TarSplitMissing,
    /// A layer that something stands on has no record.
    LayerMissing,
    /// An image's config or manifest, or the kept blob of a layer, is missing.
    BlobMissing,
    /// A blob has other bytes than its name says.
    BlobWrong,
    /// A look-up that follows from a record is missing.
    RelationMissing,
    /// A look-up follows from no record.
    RelationStray,
    /// The depth or usage of a chain is not what its layers add up to.
    TotalsWrong,
    /// A layer's tree does not give its DiffID, is not what its archive says, or has not the size that was recorded.
    ContentWrong,
    /// A directory or file in the driver home that no record speaks of.
    DirectoryStray,
    /// A short link that no record speaks of.
    ShortLinkStray,
    /// A tar-split record without a layer.
    TarSplitStray,
    /// A file among the blobs that no record speaks of.
    BlobStray,
    /// What an operation that is dead staged, or something no operation stages.
    StagingStale,
    /// A mount of a layer that no record speaks of.
    MountStray,
    /// A container is mounted and not marked so.
    MountUnmarked,
    /// Two overlay mounts are over one upper directory.
    MountTwice,
}

impl FindingKind {
    /// The kind as text, lower case with hyphens.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JournalDamaged => "journal-damaged",
            Self::PartMissing => "part-missing",
            Self::PartUnfit => "part-unfit",
            Self::JournalMisleading => "journal-misleading",
            Self::RecordUnreadable => "record-unreadable",
            Self::DirectoryMissing => "directory-missing",
            Self::FileWrong => "file-wrong",
            Self::ShortLinkMissing => "short-link-missing",
            Self::ShortLinkWrong => "short-link-wrong",
            Self::MarkMissing => "mark-missing",
            Self::TarSplitMissing => "tar-split-missing",
            Self::LayerMissing => "layer-missing",
            Self::BlobMissing => "blob-missing",
            Self::BlobWrong => "blob-wrong",
            Self::RelationMissing => "relation-missing",
            Self::RelationStray => "relation-stray",
            Self::TotalsWrong => "totals-wrong",
            Self::ContentWrong => "content-wrong",
            Self::DirectoryStray => "directory-stray",
            Self::ShortLinkStray => "short-link-stray",
            Self::TarSplitStray => "tar-split-stray",
            Self::BlobStray => "blob-stray",
            Self::StagingStale => "staging-stale",
            Self::MountStray => "mount-stray",
            Self::MountUnmarked => "mount-unmarked",
            Self::MountTwice => "mount-twice",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that is not as the records say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// What it is about: `layer <id>`, `container <name>`, `l/<link>`.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.subject, self.problem)
    }
}
