//! The journal's keys: one letter for the kind, then ids.
//!
//! | key | value |
//! |---|---|
//! | `l` layer id | the layer's record |
//! | `c` chain id | layer id |
//! | `c` chain id, layer id | empty: the layer is the same chain, and found once the first is gone |
//! | `u` layer id, user | empty: `user` stands on the layer (`l` layer id, `i` image id, `c` container's layer id, `e` lease id) |
//! | `n` container name | the container's record |
//! | `d` container's layer id | container name |
//! | `i` image id | the image's record |
//! | `i` image id, reference | empty: a name of the image |
//! | `t` reference | image id |
//! | `x` image id, container's layer id | empty: the container was made of the image |
//! | `p` digest, layer id | empty: the layer came as this blob, which was kept |
//! | `f` digest, image id | empty: the blob is the image's manifest |
//! | `e` lease id | the lease's record |
//! | `h` lease id, `l` layer id or `i` image id | empty: the lease keeps it |
//! | `z` image id, lease id | empty: the lease keeps the image |
//! | `r` layer id | the removal's record: its directories are to be removed |
//! | `k` digest of parent and cache key | layer id |
//! | `y` layer id, digest of parent and cache key | empty: the layer is found by the key |
//! | `b` digest | empty: the blob is to be removed unless an image needs it again |
//!
//! Ids are 32 raw bytes, those of leases 26 characters; names are text. Every relation stands under the thing it is asked of,
//! so that each question is one look-up or one scan of just its answers. The names of an image lie behind its record, since
//! they are read with it.

use plyfs_diff::Digest;
use plyfs_link::LayerId;

use crate::{ContainerName, Error, ErrorKind, LeaseId, Reference, Result};

/// The letters that keys begin with.
pub(crate) const LETTERS: &[u8] = b"lcundixtpfehzrkyb";

pub(crate) const LAYERS: &[u8] = b"l";
/// The layers that are chains, by chain.
pub(crate) const CHAINS: &[u8] = b"c";
pub(crate) const CONTAINERS: &[u8] = b"n";
/// The names of containers, by their own layers.
pub(crate) const CONTAINER_DIRECTORIES: &[u8] = b"d";
/// Images, and behind each its names.
pub(crate) const IMAGES: &[u8] = b"i";
/// The images, by name.
pub(crate) const TAGS: &[u8] = b"t";
pub(crate) const LEASES: &[u8] = b"e";
/// What leases keep, by lease.
pub(crate) const LEASED: &[u8] = b"h";
/// Who stands on which layer, by layer.
pub(crate) const USERS: &[u8] = b"u";
/// The containers made of images, by image.
pub(crate) const IMAGE_CONTAINERS: &[u8] = b"x";
/// The leases that keep images, by image.
pub(crate) const IMAGE_LEASES: &[u8] = b"z";
/// The manifests of images, by blob.
pub(crate) const MANIFESTS: &[u8] = b"f";
/// The layers that came as blobs, by blob.
pub(crate) const BLOB_LAYERS: &[u8] = b"p";
/// The build cache: layers, by parent and cache key.
pub(crate) const CACHE: &[u8] = b"k";
/// The entries of the build cache, by layer.
pub(crate) const LAYER_ENTRIES: &[u8] = b"y";
pub(crate) const REMOVALS: &[u8] = b"r";
pub(crate) const BLOB_REMOVALS: &[u8] = b"b";

/// The kinds of which each key follows from a record of another kind; names of images stand among the images.
pub(crate) const LOOK_UPS: [&[u8]; 12] = [
    USERS,
    CHAINS,
    CONTAINER_DIRECTORIES,
    IMAGES,
    IMAGE_CONTAINERS,
    TAGS,
    CACHE,
    LAYER_ENTRIES,
    MANIFESTS,
    BLOB_LAYERS,
    LEASED,
    IMAGE_LEASES,
];

/// Who stands on a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// A layer whose parent it is.
    Layer(LayerId),
    /// An image whose uppermost layer it is.
    Image(Digest),
    /// A container made on it, by the id of the container's own layer.
    Container(LayerId),
    /// A lease that keeps it while it is not used otherwise.
    Lease(LeaseId),
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A letter and an id: the keys that are asked most.
type Short = [u8; BEHIND_ID];

fn short(letter: &[u8], id: &[u8; 32]) -> Short {
    let mut key = [0; BEHIND_ID];
    key[..1].copy_from_slice(letter);
    key[1..].copy_from_slice(id);
    key
}

