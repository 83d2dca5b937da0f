//! The journal's keys: one letter for the kind, then ids.
//!
//! | key | value |
//! |---|---|
//! | `l` layer id | the layer's record |
//! | `c` chain id | layer id |
//! | `u` layer id, user | empty: `user` stands on the layer (`l` layer id, `i` image id, `c` container's layer id) |
//! | `n` container name | the container's record |
//! | `d` container's layer id | container name |
//! | `i` image id | the image's record |
//! | `t` reference | image id |
//! | `g` image id, reference | empty: a name of the image |
//! | `x` image id, container's layer id | empty: the container was made of the image |
//! | `r` layer id | the removal's record: its directories are to be removed |
//! | `k` digest of parent and cache key | layer id |
//! | `y` layer id, digest of parent and cache key | empty: the layer is found by the key |
//! | `b` digest | empty: the blob is to be removed unless an image needs it again |
//!
//! Ids are 32 raw bytes, names are text. Every relation stands under the thing it is asked of, so that each
//! question is one look-up or one scan of just its answers.

use plyfs_diff::Digest;
use plyfs_link::LayerId;

use crate::{ContainerName, Error, ErrorKind, Reference, Result};

pub(crate) const LAYERS: &[u8] = b"l";
pub(crate) const CONTAINERS: &[u8] = b"n";
pub(crate) const IMAGES: &[u8] = b"i";
pub(crate) const REMOVALS: &[u8] = b"r";
pub(crate) const BLOB_REMOVALS: &[u8] = b"b";

/// Who stands on a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// A layer whose parent it is.
    Layer(LayerId),
    /// An image whose uppermost layer it is.
    Image(Digest),
    /// A container made on it, by the id of the container's own layer.
    Container(LayerId),
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn layer(id: LayerId) -> Vec<u8> {
    joined(&[LAYERS, id.as_bytes()])
}

/// The layers whose id begins with these whole bytes.
pub(crate) fn layers_from(prefix: &[u8]) -> Vec<u8> {
    joined(&[LAYERS, prefix])
}

pub(crate) fn chain(id: &Digest) -> Vec<u8> {
    joined(&[b"c", id.as_bytes()])
}

pub(crate) fn users(layer: LayerId) -> Vec<u8> {
    joined(&[b"u", layer.as_bytes()])
}

pub(crate) fn user(layer: LayerId, user: &User) -> Vec<u8> {
    let (kind, id) = match user {
        User::Layer(id) => (b"l", id.as_bytes()),
        User::Image(id) => (b"i", id.as_bytes()),
        User::Container(id) => (b"c", id.as_bytes()),
    };
    joined(&[b"u", layer.as_bytes(), kind, id])
}

pub(crate) fn parse_user(key: &[u8]) -> Result<User> {
    let id = id_at(key, BEHIND_ID + 1)?;
    match key[BEHIND_ID] {
        b'l' => Ok(User::Layer(LayerId::from_bytes(id))),
        b'i' => Ok(User::Image(Digest::from_bytes(id))),
        b'c' => Ok(User::Container(LayerId::from_bytes(id))),
        _ => Err(malformed(key)),
    }
}

pub(crate) fn container(name: &ContainerName) -> Vec<u8> {
    joined(&[CONTAINERS, name.as_str().as_bytes()])
}

pub(crate) fn container_directory(layer: LayerId) -> Vec<u8> {
    joined(&[b"d", layer.as_bytes()])
}

pub(crate) fn image(id: &Digest) -> Vec<u8> {
    joined(&[IMAGES, id.as_bytes()])
}

/// The images whose id begins with these whole bytes.
pub(crate) fn images_from(prefix: &[u8]) -> Vec<u8> {
    joined(&[IMAGES, prefix])
}

pub(crate) fn tag(name: &Reference) -> Vec<u8> {
    joined(&[b"t", name.as_str().as_bytes()])
}

pub(crate) fn image_names(image: &Digest) -> Vec<u8> {
    joined(&[b"g", image.as_bytes()])
}

pub(crate) fn image_name(image: &Digest, name: &Reference) -> Vec<u8> {
    joined(&[b"g", image.as_bytes(), name.as_str().as_bytes()])
}

pub(crate) fn image_containers(image: &Digest) -> Vec<u8> {
    joined(&[b"x", image.as_bytes()])
}

pub(crate) fn image_container(image: &Digest, container: LayerId) -> Vec<u8> {
    joined(&[b"x", image.as_bytes(), container.as_bytes()])
}

pub(crate) fn removal(layer: LayerId) -> Vec<u8> {
    joined(&[REMOVALS, layer.as_bytes()])
}

pub(crate) fn blob_removal(blob: &Digest) -> Vec<u8> {
    joined(&[BLOB_REMOVALS, blob.as_bytes()])
}

/// `cached` digests a parent and a builder's key.
pub(crate) fn cached(cached: &Digest) -> Vec<u8> {
    joined(&[b"k", cached.as_bytes()])
}

/// The entries of the build cache that find the layer.
pub(crate) fn layer_entries(layer: LayerId) -> Vec<u8> {
    joined(&[b"y", layer.as_bytes()])
}

pub(crate) fn layer_cached(layer: LayerId, cached: &Digest) -> Vec<u8> {
    joined(&[b"y", layer.as_bytes(), cached.as_bytes()])
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
        for user in
            [User::Layer(LayerId::random()), User::Image(Digest::of(b"config")), User::Container(LayerId::random())]
        {
            assert_eq!(parse_user(&super::user(layer, &user)).expect("its own key"), user);
        }
        assert!(parse_user(b"u").is_err(), "a short key is damage, not a panic");
    }
}
