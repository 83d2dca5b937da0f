//! The walk over an archive: where headers lie, which extensions belong to which entry, where content ends.
//!
//! Every byte of the archive passes once and in order through [`Reader::raw`], [`Reader::content`] or
//! [`Reader::trailer`], so that a caller can keep what gives the archive back.

use std::fmt;
use std::io::{BufRead, Read};

use plyfs_sys::buffer::Buffered;

use super::entry::{Entry, Extent, Kind, Limits, Time};
use super::header::Header;
use super::input::Input;
use super::pax::{self, Overrides};
use super::sparse::{self, ContentMap, Encoding};
use crate::layout::{BLOCK, BUFFER};
use crate::{Error, ErrorKind, Result};

/// Where an old GNU block with stretches of a sparse file says that another follows; the list is before it.
const GNU_MORE: usize = 504;

/// Walks an archive entry by entry.
pub struct Reader<B> {
    input: Input<B>,
    limits: Limits,
    /// What was read around contents since the entry before.
    raw: Vec<u8>,
    /// Content of the current entry that was not handed out.
    left: u64,
    /// What fills the last block of the current entry.
    padding: usize,
    has_ended: bool,
    is_cut: bool,
}

/// The extension headers met on the way to an entry.
#[derive(Default)]
struct Pending {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    overrides: Option<Overrides>,
    size: u64,
}

impl<R: Read> Reader<Buffered<R>> {
    /// Reads an uncompressed archive from `source`.
    pub fn new(source: R, limits: Limits) -> Self {
        Self::buffered(Buffered::new(BUFFER, source), limits)
    }
}

impl<B: BufRead> Reader<B> {
    /// Reads an uncompressed archive from what has a buffer of its own; its content is handed out from there.
    pub fn buffered(source: B, limits: Limits) -> Self {
        Self {
            input: Input::new(source),
            limits,
            raw: Vec::new(),
            left: 0,
            padding: 0,
            has_ended: false,
            is_cut: false,
        }
    }

