//! One header block: which format it is in, its names and its numbers.
//!
//! The layout of the fields is `tar-core`'s; their meaning is read here, because times before 1970 are numbers too and a
//! number that is not one is an error (`tar-core` 0.1.0 has neither).

use std::ops::Range;

use tar_core::{GnuHeader, Header as Block, UstarHeader};

use super::entry::Kind;
use crate::layout::BLOCK;

/// The last four bytes of a header that star wrote.
const STAR_TRAILER: &[u8] = b"tar\0";

/// How much of ustar's prefix field star uses for names; its times follow.
const STAR_PREFIX: usize = 131;

/// Where an old GNU header lists the first stretches of a sparse file.
const GNU_LIST: Range<usize> = 386..482;

/// What is wrong with a field, by name.
pub(super) type Wrong = &'static str;

/// What an old GNU header says of a sparse file.
pub(super) struct GnuSparse<'a> {
    /// The first stretches, two numeric fields each.
    pub(super) list: &'a [u8],
    /// Whether blocks with more stretches follow the header.
    pub(super) is_extended: bool,
    /// The length of the file.
    pub(super) size: u64,
}

/// One header block that is not all zeros.
pub(super) struct Header<'a>(&'a Block);

impl<'a> Header<'a> {
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Self {
        Self(Block::from_bytes(block))
    }

    /// Compares the checksum, with bytes unsigned as POSIX demands or signed as ancient writers summed them.
    pub(super) fn is_checksum_right(&self) -> bool {
        let bytes = self.0.as_bytes();
        let Some(stored) = number(&self.0.as_ustar().cksum) else { return false };
        let field = 148..156;
        let (mut unsigned, mut high) = (u32::from(b' ') * 8, 0);
        for part in [&bytes[..field.start], &bytes[field.end..]] {
            unsigned += part.iter().map(|&byte| u32::from(byte)).sum::<u32>();
            high += part.iter().map(|&byte| u32::from(byte >> 7)).sum::<u32>();
        }
        let (unsigned, high) = (i64::from(unsigned), i64::from(high));
        stored == unsigned || stored == unsigned - 256 * high
    }

    pub(super) fn flag(&self) -> u8 {
        self.0.as_ustar().typeflag[0]
    }

    /// The type of an entry by its flag; `None` for a name that makes it ambiguous.
    ///
    /// Before ustar a directory was a file whose name ends with a slash. With the newer flag the same name is a directory
    /// to GNU tar and a file to Go, so nobody may rely on either.
    pub(super) fn kind(&self, path: &[u8]) -> Option<Kind> {
        Some(match self.flag() {
            b'\0' if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'S' if path.ends_with(b"/") => return None,
            b'\0' | b'0' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => Kind::Other(other),
        })
    }

    /// The name from the name and prefix fields.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0.as_ustar().name);
        let prefix = text(self.prefix());
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(&self.0.as_ustar().linkname)
    }

    pub(super) fn size(&self) -> Result<u64, Wrong> {
        unsigned(&self.0.as_ustar().size, "size")
    }

    pub(super) fn mode(&self) -> Result<u32, Wrong> {
        // Writers put the file type above these bits, some put everything stat(2) gave them.
        let mode = unsigned(&self.0.as_ustar().mode, "mode")?;
        Ok(u32::try_from(mode & 0o7777).expect("twelve bits"))
    }

    pub(super) fn uid(&self) -> Result<u64, Wrong> {
        unsigned(&self.0.as_ustar().uid, "uid")
    }

    pub(super) fn gid(&self) -> Result<u64, Wrong> {
        unsigned(&self.0.as_ustar().gid, "gid")
    }

    pub(super) fn mtime(&self) -> Result<i64, Wrong> {
        number(&self.0.as_ustar().mtime).ok_or("mtime")
    }

    /// Major and minor number; v7 has no such fields, and writers of other types leave noise in them.
    pub(super) fn device(&self) -> Result<(u64, u64), Wrong> {
        let ustar = self.0.as_ustar();
        if !self.has_ustar_magic() && !self.0.is_gnu() {
            return Ok((0, 0));
        }
        Ok((unsigned(&ustar.dev_major, "device number")?, unsigned(&ustar.dev_minor, "device number")?))
    }

    /// The fields GNU tar has where ustar has its prefix.
    fn gnu(&self) -> Option<&'a GnuHeader> {
        self.0.is_gnu().then(|| self.0.as_gnu())
    }

    /// What an old GNU header says of a sparse file; `None` in any other format.
    pub(super) fn sparse(&self) -> Option<Result<GnuSparse<'a>, Wrong>> {
        let gnu = self.gnu()?;
        let sparse = |size| GnuSparse { list: &self.0.as_bytes()[GNU_LIST], is_extended: gnu.isextended != [0], size };
        Some(unsigned(&gnu.realsize, "size").map(sparse))
    }

    /// Says whether a GNU header holds something else where its access time belongs.
    ///
    /// Go before 1.8 wrote half a name there, and its successors read it back as one.
    pub(super) fn has_name_for_time(&self) -> bool {
        self.gnu().is_some_and(|gnu| number(&gnu.atime).is_none())
    }

    fn prefix(&self) -> &'a [u8] {
        let ustar: &UstarHeader = self.0.as_ustar();
        match self.has_ustar_magic() {
            true if self.0.as_bytes().ends_with(STAR_TRAILER) => &ustar.prefix[..STAR_PREFIX],
            true => &ustar.prefix,
            false => &[],
        }
    }

    fn has_ustar_magic(&self) -> bool {
        self.0.as_ustar().magic == *b"ustar\0"
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

pub(super) fn unsigned(field: &[u8], name: Wrong) -> Result<u64, Wrong> {
    number(field).and_then(|number| number.try_into().ok()).ok_or(name)
}

/// A numeric field: octal digits between spaces and NULs, or two's complement behind a set first bit.
fn number(field: &[u8]) -> Option<i64> {
    match field.first()? {
        byte if byte & 0x80 != 0 => binary(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | b'\0');
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let digits = text(&field[start..]);
    let digits = &digits[..digits.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1)];
    digits.iter().try_fold(0_i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn binary(field: &[u8]) -> Option<i64> {
    let is_negative = field[0] & 0x40 != 0;
    // The first bit only marks the encoding; the second is the sign.
    let first = if is_negative { field[0] | 0x80 } else { field[0] & 0x7f };
    let start: i64 = if is_negative { -1 } else { 0 };
    std::iter::once(&first)
        .chain(&field[1..])
        .try_fold(start, |value, &byte| value.checked_mul(256)?.checked_add(i64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_may_be_negative() {
        let table: [(&[u8], Option<i64>); 12] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\x00\x00644\0\0\0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777", Some(0o7777_7777)),
            (b"00008\0\0\0", None),
            (b"-000001\0", None),
            (b"12 34\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", Some(-256)),
        ];
        for (field, expected) in table {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
        assert_eq!(number(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"), None, "beyond 64 bits");
        assert_eq!(number(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Some(i64::MAX));
        assert_eq!(number(b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"), Some(i64::MIN));
    }
}
