//! What one commit changes, as bytes: keys with a value, or with a deletion.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::layout::{MAX_COMMIT, MAX_ITEM};
use crate::{Error, ErrorKind, Result};

/// Keys and what became of them: a value, or `None` for a deletion.
pub(crate) type Table = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The length that stands for a deletion.
const DELETED: u32 = u32::MAX;

/// The entries of a table whose keys begin with `prefix`.
pub(crate) fn range<'a>(table: &'a Table, prefix: &[u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> {
    let prefix = prefix.to_vec();
    table
        .range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded))
        .take_while({
            let prefix = prefix.clone();
            move |(key, _)| key.starts_with(&prefix)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// One entry: the key's length, the value's length or all ones, key, value. Lengths are four bytes.
pub(crate) fn encode_entry(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("bounded by `check`");
    out.extend(length(key).to_le_bytes());
    out.extend(value.map_or(DELETED, length).to_le_bytes());
    out.extend(key);
    out.extend(value.unwrap_or_default());
}

/// An entry as it stands in a run or a commit.
pub(crate) type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// Reads one entry from the front of `bytes`; `None` where it does not fit.
pub(crate) fn decode_entry<'a>(bytes: &mut &'a [u8]) -> Option<Entry<'a>> {
    let (key_length, rest) = bytes.split_first_chunk::<4>()?;
    let (value_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
    let value_length = u32::from_le_bytes(*value_length);
    let (value, rest) = match value_length {
        DELETED => (None, rest),
        length => {
            let (value, rest) = rest.split_at_checked(length as usize)?;
            (Some(value), rest)
        }
    };
    *bytes = rest;
    Some((key, value))
}

/// The bytes of a commit; too large a one is refused.
pub(crate) fn encode(changes: &Table) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (key, value) in changes {
        let value = value.as_deref();
        if key.len() > MAX_ITEM || value.is_some_and(|value| value.len() > MAX_ITEM) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("an item of more than {MAX_ITEM} bytes")));
        }
        encode_entry(key, value, &mut bytes);
    }
    if bytes.len() > MAX_COMMIT {
        return Err(Error::new(ErrorKind::InvalidInput, format!("a commit of more than {MAX_COMMIT} bytes")));
    }
    Ok(bytes)
}

/// Reads a commit; `None` where it is not what [`encode`] writes.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Table> {
    let mut table = Table::new();
    while !bytes.is_empty() {
        let (key, value) = decode_entry(&mut bytes)?;
        table.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }
    Some(table)
}
