//! Writers and readers as processes of their own, call by call between each other: cut, killed and failed.
//!
//! Each commit writes its number and notes, while it holds the lock, which commit it saw. So what is found at any time
//! names its history, and must be a history that has every commit that was acknowledged to a writer or shown to a
//! reader before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use plyfs_journal::{Disk, Error, ErrorKind, Journal, Options, Transaction};

use crate::fault_disk::{FaultDisk, Faults, Lie, State};
use crate::model::{self, Commit, Model, Random};
use crate::power::each_cut;
use crate::schedule::{Choice, Schedule, unless_killed};

const LAST: &[u8] = b"last";

/// Small, so that writers start generations under each other.
pub(crate) fn options() -> Options {
    Options::default().log_limit(4 * 512)
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    parent: usize,
    content: Model,
}

/// All that was ever tried, and what has been promised.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) must: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node { parent: 0, content: Model::new() }], must: 0 }
    }

    /// The commit whose state this is.
    fn identify(&self, content: &Model) -> Result<usize, String> {
        let number = content.get(LAST).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        match self.nodes.get(number) {
            Some(node) if node.content == *content => Ok(number),
            _ => Err(format!("a state that no commit {number} made: {:?}", content.keys().collect::<Vec<_>>())),
        }
    }

    fn begin(&mut self, seen: &Model, commit: &Commit) -> Result<usize, String> {
        let parent = self.identify(seen)?;
        let number = self.nodes.len();
        let mut content = seen.clone();
        model::apply(&mut content, commit);
        content.insert(LAST.to_vec(), bytes(number));
        self.nodes.push(Node { parent, content });
        Ok(number)
    }

    fn has(&self, mut node: usize, ancestor: usize) -> bool {
        while node > ancestor {
            node = self.nodes[node].parent;
        }
        node == ancestor
    }

    /// Notes that a commit was acknowledged or shown.
    fn promise(&mut self, node: usize) -> Result<(), String> {
        if self.has(node, self.must) {
            self.must = node;
        } else if !self.has(self.must, node) {
            return Err(format!("{node} was promised, and so was {}, which it does not follow", self.must));
        }
        Ok(())
    }

    fn judge(&self, content: &Model, must: usize) -> Result<usize, String> {
        let found = self.identify(content)?;
        if self.has(found, must) { Ok(found) } else { Err(format!("holds {found}, and {must} was promised")) }
    }
}

fn bytes(number: usize) -> Vec<u8> {
    u16::try_from(number).expect("short histories").to_le_bytes().to_vec()
}

/// What one history is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The commits of each writer.
    pub(crate) writers: Vec<Vec<Commit>>,
    /// How often a reader looks.
    pub(crate) looks: u32,
    /// Whether it opens the journal anew each second time.
    pub(crate) opens: bool,
    pub(crate) faults: Faults,
}

/// One history run to its end: the states of the disk and what was promised at each.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) states: Vec<(State, usize)>,
    /// How many calls of the disk all of it took.
    pub(crate) calls: u64,
    pub(crate) syncs: u64,
}

pub(crate) fn run(history: &History, choice: Choice, kills: Vec<u64>) -> Result<Run, String> {
    let disk = FaultDisk::default();
    drop(Journal::create(Arc::new(disk.clone()), options()).expect("created"));
    run_on(disk, World::new(), history, choice, kills)
}