    /// Goes to the next entry, over whatever is left of the current one's content; `None` at the end.
    ///
    /// An archive that stops where a header could start has ended, with or without its two blocks of zeros (rule 45).
    /// One that stops anywhere else is [`ErrorKind::Corrupt`], but for what fills the last block of a file: see [`Reader::is_cut`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.has_ended {
            return Ok(None);
        }
        while !self.content()?.is_empty() {}
        self.raw.clear();
        self.read_padding()?;
        let mut pending = Pending::default();
        loop {
            let position = self.input.position();
            let Some(block) = self.header_block()? else {
                if !pending.is_empty() {
                    return Err(malformed(position, "an extension header belongs to no entry"));
                }
                self.has_ended = true;
                return Ok(None);
            };
            let header = Header::new(&block);
            if !header.is_checksum_right() {
                return Err(malformed(position, "the checksum is wrong"));
            }
            match header.flag() {
                b'x' | b'L' | b'K' | b'g' => self.read_extension(&header, position, &mut pending)?,
                _ => return self.entry(&header, position, pending).map(Some),
            }
        }
    }

    /// The next piece of the current entry's content; empty when all of it was handed out.
    pub fn content(&mut self) -> Result<&[u8]> {
        self.content_up_to(u64::MAX)
    }

    /// The next piece of the current entry's content, of no more than `most` bytes.
    pub fn content_up_to(&mut self, most: u64) -> Result<&[u8]> {
        let position = self.input.position();
        let most = most.min(self.left);
        let piece = self.input.take(most)?;
        if piece.is_empty() && most > 0 {
            return Err(truncated(position, "a file"));
        }
        self.left -= piece.len() as u64;
        Ok(piece)
    }

    /// The bytes around contents since the entry before: padding, extensions, the header, or the end of the archive.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The next piece of what follows the end of the archive; empty at the end of the stream (rule 45).
    pub fn trailer(&mut self) -> Result<&[u8]> {
        self.input.take(u64::MAX)
    }

    /// How many bytes of the archive were consumed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.input.position()
    }

    /// Says whether the archive stopped before the last block of a file was full: it is whole for who knows its digest, and
    /// the beginning of another for who does not.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What the archive is read from, to be asked about itself.
    pub(crate) fn source(&mut self) -> &mut B {
        self.input.source()
    }

    /// Takes what fills the last block of the content; a stream may end before or in it.
    fn read_padding(&mut self) -> Result<()> {
        let wanted = std::mem::take(&mut self.padding);
        let length = self.input.peek(wanted)?.len().min(wanted);
        self.is_cut = length < wanted;
        self.take_raw(length)
    }

    /// The next header block, or `None` at the end of the archive.
    ///
    /// A lone block of zeros ends the archive for GNU tar and is an error for Go: where more follows, it is refused.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let position = self.input.position();
        let ahead = self.input.peek(2 * BLOCK)?;
        let Some((block, after)) = ahead.split_first_chunk::<BLOCK>() else {
            return if ahead.is_empty() { Ok(None) } else { Err(truncated(position, "a header")) };
        };
        let block = *block;
        if !is_zero(&block) {
            self.take_raw(BLOCK)?;
            return Ok(Some(block));
        }
        let after = &after[..after.len().min(BLOCK)];
        if !is_zero(after) {
            return Err(malformed(position, "a single block of zeros is followed by more"));
        }
        let length = BLOCK + after.len();
        self.take_raw(length)?;
        Ok(None)
    }

    fn read_extension(&mut self, header: &Header<'_>, position: u64, pending: &mut Pending) -> Result<()> {
        let wrong = |what: &str| malformed(position, what);
        let flag = header.flag();
        if flag == b'g' && !pending.is_empty() {
            return Err(wrong("an extension header belongs to no entry"));
        }
        let size = header.size().map_err(|field| wrong_field(position, field))?;
        // Any number of global headers may follow one another, empty ones too: of those everything that is kept counts.
        let around = if flag == b'g' { BLOCK + padding(size) } else { 0 };
        pending.size = pending.size.saturating_add(size).saturating_add(around as u64);
        if pending.size > self.limits.metadata {
            return Err(wrong(&format!("extension headers exceed Limits::metadata, {} bytes", self.limits.metadata)));
        }
        let data = self.take_blocks(size)?;
        let is_new = match flag {
            b'L' => pending.long_name.replace(c_string(data)).is_none(),
            b'K' => pending.long_link.replace(c_string(data)).is_none(),
            b'x' => {
                let overrides = Overrides::read(&data, self.limits.extents).map_err(|what| wrong(&what))?;
                pending.overrides.replace(overrides).is_none()
            }
            _ => {
                pax::check_global(&data).map_err(|what| wrong(&what))?;
                true
            }
        };
        if !is_new {
            return Err(wrong("two extension headers of one kind for one entry"));
        }
        Ok(())
    }

    /// Puts an entry together: extension records over GNU's long names over the header.
    fn entry(&mut self, header: &Header<'_>, position: u64, pending: Pending) -> Result<Entry> {
        let wrong = |what: &str| malformed(position, what);
        let field = |name| wrong_field(position, name);
        let Pending { long_name, long_link, overrides, .. } = pending;
        let pax = overrides.unwrap_or_default();
        let encoding = pax.sparse.encoding().map_err(|what| wrong(&what))?;
        let (sparse_name, real_size, map) = pax.sparse.into_parts();

        if header.has_name_for_time() && long_name.is_none() && pax.path.is_none() {
            return Err(wrong("half a name lies where a time belongs"));
        }
        let path = agreed(pax.path, long_name).map_err(wrong)?.unwrap_or_else(|| header.path());
        let path = sparse_name.filter(|_| encoding != Encoding::None).unwrap_or(path);
        let link = agreed(pax.link, long_link).map_err(wrong)?.unwrap_or_else(|| header.link().to_vec());
        if path.is_empty() {
            return Err(wrong("an entry has no name"));
        }
        if path.contains(&0) || link.contains(&0) {
            return Err(wrong("a name has a NUL in it"));
        }
        let kind = header.kind(&path).ok_or_else(|| wrong("the name of a file ends with a slash"))?;
        let size = pax.size.map_or_else(|| header.size(), Ok).map_err(field)?;
        let size = if kind.has_content() { size } else { 0 };
        let device = header.device().map_err(field);
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { device? } else { (0, 0) };
        let number = |value: u64, name| u32::try_from(value).map_err(|_| field(name));
        // The greatest one means nobody: chown(2) leaves the owner as it is, and what was to be nobody's would be root's.
        let owner =
            |value, name| number(value, name).and_then(|id| if id == u32::MAX { Err(field(name)) } else { Ok(id) });
        let mut entry = Entry {
            kind,
            link: if matches!(kind, Kind::Symlink | Kind::HardLink) { link } else { Vec::new() },
            mode: header.mode().map_err(field)?,
            uid: owner(pax.uid.map_or_else(|| header.uid(), Ok).map_err(field)?, "uid")?,
            gid: owner(pax.gid.map_or_else(|| header.gid(), Ok).map_err(field)?, "gid")?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time { seconds: header.mtime().map_err(field)?, nanoseconds: 0 },
            },
            atime: pax.atime,
            device: (
                number(pax.major.unwrap_or(device.0), "device number")?,
                number(pax.minor.unwrap_or(device.1), "device number")?,
            ),
            xattrs: pax.xattrs,
            size,
            stored: size,
            extents: None,
            position,
            path,
        };
        self.open_content(&mut entry, header, (encoding, real_size, map))?;
        Ok(entry)
    }

    /// Reads the map of a sparse file and remembers how much content follows.
    fn open_content(
        &mut self,
        entry: &mut Entry,
        header: &Header<'_>,
        (encoding, real_size, map): (Encoding, Option<u64>, Vec<Extent>),
    ) -> Result<()> {
        let wrong = |what: &str| malformed(entry.position, what);
        let (extents, size, map_size) = match (header.flag(), encoding) {
            (b'S', Encoding::None) => {
                let sparse = header.sparse().ok_or_else(|| wrong("a sparse file in a format that has none"))?;
                let sparse = sparse.map_err(|field| wrong_field(entry.position, field))?;
                let mut extents = Vec::new();
                let add = |extents: &mut Vec<Extent>, list: &[u8]| {
                    sparse::add_gnu(extents, list, self.limits.extents).map_err(|what| wrong(&what))
                };
                add(&mut extents, sparse.list)?;
                let mut is_extended = sparse.is_extended;
                while is_extended {
                    let block = take_block(&mut self.input, &mut self.raw)?;
                    let before = extents.len();
                    add(&mut extents, &block[..GNU_MORE])?;
                    is_extended = block[GNU_MORE] != 0;
                    if is_extended && extents.len() == before {
                        return Err(wrong("the map of a sparse file is malformed"));
                    }
                }
                (extents, sparse.size, 0)
            }
            (_, Encoding::None) => {
                self.left = entry.stored;
                self.padding = padding(entry.stored);
                return Ok(());
            }
            (b'S', _) => return Err(wrong("a sparse file in two formats")),
            (_, Encoding::Records) => (map, real_size.unwrap_or(entry.stored), 0),
            (_, Encoding::Content) => {
                let size = real_size.ok_or_else(|| wrong("a sparse file without its size"))?;
                let (extents, map_size) = self.read_content_map(entry)?;
                (extents, size, map_size)
            }
        };
        if entry.kind != Kind::File {
            return Err(wrong("a sparse file that is none"));
        }
        entry.stored -= map_size;
        entry.size = size;
        sparse::check(&extents, entry.size, entry.stored).map_err(|what| wrong(&what))?;
        entry.extents = Some(extents);
        self.left = entry.stored;
        self.padding = padding(entry.stored);
        Ok(())
    }

    /// Reads the map in front of the content, block by block; it may not be longer than the content.
    fn read_content_map(&mut self, entry: &Entry) -> Result<(Vec<Extent>, u64)> {
        let wrong = |what: &str| malformed(entry.position, what);
        let mut map = ContentMap::default();
        let mut size = 0;
        loop {
            if size + BLOCK as u64 > entry.stored {
                return Err(wrong("the map of a sparse file is longer than the file"));
            }
            let block = take_block(&mut self.input, &mut self.raw)?;
            size += BLOCK as u64;
            if map.feed(&block, self.limits.extents).map_err(|what| wrong(&what))? {
                return Ok((map.into_extents(), size));
            }
        }
    }

    /// Consumes `size` bytes and what fills their last block; all of it is raw.
    fn take_blocks(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut left = size + padding(size) as u64;
        let start = self.raw.len();
        while left > 0 {
            let position = self.input.position();
            let piece = self.input.take(left)?;
            if piece.is_empty() {
                return Err(truncated(position, "an extension header"));
            }
            left -= piece.len() as u64;
            self.raw.extend_from_slice(piece);
        }
        let length = usize::try_from(size).expect("bounded by Limits::metadata");
        Ok(self.raw[start..start + length].to_vec())
    }

    /// Consumes bytes that were peeked; they are raw.
    fn take_raw(&mut self, length: usize) -> Result<()> {
        let piece = self.input.take(length as u64)?;
        debug_assert_eq!(piece.len(), length, "peeked before");
        self.raw.extend_from_slice(piece);
        Ok(())
    }
}

