//! Bytes made by the thread that takes them, until another thread is free to make them.
//!
//! While every thread has a layer of its own, handing bytes from one to another would only cost. Once a thread has none left,
//! what makes the bytes of a layer that is still unpacked (its file, its decoder, of a plain archive its digest) moves to
//! another thread in mid-stream, so that no processor rests before the last layer is done.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

use plyfs_diff::{Digest, DigestReader, Digested};
use plyfs_sys::buffer::Buffer;

use crate::compression::Decoder;
use crate::error::{Error, Result};
use crate::flow::{EVEN, Inlet, Outlet, agreed, channels, joined, unknown};
use crate::layout::CHUNK;

/// How much is made at a time for those who take pieces of it: long files are written in pieces as large.
const PIECE: usize = 2 * CHUNK;

/// Threads that have nothing else to do, and may each make bytes for one who takes them.
///
/// One that was started for its own work ends, and another is started in its place where one is wanted. The caller's cannot
/// end: it [rests](Helpers::rest) and makes bytes itself, or it would be one thread too many.
#[derive(Default)]
pub(crate) struct Helpers<'e> {
    free: Arc<AtomicUsize>,
    caller: Mutex<Caller<'e>>,
    changed: Condvar,
}

/// What the caller's thread does.
#[derive(Default)]
struct Caller<'e> {
    is_resting: bool,
    job: Option<Job<'e>>,
    /// How many other threads are at work.
    others: usize,
}

type Job<'e> = Box<dyn FnOnce() + Send + 'e>;

/// Who makes bytes for another.
enum Helper {
    /// A thread that may be started.
    Started,
    /// The caller's, which waits for its job.
    Caller,
}

impl<'e> Helpers<'e> {
    /// This many threads from the beginning.
    pub(crate) fn of(count: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(count)), ..Self::default() }
    }

    /// Counts a thread that begins to work until what is returned is dropped; from then on another may be started.
    pub(crate) fn begin(&self) -> Working<'_, 'e> {
        self.caller().others += 1;
        Working(self)
    }

    /// Makes bytes for others as long as any are at work, on the caller's thread.
    pub(crate) fn rest(&self) {
        loop {
            let mut caller = self.caller();
            caller.is_resting = true;
            let has_nothing_to_do = |caller: &mut Caller<'_>| caller.job.is_none() && caller.others > 0;
            caller = self.changed.wait_while(caller, has_nothing_to_do).unwrap_or_else(PoisonError::into_inner);
            let Some(job) = caller.job.take() else { return };
            drop(caller);
            job();
        }
    }

    /// Takes one, if there is one.
    fn take(&self) -> Option<Helper> {
        if std::mem::take(&mut self.caller().is_resting) {
            return Some(Helper::Caller);
        }
        let took = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        took.is_ok().then_some(Helper::Started)
    }

    /// Gives its job to the caller, which was taken.
    fn assign(&self, job: Job<'e>) {
        self.caller().job = Some(job);
        self.changed.notify_all();
    }

    fn caller(&self) -> MutexGuard<'_, Caller<'e>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Helpers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helpers").field("free", &self.free).finish_non_exhaustive()
    }
}

/// A thread that is at work.
pub(crate) struct Working<'a, 'e>(&'a Helpers<'e>);

impl Drop for Working<'_, '_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
        self.0.caller().others -= 1;
        self.0.changed.notify_all();
    }
}

/// What makes bytes, and knows something of them once they have all been read.
pub(crate) trait Maker: Read + Send {
    /// What it knows.
    type Made: Send;

    /// Says it.
    fn made(self) -> Self::Made;
}

impl<R: Read + Send> Maker for Decoder<R> {
    type Made = ();

    fn made(self) {}
}

impl<R: Read + Send> Maker for DigestReader<R> {
    type Made = (Digest, u64);

    fn made(self) -> Self::Made {
        let (digest, size, _) = self.finish();
        (digest, size)
    }
}

