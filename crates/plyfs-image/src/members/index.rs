//! Reading the headers of a tar archive into a map of names.
//!
//! What the headers may cost is bounded by the limits of [`crate::layout`], and after some of them it is asked whether to go
//! on, since they may be all there is; the parser applies a PAX size to the
//! content it belongs to, so no member can hide inside another. A missing end mark is accepted at a header's
//! boundary, as every tar reader does; an archive cut anywhere else is [`ErrorKind::Corrupt`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use tar_core::EntryType;
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};

use super::{Node, name};
use crate::error::{Error, ErrorKind, Result, shown};
use crate::layout::{CHUNK, MAX_HEADERS, MAX_MEMBER_NAME, MAX_MEMBER_NAMES, MAX_MEMBERS};

/// How much is read of what follows the end mark: tar(1) fills up to 10 KiB, and to no more than 16 MiB when told to.
const MAX_TRAILER: u64 = 64 << 20;

/// The largest headers of one member: long names and PAX records.
const MAX_METADATA: u32 = 256 << 10;

/// After how many headers it is asked whether to go on; each may have [`MAX_METADATA`].
const ASK_EVERY: usize = 256;

type Nodes = BTreeMap<Vec<u8>, Node>;

/// What an archive holds, and whether it ends as it should.
#[derive(Debug)]
pub(super) struct Index {
    pub nodes: Nodes,
    /// Whether the end mark was there: without it the archive may be the first part of another.
    pub has_end: bool,
}

/// Where an archive comes from, as far as its index is concerned.
trait Input {
    /// Appends `wanted` bytes to `buffer`; fewer at the end.
    fn append(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> io::Result<()>;
    /// Passes `size` bytes of content and `padding` after it; tells where the content can be read later.
    fn content(&mut self, name: &[u8], size: u64, padding: u64, keep: bool) -> Result<u64>;
    /// Asks whether to go on.
    fn ask(&mut self) -> Result<()>;
    /// Passes what follows the end mark.
    fn finish(&mut self) -> Result<()>;
}

/// Is told how many bytes of content were kept, and may stop the reading.
pub(super) type Report<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

/// Indexes a file by position, reading headers only.
pub(super) fn of_file(file: &File, report: Report<'_>) -> Result<Index> {
    let size = file.metadata().map_err(|error| Error::io("read its size", error))?.len();
    build(&mut Positioned { file, at: 0, size, report })
}

/// Reads a stream to its end and writes the content of plain files one after another into `kept`.
pub(super) fn of_stream(stream: impl Read, kept: &File, report: Report<'_>) -> Result<Index> {
    build(&mut Spooling { stream, kept, at: 0, report })
}

fn build(input: &mut impl Input) -> Result<Index> {
    let limits = Limits { max_metadata_size: MAX_METADATA, max_path_len: Some(MAX_MEMBER_NAME), ..Limits::default() };
    let mut parser = Parser::new(limits);
    let (mut nodes, mut names, mut headers, mut buffer) = (Nodes::new(), 0, 0, Vec::new());
    loop {
        let parsed = parser.parse(&buffer).map_err(|error| match nodes.len() {
            // What the parser missed in a photograph is nothing to a person.
            0 => unreadable(&nodes, "what it begins with is no header"),
            _ => unreadable(&nodes, &error.to_string()),
        })?;
        let (entry, plain) = match parsed {
            ParseEvent::NeedData { min_bytes } => {
                let wanted = min_bytes.saturating_sub(buffer.len()).max(1);
                let before = buffer.len();
                input.append(&mut buffer, wanted).map_err(|error| Error::io("read a header", error))?;
                if buffer.len() == before + wanted {
                    continue;
                }
                if nodes.is_empty() && buffer.is_empty() {
                    return Err(Error::new(ErrorKind::InvalidInput, "no tar archive: there is nothing in it"));
                }
                if nodes.is_empty() || buffer.iter().any(|byte| *byte != 0) {
                    return Err(unreadable(&nodes, "cut off in a header"));
                }
                return Ok(Index { nodes, has_end: false });
            }
            ParseEvent::GlobalExtensions { consumed, .. } => {
                count(&mut headers, input)?;
                buffer.drain(..consumed);
                continue;
            }
            ParseEvent::End { .. } => {
                input.finish()?;
                return Ok(Index { nodes, has_end: true });
            }
            ParseEvent::Entry { entry, .. } => (entry, true),
            ParseEvent::SparseEntry { entry, .. } => (entry, false),
        };
        count(&mut headers, input)?;
        let key = name::normalise(&entry.path)?;
        let size = content_size(&entry);
        let padding = (512 - size % 512) % 512;
        let is_file = plain && matches!(entry.entry_type, EntryType::Regular | EntryType::Continuous);
        // The parser is given no more than the headers of one member, so the content starts here.
        let offset = input.content(&key, size, padding, is_file)?;
        let node = match entry.entry_type {
            _ if is_file => Node::File { offset, size },
            EntryType::Link => Node::Link(name::normalise(entry.link_target.as_deref().unwrap_or_default())?),
            EntryType::Symlink => Node::Link(name::resolve(&key, entry.link_target.as_deref().unwrap_or_default())?),
            EntryType::Directory => {
                buffer.clear();
                continue;
            }
            _ if !plain => Node::Sparse,
            _ => Node::Other,
        };
        buffer.clear();
        names += key.len();
        if let Node::Link(target) = &node {
            names += target.len();
        }
        nodes.insert(key, node);
        if nodes.len() > MAX_MEMBERS || names > MAX_MEMBER_NAMES {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("more than {MAX_MEMBERS} members or too long names"),
            ));
        }
    }
}

