//! Small real disks, filled until they refuse: which of bytes and inodes ran out, and that nothing else is lost.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plyfs_store::{
    CheckOptions, Container, ContainerOptions, Durability, Error, ErrorKind, Layer, MountOptions, NewImage,
    PruneOptions, Removal, Store,
};
use plyfs_sys::report as told;
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::process::run;
use plyfs_testkit::temp::{Mounted, TempDir};
use plyfs_testkit::{noise, require_root, require_tool};

use crate::names;

const MIB: u64 = 1024 * 1024;

/// What there is little of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scarce {
    Bytes,
    Inodes,
}

/// A file system of its own in an image file; gone at the end.
struct Disk {
    mounted: Mounted,
    _dir: TempDir,
}

impl Disk {
    /// Makes one with about 24 MiB left, or with a few thousand inodes.
    fn new(kind: &str, scarce: Scarce) -> Self {
        let dir = TempDir::new();
        let (image, at) = (dir.join("image"), dir.dir("disk"));
        let (size, options): (u64, &[&str]) = match (kind, scarce) {
            ("ext4", Scarce::Bytes) => (64, &["-q", "-m", "0"]),
            ("ext4", Scarce::Inodes) => (64, &["-q", "-m", "0", "-N", "1024"]),
            ("xfs", Scarce::Bytes) => (300, &["-q"]),
            // One hundredth of the space may become inodes.
            ("xfs", Scarce::Inodes) => (300, &["-q", "-i", "size=2048,maxpct=1"]),
            _ => (128, &["-q", "--mixed"]),
        };
        fs::File::create(&image).and_then(|file| file.set_len(size * MIB)).expect("an image file");
        let _ = run(Command::new(format!("mkfs.{kind}")).args(options).arg(&image)).success();
        let _ = run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)).success();
        let disk = Self { mounted: Mounted::at(&at), _dir: dir };
        if scarce == Scarce::Bytes {
            disk.take(disk.free().0.saturating_sub(24 * MIB));
        }
        disk
    }

    /// Takes this many bytes away.
    fn take(&self, bytes: u64) {
        let ballast = fs::File::create(self.mounted.path().join("ballast")).expect("a file");
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("set aside");
    }

    /// Bytes and inodes left once everything is written back.
    fn free(&self) -> (u64, u64) {
        let root = fs::File::open(self.mounted.path()).expect("open");
        rustix::fs::syncfs(&root).expect("synced");
        let status = rustix::fs::fstatvfs(&root).expect("asked");
        (status.f_bavail * status.f_frsize, status.f_favail)
    }

    fn store(&self) -> PathBuf {
        self.mounted.path().join("store")
    }
}

/// The archive of one load: a few mebibytes in one file, or hundreds of empty files.
fn archive(number: u64, scarce: Scarce) -> Vec<u8> {
    match scarce {
        Scarce::Bytes => LayerTar::new().file("data", noise(number, 3 * MIB as usize + 12_345)).finish(),
        Scarce::Inodes => {
            let names = (0..200).map(|file| format!("{number}-{file}"));
            names.fold(LayerTar::new(), |tar, name| tar.file(&name, b"")).finish()
        }
    }
}

/// Loads an image of one layer upon `parent`.
fn load(store: &Store, parent: &Layer, number: u64, scarce: Scarce) -> Result<(), Error> {
    let mut operation = store.operation()?;
    let applied = operation.apply(&mut archive(number, scarce).as_slice(), Some(parent.id()), None)?;
    let id = operation.blob(format!("{{\"number\":{number}}}").as_bytes())?;
    let names = vec![format!("image:{number}").parse()?];
    let (top, manifest) = (Some(applied.id), None);
    operation.image(NewImage { id, top, manifest, names, built: None, architecture: None, os: None });
    operation.publish()
}

