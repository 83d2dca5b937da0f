//! A disk that panics under the thread that writes or syncs for others: they hear of it, and nobody waits for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plyfs_journal::{ErrorKind, Journal, Options, Transaction};

use crate::batches::{OTHERS, contents, created, note, put, turns};
use crate::fault_disk::{FaultDisk, Faults};
use crate::turns::behind_one;

/// Lets threads write one commit together, in which the disk panics; all but the one that panics must hear an error.
fn one_panics_for_all(faults: &Faults) -> (FaultDisk, Journal) {
    let (disk, journal) = created(Options::default());
    let first = |changes: &mut Transaction<'_>| {
        disk.set_faults(Faults { panics: true, ..faults.clone() });
        note(changes, 0, 600)
    };
    let each = |changes: &mut Transaction<'_>, turn: usize| note(changes, turn, 600);
    let told = behind_one(&journal, OTHERS, first, each, |result| result.expect_err("acknowledged").kind());
    let told: Vec<ErrorKind> = told.into_iter().flatten().collect();
    assert_eq!(told, [ErrorKind::Io; OTHERS], "of eight one panics");
    (disk, journal)
}

#[test]
fn a_disk_that_panics_in_a_write_is_an_error_for_all_who_wait_for_it_and_the_lock_is_free() {
    let (disk, journal) = one_panics_for_all(&Faults { failing_write: Some(0), ..Faults::default() });
    let other = Journal::open(Arc::new(disk), Options::default()).expect("opened");
    put(&other, "other").expect("the lock is free");
    put(&journal, "next").expect("nothing is in doubt");
    assert_eq!(turns(&contents(&journal)), [] as [usize; 0], "an error, and yet there");
}

#[test]
fn a_disk_that_panics_in_a_sync_is_an_error_for_all_who_wait_for_it_and_poisons_the_handle() {
    let (disk, journal) = one_panics_for_all(&Faults { failing_sync: Some(0), ..Faults::default() });
    assert_eq!(put(&journal, "next").expect_err("poisoned").kind(), ErrorKind::Poisoned);
    let other = Journal::open(Arc::new(disk), Options::default()).expect("opened");
    put(&other, "other").expect("the lock is free");
}

#[test]
fn who_waits_for_the_next_sync_hears_of_one_that_panics() {
    let (disk, journal) = created(Options::default());
    let slowness = Duration::from_millis(20);
    disk.set_faults(Faults { failing_sync: Some(0), panics: true, slowness, ..Faults::default() });
    let write = |thread: usize| catch_unwind(AssertUnwindSafe(|| put(&journal, &thread.to_string()))).ok();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..OTHERS).map(|thread| scope.spawn(move || write(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("caught")).collect()
    });
    let told: Vec<_> = results.into_iter().flatten().collect();
    assert_eq!(told.len(), OTHERS - 1, "one panics");
    assert!(told.iter().all(Result::is_err), "{told:?}");
}
