//! Threads of one handle that wait for each other: the lock goes from one to the next, and to other processes in time.

use std::sync::mpsc;
use std::thread;

use plyfs_journal::{Error, ErrorKind, Journal, Options, Transaction};

use crate::live::Counted;

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

/// How often a journal is locked when `count` threads wait while one writes, each for one commit of its own; every third
/// changes its mind. No commit waits for a sync, which would lock it once more.
fn locks(count: u8) -> usize {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let options = Options::default().durable(false);
    drop(Journal::create(Counted::new(temp.path()), options).expect("created"));
    let disk = Counted::new(temp.path());
    let journal = &Journal::open(disk.clone(), options).expect("opened");
    let waiting = |changes: &mut Transaction<'_>, number: u8| {
        add(changes)?;
        if number % 3 == 2 { Err(Error::new(ErrorKind::Cancelled, "on second thought")) } else { Ok(()) }
    };
    thread::scope(|scope| {
        journal
            .write(|changes| {
                for number in 0..count {
                    let (say, said) = mpsc::channel();
                    scope.spawn(move || {
                        say.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("somebody listens");
                        let result = journal.write(|changes| waiting(changes, number));
                        assert_eq!(result.is_err(), number % 3 == 2);
                    });
                    let thread = said.recv().expect("it starts");
                    // Behind the message it can only sleep for its turn.
                    while !sleeps(thread) {
                        thread::yield_now();
                    }
                }
                add(changes)
            })
            .expect("written");
    });
    let kept = 1 + (0..count).filter(|number| number % 3 != 2).count();
    assert_eq!(counted(journal), Some(vec![u8::try_from(kept).expect("small")]), "a commit was built on an older one");
    let locks = disk.locks();
    let other = Journal::open(Counted::new(temp.path()), options).expect("opened");
    other.write(add).expect("the lock is free");
    assert_eq!(counted(journal), Some(vec![u8::try_from(kept + 1).expect("small")]));
    locks
}

#[test]
fn threads_that_wait_hand_the_lock_on_and_let_go_of_it_in_time() {
    assert_eq!(locks(8), 1);
    assert_eq!(locks(40), 3, "at most sixteen in a row");
}
