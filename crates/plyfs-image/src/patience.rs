//! Reading what others send: a sender that stalls is given up after a while, and its failures are told as such.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plyfs_store::{Progress, Stage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// How long a wait goes on before the caller is asked whether to.
const SLICE: Duration = Duration::from_millis(50);

/// Tells a reader, which may wait on another thread, that nobody takes any more what it reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwanted(Arc<AtomicBool>);

impl Unwanted {
    /// Ends the waiting.
    pub(crate) fn say(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A descriptor whose reads wait no longer than a limit, and ask meanwhile whether to go on.
pub(crate) struct Patient<'a> {
    file: File,
    unwanted: Unwanted,
    name: String,
    limit: Option<Duration>,
    progress: Progress<'a>,
    /// Bytes that arrived.
    arrived: u64,
}

impl<'a> Patient<'a> {
    /// Reads `file`, which errors call `name`, and waits for each piece no longer than `limit`, if there is one.
    pub(crate) fn new(file: File, name: &str, limit: Option<Duration>, progress: Progress<'a>) -> Self {
        let unwanted = Unwanted::default();
        Self { file, unwanted, name: name.to_owned(), limit, progress, arrived: 0 }
    }

    /// Gives up as well once this is said.
    pub(crate) fn unless(self, unwanted: Unwanted) -> Self {
        Self { unwanted, ..self }
    }

    /// Waits until there is something to read, or the end.
    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            let left = self.limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(slice.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
            if self.unwanted.0.load(Ordering::Acquire) {
                // As a queue that nobody takes from ends its maker.
                return Err(Error::io("receive", io::ErrorKind::BrokenPipe.into()).into_io());
            }
            if let Some(limit) = self.limit.filter(|limit| begun.elapsed() >= *limit) {
                let message = format!("{} stalls: nothing came for {limit:?}", self.name);
                return Err(Error::new(ErrorKind::TimedOut, message).into_io());
            }
            self.progress
                .report(Stage::Receive, &self.name, self.arrived, None)
                .map_err(|error| Error::store("receive", error).into_io())?;
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // somebody else was faster
                Ok(read) => {
                    self.arrived += read as u64;
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A reader of the caller's, whose failures stay its own: a decoder would take them for a garbled stream.
pub(crate) struct Foreign<R>(pub(crate) R);

impl<R: Read> Read for Foreign<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => Error::io("the reader fails", error).into_io(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::ControlFlow;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (File, io::PipeWriter) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (File::from(OwnedFd::from(reader)), writer)
    }

    #[test]
    fn a_sender_that_stalls_is_given_up_and_one_that_is_slow_is_not() {
        let (file, mut writer) = pipe();
        let mut reader = Patient::new(file, "stdin", Some(Duration::from_secs(1)), Progress::none());
        let (mut all, stalled) = (Vec::new(), std::sync::Barrier::new(2));
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                for piece in 0..3 {
                    std::thread::sleep(Duration::from_millis(20));
                    writer.write_all(&[piece]).expect("somebody reads");
                }
                stalled.wait();
            });
            let error = reader.read_to_end(&mut all).expect_err("it never ends");
            stalled.wait();
            error
        });
        let error = Error::io("read", error);
        assert_eq!((error.kind(), &all[..]), (ErrorKind::TimedOut, &[0, 1, 2][..]), "{error:?}");
    }

    #[test]
    fn a_wait_is_ended_when_the_caller_says_so() {
        let (file, _writer) = pipe();
        let stop = |_: &plyfs_store::Step<'_>| ControlFlow::Break(());
        let mut reader = Patient::new(file, "stdin", None, Progress::new(&stop));
        let error = Error::io("read", reader.read(&mut [0]).expect_err("stopped"));
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn a_sender_that_goes_away_is_the_end() {
        let (file, writer) = pipe();
        drop(writer);
        let mut reader = Patient::new(file, "stdin", Some(Duration::from_secs(9)), Progress::none());
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    }
}