/// Lets `take` read what `maker` makes: here, or on another thread as soon as one of `helpers` is free.
///
/// When both fail, the error is the maker's, as `failed` describes it. What `take` leaves unread of what is made elsewhere is
/// read and dropped, so that the maker ends its checks.
pub(crate) fn handed_over<'e, M: Maker + 'e, T>(
    maker: M,
    helpers: &Helpers<'e>,
    failed: impl Fn(io::Error) -> Error,
    take: impl FnOnce(&mut Handover<'_, 'e, M>) -> Result<T>,
) -> Result<T> {
    std::thread::scope(|scope| {
        let mut helping = None;
        let mut start = |maker: M, helper: Helper| {
            let (mut inlet, outlet) = channels(EVEN);
            let Helper::Started = helper else {
                let (tell, told) = channel();
                helpers.assign(Box::new(move || drop(tell.send(make(maker, &mut inlet)))));
                helping = Some(Helping::Caller(told));
                return Ok(outlet);
            };
            let (give, given) = channel::<M>();
            let given = move || given.recv().map_or_else(|_| Ok(Ok(())), |maker| make(maker, &mut inlet));
            // Given away only to a thread that is there: without one its bytes go on being made here.
            let Ok(thread) = std::thread::Builder::new().name("plyfs-image".into()).spawn_scoped(scope, given) else {
                return Err(maker);
            };
            helping = Some(Helping::Thread(thread));
            give.send(maker).map(|()| outlet).map_err(|back| back.0)
        };
        let mut handover = Handover::new(maker, helpers, &mut start);
        let taken = take(&mut handover).and_then(|taken| handover.drain().map(|()| taken));
        let failure = handover.failure.take();
        drop(handover); // a maker that waits for room gives up
        match (helping, failure) {
            (_, Some(failure)) => Err(failed(failure)),
            (Some(helping), None) => agreed(helping.made().map_err(failed).flatten(), taken),
            (None, None) => taken,
        }
    })
}

/// Makes all bytes on another thread. An error of the first kind is the maker's, one of the second says that nobody takes more.
fn make<M: Maker>(mut maker: M, inlet: &mut Inlet<M::Made>) -> io::Result<Result<()>> {
    inlet.fill_from(&mut maker)?;
    Ok(inlet.end(maker.made()))
}

/// Who makes the bytes.
enum Helping<'scope> {
    Thread(ScopedJoinHandle<'scope, io::Result<Result<()>>>),
    /// The caller says how it ended.
    Caller(Receiver<io::Result<Result<()>>>),
}

impl Helping<'_> {
    /// Waits for its end.
    fn made(self) -> io::Result<Result<()>> {
        match self {
            Self::Thread(thread) => joined(thread),
            // Its panic goes on there.
            Self::Caller(told) => told.recv().unwrap_or_else(|_| Err(io::Error::other("the caller's thread panicked"))),
        }
    }
}

/// Gives the maker away, or back where no thread can be started.
type Start<'a, M> = dyn FnMut(M, Helper) -> std::result::Result<Outlet<<M as Maker>::Made>, M> + 'a;

/// Where the bytes are taken.
pub(crate) struct Handover<'a, 'e, M: Maker> {
    /// While bytes are made here.
    here: Option<M>,
    /// Once they are made elsewhere.
    elsewhere: Option<Outlet<M::Made>>,
    /// Once all were made here.
    made: Option<M::Made>,
    helpers: &'a Helpers<'e>,
    start: &'a mut Start<'a, M>,
    /// What was made here for those who take pieces of it, and which part of that is not taken yet.
    chunk: Buffer,
    left: Range<usize>,
    /// Why a read here failed, which the layers in between would only describe.
    failure: Option<io::Error>,
}

impl<'a, 'e, M: Maker> Handover<'a, 'e, M> {
    fn new(maker: M, helpers: &'a Helpers<'e>, start: &'a mut Start<'a, M>) -> Self {
        let (here, chunk, left) = (Some(maker), Buffer::default(), 0..0);
        Self { here, elsewhere: None, made: None, helpers, start, chunk, left, failure: None }
    }

    /// Has the bytes made elsewhere from now on, if somebody is free to. Those made here are all taken.
    fn hand_over(&mut self) {
        let Some(maker) = self.here.take() else { return };
        let Some(helper) = self.helpers.take() else {
            self.here = Some(maker);
            return;
        };
        match (self.start)(maker, helper) {
            Ok(outlet) => self.elsewhere = Some(outlet),
            Err(back) => self.here = Some(back),
        }
    }

    /// Makes some bytes here; none once all are made, or where they are made elsewhere.
    fn make(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(maker) = &mut self.here else { return Ok(0) };
        let read = maker.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let stands_for_it = io::Error::from(error.kind());
            self.failure = Some(error);
            stands_for_it
        })?;
        if read == 0 && !buffer.is_empty() {
            self.made = self.here.take().map(Maker::made);
        }
        Ok(read)
    }

    fn drain(&mut self) -> Result<()> {
        self.elsewhere.as_mut().map_or(Ok(()), Outlet::drain)
    }
}

impl<M: Maker> BufRead for Handover<'_, '_, M> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty() {
            self.hand_over();
            let mut chunk = std::mem::take(&mut self.chunk);
            if chunk.size() == 0 {
                chunk = Buffer::new(PIECE);
            }
            chunk.clear();
            let made = self.make(chunk.spare()).inspect(|made| chunk.fill(*made));
            self.chunk = chunk;
            self.left = 0..made?;
        }
        match &mut self.elsewhere {
            Some(outlet) => outlet.fill_buf(),
            None => Ok(&self.chunk[self.left.clone()]),
        }
    }

    fn consume(&mut self, length: usize) {
        match &mut self.elsewhere {
            Some(outlet) => outlet.consume(length),
            None => self.left.start += length,
        }
    }
}

