//! What a tree costs: bytes as files state them, bytes the file system set aside, inodes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::os::fd::AsFd;

use plyfs_sys::CallError;
use plyfs_sys::descent::Descent;
use plyfs_sys::fs::{self, FileType, Stat};
use rustix::io::Errno;

use crate::{Error, Result};

/// The unit of `st_blocks`, whatever the file system's block is.
const STAT_BLOCK: u64 = 512;

/// What a tree costs its file system.
///
/// Sums and differences saturate: sizes that do not fit are a wrong answer, not a panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// The lengths of regular files and symbolic links.
    pub apparent: u64,
    /// The bytes set aside for everything, directories included; less than apparent where files have holes.
    pub allocated: u64,
    /// The inodes: directories, the tree's own root, and whiteouts are among them.
    pub inodes: u64,
}

impl Usage {
    /// Measures the tree at `dir` in one walk; a file with several names in it counts once.
    ///
    /// A bounded number of descriptors serves any depth. What is mounted inside is not part of the tree.
    pub fn measure(dir: impl AsFd) -> Result<Self> {
        Measure::walk(dir).map_err(|error| Error::call("measure the tree", error))
    }

    /// What one inode costs.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        let has_length = matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink);
        Self {
            apparent: if has_length { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(STAT_BLOCK),
            inodes: 1,
        }
    }

    /// Says whether no more is set aside for a file than its content fills.
    ///
    /// What is more may be taken back when the file is closed: XFS sets aside ahead of what is written.
    pub(crate) fn is_tight(stat: &Stat) -> bool {
        let cost = Self::of(stat);
        let unit = u64::try_from(stat.st_blksize).unwrap_or(0).max(1);
        cost.allocated <= cost.apparent.saturating_add(unit - 1) / unit * unit
    }
}

struct Measure {
    total: Usage,
    /// Inodes with further names that were counted already.
    linked: HashSet<(u64, u64)>,
}

impl Measure {
    fn walk(dir: impl AsFd) -> Result<Usage, CallError> {
        let mut descent = Descent::new(fs::open_dir_at(dir, ".")?)?;
        let mut walk = Self { total: Usage::of(&fs::stat(descent.dir())?), linked: HashSet::new() };
        // For every directory on the way down, those in it that are still to be entered.
        let mut open = vec![walk.list(&descent)?];
        while let Some(inner) = open.last_mut() {
            match inner.pop() {
                Some(name) => match descent.enter(&name) {
                    Err(error) if error.errno() == Errno::XDEV => {}
                    result => {
                        result?;
                        open.push(walk.list(&descent)?);
                    }
                },
                None => {
                    open.pop();
                    if !open.is_empty() {
                        descent.leave()?;
                    }
                }
            }
        }
        Ok(walk.total)
    }

    /// Counts what is in the directory; the answer is the directories among it.
    fn list(&mut self, descent: &Descent) -> Result<Vec<OsString>, CallError> {
        let dir = descent.dir();
        let mut inner = Vec::new();
        for entry in fs::read_dir(dir)? {
            let stat = fs::stat_at(dir, &entry.name)?;
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_dir || stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)) {
                self.total += Usage::of(&stat);
            }
            if is_dir {
                inner.push(entry.name);
            }
        }
        Ok(inner)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            apparent: self.apparent.saturating_add(other.apparent),
            allocated: self.allocated.saturating_add(other.allocated),
            inodes: self.inodes.saturating_add(other.inodes),
        }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            apparent: self.apparent.saturating_sub(other.apparent),
            allocated: self.allocated.saturating_sub(other.allocated),
            inodes: self.inodes.saturating_sub(other.inodes),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once_and_directories_cost_inodes() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(temp.path().join("sub")).expect("a directory");
        std::fs::write(temp.path().join("file"), vec![1; 5000]).expect("a file");
        std::fs::hard_link(temp.path().join("file"), temp.path().join("sub/again")).expect("a link");
        std::os::unix::fs::symlink("file", temp.path().join("link")).expect("a symbolic link");
        let dir = fs::open_dir(temp.path()).expect("open");

        let usage = Usage::measure(&dir).expect("measured");

        assert_eq!(usage.apparent, 5000 + 4, "the file once and the length of the link's target");
        assert_eq!(usage.inodes, 4, "root, sub, file, link");
        assert!(usage.allocated >= 5000, "{usage:?}");
    }

    #[test]
    fn a_tree_deeper_than_any_limit_of_descriptors_is_measured() {
        use rustix::fs::Mode;
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut descent = Descent::new(fs::open_dir(temp.path()).expect("open")).expect("begun");
        for _ in 0..1500 {
            fs::make_dir_at(descent.dir(), "d", Mode::RWXU).expect("made");
            descent.enter("d").expect("entered");
        }

        let usage = Usage::measure(fs::open_dir(temp.path()).expect("open")).expect("measured");

        assert_eq!(usage.inodes, 1501, "each level and the root");
        // The standard library's removal would hold a descriptor a level.
        fs::remove_tree(fs::open_dir(temp.path()).expect("open"), "d").expect("removed");
    }

    #[test]
    fn a_hole_is_apparent_but_not_allocated() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::File::create(temp.path().join("hole")).and_then(|file| file.set_len(1 << 30)).expect("a hole");
        let usage = Usage::measure(fs::open_dir(temp.path()).expect("open")).expect("measured");
        assert_eq!(usage.apparent, 1 << 30);
        assert!(usage.allocated < 1 << 20, "{usage:?}");
    }

    #[test]
    fn sums_and_differences_saturate() {
        let one = Usage { apparent: 1, allocated: 2, inodes: 3 };
        let most = Usage { apparent: u64::MAX, allocated: u64::MAX, inodes: u64::MAX };
        assert_eq!(one + most, most);
        assert_eq!(one - most, Usage::default());
        assert_eq!([one, one].into_iter().sum::<Usage>(), Usage { apparent: 2, allocated: 4, inodes: 6 });
    }
}
