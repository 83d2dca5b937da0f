//! Syncs in turn on btrfs, where two at once would not both be waited for.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Error, Journal, Options};
use plyfs_sys::lock::{Lock, Sharing};
use plyfs_testkit::{require_root, require_tool};

/// A btrfs in a file, unmounted when it is dropped.
struct Btrfs {
    dir: tempfile::TempDir,
}

impl Btrfs {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (image, at) = (dir.path().join("image"), dir.path().join("mnt"));
        fs::create_dir(&at).expect("made");
        File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("a sparse file");
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &at]));
        Self { dir }
    }

    fn journal(&self) -> std::path::PathBuf {
        let journal = self.dir.path().join("mnt/journal");
        fs::create_dir_all(&journal).expect("made");
        journal
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.dir.path().join("mnt")));
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("started");
    assert!(status.success(), "{command:?}: {status}");
}

fn disk(path: &Path) -> Arc<DirDisk> {
    let dir: OwnedFd = plyfs_sys::fs::open_dir(path).expect("the directory of the journal");
    Arc::new(DirDisk::new(dir))
}

/// Whether somebody waits for a lock of this file, as proc_locks(5) shows it.
fn is_waited_for(inode: u64) -> bool {
    let locks = fs::read_to_string("/proc/locks").expect("read");
    locks.lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
}

#[test]
fn root_a_commit_on_btrfs_waits_until_no_other_process_syncs() {
    require_root!();
    require_tool!("mkfs.btrfs", "mount");
    let btrfs = Btrfs::new();
    let path = btrfs.journal();
    let journal = Journal::create(disk(&path), Options::default()).expect("created");
    let dir = plyfs_sys::fs::open_dir(&path).expect("open");
    let inode = fs::metadata(&path).expect("it is there").ino();

    // As another process has it while it syncs.
    let turn = Lock::take(dir, Sharing::Exclusive).expect("nobody syncs");
    let sees_it = || journal.snapshot().expect("read").contains(b"key").expect("sound");
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| {
            journal.write(|changes| {
                changes.put(b"key", b"value");
                Ok::<_, Error>(())
            })
        });
        while !is_waited_for(inode) {
            assert!(!commit.is_finished(), "synced out of turn");
            std::thread::yield_now();
        }
        assert!(!sees_it(), "not safe yet");
        turn.release();
        commit.join().expect("no panic").expect("written");
    });
    assert!(sees_it());
}
