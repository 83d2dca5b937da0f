//! A head that another process made of what this one waits for: its name may not be durable, and it may not have taken that
//! over. Nobody hears that it is safe before it is, nor sees it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use plyfs_journal::{CallError, Disk, ErrorKind, Journal, Options};
use rustix::io::Errno;

use crate::batches::{created, put};
use crate::fault_disk::{FaultDisk, Faults};
use crate::interleaved::options;
use crate::model;
use crate::schedule::unless_killed;
use crate::watched::{Watch, Watched};

/// What holds up the syncs of files while it is shut.
#[derive(Debug, Default)]
struct Gate {
    /// Whether it is shut, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
    /// Whether what it held up goes on; otherwise it fails.
    lets_through: bool,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = is_shut;
        self.changed.notify_all();
    }

    fn wait_for_one(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(state, |(_, waiting)| *waiting == 0));
    }
}

impl Watch for Gate {
    fn sync(&self) -> Result<(), CallError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.0 {
            return Ok(());
        }
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(is_shut, _)| *is_shut));
        if self.lets_through { Ok(()) } else { Err(CallError::new("fdatasync", ".", Errno::IO)) }
    }
}

/// A handle behind a gate that is shut, and the two others by which other processes have the same journal.
fn behind(gate: Gate, options: &Options) -> (FaultDisk, Journal, Journal, Arc<Gate>) {
    let (disk, journal) = created(*options);
    put(&journal, "filler").expect("written");
    let gate = Arc::new(gate);
    let gated = Watched::new(disk.clone(), Arc::clone(&gate));
    let ours = Journal::open(Arc::new(gated), *options).expect("opened");
    gate.shut(true);
    (disk, journal, ours, gate)
}

fn is_written(disk: &FaultDisk, key: &[u8]) -> bool {
    disk.state().files().into_values().any(|content| content.windows(key.len()).any(|bytes| bytes == key))
}

