//! The tar-split record of an archive while it is applied.
//!
//! A line that stands for a file is right only if the layer still holds the content in the end, and a later entry may
//! replace any earlier one (rule 46). So the record is kept aside until the archive has ended: in memory while it is
//! small, in a scratch file beyond. Content that is about to be removed from the layer is copied to a second scratch file,
//! and its line becomes raw bytes when the record is written out. Memory is bounded by [`SPILL`], [`MARKS_MOST`] and
//! [`Limits::replaced`](crate::archive::Limits::replaced).
//!
//! Of an archive that names each path once every line is right as soon as it is known, and is written then.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use plyfs_sys::fs::Stat;
use sha2::{Digest as _, Sha256};

use super::scratch;
use crate::layout::BUFFER;
use crate::tar_split::{Crc64, Writer};
use crate::{Error, ErrorKind, Result, names};

/// How much of the record is kept in memory.
const SPILL: usize = 8 << 20;

/// How many marks are remembered, lest one that comes twice has two lines. Beyond them a mark has none, and is raw bytes like
/// all that has no content: whoever puts the archive together needs no line for it.
const MARKS_MOST: usize = 1 << 18;

const TAG_SEGMENT: u8 = 0;
const TAG_FILE: u8 = 1;

/// Half a SHA-256 of a path in the layer: short, and nobody finds two paths with one key.
pub(crate) type Key = [u8; 16];

/// What the archive was, written when it can be said where its contents are.
pub(super) struct Record<'a> {
    out: Writer<&'a mut dyn Write>,
    /// What waits for the end of the archive; `None` where nothing does.
    kept: Option<Kept>,
}

/// What the archive was, until nothing in the layer is replaced any more.
struct Kept {
    items: Spool,
    /// How many file lines there are so far.
    files: u64,
    lost: Vec<Lost>,
    /// How many of these were marks, and how many may be anything else.
    marks: usize,
    most: usize,
    attic: Attic,
}

/// One path that was taken out of the layer.
struct Lost {
    key: Key,
    /// How many file lines came before.
    after: u64,
    /// Where the attic has the content, if it had any.
    offset: u64,
}

impl<'a> Record<'a> {
    /// Writes to `out` at the end, and keeps what does not fit in memory on the file system of `layer` until then; no more
    /// than `most` paths may be lost.
    pub(super) fn new(out: &'a mut dyn Write, layer: OwnedFd, most: usize) -> Self {
        let items = Spool { memory: Vec::new(), file: None, dir: layer };
        let kept = Kept { items, files: 0, lost: Vec::new(), marks: 0, most, attic: Attic::default() };
        Self { out: Writer::new(out), kept: Some(kept) }
    }

    /// Writes to `out` at once, and loses nothing.
    pub(super) fn direct(out: &'a mut dyn Write) -> Self {
        Self { out: Writer::new(out), kept: None }
    }

    /// Adds raw bytes of the archive.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.segment(bytes),
            None => self.out.segment(bytes),
        }
    }

    /// Adds an entry whose content, if any, is now at `path` in the layer; `name` is what the record calls it.
    pub(super) fn file(&mut self, path: &[u8], name: &[u8], size: u64, crc: u64) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.file(path, name, size, crc),
            None => self.out.file(name, size, crc),
        }
    }

    /// Says that everything that was about to be taken out of the layer is gone.
    pub(super) fn took_out(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.attic.forget_gone();
        }
    }

    /// Says that `path` is about to be taken out of the layer, or described anew; `file` is its content, if it has any.
    pub(super) fn lose(&mut self, path: &[u8], file: Option<(&File, &Stat)>) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.lose(path, file),
            None => Err(names::invalid(path, "comes twice, in an archive that is to name each path once")),
        }
    }

    /// Says that `path`, a mark without content, may have come before: what is kept gets one line for both. `false` where it is
    /// to get none.
    pub(super) fn may_repeat(&mut self, path: &[u8]) -> bool {
        self.kept.as_mut().is_none_or(|kept| kept.repeat_mark(path))
    }

    /// Writes out what is not written yet.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(kept) = self.kept {
            kept.write(&mut self.out)?;
        }
        self.out.finish().map(drop)
    }
}

