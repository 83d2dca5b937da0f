//! Buffers that begin where pages do.
//!
//! What is read from a file is copied from the page cache by one instruction for the whole piece (`rep movsb`). On AMD's Zen 4
//! that takes several times as long where the destination lies 1 to 31 bytes further in its page than the source does in its
//! own, and a large `Vec` begins 16 bytes behind a page. Contents of files and of archives lie at multiples of 512 bytes, and so
//! never there in a buffer that begins with a page.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Deref;

/// What the kernel caches files in: no page of any architecture is smaller.
const PAGE: usize = 4096;

/// Room for so many bytes and no more, of which the first are filled; these are what it derefs to.
#[derive(Default)]
pub struct Buffer {
    /// Longer than the room is, by what lies before the first page.
    bytes: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Buffer {
    /// Room for `size` bytes, none of them filled.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let bytes = vec![0; size + PAGE - 1];
        // It may be any number where a pointer cannot be asked, as in an interpreter.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE - 1);
        Self { bytes, start, filled: 0 }
    }

    /// For how many bytes there is room, filled or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len().saturating_sub(PAGE - 1)
    }

    /// The room that is left.
    pub fn spare(&mut self) -> &mut [u8] {
        let end = self.start + self.size();
        &mut self.bytes[self.start + self.filled..end]
    }

    /// Counts what was put at the beginning of the [spare](Self::spare) room as filled.
    ///
    /// # Panics
    ///
    /// When there was less room than that.
    pub fn fill(&mut self, length: usize) {
        assert!(length <= self.size() - self.filled, "more than there was room for");
        self.filled += length;
    }

    /// Fills the room that is left, or less where `input` ends; an interrupted read is repeated.
    pub fn fill_from(&mut self, mut input: impl Read) -> io::Result<()> {
        while self.filled < self.size() {
            match input.read(self.spare()) {
                Ok(0) => break,
                Ok(length) => self.fill(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.filled]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("size", &self.size()).field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// Does what [`io::BufReader`] does, in a [`Buffer`].
pub struct Buffered<R> {
    inner: R,
    buffer: Buffer,
    taken: usize,
}

impl<R> Buffered<R> {
    /// Reads `size` bytes of `inner` at a time.
    pub fn new(size: usize, inner: R) -> Self {
        Self { inner, buffer: Buffer::new(size), taken: 0 }
    }

    /// The reader, which is further than what was taken from here.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The reader, which is further than what was taken from here.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
            let length = self.inner.read(self.buffer.spare())?;
            self.buffer.fill(length);
        }
        Ok(&self.buffer[self.taken..])
    }

    fn consume(&mut self, length: usize) {
        self.taken = self.buffer.len().min(self.taken + length);
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Who takes as much at once needs no buffer.
        if self.taken == self.buffer.len() && out.len() >= self.buffer.size() {
            return self.inner.read(out);
        }
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R> fmt::Debug for Buffered<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("buffer", &self.buffer).field("taken", &self.taken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_with_a_page_whatever_its_size() {
        for size in [1, 100, PAGE - 1, PAGE, 100_000, 256 << 10, 1 << 20] {
            let mut buffer = Buffer::new(size);
            assert_eq!((buffer.size(), buffer.len()), (size, 0));
            assert_eq!(buffer.spare().len(), size);
            assert_eq!(buffer.spare().as_ptr().addr() % PAGE, 0, "{size} bytes");
        }
        assert!(Buffer::default().spare().is_empty());
    }

    #[test]
    fn what_is_filled_is_what_it_holds_until_it_is_cleared() {
        let mut buffer = Buffer::new(5);
        buffer.fill_from(b"ab".chain(&b"c"[..])).expect("memory");
        buffer.spare()[0] = b'd';
        assert_eq!(*buffer, *b"abc");
        buffer.fill(1);
        assert_eq!((*buffer == *b"abcd", buffer.spare().len()), (true, 1));
        let mut rest = &b"ef"[..];
        buffer.fill_from(&mut rest).expect("memory");
        assert_eq!((*buffer == *b"abcde", rest), (true, &b"f"[..]));
        buffer.clear();
        assert!(buffer.is_empty());
        assert_eq!(buffer.spare(), b"abcde");
    }

    #[test]
    #[should_panic(expected = "room")]
    fn more_than_there_is_room_for_is_not_filled() {
        Buffer::new(5).fill(6);
    }

    #[test]
    fn bytes_are_read_once_and_in_order_however_they_are_taken() {
        let bytes: Vec<u8> = (0..=255).collect();
        for most in [1, 9, 10, 11, 25] {
            let (mut reader, mut taken) = (Buffered::new(10, &bytes[..]), Vec::new());
            while taken.len() < bytes.len() {
                let mut out = vec![0; most];
                let length = reader.read(&mut out).expect("memory");
                taken.extend_from_slice(&out[..length]);
                let there = reader.fill_buf().expect("memory");
                assert!(there.len() <= 10);
                let length = there.len().min(3);
                taken.extend_from_slice(&there[..length]);
                reader.consume(length);
            }
            assert_eq!(taken, bytes, "{most} at a time");
            assert_eq!(reader.read(&mut [0]).expect("memory"), 0);
            assert!(reader.fill_buf().expect("memory").is_empty() && reader.get_ref().is_empty());
        }
    }
}
