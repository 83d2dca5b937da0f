//! Transactions of several threads that are one commit: whole or absent together, and each thread learns what became of
//! it, whatever the others do.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plyfs_journal::{Disk, Error, ErrorKind, Journal, Options, Transaction};

use crate::fault_disk::{FaultDisk, Faults, Lie, State};
use crate::model::{self, Model, Random};
use crate::power::each_cut;
use crate::turns::behind_one;

/// How many wait behind the first.
pub(crate) const OTHERS: usize = 7;

const BLOCK: usize = 512;

pub(crate) fn created(options: Options) -> (FaultDisk, Journal) {
    let disk = FaultDisk::default();
    let journal = Journal::create(Arc::new(disk.clone()), options).expect("created");
    put(&journal, "before").expect("written");
    (disk, journal)
}

pub(crate) fn put(journal: &Journal, key: &str) -> Result<(), Error> {
    model::write(journal, &vec![(key.as_bytes().to_vec(), Some(b"v".to_vec()))])
}

fn key(turn: usize) -> Vec<u8> {
    format!("turn {turn}").into_bytes()
}

/// Writes a key of its own that takes so many bytes, and sees those of all before it.
pub(crate) fn note(changes: &mut Transaction<'_>, turn: usize, size: usize) -> Result<(), Error> {
    let before = (0..turn).filter(|turn| changes.contains(&key(*turn)).unwrap_or_default()).count();
    changes.put(b"seen", &before.to_le_bytes());
    changes.put(&key(turn), &vec![b'v'; size]);
    Ok(())
}

pub(crate) fn contents(journal: &Journal) -> Model {
    model::contents(&journal.snapshot().expect("read")).expect("sound")
}

/// The turns whose keys are there.
pub(crate) fn turns(model: &Model) -> Vec<usize> {
    (0..=OTHERS).filter(|turn| model.contains_key(&key(*turn))).collect()
}

/// The numbers of the commits in the log, and the place where they end.
fn commits(disk: &FaultDisk) -> Vec<u64> {
    let (_, log) = disk.state().files().into_iter().find(|(name, _)| name.ends_with(".log")).expect("a log");
    let blocks = log.chunks(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0));
    let mut numbers: Vec<u64> =
        blocks.map(|block| u64::from_le_bytes(block[24..32].try_into().expect("eight bytes"))).collect();
    numbers.dedup();
    numbers
}

#[test]
fn transactions_of_threads_that_wait_for_each_other_are_one_commit_and_need_one_sync() {
    let (disk, journal) = created(Options::default());
    let (before, syncs) = (commits(&disk).len(), disk.syncs());

    let results = behind_one(
        &journal,
        OTHERS,
        |changes| note(changes, 0, 600),
        |changes, turn| note(changes, turn, 600),
        |result| result.expect("written"),
    );

    assert_eq!(results.len(), 1 + OTHERS);
    assert_eq!(commits(&disk).len() - before, 1, "each wrote a commit of its own");
    assert_eq!(disk.syncs() - syncs, 1);
    let found = contents(&journal);
    assert_eq!(turns(&found), (0..=OTHERS).collect::<Vec<_>>());
    assert_eq!(found[&b"seen"[..]], OTHERS.to_le_bytes(), "one did not see what the others had done");
    let shared: Arc<dyn Disk> = Arc::new(disk);
    assert_eq!(model::read(&shared, Options::default()).expect("opened"), found);
}

/// Cuts wherever eight threads are with one commit of several blocks: all of it is there or nothing, and all of it once
/// one of them was told.
fn survives_every_cut(lie: Option<Lie>) -> Result<u64, String> {
    let (disk, journal) = created(Options::default());
    let before = contents(&journal);
    disk.set_faults(Faults { lie, ..Faults::default() });
    disk.record();
    behind_one(
        &journal,
        OTHERS,
        |changes| note(changes, 0, 600),
        |changes, turn| note(changes, turn, 600),
        |result| {
            result.expect("written");
            disk.acknowledge(1);
        },
    );
    disk.set_faults(Faults::default());
    let after = contents(&journal);
    let history: Vec<(State, usize)> = disk.history();
    let (mut cuts, mut random) = (0, Random::new(8));
    for (step, (state, acknowledged)) in history.iter().enumerate() {
        each_cut(state, &mut random, |image| {
            cuts += 1;
            let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(image));
            let read = || model::read(&disk, Options::default()).map_err(|error| format!("step {step}: {error}"));
            let found = read()?;
            if found != after && (found != before || *acknowledged > 0) {
                return Err(format!("step {step}, {acknowledged} acknowledged: turns {:?}", turns(&found)));
            }
            let journal = Journal::open(Arc::clone(&disk), Options::default()).map_err(|e| e.to_string())?;
            put(&journal, "after the cut").map_err(|error| format!("step {step}: {error}"))?;
            if turns(&read()?) == turns(&found) { Ok(()) } else { Err(format!("step {step}: changed by the next")) }
        })?;
    }
    Ok(cuts)
}

