//! Plain data on its way to Python: tuples, and structures that become dictionaries.

use std::path::PathBuf;

use plyfs::ErrorKind;
use pyo3::prelude::*;

/// Apparent bytes, allocated bytes, inodes.
pub(crate) type Usage = (u64, u64, u64);

/// The numbers of a usage.
pub(crate) fn usage(usage: plyfs::Usage) -> Usage {
    (usage.apparent, usage.allocated, usage.inodes)
}

/// A DiffID, the size of the archive, and what it could not hold, in words.
pub(crate) type Exported = (String, u64, Vec<String>);

/// The parts of an export.
pub(crate) fn exported(exported: &plyfs::Exported) -> Exported {
    let more = (exported.skipped_more > 0).then(|| format!("{} more", exported.skipped_more));
    let skipped = exported.skipped.iter().map(ToString::to_string).chain(more).collect();
    (exported.diff_id.to_string(), exported.size, skipped)
}

/// One instruction of an image's history.
#[derive(IntoPyObject)]
pub(crate) struct HistoryEntry {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    layer: Option<String>,
    usage: Usage,
}

impl From<plyfs::HistoryEntry> for HistoryEntry {
    fn from(of: plyfs::HistoryEntry) -> Self {
        Self {
            created: of.created,
            created_by: of.created_by,
            author: of.author,
            comment: of.comment,
            layer: of.layer.map(|id| id.to_string()),
            usage: usage(of.usage),
        }
    }
}

/// What a store holds.
#[derive(IntoPyObject)]
pub(crate) struct StoreUsage {
    images: u64,
    layers: u64,
    containers: u64,
    stored: Usage,
    shared: Usage,
    reclaimable: Usage,
    containers_own: Option<Usage>,
    as_copies: Usage,
    total_bytes: u64,
    free_bytes: u64,
    total_inodes: u64,
    free_inodes: u64,
}

impl From<plyfs::StoreUsage> for StoreUsage {
    fn from(of: plyfs::StoreUsage) -> Self {
        Self {
            images: of.images,
            layers: of.layers,
            containers: of.containers,
            stored: usage(of.stored),
            shared: usage(of.shared),
            reclaimable: usage(of.reclaimable),
            containers_own: of.containers_own.map(usage),
            as_copies: usage(of.as_copies),
            total_bytes: of.total_bytes,
            free_bytes: of.free_bytes,
            total_inodes: of.total_inodes,
            free_inodes: of.free_inodes,
        }
    }
}

/// What a removal took.
#[derive(IntoPyObject)]
pub(crate) struct Pruned {
    images: Vec<String>,
    layers: Vec<String>,
    reclaimed: Usage,
    /// Kind, id and reason of each.
    held: Vec<(&'static str, String, String)>,
}

impl From<plyfs::Pruned> for Pruned {
    fn from(of: plyfs::Pruned) -> Self {
        let kept = |kept: &plyfs::Kept| {
            let (kind, id) = subject(&kept.subject);
            (kind, id, kept.reason.to_string())
        };
        Self {
            images: of.images.iter().map(ToString::to_string).collect(),
            layers: of.layers.iter().map(ToString::to_string).collect(),
            reclaimed: usage(of.reclaimed),
            held: of.kept.iter().map(kept).collect(),
        }
    }
}

/// A word for the kind of a thing, and its id.
pub(crate) fn subject(of: &plyfs::Subject) -> (&'static str, String) {
    match of {
        plyfs::Subject::Layer(id) => ("layer", id.to_string()),
        plyfs::Subject::Image(id) => ("image", id.to_string()),
        other => ("other", other.to_string()),
    }
}

/// Severity, subject, problem and kind.
pub(crate) type Finding = (String, String, String, &'static str);

/// What is wrong with what.
pub(crate) fn finding(found: plyfs::Finding) -> Finding {
    (found.severity.to_string(), found.subject, found.problem, found.kind.name())
}

/// What a repair did, each with what was wrong, and what it left.
pub(crate) type Repaired = (Vec<(Finding, String)>, Vec<Finding>);

pub(crate) fn act(act: plyfs::Act) -> (Finding, String) {
    (finding(act.finding), act.done)
}

pub(crate) fn repaired(repaired: plyfs::Repaired) -> Repaired {
    (repaired.acts.into_iter().map(act).collect(), repaired.left.into_iter().map(finding).collect())
}

/// What a rebuild found again, lost and repaired.
#[derive(IntoPyObject)]
pub(crate) struct Rebuilt {
    images: Vec<String>,
    layers: Vec<String>,
    containers: Vec<String>,
    lost: Vec<String>,
    kept: Option<String>,
    repaired: Repaired,
}

impl From<plyfs::Rebuilt> for Rebuilt {
    fn from(rebuilt: plyfs::Rebuilt) -> Self {
        Self {
            images: rebuilt.images.iter().map(ToString::to_string).collect(),
            layers: rebuilt.layers.iter().map(ToString::to_string).collect(),
            containers: rebuilt.containers.iter().map(ToString::to_string).collect(),
            lost: rebuilt.lost,
            kept: rebuilt.kept,
            repaired: repaired(rebuilt.repaired),
        }
    }
}

/// What a store is and what it stands on.
#[derive(IntoPyObject)]
pub(crate) struct Info {
    version: u32,
    path: PathBuf,
    dialect: String,
    file_system: String,
    is_writable: bool,
    kernel: Vec<String>,
}

impl From<plyfs::Info> for Info {
    fn from(of: plyfs::Info) -> Self {
        Self {
            version: of.version,
            path: of.path,
            dialect: of.dialect,
            file_system: of.file_system,
            is_writable: of.is_writable,
            kernel: of.kernel,
        }
    }
}

/// What a runtime needs to make a container's mount itself.
#[derive(IntoPyObject)]
pub(crate) struct MountSpec {
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    target: PathBuf,
    options: std::ffi::OsString,
}

impl From<plyfs::MountSpec> for MountSpec {
    fn from(of: plyfs::MountSpec) -> Self {
        Self { lower: of.lower, upper: of.upper, work: of.work, target: of.target, options: of.options }
    }
}

/// Every kind of error: its name, the errno that stands for it, its number at the C door and the command.
#[pyfunction]
pub(crate) fn kinds() -> Vec<(&'static str, i32, i32)> {
    ErrorKind::ALL.map(|kind| (kind.name(), kind.errno().raw_os_error(), kind.code())).to_vec()
}
