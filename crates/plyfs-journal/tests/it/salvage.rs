//! What is sound in a damaged journal stays readable, what is not is named, and nothing is written to it.

use std::sync::Arc;

use plyfs_journal::{Disk, ErrorKind, Journal, Options, Salvage};

use crate::damage::{files, small};
use crate::fault_disk::{FaultDisk, State};
use crate::model::{self, Model};

const BLOCK: usize = 512;

fn salvage(state: State) -> (Model, Vec<String>) {
    let disk = FaultDisk::new(state);
    let before = disk.state().files();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let salvage = Salvage::read(&shared).expect("something is there");
    let damage = salvage.damage().iter().map(ToString::to_string).collect();
    let found = model::contents(&salvage.into_snapshot()).expect("sound");
    assert_eq!(disk.state().files(), before, "something was written");
    (found, damage)
}

#[test]
fn a_sound_journal_is_salvaged_whole_and_nothing_is_named() {
    let (state, model) = small();
    assert_eq!(salvage(state), (model, Vec::new()));
}

#[test]
fn a_damaged_commit_is_named_and_those_around_it_are_kept_while_writing_is_refused() {
    let (mut state, mut model) = small();
    let log = files(&state, ".log").remove(0);
    state.content(&log)[100] ^= 1;
    model.remove(&b"b"[..]);
    let (found, damage) = salvage(state.clone());
    assert!(found == model, "the commits behind the damage and the runs are sound");
    let place = format!("journal file {log}, offset 0: a block that is neither blank nor whole");
    assert_eq!(damage, [format!("{place}; commit 4 is given up")]);

    let error = Journal::open(Arc::new(FaultDisk::new(state)), Options::default()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_block_of_a_run_is_named_and_the_others_are_kept() {
    let (mut state, model) = small();
    let runs = files(&state, ".run");
    for run in &runs {
        state.content(run)[40] ^= 1;
    }
    let (found, damage) = salvage(state);
    assert!(found.contains_key(&b"c"[..]), "what is in the log is sound");
    assert!(found.iter().all(|(key, value)| model.get(key) == Some(value)), "a wrong answer");
    assert_eq!(damage.len(), runs.len(), "{damage:?}");
    assert!(damage.iter().zip(&runs).all(|(what, _)| what.contains(".run, offset ")), "{damage:?}");
    assert!(damage.iter().all(|what| what.ends_with("; one block of entries is given up")), "{damage:?}");

    // A page of the index is one place, however many blocks it leads to.
    let (mut state, _) = small();
    let index = state.content(&runs[0]).len() - 64 - 2 * 4096;
    state.content(&runs[0])[index] ^= 1;
    let (_, damage) = salvage(state.clone());
    let given_up = format!("{}, offset {index}: the checksum does not match; ", runs[0]);
    assert!(damage.len() == 1 && damage[0].contains(&given_up), "{damage:?}");
    assert!(
        damage[0].ends_with(" of entries is given up") || damage[0].ends_with(" of entries are given up"),
        "{damage:?}"
    );

    // Behind it is the table, which holds nothing that is not found without.
    let (mut sound, model) = small();
    sound.content(&runs[0])[index + 4096] ^= 1;
    let (found, damage) = salvage(sound);
    let nothing = "the checksum does not match; keys are found more slowly, and nothing is given up";
    assert!(found == model && damage.len() == 1 && damage[0].ends_with(nothing), "{damage:?}");

    let end = state.content(&runs[0]).len() - 1;
    state.content(&runs[0])[end] ^= 1;
    let (_, damage) = salvage(state);
    assert!(damage.len() == 1 && damage[0].ends_with(" entries are given up"), "{damage:?}");
}

/// A journal whose log holds eight commits of one block each.
fn eight() -> (State, Model) {
    let disk = FaultDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let journal = Journal::create(shared, Options::default().log_limit(64 * BLOCK as u64)).expect("created");
    let mut model = Model::new();
    for number in 1..=8 {
        let commit = vec![(vec![number], Some(vec![number; 20]))];
        model::write(&journal, &commit).expect("written");
        model::apply(&mut model, &commit);
    }
    (disk.state(), model)
}

#[test]
fn each_damaged_place_of_a_log_is_named_with_the_commits_it_costs() {
    let (mut state, mut model) = eight();
    let log = files(&state, ".log").remove(0);
    // Two beside each other, one that reads as never written, and two in the space behind the last.
    for (block, byte) in [(1, 9), (2, 300), (40, 0), (42, 511)] {
        state.content(&log)[block * BLOCK + byte] ^= 4;
    }
    state.content(&log)[5 * BLOCK..6 * BLOCK].fill(0);
    for number in [2, 3, 6] {
        model.remove(&[number][..]);
    }

    let (found, damage) = salvage(state.clone());

    assert!(found == model, "{found:?}");
    let broken = "a block that is neither blank nor whole";
    let place = |block: usize, what: &str| format!("journal file {log}, offset {}: {what}", block * BLOCK);
    let expected = [
        place(1, &format!("{broken}; commits 2 to 3 are given up")),
        place(5, "a block that was synced is gone; commit 6 is given up"),
        place(40, broken),
        place(42, broken),
    ];
    assert_eq!(damage, expected);

    // The last commit, of which `synced` alone knows.
    let (mut state, mut model) = eight();
    state.content(&log)[7 * BLOCK..8 * BLOCK].fill(0);
    model.remove(&[8][..]);
    let (found, damage) = salvage(state);
    assert!(found == model, "{found:?}");
    let gone = "a block that was synced is gone; what was committed after commit 7 is given up";
    assert_eq!(damage, [place(7, gone)]);
}

#[test]
fn what_is_broken_in_a_log_that_no_head_names_is_named_as_well() {
    let (mut state, mut model) = eight();
    let log = files(&state, ".log").remove(0);
    state.content("head")[20] ^= 1;
    state.content(&log)[3 * BLOCK] ^= 1;
    model.remove(&[4][..]);
    let (found, damage) = salvage(state);
    assert!(found == model, "{found:?}");
    let broken = "a block that is neither blank nor whole; commit 4 is given up";
    let log = format!("journal file {log}, offset {}: {broken}", 3 * BLOCK);
    assert_eq!(damage, ["journal file head, offset 0: the checksum does not match".to_owned(), log]);
}

#[test]
fn without_a_head_the_files_alone_tell_what_was_in_the_journal() {
    let (state, model) = small();
    let disk = FaultDisk::new(state.clone());
    Disk::remove(&disk, "head").expect("removed");
    let (found, damage) = salvage(disk.state());
    assert_eq!(found, model);
    assert_eq!(damage.len(), 1, "{damage:?}");

    let mut state = state;
    state.content("head")[20] ^= 1;
    let (found, damage) = salvage(state);
    assert_eq!(found, model);
    assert_eq!(damage, ["journal file head, offset 0: the checksum does not match"]);
}

#[test]
fn where_there_is_no_journal_there_is_nothing_to_salvage() {
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
    assert_eq!(Salvage::read(&disk).expect_err("empty").kind(), ErrorKind::NotFound);
}
