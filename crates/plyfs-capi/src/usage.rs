//! What things take, as plain numbers.

use std::ffi::c_char;

use plyfs::{Exported, Pruned, StoreUsage, Usage};

use crate::input::c_text;
use crate::sized::growing;

/// What a tree takes, each hard-linked file counted once. It does not grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct plyfs_usage {
    /// Bytes of content.
    pub apparent: u64,
    /// Bytes on the disk.
    pub allocated: u64,
    /// Inodes.
    pub inodes: u64,
}

impl From<Usage> for plyfs_usage {
    fn from(usage: Usage) -> Self {
        Self { apparent: usage.apparent, allocated: usage.allocated, inodes: usage.inodes }
    }
}

/// What a store holds, what it shares, and what copies would have cost.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_store_usage {
    /// sizeof(plyfs_store_usage), set by the caller.
    pub size: usize,
    /// How many images.
    pub images: u64,
    /// How many layers.
    pub layers: u64,
    /// How many containers.
    pub containers: u64,
    /// All layers, each counted once.
    pub stored: plyfs_usage,
    /// Those layers that two or more images or containers stand on.
    pub shared: plyfs_usage,
    /// Those layers that no image and no container stands on and no lease keeps.
    pub reclaimable: plyfs_usage,
    /// What the containers' own layers take; zero unless they were measured.
    pub containers_own: plyfs_usage,
    /// What the containers would take if each were a full copy; of unmeasured ones, what they stand on.
    pub as_copies: plyfs_usage,
    /// Bytes of the file system.
    pub total_bytes: u64,
    /// Bytes left to unprivileged users.
    pub free_bytes: u64,
    /// Inodes of the file system, 0 where it has no fixed number.
    pub total_inodes: u64,
    /// Inodes left.
    pub free_inodes: u64,
}
growing!(plyfs_store_usage, "store usage", free_inodes: u64);

impl From<StoreUsage> for plyfs_store_usage {
    fn from(usage: StoreUsage) -> Self {
        Self {
            size: size_of::<Self>(),
            images: usage.images,
            layers: usage.layers,
            containers: usage.containers,
            stored: usage.stored.into(),
            shared: usage.shared.into(),
            reclaimable: usage.reclaimable.into(),
            containers_own: usage.containers_own.unwrap_or_default().into(),
            as_copies: usage.as_copies.into(),
            total_bytes: usage.total_bytes,
            free_bytes: usage.free_bytes,
            total_inodes: usage.total_inodes,
            free_inodes: usage.free_inodes,
        }
    }
}

/// What a removal took.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_pruned {
    /// sizeof(plyfs_pruned), set by the caller.
    pub size: usize,
    /// How many images.
    pub images: u64,
    /// How many layers.
    pub layers: u64,
    /// How many things nothing uses that stay: read, built upon, leased.
    pub held: u64,
    /// What the removed layers took, as recorded when they were published.
    pub reclaimed: plyfs_usage,
}
growing!(plyfs_pruned, "account of what was pruned", reclaimed: plyfs_usage);

impl From<&Pruned> for plyfs_pruned {
    fn from(pruned: &Pruned) -> Self {
        Self {
            size: size_of::<Self>(),
            images: pruned.images.len() as u64,
            layers: pruned.layers.len() as u64,
            held: pruned.kept.len() as u64,
            reclaimed: pruned.reclaimed.into(),
        }
    }
}

/// The bytes of "sha256:", 64 hex digits and the NUL.
pub const PLYFS_DIGEST_SIZE: usize = 72;

/// What was written.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_exported {
    /// sizeof(plyfs_exported), set by the caller.
    pub size: usize,
    /// The bytes written.
    pub bytes: u64,
    /// Their digest, which is the DiffID of the layer they make: "sha256:" and 64 hex digits.
    pub diff_id: [c_char; PLYFS_DIGEST_SIZE],
}
growing!(plyfs_exported, "account of what was exported", diff_id: [c_char; PLYFS_DIGEST_SIZE]);

impl From<&Exported> for plyfs_exported {
    fn from(exported: &Exported) -> Self {
        let mut diff_id = [0; PLYFS_DIGEST_SIZE];
        let text = c_text(exported.diff_id.to_string());
        for (to, from) in diff_id.iter_mut().zip(text.to_bytes()) {
            *to = *from as c_char;
        }
        Self { size: size_of::<Self>(), bytes: exported.size, diff_id }
    }
}
