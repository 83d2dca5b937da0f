//! Records of tagged fields, of which unknown ones are kept.

use std::collections::BTreeMap;

use crate::{Error, ErrorKind, Result};

/// Fields by tag. Encoded they stand in the order of their tags, each as its tag in two bytes, its length in four,
/// both little-endian, and its bytes.
///
/// A field this version does not know survives [`Self::decode`] and [`Self::encode`].
///
/// ```
/// use plyfs_journal::Record;
///
/// let mut record = Record::default();
/// record.set_u64(1, 42);
/// record.set_text(2, "answer");
/// let back = Record::decode(&record.encode())?;
/// assert_eq!(back.u64(1)?, Some(42));
/// assert_eq!(back.text(2)?, Some("answer"));
/// assert_eq!(back.bytes(3), None);
/// # Ok::<(), plyfs_journal::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    fields: BTreeMap<u16, Vec<u8>>,
}

impl Record {
    /// The bytes of a field.
    #[must_use]
    pub fn bytes(&self, tag: u16) -> Option<&[u8]> {
        self.fields.get(&tag).map(Vec::as_slice)
    }

    /// The number in a field; one that is not eight bytes long is [`ErrorKind::Corrupt`].
    pub fn u64(&self, tag: u16) -> Result<Option<u64>> {
        let number = self.bytes(tag).map(|bytes| bytes.try_into().map(u64::from_le_bytes));
        number.transpose().map_err(|_| Error::new(ErrorKind::Corrupt, format!("field {tag} is not a number")))
    }

    /// The text in a field; other than UTF-8 is [`ErrorKind::Corrupt`].
    pub fn text(&self, tag: u16) -> Result<Option<&str>> {
        let text = self.bytes(tag).map(std::str::from_utf8);
        text.transpose().map_err(|e| Error::new(ErrorKind::Corrupt, format!("field {tag} is not text")).because(e))
    }

    /// Sets the bytes of a field.
    pub fn set_bytes(&mut self, tag: u16, bytes: &[u8]) {
        self.fields.insert(tag, bytes.to_vec());
    }

    /// Sets a number.
    pub fn set_u64(&mut self, tag: u16, number: u64) {
        self.set_bytes(tag, &number.to_le_bytes());
    }

    /// Sets a text.
    pub fn set_text(&mut self, tag: u16, text: &str) {
        self.set_bytes(tag, text.as_bytes());
    }

    /// Takes a field away.
    pub fn remove(&mut self, tag: u16) {
        self.fields.remove(&tag);
    }

    /// The tags, ascending.
    pub fn tags(&self) -> impl Iterator<Item = u16> + '_ {
        self.fields.keys().copied()
    }

    /// The bytes of the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, field) in &self.fields {
            let length = u32::try_from(field.len()).expect("a value is at most a mebibyte");
            bytes.extend(tag.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(field);
        }
        bytes
    }

    /// Reads the bytes of a record; a field cut short or out of order is [`ErrorKind::Corrupt`].
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Corrupt, "record: malformed field");
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let (tag, rest) = bytes.split_first_chunk::<2>().ok_or_else(wrong)?;
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
            let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(wrong)?;
            let tag = u16::from_le_bytes(*tag);
            if fields.last_key_value().is_some_and(|(last, _)| *last >= tag) {
                return Err(wrong());
            }
            fields.insert(tag, field.to_vec());
            bytes = rest;
        }
        Ok(Self { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cut_anywhere_is_refused_or_shorter_by_whole_fields() {
        let mut record = Record::default();
        record.set_text(1, "one");
        record.set_u64(7, 7);
        let bytes = record.encode();
        let whole = [0, 2 + 4 + 3, bytes.len()];
        for cut in 0..=bytes.len() {
            assert_eq!(Record::decode(&bytes[..cut]).is_ok(), whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn fields_out_of_order_are_refused() {
        let mut first = Record::default();
        first.set_u64(2, 0);
        let mut second = Record::default();
        second.set_u64(1, 0);
        let bytes = [first.encode(), second.encode()].concat();
        assert_eq!(Record::decode(&bytes).expect_err("out of order").kind(), ErrorKind::Corrupt);
    }
}
