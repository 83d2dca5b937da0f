//! Ctrl-C in the middle of long work: it ends at its next step and leaves nothing, a check with a code of its own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::{Process, wait_until};
use plyfs_testkit::temp::mounts_below;
use plyfs_testkit::tree::{Field, Options, Tree, assert_same_trees};

use crate::bench::{Bench, PLYFS};

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the process waits for a lock of flock(2) that another one holds.
fn waits_for_a_lock(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").expect("procfs is mounted");
    let pid = pid.to_string();
    locks.lines().any(|line| line.contains("->") && line.split_whitespace().any(|word| word == pid))
}

/// Whether no signal waits for the process and all its threads sleep: what was sent was taken and noted.
fn is_at_rest(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let statuses =
        tasks.map(|task| fs::read_to_string(task.expect("listed").path().join("status")).unwrap_or_default());
    statuses.into_iter().all(|status| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let is_pending = field("ShdPnd:").chars().chain(field("SigPnd:").chars()).any(|digit| digit != '0');
        field("State:").starts_with('S') && !is_pending
    })
}

#[test]
fn root_ctrl_c_ends_a_check_of_all_content_with_its_own_code_and_leaves_nothing() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    for args in [&["fsck", "--data"][..], &["fsck", "--data", "--repair"]] {
        let before = Tree::of(bench.store());
        // Held from removal by readers, and from readers by this: the check stops at the first layer it would read.
        let layers: Vec<_> = bench.ok(["--quiet", "layers"]).lines().map(str::to_owned).collect();
        let held = layers.iter().map(|layer| {
            let tree = File::open(bench.store().join("overlay2").join(layer).join("diff")).expect("a layer's tree");
            tree.lock().expect("nobody reads it");
            tree
        });
        let held: Vec<_> = held.collect();
        let check = Process::spawn(&mut bench.foreground(args));
        assert!(wait_until(PATIENCE, || waits_for_a_lock(check.id())), "{args:?}: {}", check.words());

        check.interrupt();
        assert!(wait_until(PATIENCE, || is_at_rest(check.id())), "{args:?}: {}", check.words());
        drop(held);

        let ran = check.wait_within(PATIENCE).code(32);
        assert_eq!(ran.text(), "", "{args:?}: nothing was found so far");
        assert!(ran.words().contains("cancelled"), "{args:?}: {}", ran.words());
        assert_eq!(Tree::of(bench.store()), before, "{args:?}");
        assert!(mounts_below(&bench.store()).is_empty());
    }
    assert_eq!(bench.ok(["fsck", "--data"]), "");
}

/// Whether something is staged in the store.
fn is_staging(bench: &Bench) -> bool {
    fs::read_dir(bench.store().join("staging")).is_ok_and(|mut entries| entries.next().is_some())
}

#[test]
fn root_a_signal_ends_a_load_which_leaves_nothing_and_the_program_ends_by_that_signal() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let archive = fs::read(bench.temp.join("app.tar")).expect("readable");
    for number in [2, 15] {
        let before = Tree::of(bench.store());
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(&archive[..archive.len() / 2]).expect("it fits");
        let load = Process::spawn_reading(&mut bench.foreground(["load"]), reader);
        assert!(wait_until(PATIENCE, || is_staging(&bench)), "{}", load.words());

        if number == 2 {
            load.interrupt()
        } else {
            load.terminate()
        }
        let ran = load.wait_within(PATIENCE);
        assert_eq!(ran.status.signal(), Some(number), "{}", ran.words());
        assert!(ran.words().contains("cancelled"), "{}", ran.words());
        assert_eq!(ran.text(), "");
        let options = Options::new().ignoring(Field::Mtime);
        assert_same_trees(&before, &Tree::of(bench.store()), &options);
    }
}

#[test]
fn root_a_second_signal_ends_a_save_that_nobody_reads() {
    plyfs_testkit::require_root!();
    let bench = Bench::new();
    let layer = LayerTar::new().file("large", vec![b'x'; 1 << 20]).finish();
    Plain::new("localhost/large:1", vec![layer]).write_docker_archive(&bench.temp.join("large.tar"));
    bench.ok(["load", "large.tar"]);
    let (_reader, writer) = io::pipe().expect("a pipe");
    let mut save = bench.foreground(["save", "localhost/large:1", "-o", "-"]).stdout(writer).spawn().expect("started");
    let pid = rustix::process::Pid::from_child(&save);
    let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
    let waits_to_write =
        || fs::read_to_string(format!("/proc/{}/wchan", save.id())).is_ok_and(|what| what.contains("pipe"));
    assert!(wait_until(PATIENCE, waits_to_write), "its reader reads nothing");

    interrupt();
    assert!(wait_until(PATIENCE, || is_at_rest(save.id())), "the first is noted");
    assert_eq!(save.try_wait().expect("ours"), None, "it has no step to end at");
    interrupt();
    assert_eq!(save.wait().expect("ours").signal(), Some(2));
}

#[test]
fn root_a_signal_that_the_program_was_started_to_ignore_stays_ignored() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let archive = fs::read(bench.temp.join("app.tar")).expect("readable");
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh", PLYFS, "--root"]).arg(bench.store()).arg("load");
    let load = Process::spawn_reading(&mut shell, reader);
    assert!(wait_until(PATIENCE, || is_staging(&bench)), "{}", load.words());

    load.interrupt();
    writer.write_all(&archive).expect("it reads");
    drop(writer);
    assert_eq!(load.wait_within(PATIENCE).success().text(), "localhost/app:1");
}