/// Runs a history on a disk that holds what the world has promised.
pub(crate) fn run_on(
    disk: FaultDisk,
    world: World,
    history: &History,
    choice: Choice,
    kills: Vec<u64>,
) -> Result<Run, String> {
    let schedule = Arc::new(Schedule::new(history.writers.len() + 1, choice, kills));
    let must = world.must;
    let world = Mutex::new(world);
    disk.record();
    disk.acknowledge(must);
    let before = disk.syncs();
    disk.set_faults(history.faults.clone());
    let has_faults = history.faults.failing_sync.is_some();
    let stage = Stage { disk: &disk, world: &world, has_faults };
    let results: Vec<_> = thread::scope(|scope| {
        let mut actors = Vec::new();
        for (me, commits) in history.writers.iter().enumerate() {
            let (disk, schedule, stage) = (disk.actor(&schedule, me), Arc::clone(&schedule), &stage);
            actors.push(scope.spawn(move || schedule.run(me, || stage.writer(&disk, commits))));
        }
        let me = history.writers.len();
        let (disk, schedule, stage) = (disk.actor(&schedule, me), Arc::clone(&schedule), &stage);
        actors.push(scope.spawn(move || schedule.run(me, || stage.reader(&disk, history, &schedule))));
        actors.into_iter().map(|actor| actor.join().expect("no panic")).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    disk.set_faults(Faults::default());
    let world = world.into_inner().unwrap_or_else(PoisonError::into_inner);
    let syncs = disk.syncs() - before;
    Ok(Run { world, states: disk.history(), calls: schedule.calls(), syncs })
}

/// Writes a commit that says which one it saw; the answer is its number.
pub(crate) fn note(world: &Mutex<World>, journal: &Journal, commit: &Commit) -> Result<Result<usize, String>, Error> {
    journal.write(|changes: &mut Transaction<'_>| {
        let seen = changes.scan(b"").collect::<Result<Model, _>>()?;
        let number = world.lock().expect("no panic").begin(&seen, commit);
        if let Ok(number) = number {
            commit.iter().for_each(|(key, value)| match value {
                Some(value) => changes.put(key, value),
                None => changes.delete(key),
            });
            changes.put(LAST, &bytes(number));
        }
        Ok(number)
    })
}

pub(crate) struct Stage<'a> {
    pub(crate) disk: &'a FaultDisk,
    pub(crate) world: &'a Mutex<World>,
    pub(crate) has_faults: bool,
}

impl Stage<'_> {
    pub(crate) fn promise(&self, node: usize) -> Result<(), String> {
        let mut world = self.world.lock().expect("no panic");
        world.promise(node)?;
        self.disk.acknowledge(world.must);
        Ok(())
    }

    fn open(disk: &FaultDisk, journal: &mut Option<Journal>) -> Result<(), Error> {
        if journal.is_none() {
            *journal = Some(Journal::open(Arc::new(disk.clone()), options())?);
        }
        Ok(())
    }

    fn writer(&self, disk: &FaultDisk, commits: &[Commit]) -> Result<(), String> {
        let mut journal = None;
        for commit in commits {
            let wrote = unless_killed(|| -> Result<Result<usize, String>, Error> {
                Self::open(disk, &mut journal)?;
                let journal = journal.as_ref().expect("open");
                note(self.world, journal, commit)
            });
            match wrote {
                Some(Ok(number)) => self.promise(number.map_err(|what| format!("a writer found {what}"))?)?,
                Some(Err(error)) if self.has_faults && matches!(error.kind(), ErrorKind::Io | ErrorKind::Poisoned) => {
                    journal = None;
                }
                Some(Err(error)) => return Err(format!("write: {error}")),
                None => journal = None,
            }
        }
        Ok(())
    }

    fn reader(&self, disk: &FaultDisk, history: &History, schedule: &Schedule) -> Result<(), String> {
        let mut held = None;
        if self.has_faults {
            schedule.hold(true);
            Self::open(disk, &mut held).map_err(|e| format!("open: {e}"))?;
            schedule.hold(false);
        }
        for look in 0..history.looks {
            let found = unless_killed(|| -> Result<Model, Error> {
                if history.opens && look % 2 == 1 {
                    return model::read(&(Arc::new(disk.clone()) as Arc<dyn Disk>), options());
                }
                Self::open(disk, &mut held)?;
                model::contents(&held.as_ref().expect("open").snapshot()?)
            });
            match found {
                Some(Ok(found)) => {
                    let shown = self.world.lock().expect("no panic").identify(&found);
                    self.promise(shown.map_err(|what| format!("a reader found {what}"))?)?;
                }
                Some(Err(error)) => return Err(format!("read: {error}")),
                None if self.has_faults => return Ok(()),
                None => held = None,
            }
        }
        Ok(())
    }
}

/// What was tried already; many schedules leave the same disk.
pub(crate) type Tried = HashSet<u64>;

/// Cuts at every state, recovers, and goes on.
pub(crate) fn survives(run: &Run, random: &mut Random, tried: &mut Tried) -> Result<u64, String> {
    let mut cuts = 0;
    for (step, (state, must)) in run.states.iter().enumerate() {
        each_cut(state, random, |image| {
            let mut hasher = DefaultHasher::new();
            (image.files(), &run.world.nodes[*must].content).hash(&mut hasher);
            if !tried.insert(hasher.finish()) {
                return Ok(());
            }
            cuts += 1;
            recovers(run, *must, image, cuts % 64 == 0).map_err(|what| format!("step {step}: {what}"))
        })?;
    }
    Ok(cuts)
}

