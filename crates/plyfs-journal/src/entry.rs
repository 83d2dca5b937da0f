//! One key with its value or its deletion, as log and runs write it.
//!
//! ```text
//! 0  4  length of the key
//! 4  4  length of the value; ff ff ff ff: the key was deleted, and there is no value
//! 8     the key, the value
//! ```

use crate::layout::{DELETED, ENTRY_HEADER, u32_at};

/// A borrowed entry; no value means the key was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// Bytes of the entry once written.
    pub(crate) fn encoded_len(&self) -> usize {
        ENTRY_HEADER + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// Appends the entry; `write` has bounded its lengths.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let length = |part: &[u8]| u32::try_from(part.len()).expect("a commit is far below four gigabytes");
        bytes.extend(length(self.key).to_le_bytes());
        bytes.extend(self.value.map_or(DELETED, length).to_le_bytes());
        bytes.extend(self.key);
        bytes.extend(self.value.unwrap_or_default());
    }

    /// The first entry of `bytes` and what follows it; `None` when they end within it.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_at_checked(ENTRY_HEADER)?;
        let (key, rest) = rest.split_at_checked(u32_at(header, 0) as usize)?;
        match u32_at(header, 4) {
            DELETED => Some((Self { key, value: None }, rest)),
            length => {
                let (value, rest) = rest.split_at_checked(length as usize)?;
                Some((Self { key, value: Some(value) }, rest))
            }
        }
    }
}

/// All entries of `bytes`; `None` is given once, in place of what is malformed.
pub(crate) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let split = Entry::split(bytes);
        bytes = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(entry, _)| entry))
    })
}