impl<B> fmt::Debug for Reader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("left", &self.left).field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.overrides.is_none()
    }
}

/// Consumes one block that belongs to a header; it is raw.
fn take_block<B: BufRead>(input: &mut Input<B>, raw: &mut Vec<u8>) -> Result<[u8; BLOCK]> {
    let position = input.position();
    let ahead = input.peek(BLOCK)?;
    let block = *ahead.first_chunk::<BLOCK>().ok_or_else(|| truncated(position, "a header"))?;
    input.consume(BLOCK);
    raw.extend_from_slice(&block);
    Ok(block)
}

/// The one name that a PAX record and a GNU header give; GNU tar and Go choose differently between two.
fn agreed(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, &'static str> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err("two long names for one entry"),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

/// GNU's long names end at their first NUL, whatever their size says.
fn c_string(mut data: Vec<u8>) -> Vec<u8> {
    if let Some(end) = data.iter().position(|&byte| byte == 0) {
        data.truncate(end);
    }
    data
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
    if over == 0 { 0 } else { BLOCK - over }
}

fn malformed(position: u64, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("archive header at byte {position}: {what}"))
}

fn wrong_field(position: u64, field: &str) -> Error {
    malformed(position, &format!("the {field} is not a number that fits"))
}

pub(crate) fn truncated(position: u64, inside: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the archive ends at byte {position}, inside {inside}"))
}
