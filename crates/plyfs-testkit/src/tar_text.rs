//! Archives as text: one entry a line, any byte of any header, so that a hostile archive is a few lines in the tree.
//!
//! ```text
//! # what stands behind a number sign is for people
//! dir etc mode=0700 uid=5
//! symlink etc/out link=/ mtime=12
//! file etc/out/passwd data=root\n xattr:user.k=v pax:comment=\x00
//! hardlink b link=../../etc/shadow mode=4755
//! char dev/null device=1:3
//! type:V label                 any type flag
//! file a size=99 data=x        a header may lie
//! file a at:100=\xff sum=bad   bytes of the header by offset; a wrong checksum
//! file a format=gnu            ustar if nothing is said; gnu, v7 and star beside it
//! pax 11\spath=ab\n            the data of an extension header as it is
//! global, longname, longlink   the same for the other three kinds
//! nest inner.tar               a file whose content is an archive of the lines up to `end`
//! end
//! raw \x00\x01                 bytes without a header and without padding
//! zeros 2                      blocks of zeros
//! cut 100                      takes bytes off the end so far
//! open                         leaves out the two blocks at the end
//! ```
//!
//! In a word `\xHH` is a byte, `\n` a line's end, `\s` a blank, `\\` a backslash, and `{ab*3}` is `ababab`.

mod block;
mod words;

use block::{Block, Format};
use words::{bytes, number};

/// What a text may become at most: it describes a case, not a flood; a fuzzer's are smaller.
const MOST: usize = 16 << 20;
const MOST_LOSSY: usize = 256 << 10;

/// What the lines become, or the first line that means nothing, with its number.
pub fn build(text: &str) -> Result<Vec<u8>, String> {
    let mut builder = Builder { most: MOST, ..Builder::default() };
    for (line, number) in text.lines().zip(1..) {
        builder.line(line).map_err(|wrong| format!("line {number}: {wrong}: {line}"))?;
    }
    Ok(builder.finish())
}

/// What the lines become without those that mean nothing: every text is an archive to a fuzzer.
#[must_use]
pub fn build_lossy(text: &str) -> Vec<u8> {
    let mut builder = Builder { most: MOST_LOSSY, ..Builder::default() };
    for line in text.lines() {
        // What is no line is no entry.
        let _ = builder.line(line);
    }
    builder.finish()
}

/// An archive, and the archives around it that wait for their content.
#[derive(Default)]
struct Builder {
    archive: Vec<u8>,
    outer: Vec<(Vec<u8>, Block)>,
    is_open: bool,
    most: usize,
}

