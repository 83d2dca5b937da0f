//! Test support shared by the crates: peers, real images, comparing trees.
//!
//! Nothing here ships. Each crate's tests depend on it to ask other people's tools what is right, instead of asking
//! plyfs itself; so nothing here uses a plyfs crate.
//!
//! | module | what it gives a test |
//! |---|---|
//! | [`require`] | `require_root!()`, `require_tool!("podman")`: a loud skip, a failure under CI |
//! | [`temp`] | directories on a real file system, mounts that end with their guard |
//! | [`process`] | programs with bounded time, readable failures, `kill -9` |
//! | [`tree`] | what a directory holds, entry by entry, and where two differ |
//! | [`acl`] | access lists as the kernel keeps them |
//! | [`oci`] | images written by hand: any number of layers, any bytes |
//! | [`tar_text`] | archives as text, any byte of any header |
//! | [`peers`] | podman, buildah, skopeo, umoci and dockerd over private storage |
//! | [`journal`] | a file of a journal made wrong with right checksums |
//! | [`noise()`] | bytes that do not compress |
//! | [`images`] | real images by buildah, images of 400 layers, images spoilt in every way |
//!
//! # What the machine needs
//!
//! Debian's `podman buildah skopeo umoci docker.io containerd runc conmon crun netavark fuse-overlayfs libcap2-bin attr
//! procps libc-bin`, and a temporary directory on ext4, xfs or btrfs: `TMPDIR`, else `/tmp`, else `/var/tmp`. As root
//! for most of it, `CAP_SYS_RESOURCE` not needed.
//!
//! Its functions panic where a library would return an error: a test has nobody to hand one to, and the panic names
//! the caller's line.

pub mod acl;
pub mod images;
pub mod journal;
mod noise;
pub mod oci;
pub mod peers;
pub mod process;
pub mod require;
pub mod tar_text;
pub mod temp;
pub mod tree;

pub use noise::noise;
