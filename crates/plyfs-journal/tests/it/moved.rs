//! A head whose name is not durable: nobody who waits for what it took over hears that this is safe.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use plyfs_journal::{Access, CallError, Disk, DiskFile, DiskLock, Journal, Map};
use rustix::io::Errno;

use crate::batches::{created, put};
use crate::fault_disk::{FaultDisk, Faults};
use crate::interleaved::options;
use crate::model;

type Result<T> = std::result::Result<T, CallError>;

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

    /// Says whether it was shut.
    fn pass(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.0 {
            return false;
        }
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(is_shut, _)| *is_shut));
        true
    }
}

/// A disk as one process has it, behind a gate of its own.
#[derive(Debug)]
struct Gated {
    disk: FaultDisk,
    gate: Arc<Gate>,
}

impl Gated {
    fn behind_it(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GatedFile { file, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for Gated {
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>> {
        self.disk.open(name, access).map(|file| self.behind_it(file))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.behind_it(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn sync(&self) -> Result<()> {
        self.disk.sync()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        self.disk.lock(name)
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(name)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl DiskFile for GatedFile {
    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        if self.gate.pass() { Err(CallError::new("fdatasync", ".", Errno::IO)) } else { self.file.sync() }
    }

    fn map(&self) -> Result<Map> {
        self.file.map()
    }
}

/// Lets one thread wait for another's sync while a second process starts a log anew, whose sync number `failing` fails, and a
/// third thread that cannot start one either looks at what became of it. Says whether the second process came to its end.
fn nothing_told_is_lost(failing: u32) -> bool {
    let (disk, journal) = created(options());
    put(&journal, "filler").expect("written");
    let gate = Arc::new(Gate::default());
    let gated = Gated { disk: disk.clone(), gate: Arc::clone(&gate) };
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
