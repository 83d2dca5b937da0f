//! Power cuts: after every change of the disk, whatever it kept, the journal holds what was acknowledged.

use std::sync::Arc;

use plyfs_journal::{Disk, Journal, Options};

use crate::fault_disk::{FaultDisk, Faults, Lie, State};
use crate::model::{self, Commit, Model, Random};

/// Small, so that a few commits fill a log.
fn options() -> Options {
    Options::default().log_limit(3 * 512)
}

/// Up to this many choices of a cut all outcomes are tried, beyond it a few.
const EXHAUSTIVE: usize = 6;
const SAMPLES: u64 = 24;

/// Runs `judge` on the disks that a power cut at `state` may leave.
pub(crate) fn each_cut(
    state: &State,
    random: &mut Random,
    mut judge: impl FnMut(State) -> Result<(), String>,
) -> Result<(), String> {
    let choices = state.choices();
    if choices <= EXHAUSTIVE {
        for outcome in 0..1_u64 << choices {
            let mut bits = (0..).map(|bit| outcome >> bit & 1 == 1);
            judge(state.cut(|| bits.next().expect("endless")))?;
        }
        return Ok(());
    }
    judge(state.cut(|| true))?;
    judge(state.cut(|| false))?;
    for sample in 0..SAMPLES {
        // Rarely one lost, rarely one kept, and all between.
        let odds = 1 + sample % 7;
        judge(state.cut(|| random.below(8) < odds))?;
    }
    Ok(())
}

/// A file with more sectors pending than this is written before anything names it: a log of zeros, a run.
const NAMED_LATER: usize = 4;

/// Runs `judge` on every disk that a power cut at `state` may leave: of what is named every subset, with the rest whole,
/// gone, and torn at random in two ways.
pub(crate) fn every_cut(
    state: &State,
    random: &mut Random,
    mut judge: impl FnMut(State) -> Result<(), String>,
) -> Result<(), String> {
    let groups = state.groups();
    let bits: usize = groups.iter().map(|&size| if size > NAMED_LATER { 2 } else { size }).sum();
    assert!(bits <= 16, "{bits} choices are too many to try");
    for outcome in 0..1_u64 << bits {
        let mut bits = outcome;
        let mut take = |count: u32| {
            let taken = bits & ((1 << count) - 1);
            bits >>= count;
            taken
        };
        let mut kept = Vec::new();
        for &size in &groups {
            if size <= NAMED_LATER {
                kept.extend((0..size).map(|_| take(1) == 1));
                continue;
            }
            match take(2) {
                0 => kept.extend(vec![false; size]),
                1 => kept.extend(vec![true; size]),
                _ => kept.extend((0..size).map(|_| random.below(2) == 0)),
            }
        }
        let mut kept = kept.into_iter();
        judge(state.cut(|| kept.next().expect("one for each choice")))?;
    }
    Ok(())
}

/// The states a disk goes through while the commits are written, with what was acknowledged.
fn run(disk: &FaultDisk, commits: &[Commit], options: Options) -> Vec<(State, usize)> {
    disk.record();
    let journal = Journal::open(Arc::new(disk.clone()), options).expect("opened");
    for (number, commit) in commits.iter().enumerate() {
        model::write(&journal, commit).expect("written");
        disk.acknowledge(number + 1);
    }
    disk.history()
}

/// The model after none, one, … all of the commits.
fn models(start: &Model, commits: &[Commit]) -> Vec<Model> {
    let mut models = vec![start.clone()];
    for commit in commits {
        let mut next = models.last().expect("never empty").clone();
        model::apply(&mut next, commit);
        models.push(next);
    }
    models
}

fn created() -> FaultDisk {
    let disk = FaultDisk::default();
    Journal::create(Arc::new(disk.clone()), options()).expect("created");
    disk
}

