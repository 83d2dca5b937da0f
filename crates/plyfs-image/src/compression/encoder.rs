//! Compressing what goes out: the same bytes for the same input, level and version, however many threads help.

use std::io::{self, Write};

use zstd::stream::raw::CParameter;

use super::gzip::ParallelGzip;
use super::{Compression, Level};

/// What one zstd thread takes at a time: it bounds the memory, and where the cuts are must not depend on the threads.
const ZSTD_JOB: u32 = 2 << 20;

/// A writer that compresses; [`Encoder::finish`] ends the stream.
pub(crate) enum Encoder<W: Write> {
    /// Passes bytes on.
    Plain(W),
    /// One member without name and time.
    Gzip(Box<ParallelGzip<W>>),
    /// One frame with a checksum.
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Encoder<W> {
    /// Starts a stream into `output`, compressed by up to `threads` threads beside the caller's; zstd has one at least.
    pub(crate) fn new(compression: Compression, level: Level, threads: usize, output: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(output),
            Compression::Gzip => Self::Gzip(Box::new(ParallelGzip::new(output, level.gzip(), threads)?)),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, level.zstd())?;
                encoder.include_checksum(true)?;
                // One thread at least: a frame made in jobs has other bytes than one made without.
                encoder.multithread(u32::try_from(threads).unwrap_or(u32::MAX).max(1))?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Writes what ends the stream and gives the output back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Passes nothing on before its time: where a stream is cut must not depend on who flushes.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.get_mut().flush(),
        }
    }
}
