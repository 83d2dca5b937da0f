//! Keys of many lengths, found one by one and by what they begin with, wherever in the journal they are.

use std::sync::Arc;

use plyfs_journal::{Disk, Error, Journal, Options, Snapshot};

use crate::damage::files;
use crate::fault_disk::FaultDisk;
use crate::model::{self, Commit, Model, Random};

/// What keys of one group share.
const GROUP: usize = 33;

/// Few enough ids to meet again, some of which differ in their last byte alone.
fn id(random: &mut Random) -> Vec<u8> {
    let number = random.below(60);
    let mut id = vec![b"abc"[usize::try_from(number % 3).expect("small")]];
    id.extend([u8::try_from(number / 6).expect("small"); 31]);
    id.push(u8::try_from(number % 6).expect("small"));
    id
}

/// An id alone, with a short or a long name behind it, or a name that is no id.
fn key(random: &mut Random) -> Vec<u8> {
    let mut key = id(random);
    match random.below(5) {
        0 => {}
        1 => key.truncate(20),
        2 => key.push(b'a'),
        _ => key.extend(format!("name-{}", random.below(30)).bytes()),
    }
    key
}

fn commit(random: &mut Random) -> Commit {
    let change = |random: &mut Random| {
        let length = usize::try_from(random.below(200)).expect("small");
        (key(random), (random.below(4) != 0).then(|| vec![7; length]))
    };
    (0..8).map(|_| change(random)).collect()
}

/// Compares each way of asking with the model: what is there, what was and what never was.
fn compare(snapshot: &Snapshot, model: &Model, random: &mut Random, what: &str) {
    for key in (0..200).map(|_| key(random)).chain(model.keys().cloned()) {
        assert_eq!(snapshot.get(&key).expect("sound").as_ref(), model.get(&key), "{what}: {key:?}");
    }
    for length in [0, 1, 20, GROUP - 1, GROUP, GROUP + 1, GROUP + 5] {
        for _ in 0..100 {
            let mut prefix = key(random);
            prefix.truncate(length);
            let found: Model = snapshot.scan(&prefix).collect::<Result<_, _>>().expect("sound");
            let there = model.iter().filter(|(key, _)| key.starts_with(&prefix));
            assert_eq!(found, there.map(|(k, v)| (k.clone(), v.clone())).collect(), "{what}: prefix {prefix:?}");
            let mut shown = Vec::new();
            let show = |key: &[u8], value: &[u8]| {
                shown.push((key.to_vec(), value.to_vec()));
                Ok::<_, Error>(())
            };
            snapshot.each(&prefix, show).expect("sound");
            assert_eq!(shown, found.into_iter().collect::<Vec<_>>(), "{what}: prefix {prefix:?}, where it lies");
        }
    }
}

/// A journal of several runs and a log, written at random, and what it holds.
fn written() -> (FaultDisk, Model) {
    let disk = FaultDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let journal = Journal::create(shared, Options::default().log_limit(20_000)).expect("created");
    let (mut random, mut model) = (Random::new(33), Model::new());
    for _ in 0..170 {
        let commit = commit(&mut random);
        model::write(&journal, &commit).expect("written");
        model::apply(&mut model, &commit);
    }
    (disk, model)
}

#[test]
fn every_key_and_every_beginning_is_found_in_the_log_and_in_every_run() {
    let (disk, model) = written();
    assert!(files(&disk.state(), ".run").len() > 1, "all in one run");
    for mapped in [true, false] {
        let options = Options::default().read_only(true).mapped(mapped);
        let journal = Journal::open(Arc::new(disk.clone()), options).expect("opened");
        compare(
            &journal.snapshot().expect("read"),
            &model,
            &mut Random::new(1),
            if mapped { "mapped" } else { "copied" },
        );
    }
}

#[test]
fn a_table_that_is_damaged_or_says_that_it_does_not_know_costs_no_answer() {
    let (disk, model) = written();
    let runs = files(&disk.state(), ".run");
    for is_sealed in [false, true] {
        let mut state = disk.state();
        for run in &runs {
            let bytes = state.content(run);
            let end = bytes.len() - 64;
            // The last page before the footer: every bucket full, with a checksum or without.
            let page = &mut bytes[end - 4096..end];
            page[..4032].fill(0xff);
            if is_sealed {
                let checksum = crc32fast::hash(&page[..4092]);
                page[4092..].copy_from_slice(&checksum.to_le_bytes());
            }
        }
        let journal = Journal::open(Arc::new(FaultDisk::new(state)), Options::default()).expect("opened");
        compare(&journal.snapshot().expect("read"), &model, &mut Random::new(2), &format!("sealed: {is_sealed}"));
    }
}
