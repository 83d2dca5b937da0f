//! What is sound in a damaged journal stays readable, what is not is named, and nothing is written to it.

use std::sync::Arc;

use plyfs_journal::{Disk, ErrorKind, Journal, Options, Salvage};

use crate::damage::{files, small};
use crate::fault_disk::{FaultDisk, State};
use crate::model::{self, Model};

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
    assert_eq!(damage, [format!("journal file {log}, offset 0: a block that is neither blank nor whole")]);

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
