//! The file systems that are cut: how each is made, and what it expects of a disk.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use crate::run::{command, output};

/// A file system of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub(crate) const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// As mount(2) and people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Bytes of a disk that is large enough for the workload; xfs makes none below 300 MB.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Ext4 => 96 << 20,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 256 << 20,
        }
    }

    /// Makes one in a file of the disk's size.
    pub(crate) fn make(self, file: &Path) -> Result<()> {
        let (program, options): (_, &[&str]) = match self {
            // Nothing is left to be written in the background after the mount.
            Self::Ext4 => {
                let extended = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
                ("mkfs.ext4", &["-q", "-F", "-b", "4096", "-i", "8192", "-J", "size=4", "-E", extended])
            }
            Self::Xfs => ("mkfs.xfs", &["-q", "-f", "-K"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f", "-K"]),
        };
        output(command(program).args(options).arg(file)).map(drop)
    }

    /// What mount(2) is told.
    pub(crate) fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "rw",
            Self::Xfs => "nouuid",
            Self::Btrfs => "nodiscard",
        }
    }

    /// Places that the file system takes for written whole or not at all, though they are larger than a sector.
    ///
    /// A superblock that is half the old one and half the new one is beyond each of them; it says nothing about a store.
    pub(crate) fn superblocks(self) -> &'static [Range<usize>] {
        match self {
            Self::Ext4 => const { &[block(0)] },
            Self::Xfs => &[],
            Self::Btrfs => const { &[block(0x1_0000), block(0x400_0000)] },
        }
    }
}

const fn block(offset: usize) -> Range<usize> {
    offset..offset + 4096
}
