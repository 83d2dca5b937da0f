//! Every file name, media type and bound of the formats, in one place.
//!
//! Bounds are what memory may cost, whatever an archive says: each is far above what real images have.

use plyfs_diff::Digest;

/// The list of images in a docker-archive, and in an OCI archive that docker is to load.
pub(crate) const DOCKER_MANIFEST: &str = "manifest.json";
/// The list of images of docker before 1.10, which has no digests.
pub(crate) const DOCKER_REPOSITORIES: &str = "repositories";
/// The file that says a tree is of skopeo's form `dir:`, whose manifest has the name of docker's list.
pub(crate) const DIR_VERSION: &str = "version";
/// How that file begins.
pub(crate) const DIR_VERSION_START: &[u8] = b"Directory Transport Version: 1.";
/// The file that says a tree is an OCI layout.
pub(crate) const OCI_LAYOUT: &str = "oci-layout";
/// What that file holds.
pub(crate) const OCI_LAYOUT_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The list of images of an OCI layout.
pub(crate) const OCI_INDEX: &str = "index.json";
/// The directory of a layout's blobs.
pub(crate) const OCI_BLOBS: &str = "blobs/sha256";

/// The reference name of a descriptor in an OCI index.
pub(crate) const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full image name, as containerd and docker since 25 write it.
pub(crate) const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";
/// Marks a descriptor that is about another one: buildkit's attestations.
pub(crate) const ANNOTATION_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// An OCI image manifest.
pub(crate) const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub(crate) const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image config.
pub(crate) const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A Docker schema 2 manifest.
pub(crate) const MEDIA_DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker schema 2 manifest list.
pub(crate) const MEDIA_DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A Docker image config.
pub(crate) const MEDIA_DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A plain OCI layer; `+gzip` and `+zstd` follow for compressed ones.
pub(crate) const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// What layers of images are called; how they are compressed is told by their content.
pub(crate) const MEDIA_LAYERS: [&str; 13] = [
    MEDIA_LAYER,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.diff.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// What in a media type says that a layer is foreign: its blob may lie elsewhere.
pub(crate) const FOREIGN_LAYERS: [&str; 2] = [".nondistributable.", ".foreign."];

/// The longest time, architecture or operating system that a config may state: the store's records repeat them.
pub(crate) const MAX_FACT: usize = 128;
/// The largest manifest, index, `manifest.json` or config that is read: what registries accept.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;
/// What all documents that are read may take together, each as often as it is read: those of thousands of images.
pub(crate) const MAX_DOCUMENTS: u64 = 32 << 20;
/// The most keys that one object of a document may have, and the most items of one list.
pub(crate) const MAX_ITEMS: usize = 1 << 14;
/// The most members an archive may have.
pub(crate) const MAX_MEMBERS: usize = 1 << 16;
/// The most headers an archive may have: those of members, of directories, and those that hold for all that follow.
pub(crate) const MAX_HEADERS: usize = 4 * MAX_MEMBERS;
/// The longest name of a member.
pub(crate) const MAX_MEMBER_NAME: u32 = 4096;
/// What the names of all members, and of what their links lead to, may take together.
pub(crate) const MAX_MEMBER_NAMES: usize = 8 << 20;
/// The most descriptors an index may list.
pub(crate) const MAX_DESCRIPTORS: usize = 4096;
/// The most layers an image may have: as many as the kernel stacks.
pub(crate) const MAX_LAYERS: usize = 500;
/// The most layers that the images of one load may have together, each upon the same ones once.
pub(crate) const MAX_LAYERS_OF_ALL: usize = 1 << 14;
/// The most names an image may come with.
pub(crate) const MAX_NAMES: usize = 1024;
/// How deep indexes may nest.
pub(crate) const MAX_INDEX_DEPTH: usize = 4;
/// How many links in an archive are followed to a member.
pub(crate) const MAX_LINKS: usize = 8;

/// What travels between threads and to files at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// Where a layout keeps the blob `digest`.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("{OCI_BLOBS}/{}", digest.hex())
}