/// Loads until one is refused; the answer is how many were not, and why the last one was.
fn fill(store: &Store, base: &Layer, scarce: Scarce) -> (u64, Error) {
    for number in 0..500 {
        let before = names(store.path());
        if let Err(error) = load(store, base, number, scarce) {
            let left: Vec<_> = names(store.path()).into_iter().filter(|name| !before.contains(name)).collect();
            assert_eq!(left, [""; 0], "load {number} left something after {error:?}");
            return (number, error);
        }
    }
    panic!("the disk is too big");
}

fn running(store: &Store) -> (Layer, Container) {
    let mut operation = store.operation().expect("an operation");
    let bytes = LayerTar::new().file("etc/motd", b"hello").finish();
    let applied = operation.apply(&mut bytes.as_slice(), None, None).expect("applied");
    operation.publish().expect("published");
    let base = store.layer(&applied.id.to_string()).expect("found");
    let options = ContainerOptions::new().name("running".parse().expect("a name"));
    let container = store.create(&base, options).expect("created");
    (base, container)
}

fn check(kind: &str, scarce: Scarce, durability: Durability) {
    let disk = Disk::new(kind, scarce);
    let store = Store::options().durability(durability).ensure(disk.store()).expect("a store");
    let (base, container) = running(&store);
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    fs::write(mount.path().join("log"), noise(1, 100_000)).expect("written");
    let empty = disk.free();
    let name = format!("{kind} {scarce:?} {durability:?}");

    let (loads, error) = fill(&store, &base, scarce);

    let told = told(&error);
    let expected = if scarce == Scarce::Bytes { ErrorKind::NoSpace } else { ErrorKind::NoInodes };
    assert_eq!(error.kind(), expected, "{name}: {told}");
    assert!(told.contains(" bytes and ") && told.contains(" inodes left on the file system of "), "{name}: {told}");
    assert!(loads >= 2, "{name}: {loads} loads were enough to fill it");
    // What the failed load took is back: the others account for what is gone, and the next one fails in the same way.
    let left = disk.free();
    let again = load(&store, &base, loads, scarce).expect_err("still full");
    assert_eq!(again.kind(), expected, "{name}: {again:?}");
    let (bytes, inodes) = disk.free();
    let (slack, of_a_load) = (MIB / 2, (empty.0 - left.0) / loads);
    assert!(bytes + slack > left.0, "{name}: {bytes} bytes of {} are left after another try", left.0);
    assert!(inodes + 64 > left.1, "{name}: {inodes} inodes of {} are left after another try", left.1);
    assert!(of_a_load < 5 * MIB, "{name}: {of_a_load} bytes a load");

    // Whoever runs goes on: reading, and writing where there is something to write to.
    let log = mount.path().join("log");
    fs::File::options().write(true).open(&log).and_then(|file| file.write_all_at(b"still here", 0)).expect("written");
    assert_eq!(&fs::read(&log).expect("read")[..10], b"still here", "{name}");
    assert_eq!(fs::read_to_string(mount.path().join("etc/motd")).expect("read"), "hello", "{name}");
    assert_eq!(store.images().expect("listed").len() as u64, loads, "{name}");
    let findings = store.check(CheckOptions::data()).expect("checked");
    assert_eq!(findings, [], "{name}");

    // What is removed makes room again.
    // Two for one: xfs makes inodes by the chunk, and a chunk may be shared.
    for gone in [0, 1] {
        let image = store.image(&format!("image:{gone}")).expect("found");
        store.remove_image(&image).expect("removed");
    }
    store.reap().expect("reaped");
    load(&store, &base, 10_000, scarce).unwrap_or_else(|e| panic!("{name}: {}", self::told(&e)));
    mount.unmount().expect("unmounted");
    drop((store, container, base));

    // To the last byte: removing must not need what there is none of.
    let store = Store::options().durability(durability).open(disk.store()).expect("opened");
    exhaust(disk.mounted.path());
    if kind == "btrfs" {
        // It writes nothing in place, the journal neither: the refusal says so, and any byte of others' lets it go on.
        let error = store.container("running").and_then(|c| c.remove(Removal::Unmounted)).expect_err("no space at all");
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{name}: {error:?}");
        assert!(self::told(&error).contains(" inodes left on the file system of "), "{name}: {}", self::told(&error));
        fs::remove_file(disk.mounted.path().join("greedy")).expect("removed");
        disk.free();
    }
    store.container("running").and_then(|c| c.remove(Removal::Unmounted)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    store.reap().unwrap_or_else(|e| panic!("{name}: {}", self::told(&e)));
    for image in store.images().expect("listed") {
        store.remove_image(&image).unwrap_or_else(|e| panic!("{name}: {}", self::told(&e)));
    }
    store.prune(PruneOptions::new()).expect("pruned");
    store.reap().expect("reaped");
    let kept = |name: &&String| name.contains('/') && *name != "overlay2/empty";
    assert_eq!(names(store.path()).iter().filter(kept).collect::<Vec<_>>(), ["blobs/sha256", "overlay2/l"], "{name}");
}

/// Writes until not another byte fits.
fn exhaust(disk: &Path) {
    let file = fs::File::create(disk.join("greedy"));
    let Ok(file) = file else { return };
    let mut offset = 0;
    for step in [MIB as usize, 4096, 512] {
        while file.write_all_at(&vec![7; step], offset).and_then(|()| file.sync_data()).is_ok() {
            offset += step as u64;
        }
    }
}

#[test]
fn root_ext4_filled_to_the_last_byte_or_inode_refuses_and_goes_on() {
    require_root!();
    require_tool!("mkfs.ext4", "mount");
    check("ext4", Scarce::Bytes, Durability::FileSystem);
    check("ext4", Scarce::Inodes, Durability::FileSystem);
    check("ext4", Scarce::Bytes, Durability::Files);
}

#[test]
fn root_xfs_filled_to_the_last_byte_or_inode_refuses_and_goes_on() {
    require_root!();
    require_tool!("mkfs.xfs", "mount");
    check("xfs", Scarce::Bytes, Durability::FileSystem);
    check("xfs", Scarce::Inodes, Durability::FileSystem);
}

#[test]
fn root_btrfs_filled_to_the_last_byte_refuses_and_goes_on() {
    require_root!();
    require_tool!("mkfs.btrfs", "mount");
    check("btrfs", Scarce::Bytes, Durability::FileSystem);
}

/// What ext4 does with `errors=remount-ro` once its disk answered wrong: the mount table still says that it takes writes.
#[test]
fn root_a_file_system_that_stopped_writes_after_an_error_is_read_and_its_mounts_end() {
    require_root!();
    require_tool!("mkfs.ext4");
    let disk = Disk::new("ext4", Scarce::Inodes);
    let at = disk.mounted.path();
    let _ = run(Command::new("mount").args(["-o", "remount,errors=remount-ro"]).arg(at)).success();
    let store = Store::ensure(disk.store()).expect("made");
    let (base, container) = running(&store);
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    fs::write(mount.path().join("new"), "kept").expect("written");
    mount.keep();
    drop(store);
    let device = plyfs_testkit::process::output(Command::new("findmnt").args(["-no", "SOURCE"]).arg(at));
    let device = device.trim().rsplit('/').next().expect("a device").to_owned();
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "an error").expect("an error to be told of");

    let store = Store::open(disk.store()).expect("opened");

    assert!(!store.is_writable());
    store.layer(&base.id().to_string()).expect("found").write_archive(std::io::sink()).expect("read");
    let container = store.container("running").expect("found");
    assert_eq!(container.changes().expect("read").count(), 1);
    assert_eq!(store.operation().expect_err("no change").kind(), ErrorKind::ReadOnly);
    container.unmount(plyfs_store::Unmount::Plain).expect("unmounted");
    assert_eq!(container.mounted_at().expect("looked"), None);
}
