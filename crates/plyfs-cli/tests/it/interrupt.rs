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

/// Whether the process waits for another one at a pipe.
fn waits_for_a_pipe(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|what| what.contains("pipe"))
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
    assert!(wait_until(PATIENCE, || waits_for_a_pipe(save.id())), "its reader reads nothing");

    interrupt();
    assert!(wait_until(PATIENCE, || is_at_rest(save.id())), "the first is noted");
    assert_eq!(save.try_wait().expect("ours"), None, "it has no step to end at");
    interrupt();
    assert_eq!(save.wait().expect("ours").signal(), Some(2));
}

#[test]
fn root_a_command_says_what_went_wrong_before_it_deletes_what_is_left() {
    plyfs_testkit::require_root!();
    let bench = Bench::with_image();
    let left = bench.store().join("trash/left/by/another");
    fs::create_dir_all(&left).expect("made");
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&[b'.'; 64 << 10]).expect("as much as it holds");
    let mut removal = bench.foreground(["rmi", "nobody"]).stderr(writer).spawn().expect("started");
    assert!(wait_until(PATIENCE, || waits_for_a_pipe(removal.id())), "nobody reads its words");
    assert!(left.exists(), "deleted before a word was said");

    let mut words = String::new();
    io::Read::read_to_string(&mut reader, &mut words).expect("text");
    assert_eq!(removal.wait().expect("ours").code(), Some(3), "{words}");
    assert!(words.contains("nobody"), "{words}");
    assert!(!left.exists(), "still there at the end");
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

/// The command, with each call of this name made slow, so that it can be met half way; the calls are written to a log.
fn slowly(bench: &Bench, call: &str, args: &[&str]) -> Command {
    let command = bench.foreground(args);
    let mut strace = Command::new("strace");
    // The tracer is a grandchild: the process that is started is the command.
    strace.args(["-D", "-f", "-qq", "-o"]).arg(bench.temp.join("calls")).args(["-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:delay_enter=10000")]).current_dir(bench.temp.path());
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

#[test]
fn root_a_signal_ends_a_copy_an_unpacking_and_a_diff_of_trees_which_leave_no_mount_and_nothing_half_written() {
    plyfs_testkit::require_root!();
    plyfs_testkit::require_tool!("strace");
    let bench = Bench::new();
    let content = "x".repeat(100);
    let file = |layer: LayerTar, number: usize| layer.file(format!("many/{number:03}"), &content);
    let layer = (0..300).fold(LayerTar::new().dir("many"), file).finish();
    Plain::new("localhost/many:1", vec![layer]).write_docker_archive(&bench.temp.join("many.tar"));
    bench.ok(["load", "many.tar"]);
    bench.ok(["create", "localhost/many:1", "web-1"]);
    bench.ok(["unpack", "localhost/many:1", "tree"]);
    let empty = bench.temp.dir("empty");
    let calls = || fs::read_to_string(bench.temp.join("calls")).unwrap_or_default().lines().count();

    for (number, call, args, target) in [
        (2, "utimensat", &["unpack", "localhost/many:1", "new"][..], Some("new")),
        (15, "utimensat", &["unpack", "localhost/many:1", "empty"], None),
        (1, "utimensat", &["cp", "web-1:/many", "out"], None),
        (2, "utimensat", &["cp", "tree/many", "web-1:/in"], None),
        (2, "statx", &["diff", "./tree", "localhost/many:1", "-o", "diff.tar"], Some("diff.tar")),
        (2, "flistxattr", &["export", "localhost/many:1", "-o", "all.tar"], Some("all.tar")),
    ] {
        let _ = fs::remove_file(bench.temp.join("calls"));
        let running = Process::spawn(&mut slowly(&bench, call, args));
        assert!(wait_until(PATIENCE, || calls() > 60), "{args:?}: {} {}", calls(), running.words());
        let signal = rustix::process::Signal::from_named_raw(number).expect("a signal");
        let pid = rustix::process::Pid::from_raw(i32::try_from(running.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it lives");

        let ran = running.wait_within(PATIENCE);

        assert_eq!(ran.status.signal(), Some(number), "{args:?}: {}", ran.words());
        assert!(ran.words().contains("cancel"), "{args:?}: {}", ran.words());
        target.into_iter().for_each(|target| assert!(!bench.temp.join(target).exists(), "{args:?} left {target}"));
        assert!(mounts_below(bench.temp.path()).is_empty(), "{args:?}");
    }

    assert!(fs::read_dir(empty).expect("it was there").next().is_none(), "as it was");
    // What a copy replaced could not be given back, so what it has copied stays; each file is whole.
    bench.ok(["cp", "web-1:/in", "back"]);
    for copied in ["out", "back"] {
        let copied: Vec<_> = fs::read_dir(bench.temp.join(copied)).expect("a directory").flatten().collect();
        assert!((1..300).contains(&copied.len()), "{}", copied.len());
        for file in copied {
            assert_eq!(fs::read_to_string(file.path()).expect("readable"), content, "{}", file.path().display());
        }
    }
    assert_eq!(bench.ok(["fsck"]), "");
}
