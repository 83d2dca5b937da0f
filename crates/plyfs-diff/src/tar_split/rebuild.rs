//! The archive a layer came from, out of its record and its directory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use data_encoding::BASE64;
use plyfs_sys::buffer::Buffer;
use plyfs_sys::{CallError, fs};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::{Crc64, FILE, SEGMENT};
use crate::archive::Limits;
use crate::layout::BUFFER;
use crate::{DigestWriter, Error, ErrorKind, Exported, Losses, Result, beneath, names};

/// The longest line a record may have; what other writers put into one is far below.
const LINE_MOST: u64 = 16 << 20;

/// Writes the archive that `record` and the files below `layer` are, byte for byte as it was received.
///
/// Every file is compared with the size and the checksum in the record; one that differs or is missing is
/// [`ErrorKind::Corrupt`] and names the path. What was written until then is not the archive. `out` is flushed.
pub fn rebuild(record: impl BufRead, layer: impl AsFd, out: impl Write) -> Result<Exported> {
    let mut archive = Archive::new(record, layer)?;
    let mut out = DigestWriter::new(out);
    let mut buffer = Buffer::new(BUFFER);
    loop {
        buffer.clear();
        let length = archive.next_bytes(buffer.spare())?;
        buffer.fill(length);
        let written = if length > 0 { out.write_all(&buffer) } else { out.flush() };
        written.map_err(|error| Error::io("write the archive", error))?;
        if length == 0 {
            break;
        }
    }
    let (diff_id, size, _) = out.finish();
    Ok(Exported::new(diff_id, size, Losses::default()))
}

/// The archive as a reader; its errors carry an [`Error`] inside.
///
/// An archive read to its end without an error is the one that was received.
pub struct Archive<B> {
    record: B,
    root: OwnedFd,
    /// The directory of the file before, since the next one is mostly in it too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    line: Vec<u8>,
    number: u64,
    now: Now,
    /// How many bytes of the archive were given.
    given: u64,
    /// Where entries are in the layer, each with `given` at its line; not noted unless asked for.
    places: Option<VecDeque<(u64, Vec<u8>)>>,
}

/// What the archive is in the middle of.
enum Now {
    Between,
    Segment { bytes: Vec<u8>, given: usize },
    Content(Box<Content>),
    Ended,
}

struct Content {
    file: File,
    name: Vec<u8>,
    left: u64,
    crc: Crc64,
    expected: u64,
}

/// One line of a record.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    size: u64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

impl<B: BufRead> Archive<B> {
    /// Reads the lines of `record`, and the contents from files below `layer`.
    pub fn new(record: B, layer: impl AsFd) -> Result<Self> {
        let root = fs::open_dir_at(layer, ".").map_err(|error| Error::call("open the layer", error))?;
        Ok(Self { record, root, parent: None, line: Vec::new(), number: 0, now: Now::Between, given: 0, places: None })
    }

    /// Remembers from now on where the record says that entries are in the layer.
    pub(crate) fn note_places(&mut self) {
        self.places = Some(VecDeque::new());
    }

    /// The place of the entry that ends before `end`, the position of the next one's header; `None` where it has none.
    pub(crate) fn take_place(&mut self, end: u64) -> Option<Vec<u8>> {
        let places = self.places.as_mut()?;
        let mut place = None;
        while places.front().is_some_and(|(at, _)| *at <= end) {
            place = places.pop_front().map(|(_, name)| name);
        }
        place
    }

