//! Asking what is new without a system call, and with one where the options say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plyfs_journal::{Access, CallError, DirDisk, Disk, DiskFile, DiskLock, Error, Journal, Live, Map, Options};

type Result<T> = std::result::Result<T, CallError>;

/// A real directory that counts how often a file of it is read, and how often it is locked.
#[derive(Debug)]
pub(crate) struct Counted {
    disk: DirDisk,
    reads: Arc<AtomicUsize>,
    locks: AtomicUsize,
}

#[derive(Debug)]
struct CountedFile {
    file: Box<dyn DiskFile>,
    reads: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) fn new(path: &std::path::Path) -> Arc<Self> {
        let dir = plyfs_sys::fs::open_dir(path).expect("the directory of the journal");
        Arc::new(Self { disk: DirDisk::new(dir), reads: Arc::default(), locks: AtomicUsize::new(0) })
    }

    pub(crate) fn locks(&self) -> usize {
        self.locks.load(Ordering::Relaxed)
    }

    fn counted(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(CountedFile { file, reads: Arc::clone(&self.reads) })
    }
}

impl Disk for Counted {
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>> {
        self.disk.open(name, access).map(|file| self.counted(file))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.counted(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn sync(&self) -> Result<()> {
        self.disk.sync()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        self.locks.fetch_add(1, Ordering::Relaxed);
        self.disk.lock(name)
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(name)
    }
}

impl DiskFile for CountedFile {
    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn map(&self) -> Result<Map> {
        self.file.map()
    }

    fn live(&self) -> Option<Live> {
        self.file.live()
    }
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
    let writer = Journal::create(Counted::new(temp.path()), Options::default()).expect("created");
    put(&writer, b"first");
    let disk = Counted::new(temp.path());
    let reader = Journal::open(disk.clone(), options).expect("opened");
    assert!(reader.snapshot().expect("read").contains(b"first").expect("sound"));
    let before = disk.reads.load(Ordering::Relaxed);
    for _ in 0..100 {
        reader.snapshot().expect("read");
    }
    let reads = disk.reads.load(Ordering::Relaxed) - before;
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
    let disk = Counted::new(temp.path());
    let writer = Journal::create(disk.clone(), Options::default()).expect("created");
    put(&writer, b"first");
    let reader = Journal::open(Counted::new(temp.path()), Options::default()).expect("opened");
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
