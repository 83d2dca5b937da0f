//! The archive as a stream of bytes: headers, contents padded to blocks, the two zero blocks at the end.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use plyfs_sys::buffer::Buffer;

use super::BufferSink;
use super::header::Header;
use crate::layout::{BLOCK, BUFFER};
use crate::upper::changed;
use crate::{Digest, Error, Result};

/// Writes one archive, which its sink digests.
pub(crate) struct Writer<S: BufferSink> {
    out: S,
    /// What is to be written next; contents are read straight into it, and it goes out whole.
    buffer: Buffer,
}

impl<S: BufferSink> Writer<S> {
    pub(crate) fn new(out: S) -> Self {
        Self { out, buffer: Buffer::new(BUFFER) }
    }

    /// Announces an entry.
    pub(crate) fn header(&mut self, header: &Header) -> Result<()> {
        self.put(&header.encode())
    }

    /// Copies the `size` bytes that the last header announced; a file that ends earlier has changed (rule 28).
    pub(crate) fn content(&mut self, mut file: impl Read, path: &Path, size: u64) -> Result<()> {
        if size >= BUFFER as u64 {
            // Whoever writes what the buffers hold to a file writes whole pages then, which the page cache keeps in large ones.
            self.pass()?;
        }
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
            self.buffer.fill(length);
            left -= length as u64;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.put(&[0; BLOCK][..usize::try_from(padding).expect("padding is less than a block")])
    }

    /// Ends the archive and passes all of it on: the digest and the length of all of it.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64)> {
        self.put(&[0; 2 * BLOCK])?;
        self.pass()?;
        self.out.finish().map_err(failed)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let spare = self.spare()?;
            let length = spare.len().min(bytes.len());
            spare[..length].copy_from_slice(&bytes[..length]);
            self.buffer.fill(length);
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// What of the buffer is free, which is never nothing.
    fn spare(&mut self) -> Result<&mut [u8]> {
        if self.buffer.len() == self.buffer.size() {
            self.pass()?;
        }
        Ok(self.buffer.spare())
    }

    fn pass(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.buffer);
        self.buffer = self.out.take(full).map_err(failed)?;
        if self.buffer.size() == 0 {
            self.buffer = Buffer::new(BUFFER);
        }
        self.buffer.clear();
        Ok(())
    }
}

impl<S: BufferSink> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("write the archive", error)
}