impl Kept {
    fn segment(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(BUFFER) {
            let length = u32::try_from(piece.len()).expect("a piece is short");
            self.items.write(&[&[TAG_SEGMENT], &length.to_le_bytes(), piece])?;
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], name: &[u8], size: u64, crc: u64) -> Result<()> {
        self.files += 1;
        let length = u32::try_from(name.len()).map_err(|_| names::invalid(name, "is too long"))?;
        self.items.write(&[
            &[TAG_FILE],
            &key(path),
            &size.to_le_bytes(),
            &crc.to_le_bytes(),
            &length.to_le_bytes(),
            name,
        ])
    }

    fn lose(&mut self, path: &[u8], file: Option<(&File, &Stat)>) -> Result<()> {
        if self.lost.len() - self.marks == self.most {
            let limit = format!("comes again, as more than Limits::replaced, {}, did before it", self.most);
            return Err(names::invalid(path, &limit));
        }
        let offset = match file {
            Some((file, stat)) => self.attic.keep(file, stat, &self.items.dir, path)?,
            None => 0,
        };
        self.lost.push(Lost { key: key(path), after: self.files, offset });
        Ok(())
    }

    fn repeat_mark(&mut self, path: &[u8]) -> bool {
        if self.marks == MARKS_MOST {
            return false;
        }
        self.marks += 1;
        self.lost.push(Lost { key: key(path), after: self.files, offset: 0 });
        true
    }

    fn write(mut self, writer: &mut Writer<&mut dyn Write>) -> Result<()> {
        self.lost.sort_by_key(|lost| (lost.key, lost.after));
        let mut items = Items { source: self.items.into_reader()?, bytes: Vec::new() };
        let mut index = 0;
        while let Some(item) = items.next()? {
            match item {
                Item::Segment => writer.segment(&items.bytes)?,
                Item::File { key, size, crc } => {
                    match find(&self.lost, key, index) {
                        None => writer.file(&items.bytes, size, crc)?,
                        Some(lost) => self.attic.copy(lost.offset, size, crc, writer)?,
                    }
                    index += 1;
                }
            }
        }
        Ok(())
    }
}

/// The first time the path was taken out after its line number `index` was written.
///
/// Between two lines of one path it was taken out at least once, so this is never a later line's loss.
fn find(lost: &[Lost], key: Key, index: u64) -> Option<&Lost> {
    let at = lost.partition_point(|lost| (lost.key, lost.after) <= (key, index));
    lost.get(at).filter(|lost| lost.key == key)
}

/// Stands for a path or another string of bytes.
pub(crate) fn key(bytes: &[u8]) -> Key {
    *Sha256::digest(bytes).first_chunk().expect("a digest has 32 bytes")
}

/// Contents that are in the layer no more.
#[derive(Default)]
struct Attic {
    file: Option<File>,
    end: u64,
    /// Files kept here that still have a name in the layer: kept once, however often a name of theirs is removed.
    linked: HashMap<(u64, u64), u64>,
    /// How many of its names each file loses by the removal that is under way, and how many it has.
    going: HashMap<(u64, u64), (u64, u64)>,
}

impl Attic {
    #[allow(clippy::useless_conversion, reason = "the widths differ between architectures")]
    fn keep(&mut self, source: &File, stat: &Stat, dir: &OwnedFd, path: &[u8]) -> Result<u64> {
        let inode = (stat.st_dev, stat.st_ino);
        let kept = self.linked.get(&inode).copied();
        // One that was not kept before, and has no other name, is forgotten as it is.
        if kept.is_some() || stat.st_nlink > 1 {
            self.going.entry(inode).or_insert((0, stat.st_nlink.into())).0 += 1;
        }
        if let Some(offset) = kept {
            return Ok(offset);
        }
        let failed = |error| Error::io(format!("keep the content of {}", names::quoted(path)), error);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(scratch::open(dir.as_fd()).map_err(io::Error::from).map_err(failed)?),
        };
        let offset = self.end;
        self.end += io::copy(&mut &*source, file).map_err(failed)?;
        if stat.st_nlink > 1 {
            self.linked.insert(inode, offset);
        }
        Ok(offset)
    }

    /// Forgets the files that have no name any more: the file system gives their numbers to others.
    fn forget_gone(&mut self) {
        for (inode, (lost, names)) in self.going.drain() {
            if lost >= names {
                self.linked.remove(&inode);
            }
        }
    }

    fn copy(&self, offset: u64, size: u64, crc: u64, writer: &mut Writer<&mut dyn Write>) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut check = Crc64::new();
        let mut at = 0;
        while at < size {
            let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(BUFFER);
            let file = self.file.as_ref().ok_or_else(changed)?;
            file.read_exact_at(&mut buffer[..length], offset + at)
                .map_err(|error| Error::io("read what was replaced in the layer", error))?;
            check.update(&buffer[..length]);
            writer.segment(&buffer[..length])?;
            at += length as u64;
        }
        if size > 0 && check.value() != crc {
            return Err(changed());
        }
        Ok(())
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::Conflict, "the layer was written to while the archive was applied")
}

