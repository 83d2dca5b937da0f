//! Telling a caller how far long work is, and asking whether to go on.

use std::fmt;
use std::ops::ControlFlow;

use plyfs_diff::{BufferSink, Digest};
use plyfs_sys::buffer::Buffer;

use crate::{Error, ErrorKind, Result};

/// What a long operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for another process, or thread, that builds the same layers.
    Wait,
    /// Keeping what arrives: an archive from a pipe, or the blob of a layer that is there.
    Receive,
    /// Unpacking a layer; bytes are those read of its archive as it came.
    Unpack,
    /// Making everything staged durable and visible.
    Publish,
    /// Writing a layer out.
    Save,
    /// Writing out what a container changed.
    Export,
    /// Looking at what the store holds.
    Check,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wait => "wait",
            Self::Receive => "receive",
            Self::Unpack => "unpack",
            Self::Publish => "publish",
            Self::Save => "save",
            Self::Export => "export",
            Self::Check => "check",
        })
    }
}

/// How far one item of a stage is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// What is being done.
    pub stage: Stage,
    /// What it is done to: a layer's digest, an image's name, a file.
    pub item: &'a str,
    /// Bytes done.
    pub done: u64,
    /// Bytes expected in all, when that is known.
    pub expected: Option<u64>,
}

/// A caller's callback, or none. It may be called from several threads, never while a lock is held.
#[derive(Clone, Copy, Default)]
pub struct Progress<'a>(Option<Callback<'a>>);

type Callback<'a> = &'a (dyn Fn(&Step<'_>) -> ControlFlow<()> + Sync);

impl<'a> Progress<'a> {
    /// Reports to nobody; the work cannot be cancelled.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Reports to `callback`, which answers `ControlFlow::Break(())` to cancel.
    pub fn new(callback: &'a (dyn Fn(&Step<'_>) -> ControlFlow<()> + Sync)) -> Self {
        Self(Some(callback))
    }

    /// Reports a step; [`ErrorKind::Cancelled`] when the callback asked to stop.
    pub fn report(&self, stage: Stage, item: &str, done: u64, expected: Option<u64>) -> Result<()> {
        let Some(callback) = self.0 else { return Ok(()) };
        match callback(&Step { stage, item, done, expected }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(ErrorKind::Cancelled, format!("{stage} {item}: cancelled"))),
        }
    }

    /// Reads from `inner`, reporting what went through; a cancelled read fails with this crate's error inside.
    pub fn reader<R>(self, inner: R, stage: Stage, item: impl Into<String>, expected: Option<u64>) -> Reported<'a, R> {
        Reported { inner, progress: self, stage, item: item.into(), done: 0, expected }
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

/// A reader or writer whose bytes are reported.
#[derive(Debug)]
pub struct Reported<'a, T> {
    inner: T,
    progress: Progress<'a>,
    stage: Stage,
    item: String,
    done: u64,
    expected: Option<u64>,
}

impl<T> Reported<'_, T> {
    fn advance(&mut self, count: usize) -> std::io::Result<usize> {
        self.done += count as u64;
        self.progress.report(self.stage, &self.item, self.done, self.expected)?;
        Ok(count)
    }
}

impl<R: std::io::Read> std::io::Read for Reported<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.advance(count)
    }
}

impl<W: std::io::Write> std::io::Write for Reported<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.advance(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<S: BufferSink> BufferSink for Reported<'_, S> {
    fn take(&mut self, filled: Buffer) -> std::io::Result<Buffer> {
        let count = filled.len();
        let empty = self.inner.take(filled)?;
        self.advance(count).map(|_| empty)
    }

    fn finish(&mut self) -> std::io::Result<(Digest, u64)> {
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_cancelled_read_carries_its_kind() {
        let seen = Mutex::new(Vec::new());
        let callback = |step: &Step<'_>| {
            seen.lock().expect("not poisoned").push(step.done);
            if step.done < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut reader = Progress::new(&callback).reader(&b"abcdef"[..], Stage::Unpack, "layer", Some(6));
        let mut buffer = [0; 2];
        reader.read_exact(&mut buffer).expect("not yet cancelled");
        let error = reader.read_exact(&mut buffer).expect_err("cancelled");
        let error = error.get_ref().and_then(|e| e.downcast_ref::<Error>()).expect("the store's error");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(*seen.lock().expect("not poisoned"), [2, 4]);
    }
}
