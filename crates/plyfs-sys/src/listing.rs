//! The names in a directory: read in large pieces, sorted, and kept in two allocations however many there are.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Errno;

use crate::{CallError, Result};

/// What one `getdents64(2)` may fill: a directory of a thousand names takes one call.
const BUFFER: usize = 32 * 1024;

/// The entries of a directory but `.` and `..`, sorted bytewise.
///
/// A million of them take eight bytes each beside their names.
#[derive(Clone, Default)]
pub struct Listing {
    names: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    start: u32,
    length: u16,
    kind: FileType,
}

impl Listing {
    /// Reads a directory that nobody else reads by the same descriptor: its position is moved.
    ///
    /// [`read_dir`](crate::fs::read_dir) serves any descriptor, at the cost of opening the directory anew.
    pub fn read_own(dir: impl AsFd) -> Result<Self> {
        let dir = dir.as_fd();
        let subject = || format!("[{}]", dir.as_raw_fd());
        rustix::fs::seek(dir, SeekFrom::Start(0)).map_err(|errno| CallError::new("lseek", subject(), errno))?;
        let mut listing = Self::default();
        let read = for_each(dir, |name, kind, _| listing.push(name, kind));
        read.map_err(|errno| CallError::new("getdents64", subject(), errno))?;
        listing.sort();
        Ok(listing)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The name at a position.
    #[must_use]
    pub fn name(&self, index: usize) -> &OsStr {
        OsStr::from_bytes(self.bytes(&self.places[index]))
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.places.iter().map(|place| OsStr::from_bytes(self.bytes(place)))
    }

    /// The type that the directory records for the name at a position; [`FileType::Unknown`] on file systems without
    /// `d_type`.
    #[must_use]
    pub fn kind(&self, index: usize) -> FileType {
        self.places[index].kind
    }

    fn push(&mut self, name: &[u8], kind: FileType) -> rustix::io::Result<()> {
        let start = u32::try_from(self.names.len()).map_err(|_| Errno::OVERFLOW)?;
        let length = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.names.extend_from_slice(name);
        self.places.push(Place { start, length, kind });
        Ok(())
    }

    fn sort(&mut self) {
        let names = &self.names;
        self.places.sort_unstable_by(|a, b| name_in(names, a).cmp(name_in(names, b)));
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        name_in(&self.names, place)
    }
}

fn name_in<'a>(names: &'a [u8], place: &Place) -> &'a [u8] {
    &names[place.start as usize..][..usize::from(place.length)]
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map(|index| (self.name(index), self.kind(index)))).finish()
    }
}

/// Calls `each` with name, type and inode of every entry from the descriptor's position on, but `.` and `..`.
pub(crate) fn for_each(
    dir: impl AsFd,
    mut each: impl FnMut(&[u8], FileType, u64) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            each(name, entry.file_type(), entry.ino())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs;

    #[test]
    fn a_listing_is_sorted_and_can_be_read_again_by_the_same_descriptor() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        // More than one buffer holds.
        for number in 0..1500 {
            std::fs::write(temp.path().join(format!("{:0>100}", number * 7 % 1500)), "").expect("a file");
        }
        std::fs::create_dir(temp.path().join("b")).expect("a directory");
        std::os::unix::fs::symlink("b", temp.path().join("a\u{e9}")).expect("a link");
        let dir = fs::open_dir(temp.path()).expect("open");

        for _ in 0..2 {
            let listing = Listing::read_own(&dir).expect("read");
            let entries: Vec<_> = (0..listing.len()).map(|i| (listing.name(i).to_owned(), listing.kind(i))).collect();
            let others = fs::read_dir(&dir).expect("read").into_iter().map(|entry| (entry.name, entry.kind));
            assert_eq!(entries, others.collect::<Vec<_>>());
            assert!(listing.names().eq(entries.iter().map(|(name, _)| name)));
            assert_eq!((listing.len(), entries.is_sorted_by_key(|(name, _)| name)), (1502, true));
        }
    }

    #[test]
    fn a_directory_that_is_gone_is_no_empty_one() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(temp.path().join("gone")).expect("a directory");
        let dir = fs::open_dir(temp.path().join("gone")).expect("open");
        assert!(Listing::read_own(&dir).expect("read").is_empty());
        std::fs::remove_dir(temp.path().join("gone")).expect("removed");
        assert!(Listing::read_own(&dir).expect_err("gone").is_not_found());
    }
}