#[test]
fn a_cut_leaves_all_that_became_one_commit_or_nothing_and_all_once_one_thread_was_told() {
    let cuts = survives_every_cut(None).expect("survived");
    assert!(cuts > 100, "only {cuts} cuts were tried");
    survives_every_cut(Some(Lie::Commit)).expect_err("nobody noticed that the sync was left out");
}

#[test]
fn a_write_that_fails_is_heard_of_by_each_thread_and_leaves_nothing_of_any() {
    let (disk, journal) = created(Options::default());
    let before = contents(&journal);

    let errors = behind_one(
        &journal,
        OTHERS,
        |changes| {
            disk.set_faults(Faults { failing_write: Some(0), ..Faults::default() });
            note(changes, 0, 600)
        },
        |changes, turn| note(changes, turn, 600),
        |result| result.expect_err("written to a full disk"),
    );

    for error in errors.into_iter().flatten() {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        assert!(causes.iter().any(|cause| cause.contains(".log")), "{error}: {causes:?} name no file");
    }
    assert_eq!(contents(&journal), before);
    let seen = journal.write(|changes| {
        changes.put(b"next", b"");
        changes.scan(b"turn").collect::<Result<Vec<_>, Error>>()
    });
    assert_eq!(seen.expect("there is space again"), [], "an error, and yet the next builds on it");
    assert_eq!(turns(&contents(&journal)), [] as [usize; 0], "an error, and yet there");
}

#[test]
fn a_sync_that_fails_is_heard_of_by_each_thread() {
    let (disk, journal) = created(Options::default());
    let before = contents(&journal);

    let errors = behind_one(
        &journal,
        OTHERS,
        |changes| {
            disk.set_faults(Faults { failing_sync: Some(0), ..Faults::default() });
            note(changes, 0, 600)
        },
        |changes, turn| note(changes, turn, 600),
        |result| result.expect_err("acknowledged").kind(),
    );

    assert_eq!(errors, vec![Some(ErrorKind::Io); 1 + OTHERS]);
    assert_eq!(contents(&journal), before, "what is in doubt is not shown");
    assert_eq!(put(&journal, "next").expect_err("poisoned").kind(), ErrorKind::Poisoned);
}

/// Has one of the threads change its mind in its turn, and by a panic where it `panics`.
fn all_but(odd: usize, panics: bool) {
    let (disk, journal) = created(Options::default());
    let change = |changes: &mut Transaction<'_>, turn: usize| {
        note(changes, turn, 600)?;
        match turn == odd {
            true if panics => resume_unwind(Box::new("a panic in a change")),
            true => Err(Error::new(ErrorKind::Cancelled, "on second thought")),
            false => Ok(()),
        }
    };

    let image = |result: Result<(), Error>| result.map(|()| disk.state().cut(|| false));
    let results = behind_one(&journal, OTHERS, |changes| change(changes, 0), change, image);

    let others: Vec<usize> = (0..=OTHERS).filter(|turn| *turn != odd).collect();
    assert_eq!(turns(&contents(&journal)), others, "turn {odd}, panics: {panics}");
    let told: Vec<State> = results.into_iter().flatten().filter_map(Result::ok).collect();
    assert_eq!(told.len(), OTHERS, "turn {odd}, panics: {panics}");
    for image in told {
        let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(image));
        let found = model::read(&disk, Options::default()).expect("opened");
        assert_eq!(turns(&found), others, "turn {odd}, panics: {panics}: told before it was durable");
    }
    put(&journal, "next").expect("the lock is free");
}

