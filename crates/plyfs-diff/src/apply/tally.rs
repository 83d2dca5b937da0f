//! What a layer costs, counted while it is made.
//!
//! An inode is counted once it will not change: what is no directory when all of it is written, a directory each time it is
//! left, by what was added to it since. Whiteouts that are taken out again are counted off. Whatever else is replaced may
//! have other names, or cost another sum by now than when it was counted; then the answer is that only a walk can tell.

use plyfs_sys::fs::Stat;

use crate::Usage;
use crate::chain::is_whiteout_device;

/// A sum that knows when it is none.
#[derive(Debug)]
pub(super) struct Tally(Option<Usage>);

impl Default for Tally {
    fn default() -> Self {
        Self(Some(Usage::default()))
    }
}

impl Tally {
    pub(super) fn add(&mut self, cost: Usage) {
        self.replace(Usage::default(), cost);
    }

    /// Counts a change of what was counted already.
    pub(super) fn replace(&mut self, counted: Usage, cost: Usage) {
        if let Some(sum) = &mut self.0 {
            *sum = *sum + cost - counted;
        }
    }

    /// Counts what was counted elsewhere.
    pub(super) fn join(&mut self, other: Self) {
        match other.0 {
            Some(cost) => self.add(cost),
            None => self.forget(),
        }
    }

    /// Counts off what is about to be removed, if that can be done.
    pub(super) fn remove(&mut self, stat: &Stat) {
        match is_whiteout_device(stat) && stat.st_nlink == 1 {
            true => self.replace(Usage::of(stat), Usage::default()),
            false => self.forget(),
        }
    }

    /// Gives up: what was counted is not what is there.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// The sum; `None` where only a walk can tell.
    pub(super) fn finish(self) -> Option<Usage> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use plyfs_sys::fs;

    use super::*;

    #[test]
    fn what_was_replaced_leaves_no_sum_unless_it_was_a_whiteout() {
        let cost = |allocated, inodes| Usage { allocated, inodes, ..Usage::default() };
        let file = fs::stat_at(fs::open_dir("/dev").expect("open"), "null").expect("a status");
        let mut whiteout = file;
        whiteout.st_rdev = 0;
        let mut tally = Tally::default();
        tally.add(cost(4096, 1));
        tally.add(Usage::of(&whiteout));
        tally.replace(cost(4096, 1), cost(8192, 1));
        tally.remove(&whiteout);
        assert_eq!(tally.finish(), Some(cost(8192, 1)));

        let mut tally = Tally::default();
        tally.remove(&file);
        tally.add(cost(4096, 1));
        assert_eq!(tally.finish(), None);
    }
}
