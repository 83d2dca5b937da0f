//! One gzip member, compressed in blocks that threads share.
//!
//! The plain bytes are cut into blocks of [`CHUNK`] bytes. Each is deflated on its own with the 32 KiB before it as
//! dictionary, so that little is lost, and ends on a byte (`Z_SYNC_FLUSH`), so that the pieces are simply put one after
//! another: one member, which every tool reads. Where the cuts are follows from the bytes alone; how many threads there
//! are changes nothing of what is written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::layout::CHUNK;

/// How far deflate looks back (RFC 1951).
const WINDOW: usize = 32 << 10;
/// Room for what deflate adds to bytes it cannot compress, and for the flush.
const SLACK: usize = 1 << 10;
/// How many blocks may be under way for each thread.
const AHEAD: usize = 2;

/// Compresses what is written to it into `output`; [`ParallelGzip::finish`] ends the member.
pub(crate) struct ParallelGzip<W: Write> {
    output: W,
    crew: Crew,
    block: Vec<u8>,
    dictionary: Arc<[u8]>,
    checksum: Hasher,
    length: u64,
}

impl<W: Write> ParallelGzip<W> {
    /// Writes the header: no name, no time, no operating system (RFC 1952). With no `threads` the caller's compresses.
    pub(super) fn new(mut output: W, level: u32, threads: usize) -> io::Result<Self> {
        let effort = match level {
            9 => 2,
            1 => 4,
            _ => 0,
        };
        output.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, effort, 0xff])?;
        let (dictionary, block) = (Arc::default(), Vec::with_capacity(CHUNK));
        Ok(Self { output, crew: Crew::new(level, threads), block, dictionary, checksum: Hasher::new(), length: 0 })
    }

    /// Writes what is left and the trailer, and gives the output back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.pass_block(true)?;
        while let Some(done) = self.crew.next(true)? {
            self.put(&done)?;
        }
        self.output.write_all(&self.checksum.clone().finalize().to_le_bytes())?;
        // The length counts modulo 2^32, as the format has it.
        self.output.write_all(&self.length.to_le_bytes()[..4])?;
        Ok(self.output)
    }

    /// Hands the block over; writes those that are done.
    fn pass_block(&mut self, is_last: bool) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(CHUNK));
        let tail: Arc<[u8]> = block[block.len().saturating_sub(WINDOW)..].into();
        let dictionary = std::mem::replace(&mut self.dictionary, tail);
        self.crew.start(Job { block, dictionary, is_last })?;
        while let Some(done) = self.crew.next(false)? {
            self.put(&done)?;
        }
        Ok(())
    }

    fn put(&mut self, done: &Done) -> io::Result<()> {
        self.checksum.combine(&done.checksum);
        self.length += done.length;
        self.output.write_all(&done.packed)
    }
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block is passed on only when more follows: the last one must be known for the last.
        if self.block.len() == CHUNK && !bytes.is_empty() {
            self.pass_block(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Flushes the output; blocks are cut by their size alone, else the bytes would depend on who flushes.
    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A block to be compressed.
struct Job {
    block: Vec<u8>,
    dictionary: Arc<[u8]>,
    is_last: bool,
}

/// A block that was.
struct Done {
    packed: Vec<u8>,
    checksum: Hasher,
    length: u64,
}

type Reply = SyncSender<io::Result<Done>>;

/// Who compresses: the caller's thread, or threads that take blocks from one queue. Those that cannot be started are done without.
enum Crew {
    Caller { deflate: Box<Deflate>, done: VecDeque<Done> },
    Threads(Threads),
}

impl Crew {
    fn new(level: u32, threads: usize) -> Self {
        let started = Threads::start(level, threads);
        match started.threads.is_empty() {
            true => Self::Caller { deflate: Box::new(Deflate::new(level)), done: VecDeque::new() },
            false => Self::Threads(started),
        }
    }

    fn start(&mut self, job: Job) -> io::Result<()> {
        match self {
            Self::Caller { deflate, done } => deflate.block(&job).map(|block| done.push_back(block)),
            Self::Threads(threads) => threads.pass(job),
        }
    }

    /// The next block in order: waits for it when as many are under way as may be, or to get `all`.
    fn next(&mut self, all: bool) -> io::Result<Option<Done>> {
        match self {
            Self::Caller { done, .. } => Ok(done.pop_front()),
            Self::Threads(threads) => threads.next(all),
        }
    }
}

struct Threads {
    jobs: Option<Sender<(Job, Reply)>>,
    under_way: VecDeque<Receiver<io::Result<Done>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(level: u32, count: usize) -> Self {
        let (jobs, queue) = channel::<(Job, Reply)>();
        let queue = Arc::new(Mutex::new(queue));
        let mut started = Self { jobs: Some(jobs), under_way: VecDeque::new(), threads: Vec::with_capacity(count) };
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            let work = move || {
                let mut deflate = Deflate::new(level);
                // The lock is held while waiting: one thread waits for a block, the others for the lock.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((job, reply)) = next() {
                    reply.send(deflate.block(&job)).ok(); // who started it may have given up
                }
            };
            started.threads.extend(std::thread::Builder::new().name("plyfs-gzip".into()).spawn(work));
        }
        started
    }

    fn pass(&mut self, job: Job) -> io::Result<()> {
        let (reply, done) = sync_channel(1);
        let jobs = self.jobs.as_ref().expect("it is taken only when dropped");
        jobs.send((job, reply)).map_err(|_| gone())?;
        self.under_way.push_back(done);
        Ok(())
    }

    fn next(&mut self, all: bool) -> io::Result<Option<Done>> {
        if !all && self.under_way.len() < AHEAD * self.threads.len() {
            return Ok(None);
        }
        let Some(first) = self.under_way.pop_front() else { return Ok(None) };
        first.recv().map_err(|_| gone())?.map(Some)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.jobs = None; // ends the queue
        for thread in self.threads.drain(..) {
            thread.join().ok(); // a panic was told when its block was asked for
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread has ended")
}

struct Deflate(Compress);

impl Deflate {
    fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), false))
    }

    /// One block as a run of deflate blocks that ends on a byte.
    fn block(&mut self, job: &Job) -> io::Result<Done> {
        self.0.reset();
        if !job.dictionary.is_empty() {
            self.0.set_dictionary(&job.dictionary).map_err(io::Error::other)?;
        }
        let flush = if job.is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let mut packed = Vec::with_capacity(job.block.len() / 2 + SLACK);
        loop {
            let taken = usize::try_from(self.0.total_in()).expect("a block is in memory");
            let status = self.0.compress_vec(&job.block[taken..], &mut packed, flush).map_err(io::Error::other)?;
            // A flush is complete when it leaves room in the output (zlib.h on Z_SYNC_FLUSH).
            let is_complete = if job.is_last { status == Status::StreamEnd } else { packed.len() < packed.capacity() };
            if is_complete {
                break;
            }
            packed.reserve(job.block.len() / 4 + SLACK);
        }
        let mut checksum = Hasher::new();
        checksum.update(&job.block);
        Ok(Done { packed, checksum, length: job.block.len() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(plain: &[u8], level: u32, threads: usize, piece: usize) -> Vec<u8> {
        let mut gzip = ParallelGzip::new(Vec::new(), level, threads).expect("started");
        plain.chunks(piece).for_each(|piece| gzip.write_all(piece).expect("memory takes it"));
        gzip.finish().expect("memory takes it")
    }

    /// Text with repetitions nearer and farther than a block, then bytes that do not compress.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..length).map(|at| if at % (3 * CHUNK) < 2 * CHUNK { (at / 5 % 97) as u8 } else { noise() }).collect()
    }

    #[test]
    fn one_member_holds_all_bytes_whatever_their_number() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 77] {
            let plain = sample(length);
            for threads in [0, 1, 3] {
                let bytes = packed(&plain, 6, threads, 70_000);
                let (mut decoder, mut out) = (flate2::bufread::GzDecoder::new(&bytes[..]), Vec::new());
                decoder.read_to_end(&mut out).expect("a member with the right checksum");
                assert!(out == plain, "{length} bytes, {threads} threads");
                assert!(decoder.into_inner().is_empty(), "one member and nothing behind it");
            }
        }
    }

    #[test]
    fn neither_threads_nor_pieces_change_a_byte() {
        let plain = sample(7 * CHUNK + 1);
        for level in [1, 6, 9] {
            let alone = packed(&plain, level, 0, plain.len());
            assert!(alone == packed(&plain, level, 2, 1000), "level {level}");
            assert!(alone == packed(&plain, level, 5, CHUNK), "level {level}");
        }
    }

    #[test]
    fn a_block_refers_back_to_the_one_before() {
        // Each half of a window is the same noise: without the dictionary every block would carry it anew.
        let noise = sample(3 * CHUNK)[2 * CHUNK..2 * CHUNK + WINDOW / 2].to_vec();
        let plain = noise.repeat(8 * CHUNK / noise.len());
        let length = packed(&plain, 6, 2, CHUNK).len();
        assert!(length < noise.len() * 3, "{length} bytes");
    }

    #[test]
    fn an_output_that_fails_ends_the_threads_and_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() < 100 { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = ParallelGzip::new(Full, 6, 2).expect("started");
        let error = io::copy(&mut &sample(20 * CHUNK)[..], &mut gzip).expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
