//! The archive as a stream of bytes: headers, contents padded to blocks, the two zero blocks at the end.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

use super::header::Header;
use crate::layout::{BLOCK, BUFFER};
use crate::upper::changed;
use crate::{Digest, DigestWriter, Error, Result};

/// Writes one archive and digests it in passing.
pub(crate) struct Writer<W: Write> {
    out: DigestWriter<W>,
    /// What is to be written next; contents are read straight into it, and it goes out whole.
    buffer: Box<[u8]>,
    filled: usize,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: DigestWriter::new(out), buffer: vec![0; BUFFER].into_boxed_slice(), filled: 0 }
    }

    /// Announces an entry.
    pub(crate) fn header(&mut self, header: &Header) -> Result<()> {
        self.put(&header.encode())
    }

    /// Copies the `size` bytes that the last header announced; a file that ends earlier has changed (rule 28).
    pub(crate) fn content(&mut self, mut file: impl Read, path: &Path, size: u64) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let spare = self.spare()?;
            let wanted = usize::try_from(left).unwrap_or(BUFFER).min(spare.len());
            let length = match file.read(&mut spare[..wanted]) {
                Ok(0) => return Err(changed(path)),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(format!("read {path:?}"), error)),
            };
            self.filled += length;
            left -= length as u64;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.put(&[0; BLOCK][..usize::try_from(padding).expect("padding is less than a block")])
    }

    /// Ends the archive and flushes it: the digest and the length of all of it.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64)> {
        self.put(&[0; 2 * BLOCK])?;
        self.pass()?;
        self.out.flush().map_err(failed)?;
        let (digest, size, _) = self.out.finish();
        Ok((digest, size))
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let spare = self.spare()?;
            let length = spare.len().min(bytes.len());
            spare[..length].copy_from_slice(&bytes[..length]);
            self.filled += length;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// What of the buffer is free, which is never nothing.
    fn spare(&mut self) -> Result<&mut [u8]> {
        if self.filled == self.buffer.len() {
            self.pass()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn pass(&mut self) -> Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.out.write_all(&self.buffer[..filled]).map_err(failed)
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("size", &(self.out.size() + self.filled as u64)).finish_non_exhaustive()
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("write the archive", error)
}