/// Bytes that are written once, then read once.
struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    dir: OwnedFd,
}

impl Spool {
    fn write(&mut self, parts: &[&[u8]]) -> Result<()> {
        parts.iter().for_each(|part| self.memory.extend_from_slice(part));
        if self.memory.len() < SPILL {
            return Ok(());
        }
        self.spill().map_err(|error| Error::io("keep the tar-split record", error))?;
        self.memory.clear();
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(scratch::open(self.dir.as_fd())?),
        };
        file.write_all(&self.memory)
    }

    fn into_reader(self) -> Result<impl Read> {
        let failed = |error| Error::io("read the tar-split record back", error);
        let file: Box<dyn Read> = match self.file {
            Some(mut file) => {
                io::Seek::rewind(&mut file).map_err(failed)?;
                Box::new(BufReader::with_capacity(BUFFER, file))
            }
            None => Box::new(io::empty()),
        };
        Ok(file.chain(io::Cursor::new(self.memory)))
    }
}

enum Item {
    Segment,
    File { key: Key, size: u64, crc: u64 },
}

/// The items of a spool; what belongs to the last one is in `bytes`.
struct Items<R> {
    source: R,
    bytes: Vec<u8>,
}

impl<R: Read> Items<R> {
    fn next(&mut self) -> Result<Option<Item>> {
        self.read().map_err(|error| Error::io("read the tar-split record back", error))
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        let mut tag = [0];
        if self.source.read(&mut tag)? == 0 {
            return Ok(None);
        }
        let item = if tag == [TAG_FILE] {
            Item::File {
                key: self.array()?,
                size: u64::from_le_bytes(self.array()?),
                crc: u64::from_le_bytes(self.array()?),
            }
        } else {
            Item::Segment
        };
        let length = u32::from_le_bytes(self.array()?) as usize;
        self.bytes.resize(length, 0);
        self.source.read_exact(&mut self.bytes)?;
        Ok(Some(item))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.source.read_exact(&mut array)?;
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use plyfs_sys::fs;
    use plyfs_testkit::temp::TempDir;

    use super::*;

    #[test]
    fn a_mark_has_one_line_or_beyond_those_that_are_remembered_none() {
        let (temp, mut out) = (TempDir::new(), Vec::new());
        let mut record = Record::new(&mut out, fs::open_dir(temp.path()).expect("opened"), 0);
        record.kept.as_mut().expect("kept").marks = MARKS_MOST - 2;
        for (mark, is_remembered) in [("a", true), ("a", true), ("b", false), ("a", false)] {
            let path = format!("d/.wh.{mark}").into_bytes();
            record.segment(mark.as_bytes()).expect("kept");
            assert_eq!(record.may_repeat(&path), is_remembered, "{mark}");
            if is_remembered {
                record.file(&path, &path, 0, 0).expect("kept");
            }
        }
        record.finish().expect("written");
        let text = String::from_utf8(out).expect("JSON");
        assert_eq!(text.matches("d/.wh.a").count(), 1, "{text}");
        assert_eq!(text.matches("\"type\":2").count(), 4, "every raw byte is there: {text}");
        assert!(!text.contains("d/.wh.b"), "{text}");
    }
}
