//! Every pair of verbs that may collide, started at one barrier: in two threads of a process, and in two processes.
//!
//! Each round begins with a store of its own. What both answer must be one of the outcomes that some order of the two
//! explains, and the store must be whole afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;

use plyfs::prelude::*;
use plyfs::{CheckOptions, Durability, Progress, Source, Store};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_torture::inventory;
use plyfs_torture::recipe::Recipe;
use plyfs_torture::turn;
use plyfs_torture::verb::{OWNER, Verb};

/// How often threads race; processes, which are slower to start, a quarter of it.
const ROUNDS: usize = 16;

/// `done`, or the name of the error's kind.
type Answer = String;

fn name(n: u64) -> String {
    Recipe::new(OWNER, n).plain.name
}

fn id(n: u64) -> String {
    Recipe::new(OWNER, n).id()
}

/// A store with image 0, loaded, and what `prepare` makes of it.
fn begin(prepare: fn(&Store)) -> (TempDir, Store) {
    let dir = TempDir::new();
    let store = Store::options().durability(Durability::None).ensure(dir.join("store")).expect("a new store");
    let archive = Recipe::new(OWNER, 0).archive(dir.path(), 0);
    store.load(Source::path(archive).expect("an archive"), Progress::none()).expect("loaded");
    prepare(&store);
    (dir, store)
}

/// Races two verbs again and again; `judge` gets both answers and the store at rest.
fn race(prepare: fn(&Store), pair: [Verb; 2], judge: fn(&Store, [&str; 2])) {
    for round in 0..ROUNDS {
        let (dir, answers) = if round % 4 == 3 { in_processes(prepare, &pair) } else { in_threads(prepare, &pair) };
        let _working = turn::work();
        let store = Store::options().durability(Durability::None).open(dir.join("store")).expect("opened anew");
        store.reap().expect("reaped");
        if pair.iter().any(|verb| matches!(verb, Verb::Rebuild)) {
            std::fs::remove_dir_all(store.path().join("aside")).expect("the old journals are kept there");
        }
        whole(&store, &format!("round {round}: {pair:?} answered {answers:?}"));
        let kinds = answers.each_ref().map(|answer| answer.split(' ').next().expect("a word"));
        judge(&store, kinds);
    }
}

fn in_threads(prepare: fn(&Store), pair: &[Verb; 2]) -> (TempDir, [Answer; 2]) {
    let _working = turn::work();
    let (dir, store) = begin(prepare);
    let answers = threads(dir.path(), &store, pair);
    (dir, answers)
}

fn in_processes(prepare: fn(&Store), pair: &[Verb; 2]) -> (TempDir, [Answer; 2]) {
    let working = turn::work();
    let (dir, store) = begin(prepare);
    drop((store, working));
    let answers = processes(dir.path(), pair);
    (dir, answers)
}

fn threads(dir: &Path, store: &Store, pair: &[Verb; 2]) -> [Answer; 2] {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let racers = pair.each_ref().map(|verb| {
            let barrier = &barrier;
            scope.spawn(move || {
                let go = || {
                    barrier.wait();
                };
                let done = verb.run(store, dir, go);
                done.map_or_else(
                    |error| format!("{} {}", error.kind().name(), plyfs::report(&error)),
                    |()| "done".to_owned(),
                )
            })
        });
        racers.map(|racer| racer.join().expect("a verb does not panic"))
    })
}

fn processes(dir: &Path, pair: &[Verb; 2]) -> [Answer; 2] {
    let mut racers = pair.each_ref().map(|verb| {
        let verb = serde_json::to_string(verb).expect("plain data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plyfs-torture"));
        command.arg("race").arg(dir).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut racer = turn::spawn(&mut command).expect("the program starts");
        let mut said = BufReader::new(racer.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says something");
        assert_eq!(line, "ready\n");
        (racer, said)
    });
    for (racer, _) in &mut racers {
        racer.stdin.as_mut().expect("a pipe").write_all(b"g").expect("it waits for this");
    }
    racers.map(|(mut racer, mut said)| {
        let mut answer = String::new();
        said.read_to_string(&mut answer).expect("it says how it went");
        assert!(racer.wait().expect("it ends").success(), "{answer}");
        answer.trim_end().to_owned()
    })
}