/// Reads the image, commits, and reads again; `is_cut_again` after each change that this makes.
///
/// Where a failed sync is marked, a reader believes less than the next writer keeps, never more.
pub(crate) fn recovers(run: &Run, must: usize, image: State, is_cut_again: bool) -> Result<(), String> {
    const AFTER: &[u8] = b"after the crash";
    let fault_disk = FaultDisk::new(image);
    let disk: Arc<dyn Disk> = Arc::new(fault_disk.clone());
    if is_cut_again {
        fault_disk.record();
    }
    let journal = Journal::open(Arc::clone(&disk), options()).map_err(|e| format!("open: {e}"))?;
    let found = journal.snapshot().and_then(|snapshot| model::contents(&snapshot)).map_err(|e| format!("read: {e}"))?;
    let found = run.world.judge(&found, must)?;
    let after = vec![(AFTER.to_vec(), Some(b"x".to_vec()))];
    model::write(&journal, &after).map_err(|e| format!("write: {e}"))?;
    let read = |disk: &Arc<dyn Disk>| {
        let mut content = model::read(disk, options()).map_err(|e| format!("read again: {e}"))?;
        let is_after = content.remove(AFTER).is_some();
        run.world.judge(&content, found).map(|_| is_after)
    };
    if !read(&disk)? {
        return Err("the commit after the crash is not there".to_owned());
    }
    if !is_cut_again {
        return Ok(());
    }
    let mut random = Random::new(must as u64);
    for (state, _) in fault_disk.history() {
        for odds in [0, 4, 8] {
            let image: Arc<dyn Disk> = Arc::new(FaultDisk::new(state.cut(|| random.below(8) < odds)));
            read(&image).map_err(|what| format!("cut in the recovery: {what}"))?;
        }
    }
    Ok(())
}

/// How many histories a test runs: more where a longer run asks for it.
fn histories(usual: u64) -> u64 {
    std::env::var("PLYFS_TEST_HISTORIES").map_or(usual, |text| text.parse().expect("a number of histories"))
}

fn commits(random: &mut Random, count: u64) -> Vec<Commit> {
    (0..count).map(|_| random.commit()).collect()
}

/// A history of two writers and a reader, and its order, from a seed.
fn seeded(seed: u64) -> (History, Choice, Random) {
    let mut random = Random::new(seed);
    let writers = (0..2).map(|_| commits(&mut random, 5)).collect();
    let history = History { writers, looks: 6, opens: true, faults: Faults::default() };
    let choice = Choice::Random(Random::new(seed ^ 0xff), 1 + random.below(6));
    (history, choice, random)
}

#[test]
fn two_writers_between_each_other_lose_nothing_by_a_cut_at_any_point() {
    let (mut cuts, mut tried) = (0, Tried::new());
    for seed in 0..histories(8) {
        let (history, choice, mut random) = seeded(seed);
        let result = run(&history, choice, Vec::new()).and_then(|run| survives(&run, &mut random, &mut tried));
        cuts += result.unwrap_or_else(|what| panic!("history {seed}: {what}"));
    }
    assert!(cuts > 4_000, "only {cuts} cuts were tried");
}

#[test]
fn every_order_of_two_commits_with_one_switch_survives_every_cut() {
    let one = |key: &str| vec![vec![(key.as_bytes().to_vec(), Some(b"v".to_vec()))]];
    let history = History { writers: vec![one("a"), one("b")], ..History::default() };
    let (mut orders, mut tried) = (0, Tried::new());
    let mut random = Random::new(1);
    for first in 1.. {
        let run = run(&history, Choice::At(vec![first]), Vec::new()).unwrap_or_else(|what| panic!("{first}: {what}"));
        survives(&run, &mut random, &mut tried).unwrap_or_else(|what| panic!("{first}: {what}"));
        orders += 1;
        // Later than all calls of the first writer: the order no longer changes.
        if first > 60 {
            break;
        }
    }
    assert!(orders > 30 && tried.len() > 20, "only {orders} orders and {} images", tried.len());
}

#[test]
fn writers_killed_at_any_call_leave_whole_commits_to_the_others_and_to_a_cut() {
    let mut tried = Tried::new();
    for seed in 0..histories(6) {
        let (history, choice, mut random) = seeded(1_000 + seed);
        let kills = (0..4).map(|_| random.below(400)).collect();
        let result = run(&history, choice, kills).and_then(|run| survives(&run, &mut random, &mut tried));
        result.unwrap_or_else(|what| panic!("history {seed}: {what}"));
    }
}

