//! One thread makes bytes, another takes them, and never more than a bounded number of chunks lie between.
//!
//! What is decompressed or digested apart from unpacking goes this way (`handover`), and a changeset is exported straight into
//! the layer it becomes. The taker sees the end only after the maker has succeeded: a maker that failed is a
//! read error, never a shorter stream. What is made goes from thread to thread in the chunks it was made in.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::ScopedJoinHandle;

use plyfs_diff::{BufferSink, Digest, Digested, Filler};
use plyfs_sys::buffer::Buffer;

use crate::digesting::{Digesting, give_back};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::CHUNK;

/// How many chunks may wait where both sides take about as long for each.
pub(crate) const EVEN: usize = 4;
/// How many chunks may wait where a tree is read on one side and written on the other: 8 MiB.
///
/// Long files cost whoever reads and digests them more, short ones whoever creates them. With fewer chunks between them
/// each waits for the other in turn: a commit of 20,000 files takes a twentieth longer with four.
pub(crate) const UNEVEN: usize = 32;

/// Runs `make` on a thread of its own and `take` on this one, with at most `depth` chunks waiting between them.
///
/// What `make` returns is known to the taker once it has read to the end: the digest of the bytes, say.
/// When both fail, the error is the maker's, unless it only says that nobody takes any more. What `take` leaves
/// unread is read and dropped, so that the maker ends its checks.
pub(crate) fn pump<M: Send, T>(
    depth: usize,
    make: impl FnOnce(&mut Inlet<M>) -> Result<M> + Send,
    take: impl FnOnce(&mut Outlet<M>) -> Result<T>,
) -> Result<T> {
    pump_filling(depth, &Filler::new(), make, take)
}

/// Does what [`pump`] does; whoever would wait for the other fills files meanwhile, and the maker does so until the taker,
/// which creates them, is done.
pub(crate) fn pump_filling<M: Send, T>(
    depth: usize,
    filler: &Filler,
    make: impl FnOnce(&mut Inlet<M>) -> Result<M> + Send,
    take: impl FnOnce(&mut Outlet<M>) -> Result<T>,
) -> Result<T> {
    let (mut inlet, mut outlet) = channels(depth);
    (inlet.filler, outlet.filler) = (filler.clone(), filler.clone());
    std::thread::scope(|scope| {
        let maker = std::thread::Builder::new().name("plyfs-image".into()).spawn_scoped(scope, move || {
            let made = make(&mut inlet)?;
            inlet.end(made)?;
            filler.fill_rest();
            Ok(())
        });
        let maker = maker.map_err(|error| Error::io("start a thread", error))?;
        let taken = take(&mut outlet).and_then(|taken| outlet.drain().map(|()| taken));
        drop(outlet); // a maker that waits for room gives up
        agreed(joined(maker), taken)
    })
}

/// A queue that is bounded, and another for the chunks on their way back.
pub(crate) fn channels<M>(depth: usize) -> (Inlet<M>, Outlet<M>) {
    let (full, arriving) = sync_channel(depth);
    let (empty, returning) = channel();
    let (filler, digesting) = (Filler::new(), Digesting::new(Sender::clone(&empty)));
    let inlet = Inlet { full, returning, spare: Vec::new(), filler: filler.clone(), digesting: digesting.clone() };
    (inlet, Outlet { arriving, empty, chunk: Arc::default(), at: 0, end: None, filler, digesting })
}

