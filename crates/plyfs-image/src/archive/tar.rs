//! Writes tar archives whose bytes depend on names and contents alone.

use std::io::{self, Read, Write};

use tar_core::{EntryBuilder, EntryType};

use crate::error::{Error, ErrorKind, Result};

const BLOCK: u64 = 512;

/// A tar archive being written: files and directories of root and of the epoch, in the order they are given.
///
/// A file beyond 8 GiB carries a PAX record with its size.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    output: W,
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive into `output`.
    pub(crate) fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes one file of exactly `size` bytes, which `content` writes; another number is an error.
    pub(crate) fn member(
        &mut self,
        name: &str,
        size: u64,
        content: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let failed = |error| Error::io(format!("write {name}"), error);
        self.output.write_all(&header(name, EntryType::Regular, 0o644, size)).map_err(failed)?;
        let mut exact = Exact { output: &mut self.output, left: size };
        content(&mut exact)?;
        if exact.left != 0 {
            let message = format!("write {name}: {} of its {size} bytes are missing", exact.left);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let padding = usize::try_from(size.next_multiple_of(BLOCK) - size).expect("less than a block");
        self.output.write_all(&[0; BLOCK as usize][..padding]).map_err(failed)
    }

    /// Writes one file of exactly `size` bytes from a reader.
    pub(crate) fn file(&mut self, name: &str, size: u64, mut content: impl Read) -> Result<()> {
        self.member(name, size, |output| {
            io::copy(&mut content, output).map(drop).map_err(|error| Error::io(format!("write {name}"), error))
        })
    }

    /// Writes a directory; without it an unprivileged skopeo fails to unpack what is below.
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        let header = header(&format!("{name}/"), EntryType::Directory, 0o755, 0);
        self.output.write_all(&header).map_err(|error| Error::io(format!("write {name}"), error))
    }

    /// Writes the end mark, flushes, and gives the output back.
    pub(crate) fn finish(mut self) -> Result<W> {
        let ended = self.output.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| self.output.flush());
        ended.map(|()| self.output).map_err(|error| Error::io("write the end of the archive", error))
    }
}

fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> Vec<u8> {
    let mut header = EntryBuilder::new_ustar();
    header.path(name).entry_type(kind);
    let numbers = header.mode(mode).and_then(|header| header.uid(0)?.gid(0)?.mtime(0)?.size(size).map(drop));
    numbers.expect("small numbers fit, and a large size has a PAX record");
    header.finish_bytes()
}

/// Lets no more through than a header said.
struct Exact<'a, W> {
    output: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Exact<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(Error::new(ErrorKind::Conflict, "more bytes than expected").into_io());
        }
        let written = self.output.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_as_long_as_said_is_an_error() {
        for size in [3, 5] {
            let mut tar = TarWriter::new(Vec::new());
            let error = tar.file("f", size, &b"four"[..]).expect_err("four bytes");
            assert_eq!(error.kind(), ErrorKind::Conflict, "{size}");
        }
    }

    #[test]
    fn a_size_beyond_octal_is_read_back() {
        let mut output = Vec::new();
        let size = 9 << 30;
        TarWriter::new(&mut output).file("big", size, io::empty()).expect_err("there is no content");
        let mut parser = tar_core::parse::Parser::with_defaults();
        match parser.parse(&output).expect("a header") {
            tar_core::parse::ParseEvent::Entry { entry, .. } => assert_eq!(entry.size, size),
            other => panic!("no entry: {other:?}"),
        }
    }
}
