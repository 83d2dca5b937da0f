//! A layer's directory held to the archive it came from: not its contents alone, but every inode of it.
//!
//! The record beside a layer is the archive without the contents, so it says what the directory has to be: types, modes,
//! owners, times, links, attributes, and what hides lower layers. A copy that lost attributes, a disk that lost a directory
//! entry and a hand that removed a whiteout all leave an archive that can be put together; here they are found.
//!
//! Nothing is a difference that an applied archive may leave: attributes and devices that were reported as left out, access
//! times, times outside of what every file system can hold, whiteouts that hide nothing, directories that an entry implied. A
//! name that an archive gave twice is held to what came last.
//!
//! Not compared are access lists (the kernel rewrites them), the owner, mode and attributes of directories that an entry
//! implied, and where a file has holes.

mod compare;
mod expected;
mod inode;

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use plyfs_sys::buffer::Buffered;
use plyfs_sys::fs;

use crate::archive::{Limits, Reader};
use crate::layout::BUFFER;
use crate::tar_split::{Archive, Crc64};
use crate::{Chain, Digest, DigestWriter, Error, Result};
use expected::Expected;

/// What a layer's directory is, beside what its archive says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The digest of the archive that the record and the directory are.
    pub diff_id: Digest,
    /// How many bytes that archive has.
    pub archive_size: u64,
    /// Where the directory is not what the archive says, in the order of the walk; at most [`Verified::LISTED_MOST`].
    pub differences: Vec<Difference>,
    /// How many more there are than are listed.
    pub differences_more: u64,
}

impl Verified {
    /// How many differences are listed one by one.
    pub const LISTED_MOST: usize = 100;
}

/// One path of a layer that is not what its archive says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where, relative to the root of the layer; empty for the root.
    pub path: PathBuf,
    /// What is wrong with it, as the end of a sentence that begins with the path.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::unix::ffi::OsStrExt;
        let path = self.path.as_os_str().as_bytes();
        let path = if path.is_empty() { b"/" } else { path };
        write!(f, "{} {}", crate::names::quoted(path), self.what)
    }
}

/// Puts the archive of a layer together, as [`tar_split::rebuild`](crate::tar_split::rebuild) does, and compares the
/// directory with what it says.
///
/// `chain` is what the layer was applied over; `out` gets the archive. A content that differs is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) as there, and ends the work; everything else that differs is listed.
///
/// The layer must have been applied with options that change nothing of what the archive says: owners that were mapped and
/// attributes that were tolerated to be missing are differences here, and what only wider limits let in is refused.
///
/// Memory grows with the number of entries, by about 250 bytes and twice the length of its name each; a link's target, the
/// name of an attribute and 40 bytes, and 16 bytes for each stretch of a sparse file come on top.
pub fn verify(record: impl BufRead, layer: impl AsFd, chain: &Chain, out: impl Write) -> Result<Verified> {
    let root = fs::open_dir_at(&layer, ".").map_err(|error| Error::call("open the layer", error))?;
    let mut archive = Archive::new(record, &layer)?;
    archive.note_places();
    let source = Source { archive, out: DigestWriter::new(out), failed: None };
    let mut reader = Reader::buffered(Buffered::new(BUFFER, source), Limits::default());
    let expected = match read(&mut reader) {
        Ok(expected) => expected,
        Err(error) => return Err(reader.source().get_mut().failed.take().unwrap_or(error)),
    };
    let (diff_id, archive_size) = reader.source().get_mut().end()?;
    let (differences, differences_more) = compare::compare(root, chain, expected)?;
    Ok(Verified { diff_id, archive_size, differences, differences_more })
}

type ArchiveReader<B, W> = Reader<Buffered<Source<B, W>>>;

/// Reads the archive to its end; what it says of the directory.
fn read<B: BufRead, W: Write>(reader: &mut ArchiveReader<B, W>) -> Result<Expected> {
    let mut expected = Expected::default();
    let mut entry = reader.next_entry()?;
    while let Some(current) = entry {
        let is_sparse = current.extents.is_some();
        let mut crc = Crc64::new();
        loop {
            let piece = reader.content()?;
            if piece.is_empty() {
                break;
            }
            if is_sparse {
                crc.update(piece);
            }
        }
        let next = reader.next_entry()?;
        // The line that stands for an entry comes behind its header and before the next.
        let end = next.as_ref().map_or(u64::MAX, |next| next.position);
        let place = reader.source().get_mut().archive.take_place(end);
        expected.add(current, crc.value(), place.as_deref())?;
        entry = next;
    }
    while !reader.trailer()?.is_empty() {}
    Ok(expected)
}

/// The archive while it is read: every byte is digested and handed on.
struct Source<B, W: Write> {
    archive: Archive<B>,
    out: DigestWriter<W>,
    /// The first failure as it was, which passes through a reader that has its own words for one.
    failed: Option<Error>,
}

impl<B: BufRead, W: Write> Source<B, W> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.archive.next_bytes(buffer)?;
        let written = self.out.write_all(&buffer[..length]);
        written.map_err(|error| Error::io("write the archive", error))?;
        Ok(length)
    }

    fn end(&mut self) -> Result<(Digest, u64)> {
        self.out.flush().map_err(|error| Error::io("write the archive", error))?;
        Ok(self.out.tally())
    }
}

impl<B: BufRead, W: Write> Read for Source<B, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(buffer).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failed.get_or_insert(error);
            told
        })
    }
}

#[cfg(test)]
mod tests {
    use plyfs_testkit::temp::TempDir;
    use plyfs_testkit::{require_root, tar_text};
    use rustix::fs::Mode;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;
    use crate::{ApplyOptions, Dialect, apply};

    #[test]
    fn root_a_tree_that_is_too_deep_is_refused_before_the_stack_ends() {
        require_root!();
        // Every directory that the walk is in takes a descriptor.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("raised");
        let temp = TempDir::new();
        let (lower, layer) = (temp.dir("lower"), temp.dir("layer"));
        std::fs::write(lower.join("file"), "x").expect("written");
        let chain = Chain::new(vec![fs::open_dir(lower).expect("opened")], Dialect::Trusted);
        // What is copied up may lie in directories that nothing names.
        let archive = tar_text::build("hardlink name link=file\n").expect("a layer");
        let (root, mut record) = (fs::open_dir(layer).expect("opened"), Vec::new());
        apply(&archive[..], &root, &chain, &ApplyOptions::new(), Some(&mut record)).expect("applied");
        let mut dir = fs::open_dir_at(&root, ".").expect("opened");
        for _ in 0..=fs::MAX_DEPTH + 1 {
            fs::make_dir_at(&dir, "d", Mode::RWXU).expect("made");
            dir = fs::open_dir_at(&dir, "d").expect("opened");
        }
        let error = verify(record.as_slice(), root, &chain, io::sink()).expect_err("too deep");
        assert_eq!(error.to_string(), "the tree is more than 4096 directories deep");
    }
}
