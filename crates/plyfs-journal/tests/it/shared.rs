//! Many writers and readers at once: threads with handles of their own, and processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plyfs_journal::{DirDisk, Disk, Error, ErrorKind, Journal, Options, Transaction};

use crate::fault_disk::{FaultDisk, Faults};

/// Small, so that writers start generations under each other and under readers.
fn open(path: &Path) -> Journal {
    let dir = plyfs_sys::fs::open_dir(path).expect("the directory of the journal");
    Journal::open(Arc::new(DirDisk::new(dir)), Options::default().log_limit(2048)).expect("opened")
}

fn created() -> tempfile::TempDir {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = plyfs_sys::fs::open_dir(temp.path()).expect("open");
    Journal::create(Arc::new(DirDisk::new(dir)), Options::default().log_limit(2048)).expect("created");
    temp
}

/// Adds one to a shared counter and writes a key of one's own, both or neither.
fn count(journal: &Journal, who: &str, number: u32) {
    let change = |changes: &mut Transaction<'_>| {
        let before =
            changes.get(b"count")?.map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
        changes.put(b"count", &(before + 1).to_le_bytes());
        changes.put(format!("by/{who}/{number:04}").as_bytes(), &[b'x'; 100]);
        Ok::<_, Error>(())
    };
    journal.write(change).expect("written");
}

/// Reads the counter and the keys in one snapshot; they must agree.
fn observe(journal: &Journal) -> u32 {
    let snapshot = journal.snapshot().expect("a reader is never refused");
    let count = snapshot.get(b"count").expect("sound");
    let count = count.map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let keys: Vec<_> = snapshot.scan(b"by/").map(|entry| entry.expect("sound")).collect();
    assert_eq!(keys.len(), count as usize, "half a commit was seen");
    count
}

#[test]
fn handles_of_many_threads_lose_nothing_and_readers_only_see_more() {
    const WRITERS: u32 = 6;
    const EACH: u32 = 40;
    let temp = created();
    // Two threads share a handle, and hand its lock to each other.
    let journals: Vec<_> = (0..WRITERS / 2).map(|_| open(temp.path())).collect();
    thread::scope(|scope| {
        for (who, journal) in (0..WRITERS).zip(journals.iter().cycle()) {
            scope.spawn(move || (0..EACH).for_each(|number| count(journal, &who.to_string(), number)));
        }
        let reader = open(temp.path());
        let path = temp.path();
        scope.spawn(move || {
            let (mut last_held, mut last_fresh) = (0, 0);
            while last_held < WRITERS * EACH {
                let held = observe(&reader);
                assert!(held >= last_held, "went back from {last_held} to {held}");
                let fresh = observe(&open(path));
                assert!(fresh >= held.max(last_fresh), "a later reader sees less");
                (last_held, last_fresh) = (held, fresh);
            }
        });
    });
    assert_eq!(observe(&open(temp.path())), WRITERS * EACH);
}

#[test]
fn threads_that_wait_at_once_share_syncs_and_each_learns_of_a_failed_one() {
    const THREADS: u32 = 8;
    const EACH: u32 = 20;
    let disk = FaultDisk::default();
    let journal = Journal::create(Arc::new(disk.clone()), Options::default()).expect("created");
    disk.set_faults(Faults { slowness: Duration::from_millis(2), ..Faults::default() });
    let before = disk.syncs();
    thread::scope(|scope| {
        for who in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || (0..EACH).for_each(|number| count(journal, &who.to_string(), number)));
        }
    });
    assert_eq!(observe(&journal), THREADS * EACH);
    let syncs = disk.syncs() - before;
    assert!(syncs < u64::from(THREADS * EACH) * 3 / 4, "{syncs} syncs for {} commits", THREADS * EACH);

    disk.set_faults(Faults { failing_sync: Some(0), slowness: Duration::from_millis(50), ..Faults::default() });
    let failed: Vec<bool> = thread::scope(|scope| {
        let write = |key: u32| {
            let change = move |changes: &mut Transaction<'_>| {
                changes.put(&key.to_le_bytes(), b"");
                Ok::<_, Error>(())
            };
            journal.write(change).is_err()
        };
        let threads: Vec<_> = (0..THREADS).map(|key| scope.spawn(move || write(key))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(failed, [true; THREADS as usize], "a commit behind a failed sync was acknowledged");
    assert_eq!(observe(&journal), THREADS * EACH, "what is in doubt is not shown");
}

/// What a child process of the tests is told by its environment.
const PATH: &str = "PLYFS_JOURNAL_TEST_PATH";
const WHO: &str = "PLYFS_JOURNAL_TEST_WHO";

/// Not a test of its own: with the variables above it is the program that the next tests start.
#[test]
fn child_writes_until_it_is_done() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let who = std::env::var(WHO).expect("set with the path");
    let journal = open(path.as_ref());
    (0..100).for_each(|number| count(&journal, &who, number));
}

