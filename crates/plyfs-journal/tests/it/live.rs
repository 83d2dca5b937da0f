//! Asking what is new without a system call, and with one where the options say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_journal::{Access, DirDisk, Disk, Error, Journal, Options};

use crate::watched::{Watch, Watched};

/// How often a file of a disk was read, and how often it was locked.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    reads: AtomicUsize,
    locks: AtomicUsize,
}

impl Watch for Counts {
    fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) {
        self.locks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn locks(&self) -> usize {
        self.locks.load(Ordering::Relaxed)
    }
}

/// A real directory that counts.
pub(crate) fn counting(path: &std::path::Path) -> Arc<Watched<DirDisk, Counts>> {
    let dir = plyfs_sys::fs::open_dir(path).expect("the directory of the journal");
    Arc::new(Watched::new(DirDisk::new(dir), Arc::default()))
}

fn put(journal: &Journal, key: &[u8]) {
    let change = |changes: &mut plyfs_journal::Transaction<'_>| {
        changes.put(key, b"value");
        Ok::<_, Error>(())
    };
    journal.write(change).expect("written");
}

/// How often a reader read a file while it asked a hundred times for the newest state and nothing was new, and whether
/// it saw what was new then.
fn reads_of(options: Options) -> (usize, bool) {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let writer = Journal::create(counting(temp.path()), Options::default()).expect("created");
    put(&writer, b"first");
    let disk = counting(temp.path());
    let reader = Journal::open(disk.clone(), options).expect("opened");
    assert!(reader.snapshot().expect("read").contains(b"first").expect("sound"));
    let before = disk.watch.reads();
    for _ in 0..100 {
        reader.snapshot().expect("read");
    }
    let reads = disk.watch.reads() - before;
    put(&writer, b"second");
    (reads, reader.snapshot().expect("read").contains(b"second").expect("sound"))
}

#[test]
fn a_reader_that_maps_is_told_without_a_read_that_nothing_is_new() {
    assert_eq!(reads_of(Options::default()), (0, true));
    assert_eq!(reads_of(Options::default().read_only(true)), (0, true));
}

#[test]
fn a_reader_that_may_not_map_reads_each_time() {
    assert_eq!(reads_of(Options::default().mapped(false)), (100, true));
}

#[test]
fn a_mixture_of_two_writes_is_not_believed() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let disk = counting(temp.path());
    let writer = Journal::create(disk.clone(), Options::default()).expect("created");
    put(&writer, b"first");
    let reader = Journal::open(counting(temp.path()), Options::default()).expect("opened");
    let file = disk.open("synced", Access::Write).expect("it is there");
    let mut sound = [0; 64];
    file.read_at(&mut sound, 0).expect("read");

    // As a writer leaves it that is stopped half way: more blocks, and the checksum of the fewer.
    let mut mixed = sound;
    mixed[16..24].copy_from_slice(&1000_u64.to_le_bytes());
    file.write_at(&mixed, 0).expect("written");
    let keys = |reader: &Journal| reader.snapshot().expect("read").scan(b"").count();
    assert_eq!(keys(&reader), 1, "what the log holds and no more");

    file.write_at(&sound, 0).expect("written");
    assert_eq!(keys(&reader), 1);
    put(&writer, b"second");
    assert_eq!(keys(&reader), 2);
}
