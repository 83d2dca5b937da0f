//! Runs that were written wrong, with right checksums: told, and written anew from what they hold.

use std::sync::Arc;

use plyfs_journal::{Disk, Journal, Options, Salvage};
use plyfs_testkit::journal::empty_table;

use crate::damage::{files, small};
use crate::fault_disk::FaultDisk;
use crate::model;

#[test]
fn a_run_whose_table_is_wrong_is_told_by_whoever_asks_for_all_and_written_anew() {
    let (mut state, model) = small();
    let run = files(&state, ".run").into_iter().max_by_key(|run| state.content(run).len()).expect("there are runs");
    empty_table(state.content(&run));
    let disk = FaultDisk::new(state);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let journal = Journal::open(Arc::clone(&shared), Options::default()).expect("its checksums are right");
    let snapshot = journal.snapshot().expect("read");
    let told: Vec<_> = snapshot.misleading().iter().map(ToString::to_string).collect();
    let place = format!("journal file {run}, offset ");
    assert!(
        told.len() == 1 && told[0].starts_with(&place) && told[0].ends_with("the table does not find key big"),
        "{told:?}"
    );
    let salvage = Salvage::read(&shared).expect("read");
    let damage: Vec<_> = salvage.damage().iter().map(ToString::to_string).collect();
    assert_eq!(damage, [format!("{}; nothing is given up", told[0])]);
    assert!(salvage.is_whole(), "every entry could be read");

    journal.rewrite_runs().expect("written anew");

    let again = journal.snapshot().expect("read");
    assert_eq!(again.misleading().len(), 0);
    assert_eq!(model::contents(&again).expect("read"), model);
    assert!(model.iter().all(|(key, value)| again.get(key).expect("read").as_ref() == Some(value)), "each is found");
    let left = files(&disk.state(), ".run");
    assert!(left.len() == 1 && left[0] != run, "{left:?}");
    let opened = Journal::open(shared, Options::default()).expect("opened").snapshot().expect("read");
    assert_eq!(model::contents(&opened).expect("read"), model);
}

#[test]
fn a_run_with_a_damaged_block_is_not_written_anew_without_it() {
    let (mut state, _) = small();
    for run in files(&state, ".run") {
        state.content(&run)[40] ^= 1;
    }
    let disk = FaultDisk::new(state);
    let before = disk.state().files();
    let journal = Journal::open(Arc::new(disk.clone()), Options::default()).expect("opened");

    let error = journal.rewrite_runs().expect_err("it would be lost");

    assert!(error.to_string().contains(".run, offset "), "{error}");
    assert_eq!(disk.state().files(), before);
}
