//! The archive as a stream of bytes: headers, contents padded to blocks, the two zero blocks at the end.

use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::header::Header;
use crate::layout::{BLOCK, BUFFER};
use crate::upper::changed;
use crate::{Digest, DigestWriter, Error, Result};

/// Writes one archive and digests it in passing.
pub(crate) struct Writer<W: Write> {
    out: BufWriter<DigestWriter<W>>,
    /// Contents pass through here; one allocation serves all files.
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, DigestWriter::new(out)), buffer: vec![0; BUFFER] }
    }

    /// Announces an entry.
    pub(crate) fn header(&mut self, header: &Header) -> Result<()> {
        self.out.write_all(&header.encode()).map_err(failed)
    }

    /// Copies the `size` bytes that the last header announced; a file that ends earlier has changed (rule 28).
    pub(crate) fn content(&mut self, mut file: impl Read, path: &Path, size: u64) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let length = match file.read(&mut self.buffer[..wanted]) {
                Ok(0) => return Err(changed(path)),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(format!("read {path:?}"), error)),
            };
            self.out.write_all(&self.buffer[..length]).map_err(failed)?;
            left -= length as u64;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let padding = usize::try_from(padding).expect("padding is less than a block");
        self.out.write_all(&[0; BLOCK][..padding]).map_err(failed)
    }

    /// Ends the archive and flushes it: the digest and the length of all of it.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64)> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(failed)?;
        self.out.flush().map_err(failed)?;
        let digest = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        let (digest, size, _) = digest.finish();
        Ok((digest, size))
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("size", &self.out.get_ref().size()).finish_non_exhaustive()
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("write the archive", error)
}
