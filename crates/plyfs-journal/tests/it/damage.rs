//! Damage: every flipped bit, cut file and missing file is named, or changes no answer.

use std::sync::Arc;

use plyfs_journal::{Disk, ErrorKind, Journal, Options};

use crate::fault_disk::{FaultDisk, State};
use crate::model::{self, Model};

/// A journal with two runs, a log of two commits, one of them of two blocks, and what it holds.
pub(crate) fn small() -> (State, Model) {
    let disk = FaultDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let journal = Journal::create(Arc::clone(&shared), Options::default().log_limit(512)).expect("created");
    let commit = |key: &str, value: Option<Vec<u8>>| vec![(key.as_bytes().to_vec(), value)];
    let mut model = Model::new();
    // Larger than what is always merged, so that a second run stays beside it.
    let first = commit("big", Some(vec![b'x'; 80 << 10]));
    let more = [commit("a", Some(vec![1; 30])), commit("gone", None), commit("b", Some(vec![2; 30]))];
    let last = [commit("c", Some(vec![3; 10])), commit("big", Some(vec![4; 500]))];
    for commit in [first].iter().chain(&more) {
        model::write(&journal, commit).expect("written");
        model::apply(&mut model, commit);
    }
    let wide = Journal::open(shared, Options::default().log_limit(8 * 512)).expect("opened");
    for commit in &last {
        model::write(&wide, commit).expect("written");
        model::apply(&mut model, commit);
    }
    (disk.state(), model)
}

pub(crate) fn files(state: &State, suffix: &str) -> Vec<String> {
    state.files().into_keys().filter(|name| name.ends_with(suffix)).collect()
}

/// Reads the damaged journal; what it says is right, or an error that names the file.
fn judge(state: State, model: &Model, what: &str) -> bool {
    judge_by(Options::default(), state, model, what)
}

fn judge_by(options: Options, state: State, model: &Model, what: &str) -> bool {
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(state));
    match model::read(&disk, options) {
        Ok(found) => {
            assert_eq!(&found, model, "{what}: a wrong answer");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert!(error.to_string().starts_with("journal"), "{what}: {error} names no file");
            true
        }
    }
}

#[test]
fn every_flipped_bit_of_head_synced_and_log_is_detected_or_changes_nothing() {
    let (state, model) = small();
    for name in ["head".to_owned(), "synced".to_owned(), files(&state, ".log").remove(0)] {
        let length = state.files()[&name].len();
        let must_be_detected = name != "synced";
        // Behind the three blocks of the log is blank space, where a reader looks many times before it is sure.
        for bit in (0..length * 8).filter(|bit| bit / 8 < 3 * 512 || bit % 6_007 == 0) {
            let mut flipped = state.clone();
            flipped.content(&name)[bit / 8] ^= 1 << (bit % 8);
            let detected = judge(flipped, &model, &format!("{name}, bit {bit}"));
            assert!(detected || !must_be_detected, "{name}, bit {bit}: not detected");
        }
    }
}

#[test]
fn a_flipped_bit_of_the_last_commit_is_no_tear_even_when_nobody_says_that_it_was_synced() {
    let (mut state, model) = small();
    state.content("synced").fill(0);
    assert!(!judge(state.clone(), &model, "no bit"), "the log alone tells what is in it");
    let log = files(&state, ".log").remove(0);
    for bit in (512 * 8..3 * 512 * 8).step_by(131) {
        let mut flipped = state.clone();
        flipped.content(&log)[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(flipped, &model, &format!("bit {bit}")), "bit {bit}: taken for a tear");
    }
}

#[test]
fn every_flipped_bit_of_a_run_is_detected_or_changes_nothing() {
    let (state, model) = small();
    let runs = files(&state, ".run");
    assert!(runs.len() >= 2, "{runs:?}");
    for name in runs {
        let length = state.files()[&name].len();
        let mut detected = 0;
        // The one large value is all alike; a bit in a hundred of it will do.
        let bits = (0..length * 8).filter(|bit| length < 10_000 || bit % 97 == 0 || bit / 8 > length - 64);
        for bit in bits {
            let mut flipped = state.clone();
            flipped.content(&name)[bit / 8] ^= 1 << (bit % 8);
            let what = format!("{name}, bit {bit}");
            let by_map = judge(flipped.clone(), &model, &what);
            // The same bits are seen, so most of the time may be spared.
            if bit % 13 == 0 {
                let by_copy = judge_by(Options::default().mapped(false), flipped, &model, &what);
                assert_eq!(by_copy, by_map, "{what}: a copy is checked differently");
            }
            detected += u32::from(by_map);
        }
        assert!(detected > 100, "{name}: only {detected} flips were noticed");
    }
}

#[test]
fn a_block_that_is_gone_from_the_log_is_damage_and_a_missing_file_too() {
    let (state, model) = small();
    let log = files(&state, ".log").remove(0);
    for block in 0..3 {
        let mut blanked = state.clone();
        blanked.content(&log)[block * 512..(block + 1) * 512].fill(0);
        assert!(judge(blanked, &model, &format!("block {block}")), "block {block} was synced, and is not missed");
    }
    let mut short = state.clone();
    short.content(&log).truncate(512);
    assert!(judge(short, &model, "short log"));
    for name in files(&state, ".run").into_iter().chain([log]) {
        let disk = FaultDisk::new(state.clone());
        Disk::remove(&disk, &name).expect("removed");
        assert!(judge(disk.state(), &model, &name), "{name} is missing");
    }
}

#[test]
fn damage_in_one_run_leaves_what_is_sound_readable() {
    let (mut state, _) = small();
    let runs = files(&state, ".run");
    let largest = runs.iter().max_by_key(|name| state.files()[*name].len()).expect("there are runs").clone();
    state.content(&largest)[100] ^= 1;
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(state));
    let snapshot = Journal::open(disk, Options::default()).expect("opened").snapshot().expect("read");

    assert_eq!(snapshot.get(b"c").expect("in the log"), Some(vec![3; 10]));
    let error = snapshot.scan(b"").find_map(Result::err).expect("the damage is met");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&largest), "{error} names another file than {largest}");
}

#[test]
fn a_head_that_is_lost_is_not_replaced_by_an_empty_journal() {
    let (state, _) = small();
    let disk = FaultDisk::new(state);
    Disk::remove(&disk, "head").expect("removed");
    let error = Journal::create(Arc::new(disk), Options::default()).expect_err("its runs are there");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_synced_file_that_is_gone_is_made_anew_by_the_next_writer_and_both_that_missed_it_go_on() {
    let (state, model) = small();
    for durable in [true, false] {
        let disk = FaultDisk::new(state.clone());
        Disk::remove(&disk, "synced").expect("removed");
        let open = |disk: &FaultDisk| {
            Journal::open(Arc::new(disk.clone()), Options::default().durable(durable)).expect("its log tells")
        };
        let (one, other) = (open(&disk), open(&disk));
        assert_eq!(model::contents(&one.snapshot().expect("read")).expect("sound"), model, "nothing is lost with it");
        let mut expected = model.clone();
        for (number, journal) in [&one, &other, &one].into_iter().enumerate() {
            let commit = vec![(format!("new {number}").into_bytes(), Some(b"x".to_vec()))];
            model::write(journal, &commit).unwrap_or_else(|error| panic!("durable {durable}, {number}: {error}"));
            model::apply(&mut expected, &commit);
        }
        for journal in [&one, &other, &open(&disk)] {
            assert_eq!(model::contents(&journal.snapshot().expect("read")).expect("sound"), expected);
        }
        assert!(disk.state().files().contains_key("synced"));
    }
}