/// Counts a header, and asks after every so many.
fn count(headers: &mut usize, input: &mut impl Input) -> Result<()> {
    *headers += 1;
    if *headers > MAX_HEADERS {
        return Err(Error::new(ErrorKind::InvalidInput, format!("more than {MAX_HEADERS} headers")));
    }
    if headers.is_multiple_of(ASK_EVERY) { input.ask() } else { Ok(()) }
}

/// How much content follows the header; links state sizes that mean nothing.
fn content_size(entry: &ParsedEntry<'_>) -> u64 {
    match entry.entry_type {
        EntryType::Link | EntryType::Symlink | EntryType::Directory => 0,
        EntryType::Char | EntryType::Block | EntryType::Fifo => 0,
        _ => entry.size,
    }
}

/// A first header that makes no sense is a file that is no tar at all.
fn unreadable(nodes: &Nodes, why: &str) -> Error {
    match nodes.last_key_value() {
        None => Error::new(ErrorKind::InvalidInput, format!("no tar archive, plain or compressed: {why}")),
        Some(_) => {
            Error::new(ErrorKind::Corrupt, format!("the archive is damaged after {} members: {why}", nodes.len()))
        }
    }
}

fn cut_off(name: &[u8]) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the archive is cut off in its member {}", shown(name)))
}

/// A file read by position; content is skipped.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
    size: u64,
    report: Report<'a>,
}

impl Input for Positioned<'_> {
    fn append(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + wanted, 0);
        let mut filled = start;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], self.at) {
                Ok(0) => break,
                Ok(read) => (filled, self.at) = (filled + read, self.at + read as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        Ok(())
    }

    fn content(&mut self, name: &[u8], size: u64, padding: u64, _keep: bool) -> Result<u64> {
        let offset = self.at;
        let end = offset.checked_add(size).filter(|end| *end <= self.size).ok_or_else(|| cut_off(name))?;
        self.at = end.saturating_add(padding);
        Ok(offset)
    }

    /// Nothing is kept of what is read where it lies.
    fn ask(&mut self) -> Result<()> {
        (self.report)(0)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A stream; the content of plain files is kept.
struct Spooling<'a, R> {
    stream: R,
    kept: &'a File,
    at: u64,
    report: Report<'a>,
}

impl<R: Read> Spooling<'_, R> {
    /// Reads `size` bytes of content and hands them on in chunks; `false` when the stream ends before.
    fn pass(&mut self, size: u64, mut chunk: impl FnMut(&mut Self, &[u8]) -> Result<()>) -> Result<bool> {
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(CHUNK).min(CHUNK)];
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            match self.stream.read(&mut buffer[..wanted]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    chunk(self, &buffer[..read])?;
                    left -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read the archive", error)),
            }
        }
        Ok(true)
    }
}

impl<R: Read> Input for Spooling<'_, R> {
    fn append(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
        self.stream.by_ref().take(wanted as u64).read_to_end(buffer).map(drop)
    }

    fn content(&mut self, name: &[u8], size: u64, padding: u64, keep: bool) -> Result<u64> {
        let offset = self.at;
        let whole = self.pass(size, |this, bytes| {
            if keep {
                let written = this.kept.write_all_at(bytes, this.at);
                written.map_err(|error| Error::io("write a temporary file", error))?;
                this.at += bytes.len() as u64;
            }
            (this.report)(this.at)
        })?;
        if !whole {
            return Err(cut_off(name));
        }
        self.pass(padding, |_, _| Ok(()))?; // the last member's padding may be missing
        Ok(offset)
    }

    fn ask(&mut self) -> Result<()> {
        (self.report)(self.at)
    }

    /// Reads the rest, so that a compressed archive's checksum is verified and a pipe's writer can finish; of one that does
    /// not end no more than [`MAX_TRAILER`].
    fn finish(&mut self) -> Result<()> {
        self.pass(MAX_TRAILER, |this, _| (this.report)(this.at)).map(drop)
    }
}
