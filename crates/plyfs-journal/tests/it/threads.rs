//! Threads of several handles at once, in whatever order the machine runs them: what becomes one commit is up to it, and
//! every cut finds a state that one of their transactions made, and has all that were acknowledged.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use plyfs_journal::{ErrorKind, Journal};

use crate::fault_disk::{FaultDisk, Faults, Lie};
use crate::interleaved::{Run, Stage, Tried, World, note, options, survives};
use crate::model::{Commit, Random};

const HANDLES: usize = 2;
const THREADS: usize = 4;
const EACH: usize = 3;

/// Runs the threads to their end on a disk with these faults.
fn run(seed: u64, faults: Faults) -> Result<Run, String> {
    let disk = FaultDisk::default();
    let open = || Journal::open(Arc::new(disk.clone()), options()).expect("opened");
    drop(Journal::create(Arc::new(disk.clone()), options()).expect("created"));
    let journals: Vec<Journal> = (0..HANDLES).map(|_| open()).collect();
    let world = Mutex::new(World::new());
    let has_faults = faults.failing_sync.is_some();
    let before = disk.syncs();
    disk.record();
    disk.set_faults(Faults { slowness: Duration::from_micros(300), ..faults });
    let stage = Stage { disk: &disk, world: &world, has_faults };
    let writer = |journal: &Journal, commits: Vec<Commit>| {
        for commit in commits {
            match note(stage.world, journal, &commit) {
                Ok(number) => stage.promise(number.map_err(|what| format!("a writer found {what}"))?)?,
                Err(error) if has_faults && matches!(error.kind(), ErrorKind::Io | ErrorKind::Poisoned) => {}
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        Ok(())
    };
    let results: Vec<Result<(), String>> = thread::scope(|scope| {
        let start = |thread: usize| {
            let mut random = Random::new(seed << 8 | thread as u64);
            let commits = (0..EACH).map(|_| random.commit()).collect();
            let journal = &journals[thread % HANDLES];
            scope.spawn(move || writer(journal, commits))
        };
        let threads: Vec<_> = (0..HANDLES * THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    disk.set_faults(Faults::default());
    let world = world.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Run { world, syncs: disk.syncs() - before, states: disk.history(), calls: 0 })
}

#[test]
fn a_cut_while_threads_of_two_handles_write_finds_a_state_with_all_that_was_acknowledged() {
    let (mut cuts, mut tried) = (0, Tried::new());
    for seed in 0..6 {
        let result = run(seed, Faults::default()).and_then(|run| survives(&run, &mut Random::new(seed), &mut tried));
        cuts += result.unwrap_or_else(|what| panic!("threads {seed}: {what}"));
    }
    assert!(cuts > 1_000, "only {cuts} cuts were tried");
}

#[test]
fn a_cut_after_a_sync_that_failed_under_threads_of_two_handles_takes_nothing_acknowledged() {
    let mut tried = Tried::new();
    for seed in 0..6 {
        let failing_sync = Some(u32::try_from(seed).expect("small"));
        let faults = Faults { failing_sync, evicts: seed % 2 == 0, ..Faults::default() };
        let result = run(seed, faults).and_then(|run| survives(&run, &mut Random::new(seed), &mut tried));
        result.unwrap_or_else(|what| panic!("threads {seed}: {what}"));
    }
}

#[test]
fn the_proof_with_threads_notices_that_commits_are_not_synced() {
    let is_caught = (0..6).any(|seed| {
        let run = run(seed, Faults { lie: Some(Lie::Commit), ..Faults::default() });
        run.and_then(|run| survives(&run, &mut Random::new(seed), &mut Tried::new())).is_err()
    });
    assert!(is_caught, "nobody noticed");
}
