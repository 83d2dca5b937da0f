//! Digests as foreign documents spell them, and streams that are held to theirs.

use std::io::{self, Read};

use plyfs_diff::{Digest, DigestReader};

use crate::error::{Error, ErrorKind, Result, shown};

/// Reads a digest strictly: `sha256:` and 64 lower-case hex digits, so that it can never be a path.
///
/// `what` names the field. Another algorithm is [`ErrorKind::Unsupported`] and named.
pub(crate) fn parse(text: &str, what: &str) -> Result<Digest> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let error = match text.split_once(':') {
        Some((algorithm, _)) if algorithm != "sha256" && word(algorithm) && algorithm.len() < 32 => {
            Error::new(ErrorKind::Unsupported, format!("{what}: digest algorithm {algorithm}"))
        }
        _ => Error::new(ErrorKind::InvalidInput, format!("{what}: {} is no sha256 digest", shown(text))),
    };
    Err(error)
}

/// What a descriptor promises of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// The digest of the blob's bytes as they are stored.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

impl Promise {
    /// Holds a document in memory to the promise.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<()> {
        self.judge(&Digest::of(bytes), bytes.len() as u64)
    }

    fn judge(&self, digest: &Digest, size: u64) -> Result<()> {
        if size != self.size {
            let message = format!("{} bytes where its descriptor says {}", size, self.size);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        if *digest != self.digest {
            return Err(Error::new(ErrorKind::Corrupt, format!("the bytes have the digest {digest}")));
        }
        Ok(())
    }
}

/// A reader that fails at its end unless it read what was promised.
///
/// More bytes than promised fail at once, so that a lying size costs no more than it says.
pub(crate) struct Verified<R> {
    /// `None` after a good end.
    inner: Option<DigestReader<R>>,
    promise: Promise,
}

impl<R: Read> Verified<R> {
    /// Holds `inner` to `promise`.
    pub(crate) fn new(inner: R, promise: Promise) -> Self {
        Self { inner: Some(DigestReader::new(inner)), promise }
    }

    fn end(&mut self) -> Result<()> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        let (digest, size, _) = inner.finish();
        self.promise.judge(&digest, size)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.inner else { return Ok(0) };
        let read = inner.read(buffer)?;
        if inner.size() > self.promise.size {
            let message = format!("more than the {} bytes its descriptor says", self.promise.size);
            return Err(Error::new(ErrorKind::Corrupt, message).into_io());
        }
        if read == 0 && !buffer.is_empty() {
            self.end().map_err(Error::into_io)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], digest: Digest, size: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut reader = Verified::new(bytes, Promise { digest, size });
        reader.read_to_end(&mut out).map_err(|error| Error::io("blob", error))?;
        Ok(out)
    }

    #[test]
    fn a_digest_that_could_be_a_path_is_none() {
        let hex = "ab".repeat(32);
        parse(&format!("sha256:{hex}"), "layer").expect("a digest");
        let bad = [
            "sha256:../../etc/passwd".into(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{hex}0"),
            format!("sha256:{}", &hex[1..]),
            format!("../sha256:{hex}"),
            hex.clone(),
            String::new(),
            "sha256:".into(),
        ];
        for text in bad {
            assert_eq!(parse(&text, "layer").expect_err("refused").kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn another_algorithm_is_refused_by_name() {
        let error = parse(&format!("sha512:{}", "ab".repeat(64)), "config").expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "config: digest algorithm sha512");
    }

    #[test]
    fn a_blob_is_held_to_its_digest_and_its_size() {
        let good = Digest::of(b"content");
        assert_eq!(read(b"content", good, 7).expect("as promised"), b"content");
        for (bytes, digest, size) in
            [(&b"content"[..], Digest::of(b"other"), 7), (b"content", good, 8), (b"content", good, 6)]
        {
            assert_eq!(read(bytes, digest, size).expect_err("a lie").kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_blob_longer_than_promised_is_not_read_to_its_end() {
        let mut endless = Verified::new(io::repeat(0), Promise { digest: Digest::of(b""), size: 1000 });
        let error = io::copy(&mut endless, &mut io::sink()).expect_err("longer than promised");
        assert_eq!(Error::io("blob", error).kind(), ErrorKind::Corrupt);
    }
}
