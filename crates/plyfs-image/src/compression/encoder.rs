//! Compressing what goes out: the same bytes for the same input, level and version, however many threads help.

use std::io::{self, Write};

use zstd::stream::raw::CParameter;

use super::gzip::ParallelGzip;
use super::{Compression, Level};

/// How a level of zstd is kept within bounds: what one thread takes at a time, what it remembers, and how many there are.
///
/// Left to itself libzstd lets jobs grow with the window, to 8 MiB at level 19 with tables of 80 MiB for each thread: who
/// cancels waits for the jobs that run, more than ten seconds of them there. Where the cuts are must not depend on the threads.
struct ZstdBounds {
    /// Bytes of a job.
    job: u32,
    /// Most threads.
    threads: u32,
    /// What else is not the level's own.
    parameters: &'static [CParameter],
}

/// The window, which a job sees no more of than itself and what it begins with, half as much; tables for as much.
const WINDOW: [CParameter; 3] = [CParameter::WindowLog(21), CParameter::OverlapSizeLog(8), CParameter::HashLog(20)];

impl ZstdBounds {
    fn of(level: i32) -> Self {
        const TREE: [CParameter; 4] = {
            let [window, overlap, hash] = WINDOW;
            [window, overlap, hash, CParameter::ChainLog(22)]
        };
        match level {
            // Their windows have no more than 2 MiB anyway.
            ..9 => Self { job: 2 << 20, threads: u32::MAX, parameters: &[] },
            9..13 => Self { job: 2 << 20, threads: u32::MAX, parameters: &WINDOW },
            // They search trees, each of 16 MiB, and take a second for a megabyte.
            _ => Self { job: 1 << 20, threads: 2, parameters: &TREE },
        }
    }
}

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
                let bounds = ZstdBounds::of(level.zstd());
                let mut encoder = zstd::stream::write::Encoder::new(output, level.zstd())?;
                encoder.include_checksum(true)?;
                // One thread at least: a frame made in jobs has other bytes than one made without.
                encoder.multithread(u32::try_from(threads).unwrap_or(u32::MAX).clamp(1, bounds.threads))?;
                encoder.set_parameter(CParameter::JobSize(bounds.job))?;
                bounds.parameters.iter().try_for_each(|parameter| encoder.set_parameter(*parameter))?;
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