pub(crate) fn layer(id: LayerId) -> Short {
    short(LAYERS, id.as_bytes())
}

/// The layers whose id begins with these whole bytes.
pub(crate) fn layers_from(prefix: &[u8]) -> Vec<u8> {
    joined(&[LAYERS, prefix])
}

pub(crate) fn chain(id: &Digest) -> Short {
    short(CHAINS, id.as_bytes())
}

/// A layer that is a chain which another is found by.
pub(crate) fn twin(chain: &Digest, layer: LayerId) -> Vec<u8> {
    joined(&[&self::chain(chain), layer.as_bytes()])
}

/// The layer of a [`twin`] key; none of the key of a chain itself.
pub(crate) fn parse_twin(key: &[u8]) -> Option<LayerId> {
    key.get(BEHIND_ID..)?.try_into().ok().map(LayerId::from_bytes)
}

pub(crate) fn users(layer: LayerId) -> Short {
    short(USERS, layer.as_bytes())
}

pub(crate) fn user(layer: LayerId, user: &User) -> Vec<u8> {
    let (kind, id): (&[u8], &[u8]) = match user {
        User::Layer(id) => (b"l", id.as_bytes()),
        User::Image(id) => (b"i", id.as_bytes()),
        User::Container(id) => (b"c", id.as_bytes()),
        User::Lease(id) => (b"e", id.0.as_str().as_bytes()),
    };
    joined(&[USERS, layer.as_bytes(), kind, id])
}

pub(crate) fn parse_user(key: &[u8]) -> Result<User> {
    let id = || id_at(key, BEHIND_ID + 1);
    match key.get(BEHIND_ID) {
        Some(b'l') => Ok(User::Layer(LayerId::from_bytes(id()?))),
        Some(b'i') => Ok(User::Image(Digest::from_bytes(id()?))),
        Some(b'c') => Ok(User::Container(LayerId::from_bytes(id()?))),
        Some(b'e') => lease_at(key, BEHIND_ID + 1).map(User::Lease),
        _ => Err(malformed(key)),
    }
}

pub(crate) fn container(name: &ContainerName) -> Vec<u8> {
    joined(&[CONTAINERS, name.as_str().as_bytes()])
}

pub(crate) fn container_directory(layer: LayerId) -> Short {
    short(CONTAINER_DIRECTORIES, layer.as_bytes())
}

pub(crate) fn image(id: &Digest) -> Short {
    short(IMAGES, id.as_bytes())
}

/// The images whose id begins with these whole bytes.
pub(crate) fn images_from(prefix: &[u8]) -> Vec<u8> {
    joined(&[IMAGES, prefix])
}

pub(crate) fn tag(name: &Reference) -> Vec<u8> {
    joined(&[TAGS, name.as_str().as_bytes()])
}

pub(crate) fn image_name(image: &Digest, name: &Reference) -> Vec<u8> {
    joined(&[IMAGES, image.as_bytes(), name.as_str().as_bytes()])
}

/// Says whether a key below [`IMAGES`] is that of an image's name and not of its record.
pub(crate) fn is_image_name(key: &[u8]) -> bool {
    key.len() > BEHIND_ID
}

pub(crate) fn image_containers(image: &Digest) -> Short {
    short(IMAGE_CONTAINERS, image.as_bytes())
}

pub(crate) fn image_container(image: &Digest, container: LayerId) -> Vec<u8> {
    joined(&[IMAGE_CONTAINERS, image.as_bytes(), container.as_bytes()])
}

/// The images whose manifest this blob is.
pub(crate) fn manifest_images(blob: &Digest) -> Short {
    short(MANIFESTS, blob.as_bytes())
}

pub(crate) fn manifest_image(blob: &Digest, image: &Digest) -> Vec<u8> {
    joined(&[MANIFESTS, blob.as_bytes(), image.as_bytes()])
}

/// The layers that came as this blob.
pub(crate) fn blob_layers(blob: &Digest) -> Short {
    short(BLOB_LAYERS, blob.as_bytes())
}

pub(crate) fn blob_layer(blob: &Digest, layer: LayerId) -> Vec<u8> {
    joined(&[BLOB_LAYERS, blob.as_bytes(), layer.as_bytes()])
}

pub(crate) fn lease(id: LeaseId) -> Vec<u8> {
    joined(&[LEASES, id.0.as_str().as_bytes()])
}

