//! Several actors on one disk, one call at a time: who goes next is decided before each call, and comes back with the
//! same seed.
//!
//! Each actor is a thread with a handle of the disk, and stands for a process. An actor that waits for a lock is
//! passed over; one that is killed unwinds out of the call it is in and starts over as a new process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::Random;

/// Who goes next.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// Another one with the odds of one in so many.
    Random(Random, u64),
    /// The next one at these calls, counted over all actors, and nobody else.
    At(Vec<u64>),
    /// The next one whenever one is about to sync.
    BeforeSyncs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ready,
    Blocked,
    Done,
}

#[derive(Debug)]
struct Inner {
    choice: Choice,
    actors: Vec<Status>,
    current: usize,
    calls: u64,
    /// Which call, counted over all actors, kills its caller: each of them once.
    kills: Vec<u64>,
    /// Nobody else is let in between.
    is_held: bool,
}

/// The order of calls of all actors; the last one begins.
#[derive(Debug)]
pub(crate) struct Schedule {
    inner: Mutex<Inner>,
    turn: Condvar,
}

/// What a killed actor unwinds with.
struct Killed;

impl Schedule {
    pub(crate) fn new(actors: usize, choice: Choice, kills: Vec<u64>) -> Self {
        let statuses = vec![Status::Ready; actors];
        let inner = Inner { choice, actors: statuses, current: actors - 1, calls: 0, kills, is_held: false };
        Self { inner: Mutex::new(inner), turn: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of one call of `me`; says whether the call kills it.
    pub(crate) fn step(&self, me: usize) -> bool {
        let mut inner = self.wait(self.inner(), me);
        inner.calls += 1;
        inner.pass();
        let mut inner = self.wait(inner, me);
        let calls = inner.calls;
        let before = inner.kills.len();
        inner.kills.retain(|&call| call > calls);
        inner.kills.len() < before
    }

    fn wait<'a>(&self, mut inner: MutexGuard<'a, Inner>, me: usize) -> MutexGuard<'a, Inner> {
        self.turn.notify_all();
        while inner.current != me {
            inner = self.turn.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    /// How many calls there were of all actors.
    pub(crate) fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// Says that the next call of `me` is a sync.
    pub(crate) fn sync_follows(&self, me: usize) {
        let mut inner = self.wait(self.inner(), me);
        if matches!(inner.choice, Choice::BeforeSyncs) {
            inner.pass_on();
            drop(self.wait(inner, me));
        }
    }

    /// Keeps everybody else out, or lets them in again.
    pub(crate) fn hold(&self, is_held: bool) {
        self.inner().is_held = is_held;
    }

    /// Lets others go on until a lock is released.
    pub(crate) fn block(&self, me: usize) {
        let mut inner = self.inner();
        inner.actors[me] = Status::Blocked;
        inner.pass();
        drop(self.wait(inner, me));
    }

    /// Lets those go on who wait for a lock.
    pub(crate) fn unblock(&self) {
        for status in self.inner().actors.iter_mut().filter(|status| **status == Status::Blocked) {
            *status = Status::Ready;
        }
    }

    /// Runs an actor to its end.
    pub(crate) fn run<T>(&self, me: usize, actor: impl FnOnce() -> T) -> T {
        drop(self.wait(self.inner(), me));
        let result = catch_unwind(AssertUnwindSafe(actor));
        let mut inner = self.inner();
        inner.actors[me] = Status::Done;
        inner.pass();
        drop(inner);
        self.turn.notify_all();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Inner {
    /// Those who could go on instead, the next one first.
    fn others(&self) -> Vec<usize> {
        let count = self.actors.len();
        let ready = |actor: &usize| self.actors[*actor] == Status::Ready;
        (1..count).map(|step| (self.current + step) % count).filter(ready).collect()
    }

    fn pass_on(&mut self) {
        self.current = self.others().first().copied().unwrap_or(self.current);
    }

    fn pass(&mut self) {
        let others = self.others();
        let must = self.actors[self.current] != Status::Ready;
        let Some(&first) = others.first().filter(|_| must || !self.is_held) else { return };
        match &mut self.choice {
            Choice::Random(random, odds) => {
                if must || random.below(*odds) == 0 {
                    self.current = others[usize::try_from(random.below(others.len() as u64)).expect("few actors")];
                }
            }
            Choice::At(calls) => {
                if must || calls.contains(&self.calls) {
                    self.current = first;
                }
            }
            Choice::BeforeSyncs => {
                if must {
                    self.current = first;
                }
            }
        }
    }
}

/// Ends an actor where it stands.
pub(crate) fn kill() -> ! {
    resume_unwind(Box::new(Killed))
}

/// Runs a part of an actor; `None` when it was killed in it.
pub(crate) fn unless_killed<T>(part: impl FnOnce() -> T) -> Option<T> {
    let is_kill = |panic: &Box<dyn Any + Send>| panic.is::<Killed>();
    match catch_unwind(AssertUnwindSafe(part)) {
        Ok(result) => Some(result),
        Err(panic) if is_kill(&panic) => None,
        Err(panic) => resume_unwind(panic),
    }
}
