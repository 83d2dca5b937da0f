//! Starts workers on one store, kills them at random instants, watches the store meanwhile, and judges what is left.

mod observe;
mod workers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use plyfs::{CheckOptions, MountOptions, PruneOptions, Removal, Store};
use plyfs_testkit::temp::TempDir;

use crate::dice::Dice;
use crate::inventory;
use crate::worker::{Notes, Worker};
use observe::Observer;
use workers::Workers;

/// What to do for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long workers work.
    pub time: Duration,
    /// Where all random choices begin.
    pub seed: u64,
    /// How many processes work at once.
    pub workers: u64,
    /// Leave the store when something is wrong.
    pub keep: bool,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many times a worker was killed.
    pub kills: u64,
    /// How many times the observer looked at the whole store.
    pub looks: u64,
    /// What the workers wrote down, summed.
    pub notes: Notes,
}

/// Runs the workers, then claims that everything acknowledged is there and that nothing else is.
pub fn run(options: &Options) -> Result<Report> {
    own_mounts()?;
    let dir = TempDir::new();
    drop(Store::ensure(dir.join("store"))?);
    let done = fire(dir.path(), options).and_then(|report| judge(dir.path(), options.workers, report));
    if done.is_err() && options.keep {
        let path = dir.path().display().to_string();
        std::mem::forget(dir);
        return done.with_context(|| format!("seed {}, left in {path}", options.seed));
    }
    done.with_context(|| format!("seed {}", options.seed))
}

/// Leaves the mount namespace of the machine, so that no mount outlives this process.
pub(crate) fn own_mounts() -> Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace needs root")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("make all mounts private")
}

/// Kills and restarts until time is up.
fn fire(dir: &Path, options: &Options) -> Result<Report> {
    let mut dice = Dice::new(options.seed);
    let mut workers = Workers::start(dir, options.workers, &mut dice)?;
    let mut observer = Observer::open(&dir.join("store"))?;
    let mut report = Report::default();
    let end = Instant::now() + options.time;
    while Instant::now() < end {
        report.kills += workers.tend(&mut dice)?;
        report.looks += u64::from(observer.look()?);
        std::thread::sleep(Duration::from_millis(5));
    }
    report.kills += workers.kill_all()?;
    Ok(report)
}

/// Judges the store at rest: first what must be there, then that nothing else is, then that it can be emptied.
fn judge(dir: &Path, workers: u64, mut report: Report) -> Result<Report> {
    for slot in 0..workers {
        Worker::start(dir, slot, 0)?.verify()?;
        add(&mut report.notes, Notes::read(dir, slot)?);
    }
    let store = Store::open(dir.join("store"))?;
    for container in store.containers()? {
        container.mount(&MountOptions::new())?.unmount()?;
    }
    store.reap()?;
    let findings = store.check(CheckOptions::data())?;
    ensure!(findings.is_empty(), "fsck finds {findings:?}");
    let strays = inventory::strays(&store)?;
    ensure!(strays.is_empty(), "not accounted for: {strays:#?}");
    empty(&store)?;
    Ok(report)
}

/// Removes everything and claims that nothing is left.
fn empty(store: &Store) -> Result<()> {
    for container in store.containers()? {
        container.remove(Removal::Unmounted)?;
    }
    for image in store.images()? {
        store.remove_image(&image)?;
    }
    // Some are nobody's: their worker was killed before it knew of them.
    for lease in store.leases()? {
        store.open_lease(lease.id)?.release()?;
    }
    store.prune(PruneOptions::new().all(true))?;
    store.reap()?;
    let usage = store.usage()?;
    let held = (usage.images, usage.layers, usage.containers, usage.stored.apparent, usage.stored.inodes);
    ensure!(held == (0, 0, 0, 0, 0), "an emptied store holds {usage:?}");
    let strays = inventory::strays(store)?;
    ensure!(strays.is_empty(), "an emptied store holds {strays:#?}");
    Ok(())
}

fn add(sum: &mut Notes, notes: Notes) {
    let each = |sum: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>| {
        for (verb, count) in counts {
            *sum.entry(verb).or_default() += count;
        }
    };
    each(&mut sum.done, notes.done);
    each(&mut sum.refused, notes.refused);
    sum.interrupted += notes.interrupted;
    sum.finished += notes.finished;
}

/// Where the program of this crate lies: a worker is the same program.
pub(crate) fn program() -> Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}