/// What a maker returned; its panic goes on here.
pub(crate) fn joined<T>(maker: ScopedJoinHandle<'_, T>) -> T {
    maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What both came to: the maker's error is told, unless it only says that nobody takes any more.
pub(crate) fn agreed<T>(made: Result<()>, taken: Result<T>) -> Result<T> {
    match (made, taken) {
        (Ok(()), taken) => taken,
        (Err(nobody), Err(error)) if is_unwanted(&nobody) => Err(error),
        (Err(error), _) => Err(error),
    }
}

/// What is asked for a digest too early.
pub(crate) fn unknown() -> io::Error {
    io::Error::other("the digest is known at the end")
}

/// What goes from the maker to the taker.
#[derive(Debug)]
enum Message<M> {
    Chunk(Arc<Buffer>),
    /// There are no more, and the maker has succeeded.
    End(M),
}

/// Where the maker writes.
#[derive(Debug)]
pub(crate) struct Inlet<M> {
    full: SyncSender<Message<M>>,
    returning: Receiver<Buffer>,
    /// Those that came back.
    spare: Vec<Buffer>,
    /// What there is to do while there is no room.
    filler: Filler,
    digesting: Digesting,
}

impl<M> Inlet<M> {
    /// Passes on everything `input` has, reading straight into chunks.
    pub(crate) fn fill_from(&mut self, mut input: impl Read) -> io::Result<()> {
        loop {
            let mut chunk = self.fresh_chunk();
            chunk.fill_from(&mut input)?;
            let filled = chunk.len();
            if filled > 0 {
                self.send(Message::Chunk(Arc::new(chunk)))?;
            }
            if filled < CHUNK {
                return Ok(());
            }
        }
    }

    /// The chunk that came back last, which a processor's cache is likeliest to hold, or a new one.
    fn fresh_chunk(&mut self) -> Buffer {
        self.spare.extend(self.returning.try_iter());
        let mut chunk = self.spare.pop().unwrap_or_else(|| Buffer::new(CHUNK));
        chunk.clear();
        chunk
    }

    fn send(&mut self, mut message: Message<M>) -> io::Result<()> {
        let unwanted = || io::Error::from(io::ErrorKind::BrokenPipe);
        loop {
            message = match self.full.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => back,
                Err(TrySendError::Disconnected(_)) => return Err(unwanted()),
            };
            if !self.filler.fill_some() && !self.digesting.digest_some() {
                return self.full.send(message).map_err(|_| unwanted());
            }
        }
    }

    /// Says that all was made, and what is known of it.
    pub(crate) fn end(&mut self, made: M) -> Result<()> {
        self.send(Message::End(made)).map_err(|error| Error::io("pass bytes on", error))
    }
}

impl<M> BufferSink for Inlet<M> {
    fn take(&mut self, filled: Buffer) -> io::Result<Buffer> {
        if filled.is_empty() {
            return Ok(filled);
        }
        let chunk = Arc::new(filled);
        self.digesting.add(Arc::clone(&chunk));
        self.send(Message::Chunk(chunk))?;
        self.digesting.catch_up();
        Ok(self.fresh_chunk())
    }

    fn finish(&mut self) -> io::Result<(Digest, u64)> {
        Ok(self.digesting.finish())
    }
}

/// Where the taker reads.
#[derive(Debug)]
pub(crate) struct Outlet<M> {
    arriving: Receiver<Message<M>>,
    empty: Sender<Buffer>,
    chunk: Arc<Buffer>,
    at: usize,
    /// What was made, once its end was met.
    end: Option<M>,
    /// What there is to do while nothing has arrived.
    filler: Filler,
    digesting: Digesting,
}

impl<M> Outlet<M> {
    /// Takes what is left, and drops it.
    pub(crate) fn drain(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).map(drop).map_err(|error| Error::io("read to the end", error))
    }

    /// What is known of the bytes, once their end was met.
    #[cfg(test)]
    pub(crate) fn made(&self) -> Option<&M> {
        self.end.as_ref()
    }

    fn receive(&self) -> std::result::Result<Message<M>, RecvError> {
        loop {
            match self.arriving.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Empty) if self.filler.fill_some() || self.digesting.digest_some() => {}
                Err(_) => return self.arriving.recv(),
            }
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        give_back(std::mem::take(&mut self.chunk), &self.empty);
        self.at = 0;
        match self.receive() {
            Ok(Message::Chunk(chunk)) => self.chunk = chunk,
            Ok(Message::End(made)) => self.end = Some(made),
            Err(_) => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "what makes the bytes has stopped")),
        }
        Ok(())
    }
}

impl<M> BufRead for Outlet<M> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.chunk.len() && self.end.is_none() {
            self.next_chunk()?;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }
}

impl<M> Read for Outlet<M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let taken = self.fill_buf()?.read(buffer)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl Digested for Outlet<(Digest, u64)> {
    fn digest(&mut self) -> io::Result<(Digest, u64)> {
        self.end.ok_or_else(unknown)
    }
}

