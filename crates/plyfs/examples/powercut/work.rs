//! The workload: threads that load, create, write, commit, rename, tag and remove, each with names of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use plyfs::prelude::*;
use plyfs::{
    CommitOptions, ContainerOptions, Durability, ErrorKind, MountOptions, Progress, PruneOptions, Removal, Source,
    Store,
};
use plyfs_testkit::noise;
use plyfs_testkit::oci::sha256;

use crate::Result;
use crate::archives::{self, Packed};
use crate::containers::{self, Files, Live};
use crate::marks::{Effects, Marks, Promise};

/// Runs the workers of one process to the end.
pub(crate) fn run(
    [store, archives, marks]: [&str; 3],
    workers: &str,
    [steps, seed]: [&str; 2],
    durability: &str,
) -> Result<()> {
    let durability = match durability {
        "filesystem" => Durability::FileSystem,
        "files" => Durability::Files,
        "none" => Durability::None,
        other => return Err(format!("durability {other}").into()),
    };
    let (steps, seed): (usize, u64) = (steps.parse()?, seed.parse()?);
    let workers = workers.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let mut first = Marks::open(Path::new(marks), format!("p{}", workers[0]))?;
    let number = first.begin(Promise::Whole, &Effects::new())?;
    let store = Store::options().durability(durability).ensure(store)?;
    first.done(number, &Effects::new())?;
    let work = |worker: usize| -> Result<()> {
        let mut worker = Worker::new(&store, Path::new(archives), Path::new(marks), worker, seed)?;
        (0..steps).try_for_each(|_| worker.step())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = workers.iter().map(|&worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })
}

/// An image as its worker knows it.
#[derive(Clone, Debug)]
struct Kept {
    id: String,
    /// What its containers begin with.
    files: Files,
}

/// One thread's names, and what it knows of them.
#[derive(Debug)]
pub(crate) struct Worker {
    store: Store,
    marks: Marks,
    random: fastrand::Rng,
    who: usize,
    archives: Vec<Packed>,
    /// What images are called.
    tags: BTreeMap<String, Kept>,
    containers: BTreeMap<String, Live>,
    made: usize,
}

impl Worker {
    pub(crate) fn new(store: &Store, archives: &Path, marks: &Path, who: usize, seed: u64) -> Result<Self> {
        Ok(Self {
            store: store.clone(),
            marks: Marks::open(marks, format!("w{who}"))?,
            random: fastrand::Rng::with_seed(seed.wrapping_mul(31).wrapping_add(who as u64)),
            who,
            archives: archives::of(archives, who),
            tags: BTreeMap::new(),
            containers: BTreeMap::new(),
            // Who looks may find containers of a look that was cut: its own have other names.
            made: if who == archives::LOOKER { std::process::id() as usize } else { 0 },
        })
    }

    /// One operation, whichever is possible and the dice say.
    fn step(&mut self) -> Result<()> {
        match self.random.usize(..24) {
            0..3 => self.load(),
            3..7 => self.create(0),
            // Labels of this size fill the journal's log, so that a new generation is begun.
            7 => self.create(60_000),
            8..13 => self.write(),
            13..15 => self.commit(),
            15..17 => self.rename(),
            17 => self.tag(),
            18 => self.untag(),
            19..21 => self.remove(),
            21 => self.remove_image(),
            22 => self.prune(),
            _ => self.reap(),
        }
    }

    /// Everything once, and nothing left.
    pub(crate) fn live_once(&mut self) -> Result<()> {
        self.load()?;
        self.create(0)?;
        self.write()?;
        self.commit()?;
        self.remove()?;
        for _ in 0..self.tags.len() {
            self.remove_image()?;
        }
        self.reap()
    }

