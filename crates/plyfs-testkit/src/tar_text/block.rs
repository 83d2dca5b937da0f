//! One header block: fields in their places, what overrides them, the checksum last.

use super::words::{bytes, number};

/// What a header calls itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    V7,
    Ustar,
    Gnu,
    Star,
}

/// A header in the making, with the content that follows it.
pub(super) struct Block {
    flag: u8,
    name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) format: Format,
    mode: u64,
    uid: u64,
    gid: u64,
    mtime: u64,
    size: Option<u64>,
    device: (u64, u64),
    prefix: Vec<u8>,
    overrides: Vec<(usize, Vec<u8>)>,
    is_sum_wrong: bool,
}

impl Block {
    pub(super) fn new(flag: u8, name: &[u8]) -> Self {
        Self {
            flag,
            name: name.to_vec(),
            link: Vec::new(),
            data: Vec::new(),
            format: Format::Ustar,
            mode: if flag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 1_704_067_200,
            size: None,
            device: (0, 0),
            prefix: Vec::new(),
            overrides: Vec::new(),
            is_sum_wrong: false,
        }
    }

    /// Takes one option of the line.
    pub(super) fn set(&mut self, key: &str, value: &str, most: usize) -> Result<(), &'static str> {
        match key {
            "link" => self.link = bytes(value, most)?,
            "data" => self.data = bytes(value, most)?,
            "prefix" => self.prefix = bytes(value, most)?,
            "mode" => self.mode = number(value, 8)?,
            "uid" => self.uid = number(value, 10)?,
            "gid" => self.gid = number(value, 10)?,
            "mtime" => self.mtime = number(value, 10)?,
            "size" => self.size = Some(number(value, 10)?),
            "device" => {
                let (major, minor) = value.split_once(':').ok_or("a device is major:minor")?;
                self.device = (number(major, 10)?, number(minor, 10)?);
            }
            "format" => {
                self.format = match value {
                    "v7" => Format::V7,
                    "ustar" => Format::Ustar,
                    "gnu" => Format::Gnu,
                    "star" => Format::Star,
                    _ => return Err("no such format"),
                }
            }
            "sum" => self.is_sum_wrong = value == "bad",
            _ => {
                let at = key.strip_prefix("at:").ok_or("no such option")?;
                let at = usize::try_from(number(at, 10)?).unwrap_or(usize::MAX);
                self.overrides.push((at.min(511), bytes(value, most)?));
            }
        }
        Ok(())
    }

    pub(super) fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        text(&mut block[..100], &self.name);
        numeric(&mut block[100..108], self.mode);
        numeric(&mut block[108..116], self.uid);
        numeric(&mut block[116..124], self.gid);
        numeric(&mut block[124..136], self.size.unwrap_or(self.data.len() as u64));
        numeric(&mut block[136..148], self.mtime);
        block[156] = self.flag;
        text(&mut block[157..257], &self.link);
        match self.format {
            Format::V7 => {}
            Format::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
            Format::Ustar | Format::Star => block[257..265].copy_from_slice(b"ustar\x0000"),
        }
        if self.format != Format::V7 {
            numeric(&mut block[329..337], self.device.0);
            numeric(&mut block[337..345], self.device.1);
            text(&mut block[345..500], &self.prefix);
        }
        if self.format == Format::Star {
            block[508..].copy_from_slice(b"tar\0");
        }
        for (at, bytes) in &self.overrides {
            let end = (at + bytes.len()).min(512);
            block[*at..end].copy_from_slice(&bytes[..end - at]);
        }
        self.seal(&mut block);
        block
    }

    fn seal(&self, block: &mut [u8; 512]) {
        // An override of the checksum itself stands.
        if self.overrides.iter().any(|(at, bytes)| *at < 156 && at + bytes.len() > 148) {
            return;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum::<u32>() + u32::from(self.is_sum_wrong);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// Octal digits, or GNU's binary numbers where they do not fit.
fn numeric(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if octal.len() == digits {
        field[..digits].copy_from_slice(octal.as_bytes());
        return;
    }
    let start = field.len() - 8;
    field[start..].copy_from_slice(&value.to_be_bytes());
    field[0] |= 0x80;
}
