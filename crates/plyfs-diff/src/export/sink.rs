//! Where an archive goes as it is written: any writer, or one that takes buffers as they are.

use std::io::{self, Write};

/// A writer that takes buffers whole, so that their bytes are not copied once more on the way to another thread.
pub trait BufferSink {
    /// Takes what `filled` holds, and gives a buffer for what follows; what is in that one means nothing.
    fn take(&mut self, filled: Vec<u8>) -> io::Result<Vec<u8>>;

    /// Passes on what it holds back.
    fn flush(&mut self) -> io::Result<()>;
}

impl<S: BufferSink + ?Sized> BufferSink for &mut S {
    fn take(&mut self, filled: Vec<u8>) -> io::Result<Vec<u8>> {
        (**self).take(filled)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// Any writer, which gives each buffer back as soon as it has written it.
pub(crate) struct Copied<W>(pub(crate) W);

impl<W: Write> BufferSink for Copied<W> {
    fn take(&mut self, filled: Vec<u8>) -> io::Result<Vec<u8>> {
        self.0.write_all(&filled).map(|()| filled)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
