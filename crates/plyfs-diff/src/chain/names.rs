//! The names a merged directory shows, out of the listings of the directories that contribute.

use std::ffi::OsStr;

use plyfs_sys::CallError;
use plyfs_sys::fs::{FileType, Listing};

/// Names sorted bytewise, each with the uppermost directory that has it; whiteouts and what they hide are left out.
#[derive(Debug, Default)]
pub(crate) struct Names {
    listings: Vec<Listing>,
    shown: Vec<Place>,
}

/// Which listing a name is in, and where.
#[derive(Clone, Copy, Debug)]
struct Place {
    part: u32,
    index: u32,
}

impl Names {
    /// Merges listings, uppermost first; `hides` says whether a name of one of them is a whiteout.
    pub(super) fn merge(
        listings: Vec<Listing>,
        hides: impl Fn(usize, &OsStr, FileType) -> Result<bool, CallError>,
    ) -> Result<Self, CallError> {
        let mut all = Vec::with_capacity(listings.iter().map(Listing::len).sum());
        for (part, listing) in (0..).zip(&listings) {
            all.extend((0..).take(listing.len()).map(|index| Place { part, index }));
        }
        let mut names = Self { listings, shown: Vec::new() };
        if names.listings.len() > 1 {
            // Stable, so that of one name the uppermost comes first. Each listing is sorted already, which it makes use of.
            all.sort_by(|&a, &b| names.at(a).cmp(names.at(b)));
            all.dedup_by(|a, b| names.at(*a) == names.at(*b));
        }
        let mut result = Ok(());
        all.retain(|&place| {
            let Place { part, index } = place;
            let kind = names.listings[part as usize].kind(index as usize);
            match hides(part as usize, names.at(place), kind) {
                Ok(is_hidden) => !is_hidden,
                Err(error) => {
                    result = Err(error);
                    false
                }
            }
        });
        result?;
        names.shown = all;
        Ok(names)
    }

    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    pub(crate) fn name(&self, index: usize) -> &OsStr {
        self.at(self.shown[index])
    }

    /// The type that the directory records, which may be unknown.
    pub(crate) fn kind(&self, index: usize) -> FileType {
        let Place { part, index } = self.shown[index];
        self.listings[part as usize].kind(index as usize)
    }

    /// Which of the directories that contribute shows it.
    pub(crate) fn part(&self, index: usize) -> usize {
        self.shown[index].part as usize
    }

    /// The position of the first name that is not below `name`.
    pub(crate) fn position(&self, name: &OsStr) -> usize {
        self.shown.partition_point(|&place| self.at(place) < name)
    }

    fn at(&self, place: Place) -> &OsStr {
        self.listings[place.part as usize].name(place.index as usize)
    }
}