/// Claims that records and directories agree both ways; mounts are ended first.
fn whole(store: &Store, told: &str) {
    for container in store.containers().expect("listed") {
        container.unmount(plyfs::Unmount::Plain).unwrap_or_else(|e| panic!("{told}: {e:?}"));
        container.mount(&plyfs::MountOptions::new()).and_then(plyfs::Mount::unmount).expect("it can be used");
    }
    let findings = store.check(CheckOptions::data()).expect("checked");
    assert!(findings.is_empty(), "{told}: {findings:?}");
    let strays = inventory::strays(store).expect("listed");
    assert!(strays.is_empty(), "{told}: {strays:?}");
}

fn container(store: &Store) {
    let image = store.image(&name(0)).expect("it was loaded");
    let options = plyfs::ContainerOptions::new().name("one".parse().expect("a name"));
    let container = store.create(&image, options).expect("created");
    let mount = container.mount(&plyfs::MountOptions::new()).expect("mounted");
    std::fs::write(mount.path().join("own/new"), "new").expect("written");
    mount.unmount().expect("unmounted");
}

fn nothing(_: &Store) {}

fn images(store: &Store) -> usize {
    store.images().expect("listed").len()
}

#[test]
fn root_two_loads_of_one_image_do_the_work_once() {
    require_root!();
    race(nothing, [Verb::Load { n: 3 }, Verb::Load { n: 3 }], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert_eq!(images(store), 2);
        // Image 3 stands on the base layer of image 0.
        assert_eq!(store.layers().expect("listed").len(), 3);
    });
}

#[test]
fn root_a_load_beside_a_prune_is_whole() {
    require_root!();
    let untag = |store: &Store| store.untag(&name(0).parse().expect("a name")).expect("untagged");
    race(untag, [Verb::Load { n: 3 }, Verb::Prune], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert_eq!(store.image(&name(3)).expect("it was loaded").layers().expect("whole").len(), 2);
        store.image_by_id(&id(0).parse().expect("an id")).expect_err("it had no name");
    });
}

#[test]
fn root_either_a_container_is_created_or_its_image_is_removed() {
    require_root!();
    let create = Verb::Create { name: "one".to_owned(), image: name(0) };
    race(nothing, [create, Verb::RemoveImage { image: name(0) }], |store, answers| {
        let expected = if images(store) == 1 { ["done", "InUse"] } else { ["NotFound", "done"] };
        assert_eq!(answers, expected);
        assert_eq!(store.containers().expect("listed").len(), images(store));
    });
}

#[test]
fn root_a_commit_beside_a_removal_is_whole_or_not_there() {
    require_root!();
    let commit = Verb::Commit { name: "one".to_owned(), image: "race/new:1".to_owned() };
    race(container, [commit, Verb::Remove { name: "one".to_owned() }], |store, answers| {
        let committed = store.image("race/new:1");
        match answers {
            ["done", "done" | "InUse"] => {
                assert_eq!(committed.expect("it was acknowledged").layers().expect("whole").len(), 3);
            }
            ["NotFound", "done"] => drop(committed.expect_err("it was refused")),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.containers().expect("listed").len(), usize::from(answers[1] == "InUse"));
    });
}

#[test]
fn root_either_a_container_is_mounted_or_it_is_removed() {
    require_root!();
    let one = || "one".to_owned();
    race(container, [Verb::Mount { name: one() }, Verb::Remove { name: one() }], |store, answers| {
        let is_there = store.container("one").is_ok();
        assert_eq!(answers, if is_there { ["done", "InUse"] } else { ["NotFound", "done"] });
    });
}

