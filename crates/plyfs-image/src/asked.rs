//! Asking whoever waits for an archive whether to go on: for every piece that is read of it, and for what is made of few bytes.
//!
//! Gigabytes may be compressed to a few kilobytes, which are read at once: then it is asked for every [`PIECE`] of plain bytes.
//! What is reported as done stays what was read of the archive as it came.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plyfs_store::{Progress, Stage};

use crate::at_once::Stop;
use crate::compression::Decoder;
use crate::error::Error;
use crate::handover::Maker;

/// How many plain bytes are made of what was read before it is asked again.
const PIECE: u64 = 1 << 20;

/// Who is asked about one archive, and how much of it was read; clones count together.
#[derive(Clone)]
pub(crate) struct Asked<'a>(Arc<Work<'a>>);

struct Work<'a> {
    progress: Progress<'a>,
    stage: Stage,
    item: String,
    expected: Option<u64>,
    stop: Option<&'a Stop>,
    read: AtomicU64,
}

impl<'a> Asked<'a> {
    /// Asks `progress` about `item`, of which as many bytes are expected; and `stop`, if others are unpacked beside it.
    pub(crate) fn new(
        progress: Progress<'a>,
        stage: Stage,
        item: impl Into<String>,
        expected: Option<u64>,
        stop: Option<&'a Stop>,
    ) -> Self {
        let read = AtomicU64::new(0);
        Self(Arc::new(Work { progress, stage, item: item.into(), expected, stop, read }))
    }

    /// Asks nobody.
    pub(crate) fn nobody() -> Self {
        Self::new(Progress::none(), Stage::Check, "", None, None)
    }

    /// What it is asked about.
    pub(crate) fn item(&self) -> &str {
        &self.0.item
    }

    /// A reader of the archive as it comes: asks after every read.
    pub(crate) fn reader<R>(&self, inner: R) -> Archived<'a, R> {
        Archived { inner, asked: self.clone() }
    }

    /// A reader of what is made of that archive: asks after every [`PIECE`] of it for which nothing was read.
    pub(crate) fn plain<R: Read>(&self, decoder: Decoder<R>) -> Plain<'a, R> {
        Plain { decoder, asked: self.clone(), made: 0, read: 0 }
    }

    /// Says how much was read; fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) when it is not to go on.
    pub(crate) fn ask(&self) -> io::Result<()> {
        let Work { progress, stage, item, expected, stop, read } = &*self.0;
        stop.map_or(Ok(()), Stop::check).map_err(Error::into_io)?;
        Ok(progress.report(*stage, item, read.load(Ordering::Relaxed), *expected)?)
    }
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked({} {})", self.0.stage, self.0.item)
    }
}

/// An archive as it comes.
pub(crate) struct Archived<'a, R> {
    inner: R,
    asked: Asked<'a>,
}

impl<R: Read> Read for Archived<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.asked.0.read.fetch_add(read as u64, Ordering::Relaxed);
        self.asked.ask().map(|()| read)
    }
}

/// What is made of an archive.
pub(crate) struct Plain<'a, R: Read> {
    decoder: Decoder<R>,
    asked: Asked<'a>,
    /// How much was made since it was last looked whether anything was read for it, and how much was read then.
    made: u64,
    read: u64,
}

impl<R: Read> Read for Plain<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let made = self.decoder.read(buffer)?;
        self.made += made as u64;
        if self.made >= PIECE {
            let read = self.asked.0.read.load(Ordering::Relaxed);
            if read == self.read {
                self.asked.ask()?;
            }
            (self.made, self.read) = (0, read);
        }
        Ok(made)
    }
}

impl<R: Read + Send> Maker for Plain<'_, R> {
    type Made = ();

    fn made(self) {}
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use plyfs_store::Step;

    use super::*;
    use crate::compression::WindowLog;
    use crate::error::ErrorKind;

    const PIECES: u64 = 20;

    /// Reads so many pieces of zeros, which were compressed to a few bytes.
    fn read(asked: &Asked<'_>) -> io::Result<u64> {
        let packed = zstd::encode_all(io::repeat(0).take(PIECES * PIECE), 3).expect("memory takes it");
        let decoder = Decoder::new(asked.reader(&packed[..]), WindowLog::default()).map_err(Error::into_io)?;
        io::copy(&mut asked.plain(decoder), &mut io::sink())
    }

    #[test]
    fn it_is_asked_for_plain_bytes_too_and_reports_what_was_read() {
        let steps = Mutex::new(Vec::new());
        let note = |step: &Step<'_>| {
            steps.lock().expect("not poisoned").push(step.done);
            ControlFlow::Continue(())
        };
        let asked = Asked::new(Progress::new(&note), Stage::Unpack, "layer", None, None);
        assert_eq!(read(&asked).expect("read"), PIECES * PIECE);
        let (steps, whole) = (steps.lock().expect("not poisoned"), asked.0.read.load(Ordering::Relaxed));
        assert!(steps.is_sorted() && steps.last() == Some(&whole), "{steps:?} of {whole}");
        assert!((PIECES - 2..PIECES + 6).contains(&(steps.len() as u64)), "{steps:?}");
    }

    #[test]
    fn a_layer_of_few_bytes_ends_when_it_is_cancelled_or_another_failed() {
        let (steps, stop) = (AtomicU64::new(0), Stop::default());
        let is_tenth = || steps.fetch_add(1, Ordering::Relaxed) == 9;
        let cancel = |_: &Step<'_>| if is_tenth() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let fail = |_: &Step<'_>| {
            if is_tenth() {
                stop.say();
            }
            ControlFlow::Continue(())
        };
        for (progress, word) in [(Progress::new(&cancel), "layer: cancelled"), (Progress::new(&fail), "another layer")]
        {
            steps.store(0, Ordering::Relaxed);
            let error = read(&Asked::new(progress, Stage::Unpack, "layer", None, Some(&stop))).expect_err("stopped");
            let error = Error::io("read", error);
            assert_eq!((error.kind(), steps.load(Ordering::Relaxed)), (ErrorKind::Cancelled, 10));
            assert!(plyfs_sys::report(&error).contains(word), "{error:?}");
        }
    }
}
