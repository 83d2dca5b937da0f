//! Eight threads on one open store: each knows what its own part must hold, and all of it is looked at where they join.

use plyfs::{CheckOptions, Durability, Store};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_torture::inventory;
use plyfs_torture::turn;
use plyfs_torture::worker::Worker;

const THREADS: u64 = 8;

/// How often they join, and how many operations each does until then.
const JOINS: u64 = 4;
const STEPS: u64 = 15;

#[test]
fn root_cve_2024_36621_eight_threads_on_one_store_keep_what_each_was_told() {
    require_root!();
    let dir = TempDir::new();
    let store = Store::options().durability(Durability::None).ensure(dir.join("store")).expect("a new store");
    for join in 0..JOINS {
        let _working = turn::work();
        std::thread::scope(|scope| {
            for slot in 0..THREADS {
                let (store, dir) = (store.clone(), dir.path());
                scope.spawn(move || {
                    let mut worker = Worker::with(store, dir, slot, 100 * join + slot).expect("a worker");
                    worker.steps(STEPS).unwrap_or_else(|e| panic!("thread {slot}, join {join}: {e:#}"));
                });
            }
        });
        for slot in 0..THREADS {
            let worker = Worker::with(store.clone(), dir.path(), slot, 0).expect("a worker");
            worker.verify().unwrap_or_else(|e| panic!("thread {slot}, join {join}: {e:#}"));
        }
        for container in store.containers().expect("listed") {
            container.unmount(plyfs::Unmount::Plain).expect("nobody is inside");
        }
        store.reap().expect("reaped");
        let findings = store.check(CheckOptions::quick()).expect("checked");
        assert!(findings.is_empty(), "join {join}: {findings:?}");
        // The lock file of a lease that expired is there until the next open.
        Store::options().durability(Durability::None).open(store.path()).expect("opened again");
        let strays = inventory::strays(&store).expect("listed");
        assert!(strays.is_empty(), "join {join}: {strays:?}");
    }
}