#[test]
fn root_a_name_given_to_an_image_that_is_removed_goes_with_it() {
    require_root!();
    let tag = Verb::Tag { image: name(0), name: "race/new:1".to_owned() };
    race(nothing, [tag, Verb::RemoveImage { image: id(0) }], |store, answers| {
        assert!(matches!(answers, ["done" | "NotFound", "done"]), "{answers:?}");
        assert_eq!(images(store), 0);
        store.image("race/new:1").expect_err("its image is gone");
    });
}

#[test]
fn root_an_image_that_is_saved_is_saved_whole_or_is_gone() {
    require_root!();
    let untag = |store: &Store| store.untag(&name(0).parse().expect("a name")).expect("untagged");
    race(untag, [Verb::Save { image: id(0) }, Verb::Prune], |store, answers| {
        assert!(matches!(answers, ["done" | "NotFound", "done"]), "{answers:?}");
        assert_eq!(images(store), 0);
    });
}

#[test]
fn root_two_reaps_empty_the_trash_once() {
    require_root!();
    let removed = |store: &Store| {
        container(store);
        store.container("one").expect("there").remove(plyfs::Removal::Unmounted).expect("removed");
    };
    race(removed, [Verb::Reap, Verb::Reap], |_, answers| assert_eq!(answers, ["done", "done"]));
}

#[test]
fn root_two_containers_cannot_get_one_name() {
    require_root!();
    let two = |store: &Store| {
        container(store);
        let options = plyfs::ContainerOptions::new().name("two".parse().expect("a name"));
        store.create(plyfs::Parent::Empty, options).expect("created");
    };
    let rename = |from: &str| Verb::Rename { from: from.to_owned(), to: "new".to_owned() };
    race(two, [rename("one"), rename("two")], |store, answers| {
        assert!(matches!(answers, ["done", "Exists"] | ["Exists", "done"]), "{answers:?}");
        assert_eq!(store.containers().expect("listed").len(), 2);
    });
}

#[test]
fn root_a_container_that_two_rename_has_one_of_both_names() {
    require_root!();
    let rename = |to: &str| Verb::Rename { from: "one".to_owned(), to: to.to_owned() };
    race(container, [rename("a"), rename("b")], |store, answers| {
        // Who comes second may have looked it up before or after it had another name.
        assert!(answers.contains(&"done"), "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(*answer, "done" | "NotFound")), "{answers:?}");
        let names: Vec<_> = store.containers().expect("listed").iter().map(|c| c.name().to_string()).collect();
        assert!(names == ["a"] || names == ["b"], "{names:?}");
    });
}

#[test]
fn root_a_repair_beside_other_verbs_takes_nothing_from_them() {
    require_root!();
    race(container, [Verb::Repair, Verb::Load { n: 3 }], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert_eq!(images(store), 2);
    });
    let create = Verb::Create { name: "two".to_owned(), image: name(0) };
    race(container, [Verb::Repair, create], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert_eq!(store.containers().expect("listed").len(), 2);
    });
    let commit = Verb::Commit { name: "one".to_owned(), image: "race/new:1".to_owned() };
    race(container, [Verb::Repair, commit], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert_eq!(store.image("race/new:1").expect("committed").layers().expect("whole").len(), 3);
    });
    race(container, [Verb::Repair, Verb::Remove { name: "one".to_owned() }], |store, answers| {
        assert_eq!(answers, ["done", "done"]);
        assert!(store.containers().expect("listed").is_empty());
    });
}

#[test]
fn root_two_rebuilds_of_a_store_lose_no_layer() {
    require_root!();
    let damage = |store: &Store| std::fs::write(store.path().join("journal/head"), "garbage").expect("damaged");
    race(damage, [Verb::Rebuild, Verb::Rebuild], |store, answers| {
        // Who comes second finds a sound journal.
        assert!(matches!(answers, ["done", "InvalidInput"] | ["InvalidInput", "done"]), "{answers:?}");
        assert_eq!(store.layers().expect("listed").len(), 2);
        assert_eq!(
            store.image_by_id(&id(0).parse().expect("an id")).expect("found again").layers().expect("whole").len(),
            2
        );
    });
}
