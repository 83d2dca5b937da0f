//! PAX extension records: `<length> <key>=<value>\n`, each of them whole and understood or an error.
//!
//! `tar-core`'s iterator ends quietly at a record without a readable length; a reader that skips what it cannot read
//! sees other entries than one that can, so the records are split here.

use std::collections::HashMap;

use super::entry::Time;
use super::sparse::PaxSparse;
use crate::layout::PAX_XATTR_PREFIX;

/// What is wrong with the records.
pub(super) type Wrong = String;

/// What the records of one entry override.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where each attribute is: a megabyte of short records has tens of thousands, and each may come twice.
    places: HashMap<Vec<u8>, usize>,
    pub(super) sparse: PaxSparse,
}

impl Overrides {
    /// Reads all records of one extension header.
    pub(super) fn read(data: &[u8], max_extents: usize) -> Result<Self, Wrong> {
        let mut overrides = Self::default();
        for record in Records(data) {
            let (key, value) = record?;
            overrides.set(key, value, max_extents)?;
        }
        Ok(overrides)
    }

    fn set(&mut self, key: &[u8], value: &[u8], max_extents: usize) -> Result<(), Wrong> {
        if let Some(name) = key.strip_prefix(PAX_XATTR_PREFIX) {
            self.set_xattr(name, value);
            return Ok(());
        }
        // An empty value takes back what an earlier record said, and the header's own value stays. Python takes it for an
        // empty name or a size of zero instead, so of what decides which entries there are it is refused.
        let given = !value.is_empty();
        if !given && matches!(key, b"path" | b"linkpath" | b"size") {
            return Err(format!("{} is empty", key.escape_ascii()));
        }
        match key {
            b"path" => self.path = Some(name(key, value)?),
            b"linkpath" => self.link = Some(name(key, value)?),
            b"size" => self.size = Some(decimal(key, value)?),
            b"uid" => self.uid = given.then(|| decimal(key, value)).transpose()?,
            b"gid" => self.gid = given.then(|| decimal(key, value)).transpose()?,
            b"mtime" => self.mtime = given.then(|| time(key, value)).transpose()?,
            b"atime" => self.atime = given.then(|| time(key, value)).transpose()?,
            b"SCHILY.devmajor" => self.major = given.then(|| decimal(key, value)).transpose()?,
            b"SCHILY.devminor" => self.minor = given.then(|| decimal(key, value)).transpose()?,
            _ => {
                if let Some(field) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(field, value, max_extents)?;
                }
            }
        }
        Ok(())
    }

    /// The last record of a name wins, as for any other key.
    fn set_xattr(&mut self, name: &[u8], value: &[u8]) {
        match self.places.get(name) {
            Some(&place) => self.xattrs[place].1 = value.to_vec(),
            None => {
                self.places.insert(name.to_vec(), self.xattrs.len());
                self.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
}

/// Refuses defaults for all later entries that would change which entries there are; all other defaults are ignored
/// (rule 43).
pub(super) fn check_global(data: &[u8]) -> Result<(), Wrong> {
    for record in Records(data) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(format!("a global record sets {}", key.escape_ascii()));
        }
    }
    Ok(())
}

/// The records of one extension header; it ends after the first error.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split(self.0);
        self.0 = record.map_or(&[], |(_, rest)| rest);
        Some(record.map(|(record, _)| record).ok_or_else(|| "a record is malformed".to_owned()))
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split(data: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(digits(&data[..space])?).ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some(((key, value), rest))
}

fn name(key: &[u8], value: &[u8]) -> Result<Vec<u8>, Wrong> {
    if value.contains(&0) {
        return Err(format!("{} has a NUL in it", key.escape_ascii()));
    }
    Ok(value.to_vec())
}

pub(super) fn decimal(key: &[u8], value: &[u8]) -> Result<u64, Wrong> {
    let number = digits(value).filter(|&number| i64::try_from(number).is_ok());
    number.ok_or_else(|| format!("{} is not a number: {}", key.escape_ascii(), value.escape_ascii()))
}

fn time(key: &[u8], value: &[u8]) -> Result<Time, Wrong> {
    parse_time(value).ok_or_else(|| format!("{} is not a time: {}", key.escape_ascii(), value.escape_ascii()))
}

/// Seconds with any number of decimals, of which nine count; before 1970 the decimals lead further back.
fn parse_time(value: &[u8]) -> Option<Time> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, decimals) = match value.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(digits(whole)?).ok()?;
    let nanoseconds = (0..9).fold(0, |sum, at| sum * 10 + u32::from(decimals.get(at).map_or(0, |digit| digit - b'0')));
    Some(match (is_negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Decimal digits and nothing else.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_before_and_after_1970() {
        let table = [
            ("0", Some((0, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.000000001", Some((1, 1))),
            ("1.9999999999", Some((1, 999_999_999))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("1.", Some((1, 0))),
            ("9223372036854775807", Some((i64::MAX, 0))),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("1.5.", None),
            ("1e9", None),
            ("+1", None),
            (" 1", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(seconds, nanoseconds)| Time { seconds, nanoseconds });
            assert_eq!(parse_time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn every_record_is_whole_or_an_error() {
        let wrong: [&[u8]; 11] = [
            b"no length",
            b"7 a=b",
            b"6 a=bX",
            b"99 a=b\n",
            b"1 a=b\n",
            b"3 \n",
            b"5 ab\n",
            b"5 =b\n",
            b"-6 a=b\n",
            b"18446744073709551616 a=b\n",
            b"7 a\0=b\n",
        ];
        for data in wrong {
            assert!(Overrides::read(data, 1).is_err(), "{}", data.escape_ascii());
        }
        let good = b"12 path=a=b\n22 SCHILY.xattr.u=a\n\0\n8 uid=7\n7 uid=\n";
        let read = Overrides::read(good, 1).expect("four records");
        assert_eq!(read.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(read.uid, None, "an empty value takes the earlier one back");
        assert!(Overrides::read(b"8 path=\n", 1).is_err(), "an empty name means two things to two readers");
        assert_eq!(read.xattrs, [(b"u".to_vec(), b"a\n\0".to_vec())], "rule 24: any bytes");
    }
}