    fn load(&mut self) -> Result<()> {
        let packed = self.random.choice(&self.archives).cloned().ok_or("no archives")?;
        let effects = Effects::from([(format!("tag:{}", packed.name), packed.id.clone())]);
        let loaded = self.act(Promise::Whole, effects, |store| {
            // Every other image with the blobs it came as.
            let keeps_blobs = packed.id.bytes().last().is_some_and(|digit| digit % 2 == 1);
            store.load(Source::path(&packed.path)?.keep_blobs(keeps_blobs), Progress::none())?;
            Ok(Effects::new())
        })?;
        if loaded.is_some() {
            self.tags.insert(packed.name, Kept { id: packed.id, files: containers::pristine() });
        }
        Ok(())
    }

    fn create(&mut self, padding: usize) -> Result<()> {
        let Some((tag, kept)) = self.any_tag() else { return self.load() };
        self.made += 1;
        let name = format!("w{}-{}", self.who, self.made);
        let live = Live { label: name.clone(), image: kept.id, files: kept.files };
        let created = self.act(Promise::Whole, live.facts(&name), |store| {
            let (key, value) = live.label();
            let options = ContainerOptions::new().name(name.parse()?).label(key, value);
            store.create(&store.image(&tag)?, options.label("padding", "x".repeat(padding)))?;
            Ok(Effects::new())
        })?;
        if created.is_some() {
            self.containers.insert(name, live);
        }
        Ok(())
    }

    /// Writes into a mounted container; what is synced there is acknowledged before the unmount.
    fn write(&mut self) -> Result<()> {
        let Some((name, mut live)) = self.any_container() else { return self.create(0) };
        let container = self.store.container(&name)?;
        let mount = container.mount(&MountOptions::new())?;
        for _ in 0..1 + self.random.usize(..3) {
            let path = match self.random.usize(..5) {
                0 => archives::EDITED.to_owned(),
                n => containers::written(n),
            };
            let size = [0, 1, 700, 4096, 5000, 60_000][self.random.usize(..6)];
            let content = noise(self.random.u64(..), size);
            let effects = Effects::from([(live.key(&path), sha256(&content))]);
            self.act(Promise::Loose, effects, |_| {
                containers::write(mount.path(), &path, &content).map_err(Failure::Else)?;
                Ok(Effects::new())
            })?;
            live.files.insert(path, sha256(&content));
        }
        self.containers.insert(name, live);
        Ok(mount.unmount()?)
    }

    fn commit(&mut self) -> Result<()> {
        let Some((name, live)) = self.any_container() else { return self.create(0) };
        self.made += 1;
        let tag = format!("localhost/w{}/commit{}:1", self.who, self.made);
        let key = format!("tag:{tag}");
        let committed = self.act(Promise::Whole, Effects::from([(key.clone(), "*".to_owned())]), |store| {
            let options = CommitOptions::new().name(tag.parse()?).message("kept");
            let image = store.container(&name)?.commit(options, Progress::none())?;
            Ok(Effects::from([(key.clone(), image.id().to_string())]))
        })?;
        if let Some(mut known) = committed {
            let id = known.remove(&key).ok_or("its id")?;
            self.tags.insert(tag, Kept { id, files: live.files });
        }
        Ok(())
    }

    fn rename(&mut self) -> Result<()> {
        let Some((name, live)) = self.any_container() else { return self.create(0) };
        self.made += 1;
        let next = format!("w{}-renamed-{}", self.who, self.made);
        let mut effects = Effects::from([(format!("container:{name}"), "-".to_owned())]);
        effects.extend(live.facts(&next).into_iter().filter(|(key, _)| key.starts_with("container:")));
        let renamed = self.act(Promise::Whole, effects, |store| {
            store.container(&name)?.rename(next.parse()?)?;
            Ok(Effects::new())
        })?;
        if renamed.is_some() {
            self.containers.remove(&name);
            self.containers.insert(next, live);
        }
        Ok(())
    }

