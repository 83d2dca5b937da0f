//! Threads of one handle that wait for each other: the lock goes from one to the next, and to other processes in time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use plyfs_journal::{Error, ErrorKind, Journal, Options, Transaction};

use crate::live::counting;

/// Adds one to what is counted.
fn add(changes: &mut Transaction<'_>) -> Result<(), Error> {
    let before = changes.get(b"count")?.map_or(0, |bytes| bytes[0]);
    changes.put(b"count", &[before + 1]);
    Ok(())
}

fn counted(journal: &Journal) -> Option<Vec<u8>> {
    journal.snapshot().expect("read").get(b"count").expect("sound")
}

/// Says whether a thread of this process sleeps.
fn sleeps(thread: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("it lives");
    status.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('S'))
}

/// Runs `first` in a transaction and lets so many others wait for their turn before it ends: `each` is run by the second
/// to the last one, in the order in which they have their turn. The answer is what became of all of them; of one that
/// panicked nothing.
pub(crate) fn behind_one<T: Send>(
    journal: &Journal,
    others: usize,
    first: impl FnOnce(&mut Transaction<'_>) -> Result<(), Error>,
    each: impl Fn(&mut Transaction<'_>, usize) -> Result<(), Error> + Sync,
    after: impl Fn(Result<(), Error>) -> T + Sync,
) -> Vec<Option<T>> {
    let turns = AtomicUsize::new(0);
    let other = || after(journal.write(|changes| each(changes, 1 + turns.fetch_add(1, Ordering::Relaxed))));
    thread::scope(|scope| {
        let mut waiting = Vec::new();
        let result = journal.write(|changes| {
            for _ in 0..others {
                let (say, said) = mpsc::channel();
                waiting.push(scope.spawn(move || {
                    say.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("somebody listens");
                    catch_unwind(AssertUnwindSafe(other)).ok()
                }));
                let thread = said.recv().expect("it starts");
                // Behind the message it can only sleep for its turn.
                while !sleeps(thread) {
                    thread::yield_now();
                }
            }
            first(changes)
        });
        let results = std::iter::once(Some(after(result)));
        results.chain(waiting.into_iter().map(|thread| thread.join().expect("caught"))).collect()
    })
}

/// How often a journal is locked when `count` threads wait while one writes, each for one transaction of its own; every
/// third changes its mind. None waits for a sync, which would lock it once more.
fn locks(count: usize) -> usize {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let options = Options::default().durable(false);
    drop(Journal::create(counting(temp.path()), options).expect("created"));
    let disk = counting(temp.path());
    let journal = &Journal::open(disk.clone(), options).expect("opened");
    let each = |changes: &mut Transaction<'_>, turn: usize| {
        add(changes)?;
        if turn % 3 == 2 { Err(Error::new(ErrorKind::Cancelled, "on second thought")) } else { Ok(()) }
    };
    let results = behind_one(journal, count, add, each, |result| result.is_ok());
    let kept = results.iter().filter(|is_ok| **is_ok == Some(true)).count();
    assert_eq!(kept, 1 + (1..=count).filter(|turn| turn % 3 != 2).count());
    assert_eq!(counted(journal), Some(vec![u8::try_from(kept).expect("small")]), "a commit was built on an older one");
    let locks = disk.watch.locks();
    let other = Journal::open(counting(temp.path()), options).expect("opened");
    other.write(add).expect("the lock is free");
    assert_eq!(counted(journal), Some(vec![u8::try_from(kept + 1).expect("small")]));
    locks
}

#[test]
fn threads_that_wait_hand_the_lock_on_and_let_go_of_it_in_time() {
    assert_eq!(locks(8), 1);
    assert_eq!(locks(40), 3, "at most sixteen in a row");
}
