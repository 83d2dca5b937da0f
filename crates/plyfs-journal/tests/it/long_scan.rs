//! Scans of more than is kept in memory at a time.

use std::sync::Arc;

use plyfs_journal::{DirDisk, Error, Journal, Options};

#[test]
fn a_scan_lets_go_of_what_it_has_passed_and_every_byte_is_there_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(DirDisk::new(plyfs_sys::fs::open_dir(temp.path()).expect("opened")));
    let journal = Journal::create(disk, Options::default().durable(false)).expect("created");
    let key = |number: u32| format!("k{number:08}").into_bytes();
    let value = |number: u32| vec![number as u8; 1000];
    // Four megabytes in a run, and one commit behind it that makes the log one.
    for first in (0..4000).step_by(1000) {
        let written = journal.write(|changes| {
            (first..first + 1000).for_each(|number| changes.put(&key(number), &value(number)));
            Ok::<_, Error>(())
        });
        written.expect("written");
    }
    let snapshot = journal.snapshot().expect("a state");
    let mut other = snapshot.scan(b"k");
    let first = other.next().expect("an entry").expect("sound");

    for _ in 0..2 {
        let all: Vec<_> = snapshot.scan(b"k").map(|entry| entry.expect("sound")).collect();
        assert!(all.iter().cloned().eq((0..4000).map(|number| (key(number), value(number)))), "{} entries", all.len());
    }
    assert_eq!(first, (key(0), value(0)));
    assert_eq!(other.filter(Result::is_ok).count(), 3999, "a scan beside them goes on");
    assert_eq!(snapshot.get(&key(17)).expect("read"), Some(value(17)));
}
