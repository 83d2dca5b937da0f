//! Lines compressed in frames of zstd, one after the other.

use std::io::{self, Write};

use zstd::bulk::Compressor;

/// How much of what is written goes into one frame: the compressor sees all of it at once, and need not carry what came before
/// in a window of its own, which slows it down.
const FRAME: usize = 512 << 10;

/// Compresses what is written to it.
pub(crate) struct Frames<W: Write> {
    out: W,
    compressor: Compressor<'static>,
    /// What the next frame will hold.
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl<W: Write> Frames<W> {
    pub(crate) fn new(out: W, level: i32) -> io::Result<Self> {
        let compressor = Compressor::new(level)?;
        Ok(Self { out, compressor, plain: Vec::new(), compressed: Vec::new() })
    }

    /// Writes what is left, and a frame without anything where nothing is.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.end_frame()
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        self.compressor.compress_to_buffer(&self.plain, &mut self.compressed)?;
        self.plain.clear();
        self.out.write_all(&self.compressed)
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(FRAME - self.plain.len());
        self.plain.extend_from_slice(&bytes[..length]);
        if self.plain.len() == FRAME {
            self.end_frame()?;
        }
        Ok(length)
    }

    /// Leaves everything to [`Self::finish`]: a frame that ended here would be a small one.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_whatever_its_length() {
        for length in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 7] {
            let plain: Vec<u8> = (0..length).map(|at| (at / 3 + at % 251) as u8).collect();
            let mut compressed = Vec::new();
            let mut frames = Frames::new(&mut compressed, 1).expect("zstd");
            plain.chunks(100_000).for_each(|piece| frames.write_all(piece).expect("memory takes all"));
            frames.finish().expect("memory takes all");
            let mut back = Vec::new();
            io::Read::read_to_end(&mut zstd::Decoder::new(compressed.as_slice()).expect("zstd"), &mut back)
                .expect("zstd");
            assert!(back == plain, "{length} bytes came back as {}", back.len());
        }
    }
}
