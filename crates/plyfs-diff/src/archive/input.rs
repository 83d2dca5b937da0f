//! The bytes of an archive through one buffer, counted.

use std::io::{self, Read};

use crate::layout::BUFFER;
use crate::{Error, Result};

/// A buffered reader that knows its position and never holds more than its buffer.
pub(super) struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    position: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, position: 0 }
    }

    /// How many bytes were consumed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The reader below; bytes that were buffered and not consumed are gone.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// At least `wanted` buffered bytes, fewer only where the archive ends; `wanted` fits the buffer.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8]> {
        debug_assert!(wanted <= self.buffer.len(), "the buffer cannot hold {wanted} bytes");
        while self.end - self.start < wanted && self.fill()? {}
        Ok(&self.buffer[self.start..self.end])
    }

    /// Consumes up to `most` bytes and returns them; none where the archive ends.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8]> {
        if self.start == self.end && most > 0 {
            self.fill()?;
        }
        let start = self.start;
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.end - start);
        self.consume(length);
        Ok(&self.buffer[start..start + length])
    }

    /// Drops bytes that were peeked.
    pub(super) fn consume(&mut self, length: usize) {
        self.start += length;
        self.position += length as u64;
    }

    /// Reads once into the free part of the buffer; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let at = self.position + (self.end - self.start) as u64;
                    return Err(Error::io(format!("read the archive at byte {at}"), error));
                }
            }
        }
    }
}
