//! A head whose name is not durable: nobody who waits for what it took over hears that this is safe.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use plyfs_journal::{CallError, Disk, Journal};
use rustix::io::Errno;

use crate::batches::{created, put};
use crate::fault_disk::{FaultDisk, Faults};
use crate::interleaved::options;
use crate::model;
use crate::watched::{Watch, Watched};

/// What holds up the syncs of files while it is shut; all that it held up fail.
#[derive(Debug, Default)]
struct Gate {
    /// Whether it is shut, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
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
        Err(CallError::new("fdatasync", ".", Errno::IO))
    }
}

/// Lets one thread wait for another's sync while a second process starts a log anew, whose sync number `failing` fails, and a
/// third thread that cannot start one either looks at what became of it. Says whether the second process came to its end.
fn nothing_told_is_lost(failing: u32) -> bool {
    let (disk, journal) = created(options());
    put(&journal, "filler").expect("written");
    let gate = Arc::new(Gate::default());
    let gated = Watched::new(disk.clone(), Arc::clone(&gate));
    let ours = Journal::open(Arc::new(gated), options()).expect("opened");
    let is_written = |key: &[u8]| {
        disk.state().files().into_values().any(|content| content.windows(key.len()).any(|bytes| bytes == key))
    };
    gate.shut(true);
    thread::scope(|scope| {
        scope.spawn(|| put(&ours, "first").expect_err("its sync fails"));
        gate.wait_for_one();
        let waits = scope.spawn(|| put(&ours, "waits"));
        while !is_written(b"waits") {
            thread::yield_now();
        }
        disk.set_faults(Faults { failing_sync: Some(failing), ..Faults::default() });
        let is_done = put(&journal, "theirs").is_ok();
        disk.set_faults(Faults { failing_write: Some(0), ..Faults::default() });
        let last = scope.spawn(|| put(&ours, "last"));
        while !last.is_finished() && !is_written(b"last") {
            thread::yield_now();
        }
        disk.set_faults(Faults::default());
        let least: Arc<dyn Disk> = Arc::new(FaultDisk::new(disk.state().cut(|| false)));
        // Whoever was told has returned, or is about to: that the gate opens is an error to all others.
        gate.shut(false);
        if waits.join().expect("no panic").is_ok() {
            let left = model::read(&least, options()).expect("sound");
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
