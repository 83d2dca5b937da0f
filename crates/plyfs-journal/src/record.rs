//! Values as tagged fields: what a later version adds, an earlier one keeps.

use std::collections::BTreeMap;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    fields: BTreeMap<u16, Box<[u8]>>,
}

impl Record {
    /// The content of a field.
    #[must_use]
    pub fn bytes(&self, tag: u16) -> Option<&[u8]> {
        self.fields.get(&tag).map(|content| &**content)
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
    pub fn set_bytes(&mut self, tag: u16, content: &[u8]) {
        self.fields.insert(tag, content.into());
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
        self.fields.remove(&tag);
    }

    /// The tags of all fields, ascending.
    pub fn tags(&self) -> impl Iterator<Item = u16> {
        self.fields.keys().copied()
    }

    /// The one encoding of this record.
    ///
    /// # Panics
    ///
    /// If a field is 4 GiB or longer, which no commit would take.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, content) in &self.fields {
            let length = u32::try_from(content.len()).expect("a field is far below four gigabytes");
            bytes.extend(tag.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(content);
        }
        bytes
    }

    /// Reads a record; [`ErrorKind::Corrupt`] for anything that [`encode`](Self::encode) does not make.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let total = bytes.len();
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let malformed = |what: &str| {
                let message = format!("record, offset {}: {what}", total - bytes.len());
                Error::new(ErrorKind::Corrupt, message)
            };
            let cut = || malformed("ends within a field");
            let (header, rest) = bytes.split_at_checked(FIELD_HEADER).ok_or_else(cut)?;
            let tag = u16::from_le_bytes([header[0], header[1]]);
            let (content, rest) = rest.split_at_checked(u32_at(header, 2) as usize).ok_or_else(cut)?;
            if fields.last_key_value().is_some_and(|(&last, _)| last >= tag) {
                return Err(malformed("tags do not ascend"));
            }
            fields.insert(tag, content.into());
            bytes = rest;
        }
        Ok(Self { fields })
    }

    fn typed<'a, T>(&'a self, tag: u16, what: &str, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(tag) else { return Ok(None) };
        let wrong = || Error::new(ErrorKind::Corrupt, format!("record: field {tag} is not {what}"));
        read(bytes).map(Some).ok_or_else(wrong)
    }
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
