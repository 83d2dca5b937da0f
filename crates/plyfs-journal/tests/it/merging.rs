//! A merge of runs in one process while another commits, in every order with one switch, cut at every point.
//!
//! Of each state every cut is tried, not a sample: all subsets of the sectors and of the changes of names that are not
//! synced; what a run consists of, as long as nothing names it, is whole, gone or torn at random.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::damage::files;
use crate::fault_disk::{FaultDisk, Lie, State};
use crate::interleaved::{History, Run, World, recovers, run, run_on};
use crate::model::{Commit, Random};
use crate::power::every_cut;
use crate::schedule::Choice;

/// Commits of one key each.
fn commits(keys: &str) -> Vec<Commit> {
    keys.chars().map(|key| vec![(vec![key as u8], Some(vec![key as u8; 40]))]).collect()
}

/// A journal of two runs that nobody has merged yet, and what it holds.
fn two_runs() -> (State, World) {
    let history = History { writers: vec![commits("abcdefghijklmnop")], ..History::default() };
    let alone = run(&history, Choice::At(Vec::new()), Vec::new()).expect("survived");
    let runs = |at: usize| alone.states.get(at).map_or(0, |(state, _)| files(state, ".run").len());
    let before_the_merge = (0..alone.states.len()).find(|&at| runs(at) == 2 && runs(at + 1) == 3);
    let (state, must) = &alone.states[before_the_merge.expect("two runs are merged")];
    // A process that ends between its commit and the merge leaves this.
    (state.cut(|| true), World { must: *must, ..alone.world.clone() })
}

/// What was tried already: many orders go through the same states, and many cuts leave the same disk.
#[derive(Default)]
struct Tried {
    states: HashSet<u64>,
    images: HashSet<u64>,
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Cuts at every state in every way, recovers, and commits.
fn survives(run: &Run, tried: &mut Tried) -> Result<(), String> {
    let mut random = Random::new(1);
    for (step, (state, must)) in run.states.iter().enumerate() {
        if !tried.states.insert(hash((state, must))) {
            continue;
        }
        every_cut(state, &mut random, |image| {
            if !tried.images.insert(hash((image.files(), must))) {
                return Ok(());
            }
            recovers(run, *must, image, false).map_err(|what| format!("step {step}: {what}"))
        })?;
    }
    Ok(())
}

/// Two processes, of which the first commits once and merges the two runs, and the second makes these commits.
struct Pair {
    state: State,
    world: World,
    history: History,
    tried: Tried,
}

impl Pair {
    fn new(second: &str) -> Self {
        let (state, world) = two_runs();
        let history = History { writers: vec![commits("1"), commits(second)], ..History::default() };
        Self { state, world, history, tried: Tried::default() }
    }

    /// Runs both, switching at these calls, and cuts; how many calls there were.
    fn survives(&mut self, switches: &[u64], kills: &[u64]) -> u64 {
        let tried = self.tries(switches, kills);
        tried.unwrap_or_else(|error| panic!("switched at {switches:?}, killed at {kills:?}: {error}"))
    }

    fn tries(&mut self, switches: &[u64], kills: &[u64]) -> Result<u64, String> {
        let disk = FaultDisk::new(self.state.clone());
        let order = Choice::At(switches.to_vec());
        let run = run_on(disk, self.world.clone(), &self.history, order, kills.to_vec())?;
        survives(&run, &mut self.tried)?;
        // Merged runs have numbers of their own, with the highest bit set.
        let is_merge = |(state, _): &(State, usize)| files(state, ".run").iter().any(|name| name.starts_with('8'));
        if kills.is_empty() && !run.states.iter().any(is_merge) {
            return Err("nothing was merged".to_owned());
        }
        Ok(run.calls)
    }

    /// Claims that so many different disks were looked at.
    fn looked_at(&self, disks: usize) {
        assert!(self.tried.images.len() >= disks, "only {} disks", self.tried.images.len());
    }
}

#[test]
fn a_merge_and_a_commit_of_another_process_survive_every_cut_in_every_order() {
    let mut pair = Pair::new("2");
    let calls = pair.survives(&[], &[]);
    for first in 1..=calls {
        pair.survives(&[first], &[]);
        // And back again before the other one is through.
        for second in (first + 1..first + 32).step_by(3) {
            pair.survives(&[first, second], &[]);
        }
    }
    pair.looked_at(350);
}

#[test]
fn a_merge_under_which_another_process_begins_a_generation_survives_every_cut() {
    let mut pair = Pair::new("2345");
    let calls = pair.survives(&[], &[]);
    for first in 1..=calls {
        pair.survives(&[first], &[]);
    }
    pair.looked_at(5_000);
}

#[test]
fn a_process_killed_at_any_call_of_a_merge_leaves_the_journal_to_the_other_and_to_every_cut() {
    let mut pair = Pair::new("2");
    let calls = pair.survives(&[], &[]);
    for call in 1..=calls {
        pair.survives(&[], &[call]);
    }
    pair.looked_at(400);
}

#[test]
fn the_proof_of_merging_notices_each_sync_that_is_left_out() {
    for lie in [Lie::Run, Lie::Head, Lie::NamesBeforeHead, Lie::NamesAfterHead] {
        let mut pair = Pair::new("2");
        pair.history.faults.lie = Some(lie);
        let error = pair.tries(&[], &[]).expect_err("nobody noticed");
        assert!(error.starts_with("step "), "{lie:?}: {error}");
    }
}