fn child(path: &Path, who: &str) -> Child {
    Command::new(std::env::current_exe().expect("the test program"))
        .args(["--exact", "shared::child_writes_until_it_is_done"])
        .env(PATH, path)
        .env(WHO, who)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

#[test]
fn processes_that_append_at_once_lose_nothing() {
    let temp = created();
    let mut children: Vec<_> = (0..3).map(|who| child(temp.path(), &who.to_string())).collect();
    for child in &mut children {
        assert!(child.wait().expect("waited").success(), "a writer failed");
    }
    assert_eq!(observe(&open(temp.path())), 300);
}

#[test]
fn a_killed_process_leaves_whole_commits_and_no_lock() {
    let temp = created();
    for round in 0..12 {
        let before = observe(&open(temp.path()));
        let mut child = child(temp.path(), &format!("round-{round}"));
        while child.try_wait().expect("asked").is_none() && observe(&open(temp.path())) < before + 3 + round * 5 {}
        let _ = child.kill();
        child.wait().expect("waited");

        let left = observe(&open(temp.path()));
        count(&open(temp.path()), &format!("after-{round}"), 0);
        assert_eq!(observe(&open(temp.path())), left + 1, "the next writer goes on where the killed one was");
    }
}

#[test]
fn reading_only_creates_and_changes_nothing_and_still_sees_what_others_write() {
    let temp = created();
    let writer = open(temp.path());
    count(&writer, "writer", 0);
    std::fs::remove_file(temp.path().join("lock")).expect("the lock file is there");
    let dir = plyfs_sys::fs::open_dir(temp.path()).expect("open");
    let reader = Journal::open(Arc::new(DirDisk::new(dir)), Options::default().read_only(true)).expect("opened");
    assert_eq!(observe(&reader), 1);

    let error = reader.write(|_: &mut Transaction<'_>| Ok::<_, Error>(())).expect_err("open for reading");

    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    assert!(!temp.path().join("lock").exists(), "a reader made a lock file");
    count(&writer, "writer", 1);
    assert_eq!(observe(&reader), 2);
}

#[test]
fn a_lock_file_that_is_removed_while_it_is_held_ends_the_commit_and_not_the_journal() {
    let temp = created();
    let (one, other) = (open(temp.path()), open(temp.path()));
    count(&one, "one", 0);

    let result = one.write(|changes| {
        std::fs::remove_file(temp.path().join("lock")).expect("removed");
        count(&other, "other", 0);
        changes.put(b"count", b"lost");
        Ok::<_, Error>(())
    });

    assert_eq!(result.expect_err("the lock kept nobody out").kind(), ErrorKind::Conflict);
    assert_eq!(observe(&one), 2, "what the other wrote is untouched");
    count(&one, "one", 1);
    assert_eq!(observe(&other), 3);
}

#[test]
fn whoever_merges_keeps_nobody_from_committing_and_is_made_up_for_later() {
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
    let journal = Journal::create(Arc::clone(&disk), Options::default().log_limit(1024)).expect("created");
    let runs = || disk.list().expect("listed").iter().filter(|name| name.ends_with(".run")).count();
    let held = journal.snapshot().expect("read");
    let merging = disk.try_lock("merging").expect("asked").expect("free");

    (0..40).for_each(|number| count(&journal, "one", number));

    assert!(runs() > 8, "someone else merges, and {} runs are there", runs());
    assert_eq!(observe(&journal), 40);
    drop(merging);
    (40..50).for_each(|number| count(&journal, "one", number));
    assert!(runs() < 4, "{} runs are left", runs());
    assert_eq!(observe(&journal), 50);
    assert_eq!(held.scan(b"").count(), 0, "a snapshot does not change");
}
