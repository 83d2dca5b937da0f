//! Values as tagged fields: what a later version adds, an earlier one keeps.

use std::fmt;
use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::u32_at;

/// Bytes before a field's content: two of the tag, four of the length.
const FIELD_HEADER: usize = 6;

/// Fields by number, in order of their numbers.
///
/// Encoded, each field is its tag (`u16`), the length of its content (`u32`), both little-endian, and the
/// content; tags ascend and none comes twice, so that one record has one encoding. Fields that the reader does
/// not know stay where they are when it changes others:
///
/// ```
/// use plyfs_journal::Record;
///
/// let mut newer = Record::default();
/// newer.set_text(1, "web");
/// newer.set_u64(900, 7); // from a version that is not written yet
///
/// let mut record = Record::decode(&newer.encode())?;
/// record.set_text(1, "web-2");
/// assert_eq!(record.text(1)?, Some("web-2"));
/// assert_eq!(Record::decode(&record.encode())?.u64(900)?, Some(7));
/// # Ok::<(), plyfs_journal::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The encoding itself, always whole: records are read far more often than they are changed.
    encoded: Vec<u8>,
}

/// A field and where it lies in the encoding.
struct Field<'a> {
    tag: u16,
    content: &'a [u8],
    at: Range<usize>,
}

impl Record {
    /// The content of a field.
    #[must_use]
    pub fn bytes(&self, tag: u16) -> Option<&[u8]> {
        self.fields().find(|field| field.tag == tag).map(|field| field.content)
    }

    /// The number in a field: eight little-endian bytes; [`ErrorKind::Corrupt`] when it holds something else.
    pub fn u64(&self, tag: u16) -> Result<Option<u64>> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
        self.typed(tag, "a number", |bytes| number(bytes).ok())
    }

    /// The UTF-8 text in a field; [`ErrorKind::Corrupt`] when it holds something else.
    pub fn text(&self, tag: u16) -> Result<Option<&str>> {
        self.typed(tag, "text", |bytes| std::str::from_utf8(bytes).ok())
    }

    /// Gives a field its content.
    ///
    /// # Panics
    ///
    /// If the content is 4 GiB or longer, which no commit would take.
    pub fn set_bytes(&mut self, tag: u16, content: &[u8]) {
        let length = u32::try_from(content.len()).expect("a field is far below four gigabytes");
        let header = tag.to_le_bytes().into_iter().chain(length.to_le_bytes());
        let at = self.place(tag);
        self.encoded.splice(at, header.chain(content.iter().copied()));
    }

    /// Gives a field a number.
    pub fn set_u64(&mut self, tag: u16, number: u64) {
        self.set_bytes(tag, &number.to_le_bytes());
    }

    /// Gives a field a text.
    pub fn set_text(&mut self, tag: u16, text: &str) {
        self.set_bytes(tag, text.as_bytes());
    }

    /// Takes a field away; an absent one is fine.
    pub fn remove(&mut self, tag: u16) {
        let at = self.place(tag);
        self.encoded.drain(at);
    }

    /// The tags of all fields, ascending.
    pub fn tags(&self) -> impl Iterator<Item = u16> {
        self.fields().map(|field| field.tag)
    }

    /// The one encoding of this record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }

    /// Reads a record; [`ErrorKind::Corrupt`] for anything that [`encode`](Self::encode) does not make.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = |at: usize, what: &str| {
            let message = format!("record, offset {at}: {what}");
            Err(Error::new(ErrorKind::Corrupt, message))
        };
        let (mut at, mut last) = (0, None);
        while at < bytes.len() {
            let Some(field) = split(bytes, at) else { return malformed(at, "ends within a field") };
            if last >= Some(field.tag) {
                return malformed(at, "tags do not ascend");
            }
            (at, last) = (field.at.end, Some(field.tag));
        }
        Ok(Self { encoded: bytes.to_vec() })
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let field = split(&self.encoded, at)?;
            at = field.at.end;
            Some(field)
        })
    }

    /// Where a field lies, or, empty, where it would have to.
    fn place(&self, tag: u16) -> Range<usize> {
        let end = self.encoded.len();
        match self.fields().find(|field| field.tag >= tag) {
            Some(field) if field.tag == tag => field.at,
            Some(later) => later.at.start..later.at.start,
            None => end..end,
        }
    }

    fn typed<'a, T>(&'a self, tag: u16, what: &str, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(tag) else { return Ok(None) };
        let wrong = || Error::new(ErrorKind::Corrupt, format!("record: field {tag} is not {what}"));
        read(bytes).map(Some).ok_or_else(wrong)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields().map(|field| (field.tag, field.content))).finish()
    }
}

/// The field that begins at an offset; `None` where no whole one does.
fn split(bytes: &[u8], start: usize) -> Option<Field<'_>> {
    let (header, rest) = bytes.get(start..)?.split_at_checked(FIELD_HEADER)?;
    let content = rest.get(..u32_at(header, 2) as usize)?;
    let tag = u16::from_le_bytes([header[0], header[1]]);
    Some(Field { tag, content, at: start..start + FIELD_HEADER + content.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_encoding_and_anything_else_is_refused() {
        let mut record = Record::default();
        record.set_text(2, "b");
        record.set_bytes(1, b"a");
        assert_eq!(record.encode(), b"\x01\0\x01\0\0\0a\x02\0\x01\0\0\0b");
        assert_eq!(record.tags().collect::<Vec<_>>(), [1, 2]);

        let refused: [&[u8]; 4] = [
            b"\x01\0\x01\0\0",
            b"\x01\0\x02\0\0\0a",
            b"\x02\0\x01\0\0\0b\x01\0\x01\0\0\0a",
            b"\x01\0\0\0\0\0\x01\0\0\0\0\0",
        ];
        for bytes in refused {
            let error = Record::decode(bytes).expect_err("accepted");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:?}: {error}");
        }
    }

    #[test]
    fn a_field_of_another_type_is_damage_and_not_absence() {
        let mut record = Record::default();
        record.set_bytes(1, b"\xff");
        assert_eq!(record.u64(1).expect_err("one byte").kind(), ErrorKind::Corrupt);
        assert_eq!(record.text(1).expect_err("not UTF-8").kind(), ErrorKind::Corrupt);
        record.remove(1);
        assert_eq!(record.u64(1).expect("absent"), None);
    }
}
