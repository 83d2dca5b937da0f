//! The life of layers and containers: ids, chains, reference counts, usage, prune, fsck.
//!
//! A [`Store`] is one directory tree with a journal. It keeps **layers**, immutable trees that stand on one
//! another; **images**, which are a config and an uppermost layer under any number of names; and
//! **containers**, each a writable layer of its own over an image, a layer or nothing. An [`Operation`] stages
//! layers and images aside and publishes them together. A [`Mount`] makes a container visible.
//!
//! ```no_run
//! use plyfs_store::{ContainerOptions, MountOptions, Store};
//!
//! let store = Store::ensure("/var/lib/plyfs")?;
//! let mut operation = store.operation()?;
//! let base = operation.apply(&mut std::fs::File::open("base.tar").expect("an archive"), None, None)?;
//! operation.publish()?;
//!
//! let layer = store.layer(&base.id.to_string())?;
//! let container = store.create(&layer, ContainerOptions::new().name("web-1".parse()?))?;
//! let mount = container.mount(&MountOptions::new())?;
//! println!("{}", mount.path().display());
//! mount.unmount()?;
//! # Ok::<(), plyfs_store::Error>(())
//! ```
//!
//! Names are types of their own, validated once:
//!
//! ```
//! use plyfs_store::Reference;
//!
//! let name: Reference = "localhost/svc".parse()?;
//! assert_eq!(name.as_str(), "localhost/svc:latest");
//! # Ok::<(), plyfs_store::Error>(())
//! ```
//!
//! # Guarantees
//!
//! - Publish last, retract first: a thing exists from one journal record to another, whatever is cut between.
//! - An operation that is not published leaves nothing: what a crash left, the next open takes back.
//! - Layers are immutable once published, and stay while a layer, an image, a container, a reader or a living
//!   operation needs them.
//! - Look-ups take no lock and see one durable state. Writers hold the journal's lock for one append.
//!
//! # Limits
//!
//! Changing a store needs root: its layers carry `trusted` attributes and owners as the images give them.

mod archive;
mod cache;
mod check;
mod claims;
mod container;
mod create;
mod describe;
mod df;
mod directory;
mod durability;
mod early_sync;
mod error;
mod format;
mod frames;
mod ground;
mod image;
mod info;
mod kept;
mod kernel;
mod key;
mod layer;
mod layout;
mod lease;
mod lookup;
mod make;
mod mark;
mod mount;
mod names;
mod operation;
mod progress;
mod prune;
mod publish;
mod rebuild;
mod record;
mod records;
mod recover;
mod staged;
mod store;
mod sweep;
mod trash;
mod unpack;
mod view;
mod workers;

pub use archive::LayerArchive;
pub use check::{Act, CheckOptions, Finding, FindingKind, Repaired, Severity};
pub use container::{Container, Removal};
pub use create::{ContainerOptions, Parent};
pub use df::StoreUsage;
pub use durability::Durability;
pub use error::{Error, ErrorKind, Result};
pub use image::{HeldLayers, Image};
pub use info::Info;
pub use kept::{BlobReader, KeptBlob};
pub use key::User;
pub use layer::{Layer, chain_id};
pub use lease::{Lease, LeaseId, LeaseInfo, LeaseOptions};
pub use lookup::Inspected;
pub use mount::{Mount, MountOptions, MountSpec, Unmount};
pub use names::{ContainerName, Reference};
pub use operation::{AppliedLayer, NewImage, Operation};
pub use plyfs_diff::{
    Change, ChangeKind, Changes, Digest, Exported, FileKind, Metadata, Skipped, Usage, View, ViewEntry, Walk,
};
pub use plyfs_link::{LayerId, LinkId};
pub use progress::{Progress, Reported, Stage, Step};
pub use prune::{Kept, PruneOptions, Pruned, Reason, Subject};
pub use rebuild::{Document, ReadDocument, ReadLayer, Rebuilt};
pub use store::{Store, StoreOptions};
pub use unpack::UnpackedLayer;
pub use workers::Workers;

/// The digest of a layer's uncompressed archive.
pub type DiffId = Digest;
/// The digest of a layer's content and all below it.
pub type ChainId = Digest;
/// The digest of an image's config.
pub type ImageId = Digest;
