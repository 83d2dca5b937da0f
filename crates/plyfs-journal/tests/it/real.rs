//! Journals in real directories, shared by handles and processes.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Error, ErrorKind, Journal, Options};

fn disk(path: &Path) -> Arc<DirDisk> {
    let dir: OwnedFd = plyfs_sys::fs::open_dir(path).expect("the directory of the journal");
    Arc::new(DirDisk::new(dir))
}

fn put(journal: &Journal, key: &str, value: &str) {
    let change = |changes: &mut plyfs_journal::Transaction<'_>| {
        changes.put(key.as_bytes(), value.as_bytes());
        Ok::<_, Error>(())
    };
    journal.write(change).expect("written");
}

fn names(path: &Path) -> Vec<String> {
    let dir = plyfs_sys::fs::open_dir(path).expect("open");
    let entries = plyfs_sys::fs::read_dir(dir).expect("list");
    entries.into_iter().map(|entry| entry.name.into_string().expect("ASCII")).collect()
}

#[test]
fn what_was_written_is_there_when_opened_again() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let journal = Journal::create(disk(temp.path()), Options::default()).expect("created");
    put(&journal, "a", "1");
    put(&journal, "b", &"long".repeat(1000));
    drop(journal);

    let snapshot = Journal::open(disk(temp.path()), Options::default()).expect("opened").snapshot().expect("read");

    assert_eq!(snapshot.get(b"a").expect("sound"), Some(b"1".to_vec()));
    assert_eq!(snapshot.get(b"b").expect("sound"), Some("long".repeat(1000).into_bytes()));
    assert_eq!(snapshot.scan(b"").count(), 2);
}

#[test]
fn creating_twice_is_refused_and_opening_nothing_too() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let absent = Journal::open(disk(temp.path()), Options::default()).expect_err("there is none");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    let journal = Journal::create(disk(temp.path()), Options::default()).expect("created");
    put(&journal, "a", "1");

    let error = Journal::create(disk(temp.path()), Options::default()).expect_err("there is one");

    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(journal.snapshot().expect("read").contains(b"a").expect("sound"), "the first one is untouched");
}

#[test]
fn an_error_in_the_change_writes_nothing() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let journal = Journal::create(disk(temp.path()), Options::default()).expect("created");
    let result: Result<(), Error> = journal.write(|changes| {
        changes.put(b"a", b"1");
        Err(Error::new(ErrorKind::Cancelled, "on second thought"))
    });
    assert_eq!(result.expect_err("passed through").kind(), ErrorKind::Cancelled);
    assert_eq!(journal.snapshot().expect("read").scan(b"").count(), 0);
}

#[test]
fn full_logs_become_runs_that_are_merged_and_removed() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    drop(Journal::create(disk(temp.path()), Options::default()).expect("created"));
    let options = Options::default().log_limit(2048);
    let journal = Journal::open(disk(temp.path()), options).expect("opened");
    let other = Journal::open(disk(temp.path()), options).expect("opened");
    for number in 0..200 {
        put(if number % 3 == 0 { &other } else { &journal }, &format!("key-{number:03}"), &number.to_string());
    }
    let delete = |changes: &mut plyfs_journal::Transaction<'_>| {
        let keys: Vec<_> = changes.scan(b"key-0").collect::<Result<_, _>>()?;
        keys.iter().for_each(|(key, _)| changes.delete(key));
        Ok::<_, Error>(keys.len())
    };
    assert_eq!(journal.write(delete).expect("written"), 100);

    for handle in [&journal, &other, &Journal::open(disk(temp.path()), Options::default()).expect("opened")] {
        let keys: Vec<_> = handle.snapshot().expect("read").scan(b"").map(|e| e.expect("sound").0).collect();
        let expected: Vec<_> = (100..200).map(|number| format!("key-{number}").into_bytes()).collect();
        assert_eq!(keys, expected);
    }
    let names = names(temp.path());
    assert!((1..8).contains(&names.iter().filter(|name| name.ends_with(".run")).count()), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with(".log")).count(), 1, "{names:?}");
}
