//! Which owners on disk stand for the owners of an archive (rule 55).

use crate::archive::Entry;
use crate::{Result, names};

/// A map of owners and groups; the default changes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

/// Some ids in a row, as a line of `/proc/self/uid_map` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the archive.
    pub inside: u32,
    /// What it is on disk.
    pub outside: u32,
    /// How many there are.
    pub count: u32,
}

impl Owners {
    /// Maps owners and groups by these ranges; where there is none, the ids are kept.
    #[must_use]
    pub fn new(uids: Vec<IdRange>, gids: Vec<IdRange>) -> Self {
        Self { uids, gids }
    }

    /// Root, or whatever stands for it; what nothing describes belongs to it.
    pub(super) fn root(&self) -> Option<(u32, u32)> {
        Some((shift(&self.uids, 0)?, shift(&self.gids, 0)?))
    }

    /// Exchanges the owner of an entry.
    pub(super) fn apply(&self, entry: &mut Entry) -> Result<()> {
        for (what, ranges, id) in [("owner", &self.uids, &mut entry.uid), ("group", &self.gids, &mut entry.gid)] {
            let unmapped = || names::invalid(&entry.path, &format!("has the {what} {id}, which the map has not"));
            *id = shift(ranges, *id).ok_or_else(unmapped)?;
        }
        Ok(())
    }
}

fn shift(ranges: &[IdRange], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    let distance = |range: &IdRange| id.checked_sub(range.inside).filter(|distance| *distance < range.count);
    let shifted = ranges.iter().find_map(|range| range.outside.checked_add(distance(range)?));
    // Nobody's id: chown(2) would leave the owner as it is.
    shifted.filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_55_ids_move_with_their_range_and_others_have_no_place() {
        let ranges = [
            IdRange { inside: 0, outside: 1000, count: 1 },
            IdRange { inside: 1, outside: 100_000, count: 65_535 },
            IdRange { inside: u32::MAX - 1, outside: u32::MAX, count: 2 },
        ];
        for (id, expected) in
            [(0, Some(1000)), (1, Some(100_000)), (65_535, Some(165_534)), (65_536, None), (u32::MAX - 1, None)]
        {
            assert_eq!(shift(&ranges, id), expected, "{id}");
        }
        assert_eq!(shift(&[], 7), Some(7));
    }
}
