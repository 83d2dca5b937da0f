//! Writing a record, line by line.

use std::fmt;
use std::io::Write;

use data_encoding::BASE64;

use super::{FILE, SEGMENT};
use crate::layout::BUFFER;
use crate::{Error, Result};

/// The most raw bytes of one line, so that a reader need not hold more; what vbatts' writer uses for padding.
const SEGMENT_MOST: usize = 1 << 20;

/// Writes the lines of a record in the order of the archive.
///
/// Lines are gathered and handed on in large pieces; what was not [finished](Writer::finish) may be missing some.
pub struct Writer<W> {
    out: W,
    lines: Vec<u8>,
    position: u64,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, lines: Vec::new(), position: 0 }
    }

    /// Adds raw bytes of the archive; no bytes are no line.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(SEGMENT_MOST) {
            self.put(format_args!("{{\"type\":{SEGMENT},\"payload\":\""));
            self.base64(piece);
            self.lines.push(b'"');
            self.end_line()?;
        }
        Ok(())
    }

    /// Adds the place of a file's content; an entry without content is a file of size zero.
    pub fn file(&mut self, name: &[u8], size: u64, crc: u64) -> Result<()> {
        self.put(format_args!("{{\"type\":{FILE},"));
        match std::str::from_utf8(name) {
            Ok(text) => {
                self.lines.extend_from_slice(b"\"name\":");
                serde_json::to_writer(&mut self.lines, text).expect("a string is always JSON");
            }
            Err(_) => {
                self.lines.extend_from_slice(b"\"name_raw\":\"");
                self.base64(name);
                self.lines.push(b'"');
            }
        }
        if size > 0 {
            self.put(format_args!(",\"size\":{size},\"payload\":\""));
            self.base64(&crc.to_be_bytes());
            self.lines.push(b'"');
        } else {
            self.lines.extend_from_slice(b",\"payload\":null");
        }
        self.end_line()
    }

    /// Hands on and flushes all lines, and gives the writer back.
    pub fn finish(mut self) -> Result<W> {
        self.hand_on()?;
        self.out.flush().map_err(|error| Error::io("write the tar-split record", error))?;
        Ok(self.out)
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.lines.write_fmt(text).expect("memory takes all");
    }

    fn base64(&mut self, bytes: &[u8]) {
        let start = self.lines.len();
        self.lines.resize(start + BASE64.encode_len(bytes.len()), 0);
        BASE64.encode_mut(bytes, &mut self.lines[start..]);
    }

    fn end_line(&mut self) -> Result<()> {
        let position = self.position;
        self.put(format_args!(",\"position\":{position}}}\n"));
        self.position += 1;
        if self.lines.len() < BUFFER {
            return Ok(());
        }
        self.hand_on()
    }

    fn hand_on(&mut self) -> Result<()> {
        self.out.write_all(&self.lines).map_err(|error| Error::io("write the tar-split record", error))?;
        self.lines.clear();
        Ok(())
    }
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("position", &self.position).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_vbatts() {
        let mut writer = Writer::new(Vec::new());
        writer.segment(b"").expect("memory");
        writer.segment(b"raw").expect("memory");
        writer.file(b"a \"b\"", 0, 0).expect("memory");
        writer.file(b"\xff", 9, 0xb909_56c7_75a4_1001).expect("memory");

        let text = String::from_utf8(writer.finish().expect("memory")).expect("JSON");

        let expected = "{\"type\":2,\"payload\":\"cmF3\",\"position\":0}\n\
            {\"type\":1,\"name\":\"a \\\"b\\\"\",\"payload\":null,\"position\":1}\n\
            {\"type\":1,\"name_raw\":\"/w==\",\"size\":9,\"payload\":\"uQlWx3WkEAE=\",\"position\":2}\n";
        assert_eq!(text, expected);
    }
}
