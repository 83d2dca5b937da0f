//! A walk shared by threads, with its answers in the order of a walk by one.
//!
//! Each thread walks a part of the trees and puts what it finds into a stream. A thread that has nothing left asks for work;
//! the next that looks up from its own gives away the latter half of what it has left in the outermost directory where
//! anything is left. Nothing of the giver's comes after that half, so its stream ends with a reference to the stream of the
//! taker, and whoever follows the references reads everything in order.
//!
//! A stream holds so many items: a thread that is further ahead of the reader waits for it. Work is given only to a thread that waits
//! for some, so the stream that is read next always has a thread that fills it and waits for nothing else: the whole goes
//! on. How many streams there are is bounded too, and with it what is in memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::walk::{Cursor, Difference, Tell, Trees, walk};
use crate::{Error, ErrorKind, Result};

/// How many items a stream holds that nobody has read.
const STREAM: usize = 1024;

/// How many streams there may be for each thread.
const STREAMS_EACH: usize = 4;

/// Walks on `threads` threads; what `make` makes of the differences goes to `each`, in order, on the caller's.
///
/// With one thread everything is the caller's, and nothing is started; so it is where none can be.
pub(super) fn run<T: Send>(
    trees: &Trees<'_>,
    threads: usize,
    make: impl Fn(Difference) -> Option<T> + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let start = trees.root()?;
    // Much may be found by then that nobody wants any more.
    let mut each = |item| trees.stop.check().and_then(|()| each(item));
    let pool = Pool::new(threads);
    thread::scope(|scope| {
        let closing = Closing(&pool);
        let begin = |_: &usize| {
            let thread = thread::Builder::new().name("plyfs-compare".into());
            thread.spawn_scoped(scope, || pool.work(trees, &make)).is_ok()
        };
        let is_alone = threads <= 1 || (0..threads).filter(begin).count() == 0;
        let result = if is_alone {
            walk(trees, start, &mut Alone(|difference| make(difference).map_or(Ok(()), &mut each)))
        } else {
            let first = pool.begin(&mut pool.lock(), start);
            pool.read(first, each)
        };
        drop(closing);
        result
    })
}

/// A walk that nobody shares.
struct Alone<F>(F);

impl<F: FnMut(Difference) -> Result<()>> Tell for Alone<F> {
    fn tell(&mut self, difference: Difference) -> Result<()> {
        (self.0)(difference)
    }

    fn between(&mut self, _: &mut [Cursor]) -> Result<()> {
        Ok(())
    }
}

/// What a stream carries.
enum Message<T> {
    Item(T),
    /// What these streams carry comes next, the last one's first; the stream ends here.
    Then(Vec<Receiver<Message<T>>>),
    /// The walk ended here.
    Failed(Error),
}

/// A part of the walk, and where its answers go.
struct Task<T> {
    start: Cursor,
    stream: SyncSender<Message<T>>,
}

struct Pool<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
    /// More threads wait than there are tasks.
    is_asked: AtomicBool,
    is_closed: AtomicBool,
    /// Streams that were begun and not read to their end.
    streams: AtomicUsize,
    most_streams: usize,
}

struct Queue<T> {
    tasks: Vec<Task<T>>,
    waiting: usize,
}

impl<T: Send> Pool<T> {
    fn new(threads: usize) -> Self {
        Self {
            queue: Mutex::new(Queue { tasks: Vec::new(), waiting: 0 }),
            wake: Condvar::new(),
            is_asked: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            most_streams: threads.saturating_mul(STREAMS_EACH),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task, and returns the stream of its answers.
    fn begin(&self, queue: &mut Queue<T>, start: Cursor) -> Receiver<Message<T>> {
        let (stream, answers) = sync_channel(STREAM);
        self.streams.fetch_add(1, Ordering::Relaxed);
        queue.tasks.push(Task { start, stream });
        self.wake.notify_one();
        answers
    }

    /// Gives half of what is left in the outermost directory to a thread that waits, if one does.
    fn share(&self, stack: &mut [Cursor]) -> Option<Receiver<Message<T>>> {
        if self.streams.load(Ordering::Relaxed) >= self.most_streams {
            return None;
        }
        let cursor = stack.iter_mut().find(|cursor| cursor.has_more())?;
        let mut queue = self.lock();
        let is_asked = queue.waiting > queue.tasks.len();
        let given = is_asked.then(|| self.begin(&mut queue, cursor.split()));
        self.is_asked.store(queue.waiting > queue.tasks.len(), Ordering::Relaxed);
        given
    }

    /// Waits for a task; `None` when there will be no more.
    fn next(&self) -> Option<Task<T>> {
        let mut queue = self.lock();
        loop {
            if self.is_closed.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(task) = queue.tasks.pop() {
                return Some(task);
            }
            queue.waiting += 1;
            self.is_asked.store(true, Ordering::Relaxed);
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
    }

    /// Does tasks until there are no more.
    fn work(&self, trees: &Trees<'_>, make: &impl Fn(Difference) -> Option<T>) {
        while let Some(Task { start, stream }) = self.next() {
            let mut part = Part { pool: self, make, stream, given: Vec::new() };
            let result = walk(trees, start, &mut part);
            // Nobody listens where the reader has given up.
            drop(match result {
                Ok(()) => part.stream.send(Message::Then(part.given)),
                Err(error) => part.stream.send(Message::Failed(error)),
            });
        }
    }

    /// Reads a stream and those it refers to.
    fn read(&self, first: Receiver<Message<T>>, mut each: impl FnMut(T) -> Result<()>) -> Result<()> {
        let mut streams = vec![first];
        while let Some(stream) = streams.last() {
            match stream.recv() {
                Ok(Message::Item(item)) => each(item)?,
                Ok(Message::Then(next)) => {
                    streams.pop();
                    self.streams.fetch_sub(1, Ordering::Relaxed);
                    streams.extend(next);
                }
                Ok(Message::Failed(error)) => return Err(error),
                // A thread that panicked; whoever joins it says so.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Lets the threads of a pool end, also when the reader failed or panicked.
struct Closing<'a, T: Send>(&'a Pool<T>);

impl<T: Send> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        let queue = self.0.lock();
        self.0.is_closed.store(true, Ordering::Relaxed);
        self.0.wake.notify_all();
        drop(queue);
    }
}

/// One thread's part of a walk.
struct Part<'a, T, M> {
    pool: &'a Pool<T>,
    make: &'a M,
    stream: SyncSender<Message<T>>,
    /// The streams of what was given away, the last part of the walk first.
    given: Vec<Receiver<Message<T>>>,
}

impl<T: Send, M: Fn(Difference) -> Option<T>> Tell for Part<'_, T, M> {
    fn tell(&mut self, difference: Difference) -> Result<()> {
        let Some(item) = (self.make)(difference) else { return Ok(()) };
        self.stream.send(Message::Item(item)).map_err(|_| stopped())
    }

    fn between(&mut self, stack: &mut [Cursor]) -> Result<()> {
        if self.pool.is_closed.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        if self.pool.is_asked.load(Ordering::Relaxed) {
            self.given.extend(self.pool.share(stack));
        }
        Ok(())
    }
}

/// Ends a walk whose answers nobody reads any more; nobody sees it.
fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the reader of the comparison has ended")
}
