//! Ctrl-C in the middle of a check: it ends at the next thing it looks at, with a code of its own, and leaves nothing.

use std::fs::{self, File};
use std::time::Duration;

use plyfs_testkit::process::{Process, wait_until};
use plyfs_testkit::temp::mounts_below;
use plyfs_testkit::tree::Tree;

use crate::bench::Bench;

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
        let check = Process::spawn(&mut bench.command(args));
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