    /// Fills the front of `buffer`, which is not empty; 0 at the end.
    pub(crate) fn next_bytes(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.fill(buffer)?;
        self.given += length as u64;
        Ok(length)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match &mut self.now {
                Now::Ended => return Ok(0),
                Now::Between => self.now = self.next_line()?,
                Now::Segment { bytes, given } => {
                    let length = buffer.len().min(bytes.len() - *given);
                    if length > 0 {
                        buffer[..length].copy_from_slice(&bytes[*given..*given + length]);
                        *given += length;
                        return Ok(length);
                    }
                    self.now = Now::Between;
                }
                Now::Content(content) => {
                    let length = content.read(buffer)?;
                    if length > 0 {
                        return Ok(length);
                    }
                    self.now = Now::Between;
                }
            }
        }
    }

    fn next_line(&mut self) -> Result<Now> {
        self.line.clear();
        let read = (&mut self.record).take(LINE_MOST).read_until(b'\n', &mut self.line);
        if read.map_err(|error| Error::io("read the tar-split record", error))? == 0 {
            return Ok(Now::Ended);
        }
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        let now = self.read_line(&line);
        self.line = line;
        now
    }

    fn read_line(&mut self, text: &[u8]) -> Result<Now> {
        let corrupt = || Error::new(ErrorKind::Corrupt, format!("line {} of the tar-split record", self.number));
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| corrupt().because(error))?;
        let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|error| corrupt().because(error));
        let payload = decode(line.payload.as_deref().unwrap_or_default())?;
        match line.kind {
            SEGMENT => Ok(Now::Segment { bytes: payload, given: 0 }),
            FILE if line.size == 0 && self.places.is_none() => Ok(Now::Between),
            FILE => {
                let name = match (line.name_raw, line.name) {
                    (Some(raw), _) => decode(&raw)?,
                    (None, Some(name)) => name.into_owned().into_bytes(),
                    (None, None) => return Err(corrupt()),
                };
                if let Some(places) = &mut self.places {
                    places.push_back((self.given, name.clone()));
                }
                if line.size == 0 {
                    return Ok(Now::Between);
                }
                let expected = u64::from_be_bytes(payload.try_into().map_err(|_| corrupt())?);
                self.content(name, line.size, expected).map(Box::new).map(Now::Content)
            }
            _ => Err(corrupt()),
        }
    }

    fn content(&mut self, name: Vec<u8>, size: u64, expected: u64) -> Result<Content> {
        let path = names::clean(&name, &Limits::default())?;
        let lost = |error: CallError| {
            let kind = if error.is_not_found() { ErrorKind::Corrupt } else { error.kind() };
            Error::new(kind, format!("open {} for the archive", names::quoted(&name))).because(error)
        };
        let file = self.open(&path).map_err(lost)?;
        let stat = fs::stat(&file).map_err(lost)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || u64::try_from(stat.st_size) != Ok(size) {
            return Err(changed(&name));
        }
        Ok(Content { file: file.into(), name, left: size, crc: Crc64::new(), expected })
    }

    fn open(&mut self, path: &[u8]) -> Result<OwnedFd, CallError> {
        let (parent, base) = names::split(path);
        let dir = match self.parent.take_if(|(known, _)| known == parent) {
            Some((_, dir)) => dir,
            None => open_parent(&self.root, parent)?,
        };
        let file = fs::open_to_read_at(&dir, OsStr::from_bytes(base));
        self.parent = Some((parent.to_vec(), dir));
        file
    }
}

/// Opens the directory of a file; records of other writers name files through symbolic links of the layer.
fn open_parent(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, CallError> {
    match beneath::open_dir(root, path) {
        Err(error) if error.errno() == Errno::LOOP => {}
        result => return result,
    }
    fs::open_in_root(root, OsStr::from_bytes(path), OFlags::DIRECTORY | OFlags::RDONLY)
}

impl Content {
    /// Reads on; 0 once the whole content was read and is what the record says.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.left == 0 {
            return if self.crc.value() == self.expected { Ok(0) } else { Err(changed(&self.name)) };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = loop {
            match self.file.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let length = length.map_err(|error| Error::io(format!("read {}", names::quoted(&self.name)), error))?;
        if length == 0 {
            return Err(changed(&self.name));
        }
        self.crc.update(&buffer[..length]);
        self.left -= length as u64;
        Ok(length)
    }
}

impl<B: BufRead> Read for Archive<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.next_bytes(buffer).map_err(io::Error::other)
    }
}

impl<B> fmt::Debug for Archive<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("line", &self.number).finish_non_exhaustive()
    }
}

fn changed(name: &[u8]) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} is not what the archive had", names::quoted(name)))
}