/// A history in which a sync fails and processes are killed. Its reader stays open: one that opens the journal before
/// the writer has marked the failure may see what a cut takes.
fn failing(seed: u64) -> (History, Choice, Random, Vec<u64>) {
    let (history, choice, mut random) = seeded(2_000 + seed);
    let failing_sync = Some(u32::try_from(random.below(14)).expect("small"));
    let faults = Faults { failing_sync, evicts: random.below(2) == 0, ..Faults::default() };
    // Not before the reader is there.
    let kills = (0..random.below(3)).map(|_| 30 + random.below(400)).collect();
    (History { opens: false, faults, ..history }, choice, random, kills)
}

#[test]
fn a_failed_sync_between_two_writers_never_becomes_an_acknowledged_loss() {
    let mut tried = Tried::new();
    for seed in 0..histories(12) {
        let (history, choice, mut random, kills) = failing(seed);
        let result = run(&history, choice, kills).and_then(|run| survives(&run, &mut random, &mut tried));
        result.unwrap_or_else(|what| panic!("history {seed}: {what}"));
    }
}

#[test]
fn the_proof_notices_each_promise_that_the_disk_breaks() {
    let lies = [
        Lie::LogOfZeros,
        Lie::Commit,
        Lie::CommitOf(1),
        Lie::CommitOf(2),
        Lie::Run,
        Lie::Head,
        Lie::NamesBeforeHead,
        Lie::NamesAfterHead,
    ];
    for lie in lies {
        let is_caught = (0..20).any(|seed| {
            let (mut history, choice, mut random) = seeded(3_000 + seed);
            history.faults.lie = Some(lie);
            let kills = (0..3).map(|_| random.below(400)).collect();
            run(&history, choice, kills).and_then(|run| survives(&run, &mut random, &mut Tried::new())).is_err()
        });
        assert!(is_caught, "nobody noticed that {lie:?} is not kept");
    }
}

/// Two writers, of whom the first is killed by a sync that fails, so that nobody learns of it from the journal.
fn unmarked(failing_sync: u32, choice: &Choice, lie: Option<Lie>) -> Result<u64, String> {
    let one = |key: &str| vec![(key.as_bytes().to_vec(), Some(b"v".to_vec()))];
    let faults = Faults { failing_sync: Some(failing_sync), kills: true, lie, ..Faults::default() };
    let history = History { writers: vec![vec![one("a"), one("b")], vec![one("c")]], faults, ..History::default() };
    let run = run(&history, choice.clone(), Vec::new())?;
    survives(&run, &mut Random::new(1), &mut Tried::new())
}

#[test]
fn a_failed_sync_that_nobody_marked_is_heard_by_every_descriptor_that_was_open() {
    // The second writer has appended behind the commit whose sync fails and is about to sync as well.
    let second_sync_of_the_first = 2;
    unmarked(second_sync_of_the_first, &Choice::BeforeSyncs, None).expect("survived");
    let error = unmarked(second_sync_of_the_first, &Choice::BeforeSyncs, Some(Lie::ToldOnce));
    error.expect_err("nobody noticed that one descriptor was not told");
}

#[test]
fn a_failed_sync_that_nobody_marked_is_made_good_by_whoever_opens_the_log_later() {
    let one_after_the_other = Choice::At(Vec::new());
    for failing_sync in 0..2 {
        unmarked(failing_sync, &one_after_the_other, None).expect("survived");
    }
    let error = unmarked(1, &one_after_the_other, Some(Lie::SameBytes));
    error.expect_err("nobody noticed that what was in doubt was not written again");
}

#[test]
fn commits_that_overlap_start_no_generation_and_need_no_sync_but_their_own() {
    let one = |key: usize| vec![(key.to_be_bytes().to_vec(), Some(b"v".to_vec()))];
    let commits: Vec<Commit> = (0..3).map(one).collect();
    let history = History { writers: vec![commits.clone(), Vec::new()], ..History::default() };
    let alone = run(&history, Choice::At(Vec::new()), Vec::new()).expect("survived").syncs;
    assert_eq!(alone, 3, "one sync a commit");
    for seed in 0..20 {
        let history = History { writers: vec![commits[..1].to_vec(), commits[..2].to_vec()], ..History::default() };
        let order = Choice::Random(Random::new(seed), 2);
        let both = run(&history, order, Vec::new()).expect("survived").syncs;
        // One more each, when a process finds commits in doubt as it opens the journal.
        assert!((2..=5).contains(&both), "{both} syncs for three commits");
    }
}