    fn tag(&mut self) -> Result<()> {
        let Some((tag, kept)) = self.any_tag() else { return self.load() };
        // Few names, so that one is moved from image to image too.
        let next = format!("localhost/w{}/moved{}:1", self.who, self.random.usize(..2));
        let tagged = self.act(Promise::Whole, Effects::from([(format!("tag:{next}"), kept.id.clone())]), |store| {
            store.tag(&store.image(&tag)?, &next.parse()?)?;
            Ok(Effects::new())
        })?;
        if tagged.is_some() {
            self.tags.insert(next, kept);
        }
        Ok(())
    }

    fn untag(&mut self) -> Result<()> {
        let Some((tag, _)) = self.any_tag() else { return self.load() };
        let untagged = self.act(Promise::Whole, Effects::from([(format!("tag:{tag}"), "-".to_owned())]), |store| {
            store.untag(&tag.parse()?)?;
            Ok(Effects::new())
        })?;
        if untagged.is_some() {
            self.tags.remove(&tag);
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<()> {
        let Some((name, live)) = self.any_container() else { return self.create(0) };
        let effects = live.facts(&name).into_keys().map(|key| (key, "-".to_owned())).collect();
        let removed = self.act(Promise::Whole, effects, |store| {
            store.container(&name)?.remove(Removal::Unmounted)?;
            Ok(Effects::new())
        })?;
        if removed.is_some() {
            self.containers.remove(&name);
        }
        Ok(())
    }

    /// Removes an image with all its names; one with a container is refused.
    fn remove_image(&mut self) -> Result<()> {
        let Some((tag, Kept { id, .. })) = self.any_tag() else { return self.load() };
        let names: Vec<_> = self.tags.iter().filter(|(_, kept)| kept.id == id).map(|(name, _)| name.clone()).collect();
        let effects = names.iter().map(|name| (format!("tag:{name}"), "-".to_owned())).collect();
        let removed = self.act(Promise::Whole, effects, |store| {
            store.remove_image(&store.image(&tag)?)?;
            Ok(Effects::new())
        })?;
        if removed.is_some() {
            names.iter().for_each(|name| drop(self.tags.remove(name)));
        }
        Ok(())
    }

    /// Removes what no name and no container holds; what any worker still names must survive it.
    fn prune(&mut self) -> Result<()> {
        self.act(Promise::Whole, Effects::new(), |store| {
            store.prune(PruneOptions::new().all(true))?;
            Ok(Effects::new())
        })?;
        Ok(())
    }

    fn reap(&mut self) -> Result<()> {
        self.act(Promise::Whole, Effects::new(), |store| {
            store.reap()?;
            Ok(Effects::new())
        })?;
        Ok(())
    }

    fn any_tag(&mut self) -> Option<(String, Kept)> {
        let tags: Vec<_> = self.tags.clone().into_iter().collect();
        self.random.choice(&tags).cloned()
    }

    fn any_container(&mut self) -> Option<(String, Live)> {
        let containers: Vec<_> = self.containers.clone().into_iter().collect();
        self.random.choice(&containers).cloned()
    }

    /// Does one thing between its marks; `None` when it was refused because of what others do.
    fn act(
        &mut self,
        promise: Promise,
        effects: Effects,
        run: impl FnOnce(&Store) -> Result<Effects, Failure>,
    ) -> Result<Option<Effects>> {
        let number = self.marks.begin(promise, &effects)?;
        match run(&self.store) {
            Ok(known) => {
                self.marks.done(number, &known)?;
                Ok(Some(known))
            }
            Err(Failure::Store(e)) if matches!(e.kind(), ErrorKind::InUse | ErrorKind::Busy | ErrorKind::Conflict) => {
                self.marks.fail(number)?;
                Ok(None)
            }
            Err(Failure::Store(e)) => Err(format!("{effects:?}: {}", plyfs::report(&e)).into()),
            Err(Failure::Else(e)) => Err(format!("{effects:?}: {e}").into()),
        }
    }
}

/// Why an operation failed: only the store's own word can be a refusal.
#[derive(Debug)]
enum Failure {
    Store(plyfs::Error),
    Else(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<plyfs::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}
