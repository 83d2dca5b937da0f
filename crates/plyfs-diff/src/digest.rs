//! SHA-256 digests, a reader and a writer that compute one in passing, and readers that know one.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

use plyfs_sys::buffer::Buffered;
use sha2::{Digest as _, Sha256};

use crate::layout::ARCHIVE_BUFFER;
use crate::{Error, ErrorKind, Result};

/// The algorithm as digests spell it; the only one OCI requires, and the only one here.
const PREFIX: &str = "sha256:";

/// A SHA-256 digest, written `sha256:<64 lower-case hexadecimal digits>`.
///
/// A *DiffId* is the digest of an uncompressed layer archive, a *ChainId* folds DiffIds, an image id is the
/// digest of a config; all of them are this type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// Takes the 32 bytes of a digest as they are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Reads `sha256:` and 64 lower-case digits; anything else is [`ErrorKind::InvalidInput`].
    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix(PREFIX)
            .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("\"{}\" is not a sha256 digest", text.escape_debug()))
            })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The digest and the length of what has passed so far.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    hash: Sha256,
    size: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn digest(self) -> Digest {
        Digest(self.hash.finalize().into())
    }
}

/// A reader that computes the digest of every byte read through it.
pub struct DigestReader<R> {
    inner: R,
    tally: Tally,
}

impl<R: Read> DigestReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, tally: Tally::default() }
    }

    /// How many bytes were read so far.
    pub fn size(&self) -> u64 {
        self.tally.size
    }

    /// Ends: the digest and the number of the bytes read, and the reader.
    pub fn finish(self) -> (Digest, u64, R) {
        let size = self.tally.size;
        (self.tally.digest(), size, self.inner)
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.tally.add(&buffer[..length]);
        Ok(length)
    }
}

/// A reader that knows the digest of its bytes: it computes it, or whoever makes them does, on another thread.
pub trait Digested: BufRead {
    /// The digest and the number of all bytes; asked for once the end was read.
    fn digest(&mut self) -> io::Result<(Digest, u64)>;
}

/// Buffers and digests the bytes of `source`.
pub fn digested<R: Read>(source: R) -> impl Digested {
    Buffered::new(ARCHIVE_BUFFER, DigestReader::new(source))
}

impl<R: Read> Digested for Buffered<DigestReader<R>> {
    fn digest(&mut self) -> io::Result<(Digest, u64)> {
        let tally = self.get_ref().tally.clone();
        let size = tally.size;
        Ok((tally.digest(), size))
    }
}

/// A writer that computes the digest of every byte written through it.
pub struct DigestWriter<W> {
    inner: W,
    tally: Tally,
}

impl<W: Write> DigestWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, tally: Tally::default() }
    }

    /// How many bytes were written so far.
    pub fn size(&self) -> u64 {
        self.tally.size
    }

    /// The digest and the number of the bytes written so far.
    #[must_use]
    pub fn tally(&self) -> (Digest, u64) {
        (self.tally.clone().digest(), self.tally.size)
    }

    /// Ends without flushing: the digest and the number of the bytes written, and the writer.
    pub fn finish(self) -> (Digest, u64, W) {
        let size = self.tally.size;
        (self.tally.digest(), size, self.inner)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(buffer)?;
        self.tally.add(&buffer[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R> fmt::Debug for DigestReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestReader").field("size", &self.tally.size).finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for DigestWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestWriter").field("size", &self.tally.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of the empty layer: 1024 zero bytes (rule 45).
    const EMPTY_LAYER: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

    #[test]
    fn a_digest_prints_as_it_is_read() {
        let digest: Digest = EMPTY_LAYER.parse().expect("a digest");
        assert_eq!(digest.to_string(), EMPTY_LAYER);
        assert_eq!(digest, Digest::of([0; 1024]), "rule 45: the empty layer");
    }

    #[test]
    fn what_is_not_exactly_a_digest_is_refused() {
        let hex = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        let wrong = [
            String::new(),
            hex.to_owned(),
            format!("sha512:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{hex}\n"),
            format!("sha256:../{}", &hex[3..]),
        ];
        for text in wrong {
            let error = text.parse::<Digest>().expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn reader_and_writer_agree_with_the_digest_of_the_whole() {
        let bytes = vec![7; 100_000];
        let mut writer = DigestWriter::new(Vec::new());
        let mut reader = DigestReader::new(bytes.as_slice());

        io::copy(&mut reader, &mut writer).expect("memory");

        let (read, read_size, _) = reader.finish();
        let (written, written_size, copy) = writer.finish();
        assert_eq!((read, read_size), (Digest::of(&bytes), 100_000));
        assert_eq!((written, written_size, copy), (read, 100_000, bytes));
    }
}