/// Waits until a thread that writes `last` has come as far as it can: at most to the gate.
fn have_looked<T>(last: &ScopedJoinHandle<'_, T>, disk: &FaultDisk) {
    for _ in 0..100 {
        if last.is_finished() || is_written(disk, b"last") {
            return;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// What the next open finds when the power is cut and nothing is kept that was not synced.
fn least(disk: &FaultDisk) -> model::Model {
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(disk.state().cut(|| false)));
    model::read(&disk, options()).expect("sound")
}

/// Lets one thread wait for another's sync while a second process starts a log anew, whose sync number `failing` fails, and a
/// third thread that cannot start one either looks at what became of it. Says whether the second process came to its end.
fn nothing_told_is_lost(failing: u32) -> bool {
    let (disk, journal, ours, gate) = behind(Gate::default(), &options());
    thread::scope(|scope| {
        scope.spawn(|| put(&ours, "first").expect_err("its sync fails"));
        gate.wait_for_one();
        let waits = scope.spawn(|| put(&ours, "waits"));
        while !is_written(&disk, b"waits") {
            thread::yield_now();
        }
        disk.set_faults(Faults { failing_sync: Some(failing), ..Faults::default() });
        let is_done = put(&journal, "theirs").is_ok();
        disk.set_faults(Faults { failing_write: Some(0), ..Faults::default() });
        let last = scope.spawn(|| put(&ours, "last"));
        have_looked(&last, &disk);
        disk.set_faults(Faults::default());
        let left = least(&disk);
        // Whoever was told has returned, or is about to: that the gate opens is an error to all others.
        gate.shut(false);
        if waits.join().expect("no panic").is_ok() {
            assert!(left.contains_key(&b"waits"[..]), "sync {failing}: told, and lost by a cut");
        }
        is_done
    })
}

#[test]
fn nobody_hears_that_a_commit_is_durable_from_a_head_whose_name_is_not() {
    let syncs = (0..20).take_while(|failing| !nothing_told_is_lost(*failing)).count();
    assert!((4..20).contains(&syncs), "{syncs} syncs");
}

/// Opens the journal while one process waits for the sync of what another takes over into a new log, of which sync number
/// `failing` fails. Says whether that one came to its end.
fn nothing_shown_is_lost(failing: u32) -> bool {
    let (disk, journal, ours, gate) = behind(Gate::default(), &options());
    put(&journal, "more").expect("written");
    thread::scope(|scope| {
        scope.spawn(|| put(&ours, "first").expect_err("its sync fails"));
        gate.wait_for_one();
        disk.set_faults(Faults { failing_sync: Some(failing), ..Faults::default() });
        let is_done = put(&journal, "theirs").is_ok();
        disk.set_faults(Faults::default());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let shown = model::read(&shared, options()).expect("opened");
        let left = least(&disk);
        gate.shut(false);
        let is_left = |key: &Vec<u8>| left.contains_key(key);
        assert!(shown.keys().all(is_left), "sync {failing}: shown {:?}, left {:?}", shown.keys(), left.keys());
        is_done
    })
}

#[test]
fn nobody_is_shown_by_a_head_what_a_cut_takes_with_its_name() {
    let syncs = (0..20).take_while(|failing| !nothing_shown_is_lost(*failing)).count();
    assert!((4..20).contains(&syncs), "{syncs} syncs");
}

/// Refuses to sync a directory.
#[derive(Debug)]
struct NoNames(Errno);

impl Watch for NoNames {
    fn sync_names(&self) -> Result<(), CallError> {
        Err(CallError::new("fdatasync", ".", self.0))
    }
}

#[test]
fn a_head_that_is_newer_than_what_was_published_costs_its_reader_one_sync_and_others_none() {
    let (disk, journal) = created(options());
    let published = disk.state().content("synced").clone();
    let opened = |disk: &FaultDisk| {
        let before = disk.syncs();
        Journal::open(Arc::new(disk.clone()), options()).map(|_| disk.syncs() - before).expect("opened")
    };
    (0..8).for_each(|number| put(&journal, &format!("key {number}")).expect("written"));
    assert_eq!(opened(&disk), 0, "it is at rest");

    // As after a cut that took what was never synced.
    let mut state = disk.state();
    *state.content("synced") = published;
    let disk = FaultDisk::new(state);

    assert_eq!(opened(&disk), 2, "the name, and a log with more in it than was published");
    let open = |errno| Journal::open(Arc::new(Watched::new(disk.clone(), Arc::new(NoNames(errno)))), options());
    open(Errno::ROFS).expect("all is on the disk where nothing can be written");
    assert_eq!(open(Errno::IO).expect_err("nobody knows").kind(), ErrorKind::Io);
}

/// Loses what two threads of one process wrote and wait for, from the memory of the machine too, and lets a new process write
/// `others` keys at that place. Then a third thread of the first looks at what became of it.
fn what_was_lost_is_told_to_be(others: usize) {
    let options = Options::default().log_limit(8 * 512);
    let (disk, journal, ours, gate) = behind(Gate { lets_through: true, ..Gate::default() }, &options);
    thread::scope(|scope| {
        let first = scope.spawn(|| put(&ours, "first"));
        gate.wait_for_one();
        let waits = scope.spawn(|| put(&ours, "waits"));
        while !is_written(&disk, b"waits") {
            thread::yield_now();
        }
        // Whose sync fails dies before it can say so.
        disk.set_faults(Faults { failing_sync: Some(0), evicts: true, kills: true, ..Faults::default() });
        assert!(unless_killed(|| put(&journal, "theirs")).is_none(), "it is killed");
        disk.set_faults(Faults::default());
        assert!(!is_written(&disk, b"waits"), "it is lost");
        let new = Journal::open(Arc::new(disk.clone()), options).expect("opened");
        let keys: Vec<_> = (0..others).map(|number| format!("other {number}")).collect();
        keys.iter().for_each(|key| put(&new, key).expect("written"));
        let last = scope.spawn(|| put(&ours, "last"));
        have_looked(&last, &disk);
        gate.shut(false);
        let results = [first, waits, last].map(|thread| thread.join().expect("no panic"));
        let left = least(&disk);
        assert!(keys.iter().all(|key| left.contains_key(key.as_bytes())), "of {keys:?} there are {:?}", left.keys());
        assert!(results.iter().all(Result::is_err), "{others} others: {results:?}, left {:?}", left.keys());
    });
}

#[test]
fn a_commit_is_told_apart_from_one_of_its_number_that_was_written_at_its_place() {
    (0..20).for_each(what_was_lost_is_told_to_be);
}
