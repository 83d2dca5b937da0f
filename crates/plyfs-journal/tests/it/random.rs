//! Random histories of two handles against a map: whatever is written, reopened or merged, the answers agree.

use std::sync::Arc;

use plyfs_journal::{Disk, Journal, Options};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fault_disk::FaultDisk;
use crate::model::{self, Commit, Model};

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Commit),
    Reopen(usize),
    Compare(usize),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(0..3_u8, 0..5), vec(any::<u8>(), 14..20), vec(Just(0_u8), 15..18)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 400..3000)]
}

fn step() -> impl Strategy<Value = Step> {
    let change = (key(), proptest::option::weighted(0.75, value()));
    prop_oneof![
        8 => (0..2_usize, vec(change, 0..8)).prop_map(|(handle, commit)| Step::Write(handle, commit)),
        1 => (0..2_usize).prop_map(Step::Reopen),
        3 => (0..2_usize).prop_map(Step::Compare),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_map_through_any_handle(steps in vec(step(), 1..60), limit in 512..20_000_u64) {
        let options = Options::default().log_limit(limit);
        let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
        // The second one reads runs by copies.
        let open = |handle| Journal::open(Arc::clone(&disk), options.mapped(handle == 0)).expect("opened");
        drop(Journal::create(Arc::clone(&disk), options).expect("created"));
        let mut handles = [open(0), open(1)];
        let mut model = Model::new();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Write(handle, commit) => {
                    model::write(&handles[handle], &commit).expect("written");
                    model::apply(&mut model, &commit);
                }
                Step::Reopen(handle) => handles[handle] = open(handle),
                Step::Compare(handle) => {
                    let snapshot = handles[handle].snapshot().expect("read");
                    prop_assert_eq!(&model::contents(&snapshot).expect("sound"), &model);
                    let prefix = [1];
                    let below: Vec<_> = snapshot.scan(&prefix).map(|entry| entry.expect("sound")).collect();
                    let expected = model.iter().filter(|(key, _)| key.starts_with(&prefix));
                    prop_assert_eq!(below, expected.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>());
                    prop_assert_eq!(snapshot.get(b"\xff no such key").expect("sound"), None);
                    held.push((snapshot, model.clone()));
                }
            }
        }
        for (snapshot, model) in held {
            prop_assert_eq!(model::contents(&snapshot).expect("sound"), model, "a snapshot changed");
        }
    }
}
