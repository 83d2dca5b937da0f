//! A disk that takes writes and loses them when they are written back: whoever wrote is told, and publishes nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use plyfs_store::{CheckOptions, Durability, ErrorKind, NewImage, Operation, Store};
use plyfs_sys::report as told;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::process::run;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::{require_root, require_tool};

use crate::names;

const MIB: u64 = 1024 * 1024;

/// An xfs with a store, in an image file of which only what is used has space, as on a thinly provisioned volume.
///
/// Writes to what was free fail when they are written back, and those to the log and to all else that was there do not. xfs
/// tries those of its own again until there is space.
struct ThinDisk {
    disk: Mounted,
    ram: Mounted,
    _dir: TempDir,
}

impl ThinDisk {
    fn new() -> Self {
        let dir = TempDir::new();
        let ram = Mounted::tmpfs(dir.dir("ram"));
        let (image, at) = (ram.path().join("image"), dir.dir("disk"));
        let file = File::create(&image).expect("an image file");
        // The log has space before anything is written to it.
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 320 * MIB).expect("set aside");
        let _ = run(Command::new("mkfs.xfs").args(["-q", "-K"]).arg(&image)).success();
        let mount = || {
            let _ = run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)).success();
            Mounted::at(&at)
        };
        let disk = mount();
        drop(Store::ensure(at.join("store")).expect("a store"));
        let _ = run(Command::new("fstrim").arg(&at)).success();
        // Unmounting waits until all is discarded.
        drop(disk);
        let status = rustix::fs::statvfs(ram.path()).expect("asked");
        let thin = Self { disk: mount(), ram, _dir: dir };
        thin.resize((status.f_blocks - status.f_bfree) * status.f_frsize);
        thin
    }

    fn open(&self, durability: Durability) -> Store {
        Store::options().durability(durability).open(self.disk.path().join("store")).expect("opened")
    }

    /// From now on there is space.
    fn refill(&self) {
        self.resize(512 * MIB);
    }

    /// How many bytes the disk was asked to write so far, successfully or not.
    fn written(&self) -> u64 {
        let device = fs::metadata(self.disk.path()).expect("mounted").dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).expect("read");
        512 * stat.split_whitespace().nth(6).expect("sectors written").parse::<u64>().expect("a number")
    }

    fn resize(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        let _ = run(Command::new("mount").args(["-o", &options]).arg(self.ram.path())).success();
    }
}

/// Does something once so many bytes were read from it.
struct Then<R, F> {
    archive: R,
    left: u64,
    then: Option<F>,
}

impl<R: Read, F: FnOnce()> Read for Then<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0
            && let Some(then) = self.then.take()
        {
            then();
        }
        let read = self.archive.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

/// An archive of files of 32 KiB with so many mebibytes in all, which are never in memory at once.
///
/// Such files are written back by nobody before a sync.
fn archive(mebibytes: u64) -> impl Read {
    let one = |number| {
        let mut file = LayerTar::new().file(format!("file-{number}"), [7; 32 * 1024]).finish();
        file.truncate(512 + 32 * 1024);
        file
    };
    let mut files = (0..mebibytes * 32).map(one).chain([vec![0; 1024]]);
    let mut file = io::Cursor::new(Vec::new());
    Reading(move |buffer: &mut [u8]| {
        if file.position() == file.get_ref().len() as u64 {
            file = io::Cursor::new(files.next().unwrap_or_default());
        }
        file.read(buffer)
    })
}

/// A function that reads.
struct Reading<F>(F);

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for Reading<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0(buffer)
    }
}

/// Waits until a sync of this process's stores has written so much to the disk, and none goes on.
fn wait_for_early_sync(disk: &ThinDisk, written: u64) {
    let is_one = |task: io::Result<fs::DirEntry>| {
        task.is_ok_and(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "plyfs-sync\n"))
    };
    let since = Instant::now();
    while disk.written() < written || fs::read_dir("/proc/self/task").expect("listed").any(is_one) {
        assert!(since.elapsed() < Duration::from_secs(60), "{} bytes written", disk.written());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Publishes what cannot be; the answer is what was told.
fn refused(operation: Operation) -> String {
    let error = operation.publish().expect_err("its writes were lost");
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    told(&error)
}

/// Loads what the disk takes again, through a handle that was told of lost writes.
fn load_after_all(store: &Store) {
    let mut operation = store.operation().expect("an operation");
    operation.apply(&mut archive(2), None, None).expect("applied");
    operation.publish().expect("published");
    store.reap().expect("what was lost before is not its concern");
    assert_eq!(store.layers().expect("listed").len(), 1);
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}

#[test]
fn root_a_write_that_failed_before_the_early_sync_ended_fails_the_load() {
    require_root!();
    require_tool!("mkfs.xfs", "mount", "fstrim");
    let disk = ThinDisk::new();
    let store = disk.open(Durability::FileSystem);
    let before = names(store.path());
    let written = disk.written();

    // By then a sync has begun. Once it has ended, nothing more is lost.
    let then = || {
        wait_for_early_sync(&disk, written + 100 * MIB);
        disk.refill();
    };
    let mut operation = store.operation().expect("an operation");
    let mut archive = Then { archive: archive(140), left: 131 * MIB, then: Some(then) };
    operation.apply(&mut archive, None, None).expect("nobody was told so far");
    assert!(archive.then.is_none(), "the archive is too short");
    let told = refused(operation);

    assert!(told.contains("syncfs"), "{told}");
    assert_eq!(names(store.path()), before, "after {told}");
    load_after_all(&store);
}

#[test]
fn root_writes_that_were_lost_fail_every_operation_of_one_handle_that_was_going_on() {
    require_root!();
    require_tool!("mkfs.xfs", "mount", "fstrim");
    for durability in [Durability::FileSystem, Durability::Files] {
        let disk = ThinDisk::new();
        let store = disk.open(durability);
        let before = names(store.path());
        let operations = [1, 2, 3].map(|mebibytes| {
            let mut operation = store.operation().expect("an operation");
            operation.apply(&mut archive(mebibytes), None, None).expect("nobody was told so far");
            operation
        });
        // The first sync writes back what the others wrote too.
        for operation in operations {
            let _ = refused(operation);
        }
        disk.refill();

        assert_eq!(names(store.path()), before, "{durability:?}");
        load_after_all(&store);
    }
}

#[test]
fn root_a_blob_that_another_operation_placed_and_nobody_published_is_not_believed() {
    require_root!();
    let fixture = crate::Fixture::new();
    let (store, config) = (&fixture.store, b"{\"config\":1}");
    let publish = |name: &str| {
        let mut operation = store.operation().expect("an operation");
        let (id, names) = (operation.blob(config).expect("staged"), vec![name.parse().expect("a name")]);
        let (top, manifest) = (None, None);
        operation.image(NewImage { id, top, manifest, names, built: None, architecture: None, os: None });
        operation.publish().expect("published");
        store.path().join("blobs/sha256").join(id.hex())
    };
    let id = plyfs_store::Digest::of(config);
    let placed = store.path().join("blobs/sha256").join(id.hex());
    // As long as it should be, and what the disk made of it.
    fs::write(&placed, vec![0; config.len()]).expect("placed");

    assert_eq!(publish("a:1"), placed);
    assert_eq!(fs::read(&placed).expect("read"), config);
    let inode = fs::metadata(&placed).expect("there").ino();
    publish("b:1");
    assert_eq!(fs::metadata(&placed).expect("there").ino(), inode, "one that is published is shared");
    assert_eq!(store.check(CheckOptions::data()).expect("checked"), []);
}