impl<M: Maker> Read for Handover<'_, '_, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            self.hand_over();
            return match &mut self.elsewhere {
                Some(outlet) => outlet.read(buffer),
                // Straight to where it is wanted.
                None => self.make(buffer),
            };
        }
        let taken = self.fill_buf()?.read(buffer)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl<M: Maker<Made = (Digest, u64)>> Digested for Handover<'_, '_, M> {
    fn digest(&mut self) -> io::Result<(Digest, u64)> {
        match (&mut self.elsewhere, self.made) {
            (Some(outlet), _) => outlet.digest(),
            (None, made) => made.ok_or_else(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;
    use crate::error::ErrorKind;

    const LENGTH: u64 = 5 * PIECE as u64 + 77;

    fn failed(error: io::Error) -> Error {
        Error::io("test", error)
    }

    /// Bytes, and which threads made them; another thread becomes free after as many reads, and the third is interrupted.
    struct Traced {
        left: u64,
        free_in: usize,
        free: Arc<AtomicUsize>,
        threads: Vec<ThreadId>,
        fails_at_end: bool,
    }

    impl Traced {
        fn new(free_in: usize, helpers: &Helpers<'_>) -> Self {
            let free = Arc::clone(&helpers.free);
            Self { left: LENGTH, free_in, free, threads: Vec::new(), fails_at_end: false }
        }
    }

    impl Read for Traced {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if buffer.is_empty() {
                return Ok(0);
            }
            self.threads.push(std::thread::current().id());
            if self.threads.len() == self.free_in {
                self.free.fetch_add(1, Ordering::AcqRel);
            }
            if self.threads.len() == 3 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = buffer.len().min(usize::try_from(self.left).expect("small"));
            for (at, byte) in (LENGTH - self.left..).zip(&mut buffer[..length]) {
                *byte = (at % 251) as u8;
            }
            self.left -= length as u64;
            match (self.left, self.fails_at_end) {
                (0, true) => Err(Error::new(ErrorKind::Corrupt, "the end is bad").into_io()),
                _ => Ok(length),
            }
        }
    }

    impl Maker for Traced {
        type Made = Vec<ThreadId>;

        fn made(self) -> Self::Made {
            self.threads
        }
    }

    /// One way to take bytes.
    #[derive(Clone, Copy, Debug)]
    enum Take {
        /// At most so many of what is made already.
        Made(usize),
        /// By a read that has room for so many.
        Read(usize),
    }

    impl Take {
        fn some(self, handover: &mut Handover<'_, '_, impl Maker>, all: &mut Vec<u8>) -> io::Result<usize> {
            let (Self::Made(most) | Self::Read(most)) = self;
            let mut buffer = vec![0; most];
            let taken = match self {
                Self::Read(_) => handover.read(&mut buffer)?,
                Self::Made(_) => {
                    let taken = handover.fill_buf()?.read(&mut buffer)?;
                    handover.consume(taken);
                    taken
                }
            };
            all.extend_from_slice(&buffer[..taken]);
            Ok(taken)
        }
    }

    /// Takes all bytes, in these ways in turn.
    fn whole(handover: &mut Handover<'_, '_, impl Maker>, ways: &[Take]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        assert_eq!(handover.read(&mut [])?, 0, "which is no end");
        for way in ways.iter().cycle() {
            match way.some(handover, &mut all) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(all)
    }

    #[test]
    fn bytes_arrive_whole_and_in_order_whenever_another_thread_becomes_free() {
        let expected: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        let in_turn = [Take::Made(1000), Take::Read(3000), Take::Read(PIECE)];
        for free_in in [0, 1, 2, 4, usize::MAX] {
            for ways in [&[Take::Made(1000)][..], &[Take::Read(1000)], &[Take::Read(PIECE)], &in_turn] {
                let helpers = Helpers::of(usize::from(free_in == 0));
                let made = handed_over(Traced::new(free_in, &helpers), &helpers, failed, |handover| {
                    let taken = whole(handover, ways).map_err(failed)?;
                    assert!(taken == expected, "free after {free_in} reads, {ways:?}");
                    let elsewhere = handover.elsewhere.as_ref().and_then(Outlet::made);
                    Ok(elsewhere.or(handover.made.as_ref()).expect("known at the end").clone())
                })
                .expect("handed over");
                let here = made.iter().take_while(|thread| **thread == std::thread::current().id()).count();
                assert_eq!(here, free_in.min(made.len()), "free after {free_in} reads, {ways:?}");
            }
        }
    }

    /// Takes with `take`, on another thread, what the caller's thread makes while it rests.
    fn beside_the_caller<T: Send>(
        fails_at_end: bool,
        take: impl FnOnce(&mut Handover<'_, '_, Traced>) -> Result<T> + Send,
    ) -> Result<T> {
        let helpers = Helpers::default();
        std::thread::scope(|scope| {
            let working = helpers.begin();
            let taker = scope.spawn(|| {
                let _working = working;
                while !helpers.caller().is_resting {
                    std::thread::yield_now();
                }
                let maker = Traced { fails_at_end, ..Traced::new(usize::MAX, &helpers) };
                handed_over(maker, &helpers, failed, take)
            });
            helpers.rest();
            assert_eq!(helpers.free.load(Ordering::Acquire), 1, "rested until the other was done");
            taker.join().expect("no panic")
        })
    }

    #[test]
    fn the_callers_thread_makes_bytes_while_it_rests_and_ends_with_the_others() {
        let made = beside_the_caller(false, |handover| {
            let taken = whole(handover, &[Take::Made(1000), Take::Read(PIECE)]).map_err(failed)?;
            assert_eq!(taken.len() as u64, LENGTH);
            Ok(handover.elsewhere.as_ref().and_then(Outlet::made).expect("made elsewhere").clone())
        });
        let caller = std::thread::current().id();
        assert!(made.expect("handed over").iter().all(|thread| *thread == caller));

        let bad = beside_the_caller(true, |handover| handover.fill_buf().map(drop).map_err(failed));
        assert_eq!(bad.expect_err("the end is bad").kind(), ErrorKind::Corrupt);
        let full = beside_the_caller(false, |handover| {
            handover.fill_buf().map_err(failed)?;
            Err::<(), _>(Error::new(ErrorKind::NoSpace, "full"))
        });
        assert_eq!(full.expect_err("the taker failed").kind(), ErrorKind::NoSpace);
        beside_the_caller(false, |_| Ok(())).expect("nothing was taken, and nothing made elsewhere is bad");
    }

    #[test]
    fn bytes_are_made_here_where_no_thread_can_be_started() {
        let helpers = Helpers::of(1);
        let mut start = |maker, _| Err(maker);
        let mut handover = Handover::new(Traced::new(usize::MAX, &helpers), &helpers, &mut start);
        let taken = whole(&mut handover, &[Take::Made(1000), Take::Read(1000)]).expect("taken");
        assert_eq!(taken.len() as u64, LENGTH);
    }

    #[test]
    fn a_digest_goes_along_when_its_bytes_are_made_elsewhere() {
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        for free_in in [0, 2, usize::MAX] {
            let helpers = Helpers::of(usize::from(free_in == 0));
            let maker = DigestReader::new(Traced::new(free_in, &helpers));
            let (digest, size) = handed_over(maker, &helpers, failed, |handover| {
                assert!(handover.digest().is_err(), "too early");
                io::copy(handover, &mut io::sink()).and_then(|_| handover.digest()).map_err(failed)
            })
            .expect("handed over");
            assert_eq!((digest, size), (Digest::of(&bytes), LENGTH), "free after {free_in} reads");
        }
    }

    #[test]
    fn a_maker_that_fails_is_told_wherever_it_is_and_the_taker_sees_no_end() {
        for free_in in [0, 2, usize::MAX] {
            let helpers = Helpers::of(usize::from(free_in == 0));
            let maker = Traced { fails_at_end: true, ..Traced::new(free_in, &helpers) };
            let error = handed_over(maker, &helpers, failed, |handover| {
                whole(handover, &[Take::Made(1000)]).map(drop).expect_err("no end");
                Err::<(), _>(Error::new(ErrorKind::Io, "what the taker makes of it"))
            });
            assert_eq!(error.expect_err("it failed").kind(), ErrorKind::Corrupt, "free after {free_in} reads");
        }
    }

    #[test]
    fn a_taker_that_fails_ends_the_maker_and_one_that_is_done_early_hears_of_a_bad_end() {
        let helpers = Helpers::of(1);
        let full = |handover: &mut Handover<'_, '_, Traced>| {
            handover.fill_buf().map_err(failed)?;
            Err::<(), _>(Error::new(ErrorKind::NoSpace, "full"))
        };
        let error = handed_over(Traced::new(0, &helpers), &helpers, failed, full);
        assert_eq!(error.expect_err("the taker failed").kind(), ErrorKind::NoSpace);

        let helpers = Helpers::of(1);
        let maker = Traced { fails_at_end: true, ..Traced::new(0, &helpers) };
        let error = handed_over(maker, &helpers, failed, |handover| handover.fill_buf().map(drop).map_err(failed));
        assert_eq!(error.expect_err("the end is bad").kind(), ErrorKind::Corrupt);
    }
}
