//! Maps of sparse files, in the four ways GNU tar has written them, each bounded (rule 42).

use super::entry::Extent;
use super::header;
use super::pax::{Wrong, decimal, digits};

/// What one stretch takes in an old GNU list: two numeric fields.
const GNU_PLACE: usize = 24;

/// What the `GNU.sparse.*` records of one entry say.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    extents: Vec<Extent>,
    offset: Option<u64>,
    is_mapped: bool,
}

/// Which encoding the records announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// No sparse file.
    None,
    /// 0.0 and 0.1: the map is in the records.
    Records,
    /// 1.0: the map is in front of the content.
    Content,
}

impl PaxSparse {
    /// Takes one record, `key` without its `GNU.sparse.`.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8], max_extents: usize) -> Result<(), Wrong> {
        match key {
            b"major" => self.major = Some(decimal(key, value)?),
            b"minor" => self.minor = Some(decimal(key, value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(decimal(key, value)?),
            b"map" => self.read_map(value, max_extents)?,
            b"offset" if self.offset.is_none() => self.offset = Some(decimal(key, value)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or("a stored stretch without an offset")?;
                self.push(Extent { offset, length: decimal(key, value)? }, max_extents)?;
            }
            b"offset" => return Err("a stored stretch without a length".to_owned()),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn encoding(&self) -> Result<Encoding, Wrong> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => Ok(Encoding::Content),
            (Some(0), Some(0 | 1)) => Ok(Encoding::Records),
            (None, None) if self.is_mapped => Ok(Encoding::Records),
            (None, None) => Ok(Encoding::None),
            _ => Err("a sparse file of an unknown version".to_owned()),
        }
    }

    pub(super) fn into_parts(self) -> (Option<Vec<u8>>, Option<u64>, Vec<Extent>) {
        (self.name, self.real_size, self.extents)
    }

    fn read_map(&mut self, value: &[u8], max_extents: usize) -> Result<(), Wrong> {
        self.extents.clear();
        self.is_mapped = true;
        let mut numbers = value.split(|&byte| byte == b',').map(digits);
        while let Some(offset) = numbers.next() {
            let length = numbers.next().flatten();
            let (Some(offset), Some(length)) = (offset, length) else {
                return Err("the map of a sparse file is malformed".to_owned());
            };
            self.push(Extent { offset, length }, max_extents)?;
        }
        Ok(())
    }

    fn push(&mut self, extent: Extent, max_extents: usize) -> Result<(), Wrong> {
        self.is_mapped = true;
        push(&mut self.extents, extent, max_extents)
    }
}

/// Adds the stretches that an old GNU header or a block after it lists; the list ends at its first unused place.
pub(super) fn add_gnu(extents: &mut Vec<Extent>, list: &[u8], max_extents: usize) -> Result<(), Wrong> {
    for place in list.chunks_exact(GNU_PLACE) {
        let (offset, length) = place.split_at(GNU_PLACE / 2);
        match (offset[0], length[0]) {
            (0, 0) => break,
            (0, _) | (_, 0) => return Err("the map of a sparse file is malformed".to_owned()),
            _ => {}
        }
        let field = |bytes| header::unsigned(bytes, "sparse map");
        push(extents, Extent { offset: field(offset)?, length: field(length)? }, max_extents)?;
    }
    Ok(())
}

/// Refuses a map whose stretches overlap, leave the file, or are not exactly what is stored.
pub(super) fn check(extents: &[Extent], size: u64, stored: u64) -> Result<(), Wrong> {
    let mut end = 0;
    let mut sum = 0_u64;
    for extent in extents {
        if extent.offset < end {
            return Err("the map of a sparse file overlaps itself".to_owned());
        }
        end = extent.offset.checked_add(extent.length).filter(|&end| end <= size).ok_or("a sparse file overflows")?;
        sum += extent.length;
    }
    if sum != stored {
        return Err(format!("the map of a sparse file tells {sum} bytes and {stored} are stored"));
    }
    Ok(())
}

fn push(extents: &mut Vec<Extent>, extent: Extent, max_extents: usize) -> Result<(), Wrong> {
    if extents.len() == max_extents {
        return Err(format!("a sparse file has more stretches than Limits::extents, {max_extents}"));
    }
    extents.push(extent);
    Ok(())
}

/// The map in front of the content in encoding 1.0: a count, then that many pairs, one number a line.
#[derive(Debug, Default)]
pub(super) struct ContentMap {
    extents: Vec<Extent>,
    count: Option<u64>,
    offset: Option<u64>,
    digits: Vec<u8>,
}

impl ContentMap {
    /// Takes one block; `true` once the map is complete.
    pub(super) fn feed(&mut self, block: &[u8], max_extents: usize) -> Result<bool, Wrong> {
        for &byte in block {
            if byte != b'\n' {
                self.digits.push(byte);
                if self.digits.len() > 20 {
                    return Err("the map of a sparse file is malformed".to_owned());
                }
                continue;
            }
            let number = digits(&self.digits).ok_or("the map of a sparse file is malformed")?;
            self.digits.clear();
            if self.number(number, max_extents)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn into_extents(self) -> Vec<Extent> {
        self.extents
    }

    fn number(&mut self, number: u64, max_extents: usize) -> Result<bool, Wrong> {
        match (self.count, self.offset.take()) {
            (None, _) => self.count = Some(number),
            (Some(_), None) => {
                self.offset = Some(number);
                return Ok(false);
            }
            (Some(_), Some(offset)) => push(&mut self.extents, Extent { offset, length: number }, max_extents)?,
        }
        Ok(self.count == Some(self.extents.len() as u64))
    }
}
