//! The whole job of a container layer store as a library: no daemon, inside the caller's process.
//!
//! Images are stacks of immutable layers. A [`Store`] keeps each layer once, mounts a stack with OverlayFS,
//! gives every [`Container`] a writable layer of its own, and turns what a container changed back into a layer.
//!
//! ```no_run
//! use plyfs::prelude::*;
//! use plyfs::{Archive, CommitOptions, ContainerOptions, MountOptions, Progress, Source, Store};
//!
//! let store = Store::ensure("/var/lib/plyfs")?;
//! store.load(Source::path("svc.tar")?, Progress::none())?;
//! let image = store.image("svc:1")?;
//!
//! let container = store.create(&image, ContainerOptions::new().name("web-1".parse()?))?;
//! let mount = container.mount(&MountOptions::new())?;
//! std::fs::write(mount.path().join("app/config.properties"), "port=81")?;
//! mount.unmount()?;
//!
//! for change in container.changes()? {
//!     println!("{}", change?);
//! }
//! let next = container.commit(CommitOptions::new().name("svc:2".parse()?), Progress::none())?;
//! store.save(&[&next], Archive::oci(std::fs::File::create("svc2.tar")?), Progress::none())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A store is made where there is none, and what is not there is said by kind:
//!
//! ```
//! use plyfs::{ErrorKind, Store};
//!
//! # let directory = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
//! # let path = directory.path().join("store");
//! let store = Store::ensure(&path)?;
//! assert!(store.images()?.is_empty());
//! assert_eq!(store.usage()?.stored.allocated, 0);
//! assert_eq!(store.image("svc:1").unwrap_err().kind(), ErrorKind::NotFound);
//! # Ok::<(), plyfs::Error>(())
//! ```
//!
//! | noun | is |
//! |---|---|
//! | [`Store`] | one directory tree with a journal; a cheap clone, shared by threads and processes |
//! | [`Layer`] | an immutable tree and what made it |
//! | [`Image`] | a config, an ordered list of layers, any number of names |
//! | [`Container`] | a writable layer over an image's top layer, over any layer, or over none |
//! | [`Mount`] | a container or layer made visible, as a guard |
//! | [`View`] | the same merged tree read without mounting |
//! | [`Change`] | one path and what happened to it |
//! | [`Usage`] | apparent bytes, allocated bytes, inodes |
//!
//! # Guarantees
//!
//! - What an operation returned survives a power cut, unless [`Durability::None`] was chosen; an operation
//!   that was cut is not half there.
//! - Hostile archives write nothing outside their layer.
//! - What came in goes out: the same DiffIDs, the same archive bytes.
//! - Nothing prints, reads the environment, or changes the process's directory, umask or signals.
//!
//! # Limits
//!
//! Linux with OverlayFS. Changing a store needs root. One container has one mount at a time.

mod error;
mod verbs;

pub use error::{Error, ErrorKind, Result, kind_of, report};
pub use plyfs_diff::{Chain, CompareOptions, CopyOptions, Dialect, ExportOptions, Style, Unpacked};
pub use plyfs_image::{
    Archive, Built, CommitOptions, Compression, Format, HistoryEntry, ImportOptions, Instruction, LabelFilter, Loaded,
    Platform, Source,
};
pub use plyfs_store::{
    Act, AppliedLayer, BlobReader, Change, ChangeKind, Changes, CheckOptions, Container, ContainerName,
    ContainerOptions, Digest, Durability, Exported, FileKind, Finding, FindingKind, Image, ImageId, Info, Inspected,
    Kept, KeptBlob, Layer, LayerArchive, LayerId, Lease, LeaseId, LeaseInfo, LeaseOptions, LinkId, Metadata, Mount,
    MountOptions, MountSpec, NewImage, Operation, Parent, Progress, PruneOptions, Pruned, Reason, Rebuilt, Reference,
    Removal, Repaired, Severity, Skipped, Stage, Step, Store, StoreOptions, StoreUsage, Subject, Unmount, Usage, User,
    View, ViewEntry, Walk,
};
pub use verbs::{Commit, History, Images, Labels, Rebuild};

/// Changesets without a store: directories to layer archives and back, owners shifted by a map, holes punched, in either
/// style.
pub mod changeset {
    pub use plyfs_diff::{
        Applied, ApplyOptions, Chain, CompareOptions, Deferred, Dialect, Error, ExportOptions, Exported, IdRange,
        Merged, Owners, Result, Settled, SkipReason, Skipped, Style, apply, changes, compare, export, export_between,
        settle, tar_split,
    };
}

/// The version of the library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The traits that give [`Store`] and [`Container`] the verbs of images.
pub mod prelude {
    pub use crate::verbs::{Commit, History, Images, Labels, Rebuild};
}