/// Cuts at every state; what is found must be one of `allowed` and take a commit, and then hold that.
fn survives(
    history: &[(State, usize)],
    models: &[Model],
    allowed: impl Fn(usize) -> std::ops::RangeInclusive<usize>,
) -> Result<u64, String> {
    let mut random = Random::new(history.len() as u64);
    let mut cuts = 0;
    for (step, (state, acknowledged)) in history.iter().enumerate() {
        let possible = allowed(*acknowledged).filter_map(|count| models.get(count)).collect::<Vec<_>>();
        each_cut(state, &mut random, |image| {
            cuts += 1;
            let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(image));
            let at = |what: &str| format!("step {step}, {acknowledged} acknowledged: {what}");
            let journal = Journal::open(Arc::clone(&disk), options()).map_err(|e| at(&format!("open: {e}")))?;
            let found = journal.snapshot().and_then(|snapshot| model::contents(&snapshot));
            let mut found = found.map_err(|e| at(&format!("read: {e}")))?;
            if !possible.contains(&&found) {
                return Err(at(&format!("holds {:?}", found.keys().collect::<Vec<_>>())));
            }
            let after = vec![(b"after the crash".to_vec(), Some(b"x".to_vec()))];
            model::write(&journal, &after).map_err(|e| at(&format!("write: {e}")))?;
            model::apply(&mut found, &after);
            let again = model::read(&disk, options()).map_err(|e| at(&format!("read again: {e}")))?;
            if again == found { Ok(()) } else { Err(at("the next commit changed others")) }
        })?;
    }
    Ok(cuts)
}

/// What was acknowledged and, perhaps, the one commit that was being written.
fn durable(acknowledged: usize) -> std::ops::RangeInclusive<usize> {
    acknowledged..=acknowledged + 1
}

fn commits(seed: u64, count: usize) -> Vec<Commit> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.commit()).collect()
}

#[test]
fn a_cut_anywhere_keeps_what_was_acknowledged_and_nothing_half() {
    let mut cuts = 0;
    for seed in 0..6 {
        let commits = commits(seed, 12);
        let history = run(&created(), &commits, options());
        cuts += survives(&history, &models(&Model::new(), &commits), durable).expect("survived");
    }
    assert!(cuts > 5_000, "only {cuts} cuts were tried");
}

#[test]
fn a_cut_during_creation_leaves_an_empty_journal_or_none() {
    let disk = FaultDisk::default();
    disk.record();
    Journal::create(Arc::new(disk.clone()), options()).expect("created");
    let mut random = Random::new(1);
    for (state, _) in disk.history() {
        let judge = |image| {
            let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(image));
            match model::read(&disk, options()) {
                Ok(found) if found.is_empty() => return Ok(()),
                Ok(_) => return Err("an empty journal holds something".to_owned()),
                Err(error) if error.kind() == plyfs_journal::ErrorKind::NotFound => {}
                Err(error) => return Err(error.to_string()),
            }
            Journal::create(disk, options()).map(drop).map_err(|e| format!("create again: {e}"))
        };
        each_cut(&state, &mut random, judge).expect("survived");
    }
}

#[test]
fn a_cut_during_recovery_from_a_cut_loses_nothing_either() {
    let first = commits(77, 7);
    let all = models(&Model::new(), &first);
    let mut random = Random::new(7);
    for (state, acknowledged) in run(&created(), &first, options()).into_iter().step_by(3) {
        let disk = FaultDisk::new(state.cut(|| random.below(2) == 0));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let found = model::read(&shared, options()).expect("opened");
        assert!(durable(acknowledged).any(|count| all.get(count) == Some(&found)), "first cut");
        let more = commits(99, 3);
        let history = run(&disk, &more, options());
        survives(&history, &models(&found, &more), durable).expect("survived the second cut");
    }
}

#[test]
fn without_syncs_a_cut_takes_the_newest_commits_and_never_the_journal() {
    let commits = commits(5, 12);
    let history = run(&created(), &commits, options().durable(false));
    survives(&history, &models(&Model::new(), &commits), |acknowledged| 0..=acknowledged + 1).expect("survived");
}

#[test]
fn the_proof_notices_each_sync_that_is_left_out() {
    for lie in [Lie::Commit, Lie::LogOfZeros, Lie::Run, Lie::Head, Lie::NamesBeforeHead, Lie::NamesAfterHead] {
        let caught = (0..6).any(|seed| {
            let commits = commits(seed, 12);
            let disk = created();
            disk.set_faults(Faults { lie: Some(lie), ..Faults::default() });
            survives(&run(&disk, &commits, options()), &models(&Model::new(), &commits), durable).is_err()
        });
        assert!(caught, "nobody noticed of {lie:?}");
    }
}
