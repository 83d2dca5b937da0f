//! One entry's header as bytes: a ustar block, and before it a PAX block where ustar cannot hold a field.
//!
//! The bytes follow from the fields alone. PAX records are sorted, nothing but what ustar cannot hold is in them but
//! the attributes, and user names, access and change times are never written (rule 35).

use crate::layout::{BLOCK, PAX_XATTR_PREFIX};

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const MAJOR: std::ops::Range<usize> = 329..337;
const MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;

/// The directory part that PAX headers are filed under, for readers that know no PAX and extract them.
const PAX_DIRECTORY: &[u8] = b"PaxHeaders.0";

/// What an entry is, with the number ustar gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    File = b'0',
    HardLink = b'1',
    Symlink = b'2',
    CharacterDevice = b'3',
    BlockDevice = b'4',
    Directory = b'5',
    Fifo = b'6',
    PaxRecords = b'x',
}

/// The fields of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Relative to the root; a directory's ends with a slash (rule 36).
    pub(crate) name: Vec<u8>,
    /// Where a link leads; empty for everything else.
    pub(crate) link: Vec<u8>,
    /// Permission and set-id bits, no type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The length of the content that follows.
    pub(crate) size: u64,
    /// Whole seconds, before the epoch when negative.
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
    /// Name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// A name that is too long for its field is cut in two where ustar allows that, instead of becoming a record.
    pub(crate) is_short: bool,
}

impl Header {
    /// An entry of which nothing is known but its kind and name.
    pub(crate) fn new(kind: Kind, name: Vec<u8>) -> Self {
        let (link, xattrs) = (Vec::new(), Vec::new());
        Self { kind, name, link, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, device: (0, 0), xattrs, is_short: false }
    }

    /// The blocks that announce the entry.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let short = if self.is_short { self.split_name() } else { None };
        if let Some((prefix, name)) = short {
            let rest = Self { name: name.to_vec(), ..self.clone() };
            // Where records are needed anyway, the whole name is one of them.
            if rest.pax_records().is_empty() {
                let mut block = rest.block();
                put_text(&mut block[PREFIX], prefix);
                return sealed(block).to_vec();
            }
        }
        let records = self.pax_records();
        let mut bytes = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            let mut pax = Self::new(Kind::PaxRecords, pax_name(&self.name));
            pax.size = records.len() as u64;
            bytes.extend_from_slice(&pax.block());
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.extend_from_slice(&self.block());
        bytes
    }

    /// The name as ustar's two fields hold it, as Go cuts it; `None` where it fits one, or neither way.
    fn split_name(&self) -> Option<(&[u8], &[u8])> {
        let name = &self.name;
        if name.len() <= NAME.len() || !name.is_ascii() {
            return None;
        }
        let most = if name.len() > PREFIX.len() + 1 {
            PREFIX.len() + 1
        } else {
            name.len() - usize::from(name.ends_with(b"/"))
        };
        let slash = name[..most].iter().rposition(|&byte| byte == b'/')?;
        let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
        (slash > 0 && rest.len() <= NAME.len() && !rest.is_empty() && prefix.len() <= PREFIX.len())
            .then_some((prefix, rest))
    }

    /// The records of what the block cannot hold, sorted by keyword.
    fn pax_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |keyword: &[u8], value: &[u8]| records.push((keyword.to_vec(), value.to_vec()));
        for (keyword, text, field) in [(&b"path"[..], &self.name, NAME), (b"linkpath", &self.link, LINK)] {
            if text.len() > field.len() || !text.is_ascii() {
                add(keyword, text);
            }
        }
        for (keyword, id, field) in [(b"uid", self.uid, UID), (b"gid", self.gid, GID)] {
            if !fits(id.into(), field.len()) {
                add(keyword, id.to_string().as_bytes());
            }
        }
        if !fits(self.size, SIZE.len()) {
            add(b"size", self.size.to_string().as_bytes());
        }
        if !u64::try_from(self.mtime).is_ok_and(|seconds| fits(seconds, MTIME.len())) {
            add(b"mtime", self.mtime.to_string().as_bytes());
        }
        for (name, value) in &self.xattrs {
            add(&[PAX_XATTR_PREFIX, name].concat(), value);
        }
        records.sort_unstable();
        records.iter().flat_map(|(keyword, value)| pax_record(keyword, value)).collect()
    }

    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put_text(&mut block[NAME], &self.name);
        put_text(&mut block[LINK], &self.link);
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        block[TYPE] = self.kind as u8;
        let numbers = [
            (MODE, u64::from(self.mode)),
            (UID, self.uid.into()),
            (GID, self.gid.into()),
            (SIZE, self.size),
            (MTIME, self.mtime.try_into().unwrap_or(0)),
            (MAJOR, self.device.0.into()),
            (MINOR, self.device.1.into()),
        ];
        // Go leaves the device of a block of records empty, and so does whoever compares bytes with it.
        let numbers = &numbers[..if self.kind == Kind::PaxRecords { 5 } else { 7 }];
        for (field, number) in numbers {
            // What does not fit is in a PAX record, which overrides the field.
            let number = if fits(*number, field.len()) { *number } else { 0 };
            put_octal(&mut block[field.clone()], number);
        }
        sealed(block)
    }
}

/// The block with its checksum.
fn sealed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put_octal(&mut block[CHECKSUM][..7], sum.into());
    block
}

