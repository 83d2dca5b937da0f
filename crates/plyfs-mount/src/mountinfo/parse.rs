//! From bytes to entries; whatever the bytes are, an entry or an error with the line's number.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::Entry;
use crate::{Error, ErrorKind, Result};

/// Parses a whole table, one mount a line.
///
/// A line that is not as the kernel writes them is [`ErrorKind::Corrupt`] and named by its number, counted from one.
pub fn parse(table: &[u8]) -> Result<Vec<Entry>> {
    let lines = table.strip_suffix(b"\n").unwrap_or(table).split(|&byte| byte == b'\n');
    let numbered = lines.enumerate().filter(|_| !table.is_empty());
    numbered.map(|(index, line)| entry(line).map_err(|problem| malformed(index + 1, problem))).collect()
}

fn malformed(line: usize, problem: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("mountinfo line {line}: {problem}"))
}

fn entry(line: &[u8]) -> Result<Entry, &'static str> {
    let mut fields = Fields(Some(line));
    let id = number(fields.next("the id")?).ok_or("the id is not a number")?;
    let parent = number(fields.next("the parent")?).ok_or("the parent is not a number")?;
    let device = device(fields.next("the device")?).ok_or("the device is not major:minor")?;
    let root = path(fields.next("the root")?);
    let mount_point = path(fields.next("the mount point")?);
    let options = text(fields.next("the options")?);
    let mut tags = Vec::new();
    loop {
        match fields.next("the separator")? {
            b"-" => break,
            tag => tags.push(text(tag)),
        }
    }
    let fs_type = text(fields.next("the type")?);
    // An empty source leaves nothing between two spaces.
    let source = text(fields.next("the source")?);
    // The last field is all that is left: some file systems print options with spaces.
    let super_options = OsString::from_vec(fields.0.ok_or(MISSING_SUPER)?.to_vec());
    Ok(Entry { id, parent, device, root, mount_point, options, tags, fs_type, source, super_options })
}

const MISSING_SUPER: &str = "the file system's options are missing";

/// What is left of a line; `None` after its end.
struct Fields<'a>(Option<&'a [u8]>);

impl<'a> Fields<'a> {
    fn next(&mut self, what: &'static str) -> Result<&'a [u8], &'static str> {
        let rest = self.0.ok_or_else(|| missing(what))?;
        let Some(end) = rest.iter().position(|&byte| byte == b' ') else {
            self.0 = None;
            return Ok(rest);
        };
        self.0 = Some(&rest[end + 1..]);
        Ok(&rest[..end])
    }
}

fn missing(what: &'static str) -> &'static str {
    match what {
        "the id" => "the id is missing",
        "the parent" => "the parent is missing",
        _ => "it ends before the file system's options",
    }
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    // `FromStr` takes a leading plus, the kernel writes none.
    let digits = field.first().is_some_and(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(field).ok()?.parse().ok()).flatten()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|&byte| byte == b':')?;
    Some((number(&field[..colon])?, number(&field[colon + 1..])?))
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

fn text(field: &[u8]) -> OsString {
    OsString::from_vec(unescape(field))
}

/// Turns `\ooo` into the byte it stands for; a backslash that starts no such escape stands for itself.
pub(super) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, octal(after)) {
            (b'\\', Some(escaped)) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3).filter(|digits| digits.iter().all(|digit| matches!(digit, b'0'..=b'7')))?;
    let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
    u8::try_from(value).ok()
}
