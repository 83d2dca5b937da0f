//! Where an archive goes as it is written: any writer, or one that takes buffers as they are.

use std::io::{self, Write};

use plyfs_sys::buffer::Buffer;

use crate::{Digest, DigestWriter};

/// A writer that takes buffers whole, so that their bytes are not copied once more on the way to another thread.
pub trait BufferSink {
    /// Takes what `filled` holds, and gives a buffer for what follows, which may still hold something, or have no room.
    fn take(&mut self, filled: Buffer) -> io::Result<Buffer>;

    /// Passes on what it holds back: the digest and the number of all bytes that were taken.
    ///
    /// The sink digests, since it knows which thread has time to.
    fn finish(&mut self) -> io::Result<(Digest, u64)>;
}

impl<S: BufferSink + ?Sized> BufferSink for &mut S {
    fn take(&mut self, filled: Buffer) -> io::Result<Buffer> {
        (**self).take(filled)
    }

    fn finish(&mut self) -> io::Result<(Digest, u64)> {
        (**self).finish()
    }
}

/// Any writer, which gives each buffer back as soon as it has written it.
impl<W: Write> BufferSink for DigestWriter<W> {
    fn take(&mut self, filled: Buffer) -> io::Result<Buffer> {
        self.write_all(&filled).map(|()| filled)
    }

    fn finish(&mut self) -> io::Result<(Digest, u64)> {
        self.flush().map(|()| self.tally())
    }
}
