//! The bytes of an archive as pieces of a buffered source, counted.

use std::io::{self, BufRead};

use crate::{Error, Result};

/// A buffered source that knows its position; bytes are copied only where what is peeked lies across two pieces.
pub(super) struct Input<B> {
    source: B,
    /// What was peeked across the end of a piece, and comes before the piece the source is at.
    carried: Vec<u8>,
    /// How much was handed out, and is consumed when more is asked for.
    taken: usize,
    position: u64,
}

impl<B: BufRead> Input<B> {
    pub(super) fn new(source: B) -> Self {
        Self { source, carried: Vec::new(), taken: 0, position: 0 }
    }

    /// How many bytes were consumed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The source.
    pub(super) fn source(&mut self) -> &mut B {
        &mut self.source
    }

    /// At least `wanted` bytes, fewer only where the archive ends.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8]> {
        self.settle();
        let end = self.position + self.carried.len() as u64;
        if self.carried.is_empty() && piece(&mut self.source, end)?.len() >= wanted {
            return piece(&mut self.source, end);
        }
        while self.carried.len() < wanted {
            let piece = piece(&mut self.source, end)?;
            let length = piece.len().min(wanted - self.carried.len());
            if length == 0 {
                break;
            }
            self.carried.extend_from_slice(&piece[..length]);
            self.source.consume(length);
        }
        Ok(&self.carried)
    }

    /// Consumes up to `most` bytes and returns them; none where the archive ends.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8]> {
        self.settle();
        if most == 0 {
            return Ok(&[]);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let piece = if self.carried.is_empty() { piece(&mut self.source, self.position)? } else { &self.carried };
        let length = most.min(piece.len());
        (self.taken, self.position) = (length, self.position + length as u64);
        Ok(&piece[..length])
    }

    /// Drops bytes that were peeked.
    pub(super) fn consume(&mut self, length: usize) {
        self.taken += length;
        self.position += length as u64;
    }

    /// Lets go of what was handed out.
    fn settle(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if self.carried.is_empty() { self.source.consume(taken) } else { drop(self.carried.drain(..taken)) }
    }
}

/// The piece a source stands at, of which the first byte is at `at`; none at the end.
fn piece(source: &mut impl BufRead, at: u64) -> Result<&[u8]> {
    let failed = |error| Error::io(format!("read the archive at byte {at}"), error);
    loop {
        match source.fill_buf() {
            Ok([]) => return Ok(&[]),
            // What is there is given again: a borrow that is returned cannot begin in a loop.
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    source.fill_buf().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    /// Gives no more than a few bytes at a time, and is interrupted before each.
    struct Hesitant<'a>(&'a [u8], bool);

    impl Read for Hesitant<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
        }
    }

    #[test]
    fn what_is_peeked_across_pieces_is_taken_once_and_in_order() {
        let bytes: Vec<u8> = (0..100).collect();
        for piece in [1, 7, 10, 99, 100] {
            let mut input = Input::new(BufReader::with_capacity(piece, Hesitant(&bytes, false)));
            let mut taken = Vec::new();
            while input.peek(10).expect("memory").len() >= 10 {
                assert_eq!(input.peek(10).expect("memory")[..10], bytes[taken.len()..taken.len() + 10]);
                taken.extend_from_slice(&input.peek(10).expect("memory")[..4]);
                input.consume(4);
                taken.extend_from_slice(input.take(3).expect("memory"));
                assert_eq!(input.position(), taken.len() as u64);
            }
            loop {
                let more = input.take(u64::MAX).expect("memory");
                if more.is_empty() {
                    break;
                }
                taken.extend_from_slice(more);
            }
            assert_eq!(taken, bytes, "in pieces of {piece}");
        }
    }
}