/// Says whether the maker failed only because the taker had stopped.
fn is_unwanted(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return error.kind() == ErrorKind::Io;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(error: io::Error) -> Error {
        Error::io("test", error)
    }

    #[test]
    fn bytes_arrive_whole_and_in_order_whatever_the_pieces() {
        let bytes: Vec<u8> = (0..3 * CHUNK as u32 + 77).map(|n| (n % 251) as u8).collect();
        for piece in [1000, CHUNK, CHUNK + 1] {
            let arrived = pump(
                EVEN,
                |inlet| bytes.chunks(piece).try_for_each(|chunk| inlet.fill_from(chunk)).map_err(io_error),
                |outlet| {
                    let mut arrived = Vec::new();
                    outlet.read_to_end(&mut arrived).map(|_| arrived).map_err(io_error)
                },
            );
            assert!(arrived.expect("pumped") == bytes, "pieces of {piece}");
        }
        let filled = pump(
            EVEN,
            |inlet| inlet.fill_from(&bytes[..]).map_err(io_error),
            |outlet| io::copy(outlet, &mut io::sink()).map_err(io_error),
        );
        assert_eq!(filled.expect("pumped"), bytes.len() as u64);
    }

    #[test]
    fn buffers_that_are_handed_on_whole_arrive_in_order_and_come_back() {
        let mut addresses = std::collections::HashSet::new();
        let taken = pump(
            1,
            |inlet| {
                let mut buffer = Buffer::new(CHUNK);
                for number in 0..100 {
                    buffer.clear();
                    buffer.spare().fill(number);
                    buffer.fill(CHUNK - usize::from(number));
                    addresses.insert(buffer.as_ptr().addr());
                    buffer = BufferSink::take(inlet, buffer).map_err(io_error)?;
                }
                BufferSink::take(inlet, Buffer::default()).map(drop).map_err(io_error)
            },
            |outlet| {
                let mut arrived = Vec::new();
                outlet.read_to_end(&mut arrived).map(|_| arrived).map_err(io_error)
            },
        );
        let expected: Vec<u8> = (0..100).flat_map(|number| vec![number; CHUNK - usize::from(number)]).collect();
        assert!(taken.expect("pumped") == expected, "each buffer whole, one after the other");
        // Sixteen may wait for their digest, one for the taker, and each side has one or two.
        assert!(addresses.len() < 25, "{} buffers for 100 pieces", addresses.len());
    }

    #[test]
    fn a_maker_that_fails_is_a_read_error_and_its_reason_is_told() {
        let mut seen = None;
        let result = pump(
            EVEN,
            |inlet| {
                inlet.fill_from(&[1; 1000][..]).map_err(io_error)?;
                Err::<(), _>(Error::new(ErrorKind::Corrupt, "half way"))
            },
            |outlet| {
                let read = outlet.read_to_end(&mut Vec::new());
                seen = read.as_ref().err().map(io::Error::kind);
                read.map_err(io_error)
            },
        );
        assert_eq!(seen, Some(io::ErrorKind::BrokenPipe), "the taker does not see an end");
        assert_eq!(result.expect_err("the maker failed").to_string(), "half way");
    }

    #[test]
    fn a_taker_that_fails_stops_the_maker_and_its_reason_is_told() {
        let result: Result<()> = pump(
            EVEN,
            |inlet| inlet.fill_from(io::repeat(0)).map_err(io_error),
            |_| Err(Error::new(ErrorKind::NoSpace, "full")),
        );
        assert_eq!(result.expect_err("the taker failed").to_string(), "full");
    }

    #[test]
    fn what_the_taker_leaves_is_still_made() {
        let mut finished = false;
        pump(
            EVEN,
            |inlet| {
                inlet.fill_from(io::repeat(0).take(20 * CHUNK as u64)).map_err(io_error)?;
                finished = true;
                Ok(())
            },
            |outlet| outlet.read_exact(&mut [0; 10]).map_err(io_error),
        )
        .expect("pumped");
        assert!(finished, "the maker ran to its end");
    }
}
