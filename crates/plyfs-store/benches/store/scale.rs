//! The same work at few layers and at many, in turn.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use plyfs_store::{ChainId, CheckOptions, ContainerOptions, MountOptions, Reference, Removal, Store};

use crate::many::Many;
use crate::{Result, sample, timed};

/// The few layers the many are held against.
const FEW: usize = 100;

/// Look-ups timed together: one takes less than the clock tells.
const LOOKUPS: usize = 2000;

/// Durable commits timed together: so many that the log is started anew in each round, which takes milliseconds.
const COMMITS: usize = 2000;

const THREADS: usize = 8;

/// Bare syncs timed together.
const SYNCS: usize = 100;
const SECTOR: usize = 512;

pub(crate) fn run(dir: &Path, rounds: u32, layers: usize) -> Result<()> {
    let few = Many::new(&dir.join("few"), FEW)?;
    let many = Many::new(&dir.join("many"), layers)?;
    for round in 0..=rounds {
        let first = if round == 0 { "first " } else { "" };
        for (name, it) in [("few", &few), ("many", &many)] {
            timed(&format!("{first}open {name}"), || Ok(Store::open(it.store.path())?))?;
            life(&it.store, &it.top, &format!("{first}{name}"), round)?;
        }
        Wanted::of(&many.store)?.look_up(&many.store, first)?;
    }
    commit(dir, rounds.min(5))
}

fn life(store: &Store, top: &plyfs_store::Layer, name: &str, round: u32) -> Result<()> {
    let (container, mount) = timed(&format!("create+mount {name}"), || {
        let container = store.create(top, ContainerOptions::new().name(format!("c{round}").parse()?))?;
        let mount = container.mount(&MountOptions::new())?;
        Ok((container, mount))
    })?;
    timed(&format!("unmount+remove {name}"), || {
        mount.unmount()?;
        Ok(container.remove(Removal::Unmounted)?)
    })?;
    store.reap()?;
    Ok(())
}

/// What people and programs have of things, spread over all there are.
struct Wanted {
    names: Vec<String>,
    ids: Vec<String>,
    chains: Vec<ChainId>,
}

impl Wanted {
    fn of(store: &Store) -> Result<Self> {
        let images = store.images()?;
        let layers = store.layers()?;
        let each = |count: usize| (0..LOOKUPS).map(move |number| number * 7919 % count);
        Ok(Self {
            names: each(images.len()).map(|at| images[at].names()[0].to_string()).collect(),
            ids: each(layers.len()).map(|at| layers[at].id().to_string()).collect(),
            chains: each(layers.len()).filter_map(|at| layers[at].chain_id()).collect(),
        })
    }

    /// Times looking them up.
    fn look_up(&self, store: &Store, first: &str) -> Result<()> {
        per_one(&format!("{first}look-up name"), &self.names, |name| Ok(store.image(name)?))?;
        per_one(&format!("{first}look-up id"), &self.ids, |id| Ok(store.layer(id)?))?;
        per_one(&format!("{first}look-up chain"), &self.chains, |chain| {
            store.chain(chain)?.ok_or_else(|| "a chain that was listed is not found".into())
        })
    }
}

fn per_one<T, R>(name: &str, all: &[T], mut look: impl FnMut(&T) -> Result<R>) -> Result<()> {
    let started = Instant::now();
    all.iter().try_for_each(|one| look(one).map(drop))?;
    sample(name, started.elapsed().as_secs_f64() / all.len() as f64);
    Ok(())
}

/// Names an image again and again, from one thread and from several; each naming is one durable commit.
fn commits(store: &Store, round: u32) -> Result<()> {
    let image = store.image("bench:1")?;
    for threads in [1, THREADS] {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let name = |thread, number| format!("bench/{round}-{threads}-{thread}-{number}:1");
            let work = |thread| {
                let image = &image;
                move || -> Result<(), plyfs_store::Error> {
                    for number in 0..COMMITS / threads {
                        store.tag(image, &name(thread, number).parse::<Reference>()?)?;
                    }
                    Ok(())
                }
            };
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(work(thread))).collect();
            all.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
        })?;
        sample(&format!("commits {threads} threads"), COMMITS as f64 / started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Looks up in a store of many layers that is there already.
pub(crate) fn find(dir: &Path, rounds: u32) -> Result<()> {
    let store = Store::open(dir.join("many"))?;
    let wanted = Wanted::of(&store)?;
    (0..rounds).try_for_each(|_| wanted.look_up(&store, ""))
}

/// Commits to a store of many layers that is there already, and says what one sync takes where it is.
pub(crate) fn commit(dir: &Path, rounds: u32) -> Result<()> {
    let store = Store::open(dir.join("many"))?;
    for round in 0..rounds {
        sync_alone(&dir.join("sync"))?;
        commits(&store, round)?;
    }
    Ok(())
}

/// Times one sync of a sector that is written over zeros, as a commit's is; nothing else is done meanwhile.
fn sync_alone(path: &Path) -> Result<()> {
    let file = File::create(path)?;
    file.write_all_at(&[0; SYNCS * SECTOR], 0)?;
    file.sync_all()?;
    let started = Instant::now();
    for at in 0..SYNCS {
        file.write_all_at(&[b's'; SECTOR], (at * SECTOR) as u64)?;
        file.sync_data()?;
    }
    sample("sync", started.elapsed().as_secs_f64() / SYNCS as f64);
    Ok(std::fs::remove_file(path)?)
}

/// Opens a store of many layers that is there already, lists its images, adds it up, and says what that took.
pub(crate) fn memory(dir: &Path) -> Result<()> {
    let store = timed("open process", || Ok(Store::open(dir.join("many"))?))?;
    let before = resident("VmRSS")?;
    let images = timed("images", || Ok(store.images()?.len()))?;
    let usage = timed("df", || Ok(store.usage()?))?;
    if images == 0 || usage.layers == 0 {
        return Err("the store is empty".into());
    }
    sample("memory open", before);
    sample("memory after", resident("VmRSS")?);
    sample("memory peak", resident("VmHWM")?);
    sample("memory anonymous", resident("RssAnon")?);
    Ok(())
}

/// Makes a store of many layers with all their directories and has it checked, quickly; says what that took.
pub(crate) fn check(dir: &Path, rounds: u32, layers: usize) -> Result<()> {
    let dir = dir.join("whole");
    if !dir.exists() {
        Many::whole(&dir, layers)?;
    }
    let store = Store::open(dir)?;
    std::fs::write("/proc/self/clear_refs", "5")?; // the peak is the check's
    for _ in 0..rounds {
        let findings = timed("check", || Ok(store.check(CheckOptions::quick())?))?;
        if let Some(finding) = findings.first() {
            return Err(format!("{} findings, {finding:?}", findings.len()).into());
        }
    }
    sample("memory anonymous", resident("RssAnon")?);
    sample("memory peak", resident("VmHWM")?);
    Ok(())
}

/// A field of proc_pid_status(5) in bytes.
fn resident(field: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes: f64 = line.and_then(|line| line.split_whitespace().next()).ok_or("no such field")?.parse()?;
    Ok(kilobytes * 1024.0)
}