/// What a lease keeps.
pub(crate) fn leased(lease: LeaseId) -> Vec<u8> {
    joined(&[LEASED, lease.0.as_str().as_bytes()])
}

pub(crate) fn leased_layer(lease: LeaseId, layer: LayerId) -> Vec<u8> {
    joined(&[&leased(lease), b"l", layer.as_bytes()])
}

pub(crate) fn leased_image(lease: LeaseId, image: &Digest) -> Vec<u8> {
    joined(&[&leased(lease), b"i", image.as_bytes()])
}

/// What one key of [`leased`] says is kept.
pub(crate) enum Leased {
    Layer(LayerId),
    Image(Digest),
}

pub(crate) fn parse_leased(key: &[u8]) -> Result<(LeaseId, Leased)> {
    let id = id_at(key, 1 + LEASE_ID + 1)?;
    let lease = key.get(..=LEASE_ID).ok_or_else(|| malformed(key)).and_then(lease_id)?;
    match key[1 + LEASE_ID] {
        b'l' => Ok((lease, Leased::Layer(LayerId::from_bytes(id)))),
        b'i' => Ok((lease, Leased::Image(Digest::from_bytes(id)))),
        _ => Err(malformed(key)),
    }
}

/// The leases that keep an image.
pub(crate) fn image_leases(image: &Digest) -> Short {
    short(IMAGE_LEASES, image.as_bytes())
}

pub(crate) fn image_lease(image: &Digest, lease: LeaseId) -> Vec<u8> {
    joined(&[IMAGE_LEASES, image.as_bytes(), lease.0.as_str().as_bytes()])
}

/// The lease of its record's key.
pub(crate) fn lease_id(key: &[u8]) -> Result<LeaseId> {
    lease_at(key, 1)
}

/// The lease of a key made of a letter, an id and a lease's id.
pub(crate) fn lease_behind(key: &[u8]) -> Result<LeaseId> {
    lease_at(key, BEHIND_ID)
}

const LEASE_ID: usize = plyfs_link::LinkId::LEN;

fn lease_at(key: &[u8], start: usize) -> Result<LeaseId> {
    text(key, start)?.parse().map_err(|_| malformed(key))
}

pub(crate) fn removal(layer: LayerId) -> Short {
    short(REMOVALS, layer.as_bytes())
}

pub(crate) fn blob_removal(blob: &Digest) -> Short {
    short(BLOB_REMOVALS, blob.as_bytes())
}

/// `cached` digests a parent and a builder's key.
pub(crate) fn cached(cached: &Digest) -> Short {
    short(CACHE, cached.as_bytes())
}

/// The entries of the build cache that find the layer.
pub(crate) fn layer_entries(layer: LayerId) -> Short {
    short(LAYER_ENTRIES, layer.as_bytes())
}

pub(crate) fn layer_cached(layer: LayerId, cached: &Digest) -> Vec<u8> {
    joined(&[LAYER_ENTRIES, layer.as_bytes(), cached.as_bytes()])
}

/// The 32 bytes of a key behind its letter.
pub(crate) fn id(key: &[u8]) -> Result<[u8; 32]> {
    id_at(key, 1)
}

/// The second id of a key made of a letter and two ids.
pub(crate) fn id_behind(key: &[u8]) -> Result<[u8; 32]> {
    id_at(key, BEHIND_ID)
}

/// The text of a key from `start` on.
pub(crate) fn text(key: &[u8], start: usize) -> Result<&str> {
    key.get(start..).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| malformed(key))
}

/// Where the text begins in a key made of a letter and an id.
pub(crate) const BEHIND_ID: usize = 1 + 32;

fn id_at(key: &[u8], start: usize) -> Result<[u8; 32]> {
    key.get(start..start + 32).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(key))
}

fn malformed(key: &[u8]) -> Error {
    Error::new(ErrorKind::Corrupt, format!("journal key {:?} is malformed", String::from_utf8_lossy(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_reads_back_from_its_key() {
        let layer = LayerId::random();
        for user in [
            User::Layer(LayerId::random()),
            User::Image(Digest::of(b"config")),
            User::Container(LayerId::random()),
            User::Lease(LeaseId(plyfs_link::LinkId::random())),
        ] {
            assert_eq!(parse_user(&super::user(layer, &user)).expect("its own key"), user);
        }
        assert!(parse_user(b"u").is_err(), "a short key is damage, not a panic");
    }
}