#[test]
fn a_change_that_fails_at_any_place_in_the_row_takes_nothing_from_the_others() {
    (1..=OTHERS).for_each(|turn| all_but(turn, false));
}

#[test]
fn a_change_that_panics_at_any_place_in_the_row_takes_nothing_from_the_others() {
    (1..=OTHERS).for_each(|turn| all_but(turn, true));
}

#[test]
fn a_change_that_panics_or_fails_alone_leaves_the_lock_to_other_processes() {
    let (disk, journal) = created(Options::default());
    let other = Journal::open(Arc::new(disk), Options::default()).expect("opened");
    let panic = || journal.write(|_| -> Result<(), Error> { resume_unwind(Box::new("a panic in a change")) });
    catch_unwind(AssertUnwindSafe(panic)).expect_err("it panics");
    put(&other, "after a panic").expect("written");
    let failed = journal.write(|_| Err::<(), _>(Error::new(ErrorKind::Cancelled, "on second thought")));
    assert_eq!(failed.expect_err("it fails").kind(), ErrorKind::Cancelled);
    put(&other, "after an error").expect("written");
    put(&journal, "after both").expect("written");
}

#[test]
fn changes_for_which_the_log_has_no_room_are_a_commit_of_their_own() {
    let limit = 16 * BLOCK;
    for large in 1..=OTHERS {
        let (disk, journal) = created(Options::default().log_limit(limit as u64));
        let size = |turn: usize| if turn == large { 2 * limit } else { 20 };
        let results = behind_one(
            &journal,
            OTHERS,
            |changes| note(changes, 0, 20),
            |changes, turn| note(changes, turn, size(turn)),
            |result| result.is_ok(),
        );
        assert_eq!(results, vec![Some(true); 1 + OTHERS], "{large} is large");
        let shared: Arc<dyn Disk> = Arc::new(disk);
        let found = model::read(&shared, Options::default()).expect("opened");
        assert_eq!(turns(&found), (0..=OTHERS).collect::<Vec<_>>(), "{large} is large");
    }
}

/// Lets a transaction for which the log has no room come third, and the disk be full at one of the writes it causes. The
/// answer is what failed, and what is there.
fn full_at(write: u32) -> (Vec<ErrorKind>, Vec<usize>) {
    const LARGE: usize = 3;
    let limit = 16 * BLOCK;
    let (disk, journal) = created(Options::default().log_limit(limit as u64));
    let change = |changes: &mut Transaction<'_>, turn: usize| {
        if turn == LARGE {
            disk.set_faults(Faults { failing_write: Some(write), ..Faults::default() });
        }
        note(changes, turn, if turn == LARGE { 2 * limit } else { 20 })
    };
    let results = behind_one(&journal, OTHERS, |changes| change(changes, 0), change, |result| result.err());
    (results.into_iter().flatten().flatten().map(|error| error.kind()).collect(), turns(&contents(&journal)))
}

#[test]
fn a_full_disk_refuses_what_the_log_has_no_room_for_and_takes_the_rest() {
    // Those before are written first, then what the log grows by.
    assert_eq!(full_at(1), (vec![ErrorKind::NoSpace], vec![0, 1, 2, 4, 5, 6, 7]));
}

#[test]
fn what_was_built_on_changes_that_could_not_be_written_is_refused_with_them() {
    assert_eq!(full_at(0), (vec![ErrorKind::NoSpace; 4], vec![4, 5, 6, 7]));
}

#[test]
fn a_thread_that_is_alone_again_waits_for_nobody_for_long_and_lets_others_write() {
    let (disk, journal) = created(Options::default());
    let other = Journal::open(Arc::new(disk.clone()), Options::default()).expect("opened");
    for round in 0..3 {
        disk.set_faults(Faults { slowness: Duration::from_millis(2), ..Faults::default() });
        thread::scope(|scope| {
            for thread in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    (0..4).for_each(|number| put(journal, &format!("{round} {thread} {number}")).expect("written"));
                });
            }
        });
        let syncs = disk.syncs();
        put(&journal, &format!("{round} alone")).expect("written");
        put(&other, &format!("{round} other")).expect("the lock is free");
        assert_eq!(disk.syncs() - syncs, 2);
    }
    assert_eq!(contents(&other).len(), 1 + 3 * (8 * 4 + 2));
}
