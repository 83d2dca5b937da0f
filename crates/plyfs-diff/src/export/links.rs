//! Which names of one archive are the same inode.

use std::collections::HashMap;

use plyfs_sys::fs::Stat;

use crate::remembered::{Remember, Remembered};

/// The first names of inodes whose other names are still to come (rule 37).
#[derive(Debug, Default)]
pub(super) struct Links {
    first: HashMap<(u64, u64), First>,
    remember: Remember,
}

#[derive(Debug)]
struct First {
    name: Remembered,
    /// How many more names the inode may have; when all were met it is forgotten.
    left: u64,
}

impl Links {
    /// The name the inode was archived under before, or `None` when `name` is its first.
    ///
    /// Inodes are compared with their device. Whiteouts must not be asked about: the kernel links all of a mount
    /// to one inode (rule 16).
    #[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
    pub(super) fn earlier(&mut self, stat: &Stat, name: &[u8]) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        let inode = (stat.st_dev, stat.st_ino);
        let Some(first) = self.first.get_mut(&inode) else {
            let left = u64::from(stat.st_nlink) - 1;
            self.first.insert(inode, First { name: self.remember.path(name), left });
            return None;
        };
        first.left -= 1;
        if first.left > 0 {
            return Some(first.name.to_path());
        }
        self.first.remove(&inode).map(|first| first.name.to_path())
    }
}