/// Says whether the digits of a number fit a field of `length` bytes, the last of which is NUL.
fn fits(number: u64, length: usize) -> bool {
    number >> (3 * (length - 1)) == 0
}

/// Fills a field with the digits of a number that fits it.
fn put_octal(field: &mut [u8], number: u64) {
    let Some((end, digits)) = field.split_last_mut() else { return };
    *end = 0;
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 8) as u8;
        rest /= 8;
    }
}

/// Fills a field with what of a text it can hold; the rest is in a PAX record.
fn put_text(field: &mut [u8], text: &[u8]) {
    let mut fitting = text.iter().copied().filter(u8::is_ascii);
    let is_cut = fitting.clone().nth(field.len()).is_some();
    field.iter_mut().zip(&mut fitting).for_each(|(slot, byte)| *slot = byte);
    if is_cut {
        // A cut that ends in a slash would turn a file into a directory for readers that know no PAX.
        for slot in field.iter_mut().rev().take_while(|slot| **slot == b'/') {
            *slot = 0;
        }
    }
}

/// The name a PAX block itself goes by.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let end = name.iter().rposition(|&byte| byte == b'/');
    let (dir, base) = end.map_or((&b""[..], name), |end| (&name[..end], &name[end + 1..]));
    let parts = [dir, PAX_DIRECTORY, base];
    let parts: Vec<_> = parts.into_iter().filter(|part| !matches!(part, [] | [b'.'])).collect();
    let ascii: Vec<u8> = parts.join(&b'/').into_iter().filter(u8::is_ascii).take(NAME.len()).collect();
    let kept = ascii.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    ascii[..kept].to_vec()
}

/// One record: its own length in decimal, a space, `keyword=value`, a newline.
fn pax_record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest;
    // The length counts its own digits, which may add one more digit.
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", keyword, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_35_a_plain_entry_is_one_ustar_block_without_names_of_users() {
        let mut header = Header::new(Kind::File, b"etc/hosts".to_vec());
        (header.mode, header.uid, header.gid, header.size, header.mtime) = (0o644, 1, 2, 3, 4);
        let bytes = header.encode();
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..10], b"etc/hosts\0");
        assert_eq!(&bytes[100..148], b"0000644\x000000001\x000000002\x0000000000003\x0000000000004\0");
        assert_eq!(&bytes[257..330], [&b"ustar\x0000"[..], &[0; 64], b"0"].concat());
    }

    #[test]
    fn a_record_counts_the_digits_of_its_own_length() {
        for value in 0..2000 {
            let record = pax_record(b"path", &vec![b'a'; value]);
            let stated = record.split(|&byte| byte == b' ').next().expect("a length");
            let stated: usize = std::str::from_utf8(stated).expect("digits").parse().expect("a number");
            assert_eq!(stated, record.len());
        }
    }

    #[test]
    fn rule_36_names_of_exactly_the_field_fit_and_longer_or_foreign_ones_become_records() {
        let records = |name: Vec<u8>| Header::new(Kind::File, name).pax_records();
        assert_eq!(records(vec![b'a'; 100]), b"");
        assert_eq!(records(vec![b'a'; 101]), [&b"111 path="[..], &[b'a'; 101], b"\n"].concat());
        assert_eq!(records(b"caf\xe9".to_vec()), b"13 path=caf\xe9\n");
    }

    #[test]
    fn numbers_that_do_not_fit_become_records_and_zero_in_the_block() {
        let mut header = Header::new(Kind::File, b"f".to_vec());
        (header.uid, header.gid, header.size, header.mtime) = (1 << 21, (1 << 21) - 1, 1 << 33, -1);
        assert_eq!(header.pax_records(), b"12 mtime=-1\n19 size=8589934592\n15 uid=2097152\n");
        let block = header.block();
        assert_eq!(&block[UID], b"0000000\0");
        assert_eq!(&block[GID], b"7777777\0");
        assert_eq!(&block[MTIME], b"00000000000\0");
    }

    #[test]
    fn records_are_sorted_whatever_order_attributes_come_in() {
        let mut header = Header::new(Kind::File, vec![b'a'; 101]);
        header.xattrs = vec![(b"user.b".to_vec(), b"\0=\n".to_vec()), (b"user.a".to_vec(), b"".to_vec())];
        let records = header.pax_records();
        let find = |needle: &[u8]| records.windows(needle.len()).position(|window| window == needle);
        let (a, b, path) = (find(b"SCHILY.xattr.user.a=\n"), find(b"SCHILY.xattr.user.b=\0=\n\n"), find(b"path="));
        assert!(a.is_some() && a < b && b < path, "{a:?} {b:?} {path:?}");
    }

    #[test]
    fn the_name_of_a_pax_block_is_a_file_beside_the_entry() {
        let long = vec![b'a'; 300];
        for (name, expected) in [
            (&b"file"[..], &b"PaxHeaders.0/file"[..]),
            (b"a/b/c", b"a/b/PaxHeaders.0/c"),
            (b"a/b/", b"a/b/PaxHeaders.0"),
            (b"./", b"PaxHeaders.0"),
            (b"caf\xc3\xa9", b"PaxHeaders.0/caf"),
            (&long, &[b"PaxHeaders.0/", &[b'a'; 87][..]].concat()),
        ] {
            assert_eq!(pax_name(name), expected, "{:?}", String::from_utf8_lossy(name));
        }
    }
}