impl Builder {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let mut parts = line.split_ascii_whitespace();
        let Some(word) = parts.next().filter(|word| !word.starts_with(['#', '='])) else { return Ok(()) };
        if self.archive.len() > self.most {
            return Err("the archive is too long");
        }
        match word {
            "raw" => self.archive.extend(bytes(parts.next().unwrap_or_default(), self.most)?),
            "zeros" => {
                let blocks = usize::try_from(number(parts.next().ok_or("how many?")?, 10)?).unwrap_or(self.most);
                self.archive.resize(self.archive.len() + blocks.min(self.most / 512) * 512, 0);
            }
            "cut" => {
                let most = usize::try_from(number(parts.next().ok_or("how much?")?, 10)?).unwrap_or(usize::MAX);
                self.archive.truncate(self.archive.len().saturating_sub(most));
            }
            "open" => self.is_open = true,
            "pax" => self.extension(b'x', "PaxHeaders/0", bytes(parts.next().unwrap_or_default(), self.most)?),
            "global" => self.extension(b'g', "GlobalHead/0", bytes(parts.next().unwrap_or_default(), self.most)?),
            "longname" => self.extension(b'L', "././@LongLink", bytes(parts.next().unwrap_or_default(), self.most)?),
            "longlink" => self.extension(b'K', "././@LongLink", bytes(parts.next().unwrap_or_default(), self.most)?),
            "end" => self.end_nested()?,
            "nest" => {
                let block = self.entry(b'0', parts)?;
                if self.outer.len() == 4 {
                    return Err("nested too deep");
                }
                self.outer.push((std::mem::take(&mut self.archive), block));
            }
            kind => {
                let flag = flag(kind).ok_or("no kind of entry")?;
                let block = self.entry(flag, parts)?;
                self.append(block);
            }
        }
        Ok(())
    }

    /// Reads name and options, and adds the extension headers they ask for.
    fn entry<'a>(&mut self, flag: u8, mut parts: impl Iterator<Item = &'a str>) -> Result<Block, &'static str> {
        let name = bytes(parts.next().ok_or("no name")?, self.most)?;
        let mut block = Block::new(flag, &name);
        let mut records = Vec::new();
        for option in parts {
            let (key, value) = option.split_once('=').ok_or("an option without a value")?;
            if let Some(record) = key.strip_prefix("pax:") {
                words::record(&mut records, &bytes(record, self.most)?, &bytes(value, self.most)?);
            } else if let Some(attribute) = key.strip_prefix("xattr:") {
                words::record(
                    &mut records,
                    &[b"SCHILY.xattr.", &*bytes(attribute, self.most)?].concat(),
                    &bytes(value, self.most)?,
                );
            } else {
                block.set(key, value, self.most)?;
            }
        }
        if !records.is_empty() {
            self.extension(b'x', "PaxHeaders/0", records);
        }
        for (flag, name, room) in [(b'L', &name, 100), (b'K', &block.link, 100)] {
            if name.len() > room {
                let data = [name, &b"\0"[..]].concat();
                self.extension(flag, "././@LongLink", data);
            }
        }
        Ok(block)
    }

    fn extension(&mut self, flag: u8, name: &str, data: Vec<u8>) {
        let mut block = Block::new(flag, name.as_bytes());
        block.format = if matches!(flag, b'L' | b'K') { Format::Gnu } else { Format::Ustar };
        block.data = data;
        self.append(block);
    }

    fn append(&mut self, block: Block) {
        self.archive.extend(block.header());
        self.archive.extend(&block.data);
        self.archive.resize(self.archive.len().next_multiple_of(512), 0);
    }

    fn end_nested(&mut self) -> Result<(), &'static str> {
        let (outer, mut block) = self.outer.pop().ok_or("nothing is nested")?;
        block.data = std::mem::replace(&mut self.archive, outer);
        self.append(block);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        while self.end_nested().is_ok() {}
        if !self.is_open {
            self.archive.resize(self.archive.len() + 1024, 0);
        }
        self.archive
    }
}

fn flag(kind: &str) -> Option<u8> {
    Some(match kind {
        "file" => b'0',
        "hardlink" => b'1',
        "symlink" => b'2',
        "char" => b'3',
        "block" => b'4',
        "dir" => b'5',
        "fifo" => b'6',
        other => *other.strip_prefix("type:")?.as_bytes().first()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        let mut tar = tar::Archive::new(archive);
        let entries = tar.entries().expect("an archive");
        entries.map(|entry| String::from_utf8_lossy(&entry.expect("an entry").path_bytes()).into_owned()).collect()
    }

    #[test]
    fn what_is_written_another_reader_reads() {
        let text = "# a comment\ndir d mode=1777\nfile d/{n*120} data=a\\sb xattr:user.k=v\nsymlink s link={t*101}\n\
                    nest inner.tar\nfile hidden data=x\nend\nchar c device=1:3 format=gnu";
        let archive = build(text).expect("every line means something");
        assert_eq!(
            names(&archive),
            ["d".into(), format!("d/{}", "n".repeat(120)), "s".into(), "inner.tar".into(), "c".into()]
        );
        assert_eq!(archive.len() % 512, 0);
    }

    #[test]
    fn a_line_that_means_nothing_is_named_and_may_be_left_out() {
        let text = "file a\nsoup b\nfile c";
        assert_eq!(build(text).expect_err("no kind"), "line 2: no kind of entry: soup b");
        assert_eq!(names(&build_lossy(text)), ["a", "c"]);
    }

    #[test]
    fn lies_are_written_as_they_are_told() {
        let archive = build("file a size=99 at:0=zz sum=bad\nopen\ncut 12").expect("lies");
        assert_eq!(archive.len(), 500);
        assert_eq!((&archive[..3], &archive[124..136]), (&b"zz\0"[..], &b"00000000143\0"[..]));
        let sum: u32 =
            archive[..148].iter().chain(&[b' '; 8]).chain(&archive[156..]).map(|&byte| u32::from(byte)).sum();
        assert_ne!(u32::from_str_radix(std::str::from_utf8(&archive[148..154]).expect("digits"), 8), Ok(sum));
    }
}
