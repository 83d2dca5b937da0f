//! Calls that fail: the commit is whole or absent, and nothing is built on what is in doubt.

use std::sync::Arc;

use plyfs_journal::{Disk, ErrorKind, Journal, Options};

use crate::fault_disk::{FaultDisk, Faults};
use crate::model::{self, Commit, Model, Random};

fn options() -> Options {
    Options::default().log_limit(3 * 512)
}

fn created() -> (FaultDisk, Arc<dyn Disk>) {
    let disk = FaultDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    drop(Journal::create(Arc::clone(&shared), options()).expect("created"));
    (disk, shared)
}

fn commits(count: usize) -> Vec<Commit> {
    let mut random = Random::new(3);
    (0..count).map(|_| random.commit()).collect()
}

#[test]
fn a_failed_sync_poisons_the_handle_and_nothing_acknowledged_is_lost_by_a_cut() {
    let commits = commits(10);
    for failing in 0.. {
        let (disk, shared) = created();
        let journal = Journal::open(Arc::clone(&shared), options()).expect("opened");
        disk.set_faults(Faults { failing_sync: Some(failing), ..Faults::default() });
        let mut model = Model::new();
        let failed = commits.iter().position(|commit| {
            let result = model::write(&journal, commit);
            if result.is_ok() {
                model::apply(&mut model, commit);
            }
            result.is_err()
        });
        let Some(failed) = failed else {
            assert!(failing > 10, "the history has more than one sync a commit");
            return;
        };
        disk.set_faults(Faults::default());
        let seen = model::contents(&journal.snapshot().expect("readable")).expect("sound");
        assert_eq!(seen, model, "sync {failing}: the handle shows what was not acknowledged");

        // By another handle, which must not trust the log: what is in doubt is either in or out, for good.
        let other = Journal::open(Arc::clone(&shared), options()).expect("opened");
        let last = vec![(b"last".to_vec(), Some(b"1".to_vec()))];
        model::write(&other, &last).expect("another handle may write");
        let found = model::contents(&other.snapshot().expect("readable")).expect("sound");
        let mut without = model.clone();
        model::apply(&mut without, &last);
        let mut with = model;
        model::apply(&mut with, &commits[failed]);
        model::apply(&mut with, &last);
        assert!(found == without || found == with, "sync {failing}: half a commit");

        // The failed sync dropped pages that later syncs do not write: only a copy saves them.
        let after_cut: Arc<dyn Disk> = Arc::new(FaultDisk::new(disk.state().cut(|| false)));
        assert_eq!(model::read(&after_cut, options()).expect("opened"), found, "sync {failing}: lost by a cut");
    }
}

#[test]
fn a_poisoned_handle_writes_nothing_more() {
    let (disk, shared) = created();
    let journal = Journal::open(shared, Options::default()).expect("opened");
    let commits = commits(2);
    model::write(&journal, &commits[0]).expect("written");
    disk.set_faults(Faults { failing_sync: Some(0), ..Faults::default() });
    assert_eq!(model::write(&journal, &commits[1]).expect_err("the sync fails").kind(), ErrorKind::Io);
    let before = disk.state().files();

    let error = model::write(&journal, &commits[1]).expect_err("poisoned");

    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert_eq!(disk.state().files(), before, "something was written");
}

#[test]
fn a_reader_believes_nothing_beyond_a_failed_sync_until_a_writer_has_decided() {
    let (disk, shared) = created();
    let journal = Journal::open(Arc::clone(&shared), options()).expect("opened");
    let put = |key: &str| vec![(key.as_bytes().to_vec(), Some(Vec::new()))];
    model::write(&journal, &put("a")).expect("written");
    disk.set_faults(Faults { failing_sync: Some(0), ..Faults::default() });
    model::write(&journal, &put("b")).expect_err("the sync fails");

    let fresh = model::read(&shared, options().read_only(true)).expect("opened");

    assert_eq!(fresh.keys().collect::<Vec<_>>(), [b"a"], "the disk may not have b");
}

#[test]
fn a_full_disk_at_any_write_leaves_the_journal_as_it_was_and_writable() {
    let commits = commits(10);
    for failing in 0.. {
        let (disk, shared) = created();
        let journal = Journal::open(Arc::clone(&shared), options()).expect("opened");
        disk.set_faults(Faults { failing_write: Some(failing), ..Faults::default() });
        let mut model = Model::new();
        let mut in_doubt = None;
        let mut failures = 0;
        for commit in &commits {
            match model::write(&journal, commit) {
                Ok(()) => model::apply(&mut model, commit),
                Err(error) => {
                    failures += 1;
                    // Durable but not published: the next writer keeps it.
                    in_doubt = in_doubt.or(Some(commit));
                    assert!(matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Poisoned), "{failing}: {error}");
                }
            }
            let found = model::contents(&journal.snapshot().expect("readable")).expect("sound");
            assert_eq!(found, model, "write {failing}: not as before");
        }
        if failing > 100 {
            assert_eq!(failures, 0, "the history has fewer writes");
            return;
        }
        disk.set_faults(Faults::default());
        let fresh = Journal::open(Arc::clone(&shared), options()).expect("opened");
        let last = vec![(b"last".to_vec(), Some(Vec::new()))];
        model::write(&fresh, &last).expect("there is space again");
        let found = model::read(&shared, options()).expect("opened");
        let mut with = model.clone();
        // Where the write that failed was of the log itself, the next commit succeeds, and it is not there.
        if failures > 1 || in_doubt == commits.last() {
            in_doubt.iter().for_each(|commit| model::apply(&mut with, commit));
        }
        model::apply(&mut model, &last);
        model::apply(&mut with, &last);
        assert!(found == model || found == with, "write {failing}");
    }
}
