//! Container images in and out of a store: docker-archive, OCI archive, OCI layout; in, skopeo's `dir:` as well.
//!
//! A [`Source`] is a file, a directory or any reader that holds images; [`load()`] brings all of them into a
//! store. An [`Archive`] is where images go and how they are written there; [`save()`] writes them. [`import()`]
//! makes an image of a tree or a changeset, [`commit()`] of what a container changed, and [`apply`] makes a layer
//! alone. What a source is, and how its parts are compressed, is told by its content.
//!
//! ```no_run
//! use plyfs_image::{Archive, CommitOptions, Compression, Source};
//! use plyfs_store::{ContainerOptions, Progress, Store};
//!
//! let store = Store::ensure("/var/lib/plyfs")?;
//! let loaded = plyfs_image::load(&store, Source::path("svc.tar")?, Progress::none())?;
//!
//! let container = store.create(&loaded[0].image, ContainerOptions::new())?;
//! let options = CommitOptions::new().name("svc:2".parse()?).message("new port");
//! let image = plyfs_image::commit(&container, options, Progress::none())?;
//!
//! let archive = Archive::oci(std::fs::File::create("svc-2.tar")?).compression(Compression::Zstd);
//! plyfs_image::save(&store, &[&image], archive, Progress::none())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is no image is refused in words, and leaves nothing:
//!
//! ```
//! use plyfs_image::{ErrorKind, Source};
//! use plyfs_store::{Progress, Store};
//!
//! let directory = tempfile::tempdir()?;
//! let store = Store::ensure(directory.path().join("store"))?;
//!
//! let error = plyfs_image::load(&store, Source::reader(&b"hello"[..]), Progress::none()).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidInput);
//! assert!(store.images()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - Every digest is verified: of manifests, configs and compressed layers against their descriptors, of every
//!   unpacked layer against the config. Configs and manifests are kept and written as the bytes received.
//! - A layer goes out as the archive that came in, byte for byte. The same images give the same archive.
//! - Nothing from outside becomes a path of the host: members are keys of a map, digests 64 hex digits.
//! - Memory is bounded whatever an archive claims: documents, names, members, layers and nesting have limits,
//!   content passes in chunks of 256 KiB.
//! - A verb that fails leaves the store as it was.
//!
//! # Limits
//!
//! - xz and bzip2 are read with the features of their names, else refused, as are encrypted layers, artifacts and
//!   archives of docker before 1.10.
//! - What can be read only once, or is compressed as a whole, is kept in the store's staging directory first.
//! - The compressed form of a layer is kept only when a load is asked to, and of the OCI formats alone; otherwise saving
//!   compresses anew, so that a manifest has another digest.

mod archive;
mod asked;
mod at_once;
mod commit;
mod compression;
mod config;
mod create;
mod digest;
mod digesting;
mod error;
mod flow;
#[doc(hidden)]
pub mod fuzz;
mod handover;
mod history;
mod import;
mod incoming;
mod instruction;
mod json;
mod kept;
mod labels;
mod layout;
mod load;
mod losses;
mod manifest;
mod members;
mod patience;
mod platform;
mod publish;
mod rebuild;
mod save;
mod source;
mod unpack;
mod windows;

pub use archive::{Archive, Format};
pub use commit::{CommitOptions, commit, commit_telling};
pub use compression::Compression;
pub use error::{Error, ErrorKind, Result};
pub use history::{HistoryEntry, history};
pub use import::{ImportOptions, apply, apply_source, import, import_telling};
pub use instruction::Instruction;
pub use labels::{LabelFilter, labels, prune_labelled};
pub use load::{Loaded, load};
pub use platform::Platform;
pub use publish::Built;
pub use rebuild::rebuild;
pub use save::save;
pub use source::Source;
