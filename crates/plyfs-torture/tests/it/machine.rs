//! Random sequences of verbs on a store and on a model of it, compared after each: what fails is made as short as it goes.

mod leases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use plyfs::prelude::*;
use plyfs::{
    Archive, CheckOptions, CommitOptions, Container, ContainerOptions, Durability, ErrorKind, Image, Lease,
    MountOptions, Parent, Progress, PruneOptions, Removal, Source, Store, Unmount,
};
use plyfs_testkit::oci::LayerTar;
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use plyfs_torture::inventory;
use plyfs_torture::model::edits;
use plyfs_torture::recipe::{Files, Recipe, content};
use plyfs_torture::turn;
use plyfs_torture::verb::Verb;
use proptest::prelude::*;

use crate::sketch::{Held, Sketch};

/// One verb; numbers choose among what is there, so that a shorter sequence still means something.
#[derive(Clone, Debug)]
enum Step {
    Reopen,
    Load(u64),
    Apply(usize, u64),
    Create(u64, usize),
    Mount(u64),
    Write(u64, u64),
    Unmount(u64),
    Commit(u64, u64),
    Rename(u64, u64),
    Tag(usize, u64),
    Untag(usize),
    Remove(u64, bool),
    RemoveImage(usize),
    Prune(bool),
    Reap,
    Save(usize),
    ReadArchive(usize),
    KilledLoad,
    Lease(usize, bool),
    LoadUnder(usize, u64),
    LetGo(usize),
    Renew(usize),
    Expire(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (few, which) = (0..4_u64, 0..12_usize);
    prop_oneof![
        1 => Just(Step::Reopen),
        4 => few.clone().prop_map(Step::Load),
        2 => (which.clone(), 0..5_u64).prop_map(|(parent, seed)| Step::Apply(parent, seed)),
        5 => (few.clone(), which.clone()).prop_map(|(name, parent)| Step::Create(name, parent)),
        2 => few.clone().prop_map(Step::Mount),
        5 => (few.clone(), 0..1000_u64).prop_map(|(name, seed)| Step::Write(name, seed)),
        2 => few.clone().prop_map(Step::Unmount),
        3 => (few.clone(), few.clone()).prop_map(|(name, image)| Step::Commit(name, image)),
        2 => (few.clone(), few.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (which.clone(), few.clone()).prop_map(|(image, name)| Step::Tag(image, name)),
        2 => which.clone().prop_map(Step::Untag),
        2 => (few.clone(), any::<bool>()).prop_map(|(name, force)| Step::Remove(name, force)),
        2 => which.clone().prop_map(Step::RemoveImage),
        2 => any::<bool>().prop_map(Step::Prune),
        1 => Just(Step::Reap),
        1 => which.clone().prop_map(Step::Save),
        1 => which.clone().prop_map(Step::ReadArchive),
        1 => Just(Step::KilledLoad),
        3 => (which.clone(), any::<bool>()).prop_map(|(what, survives)| Step::Lease(what, survives)),
        2 => (which.clone(), few.clone()).prop_map(|(lease, n)| Step::LoadUnder(lease, n)),
        1 => which.clone().prop_map(Step::LetGo),
        1 => which.clone().prop_map(Step::Renew),
        1 => which.clone().prop_map(Step::Expire),
        1 => which.clone().prop_map(Step::Release),
    ]
}

/// The store and the model, side by side.
struct Machine {
    /// Of the leases that live, those that are held; of the others there are ids alone.
    leases: BTreeMap<String, Option<Lease>>,
    store: Store,
    sketch: Sketch,
    // Last: removed after the store is closed.
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = TempDir::new();
        Self { leases: BTreeMap::new(), store: open(&dir), sketch: Sketch::default(), dir }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Reopen => self.store = open(&self.dir),
            Step::Load(n) => self.load(*n),
            Step::Apply(parent, seed) => self.apply(*parent, *seed),
            Step::Create(name, parent) => self.create(&container(*name), *parent),
            Step::Mount(name) => self.mount(&container(*name)),
            Step::Write(name, seed) => self.write(&container(*name), *seed),
            Step::Unmount(name) => self.unmount(&container(*name)),
            Step::Commit(name, image) => self.commit(&container(*name), &format!("machine/c{image}:1")),
            Step::Rename(from, to) => self.rename(&container(*from), &container(*to)),
            Step::Tag(image, name) => self.tag(*image, &format!("machine/t{name}:1")),
            Step::Untag(which) => self.untag(*which),
            Step::Remove(name, force) => self.remove(&container(*name), *force),
            Step::RemoveImage(which) => self.remove_image(*which),
            Step::Prune(all) => self.prune(*all),
            Step::Reap => drop(self.store.reap().expect("reaped")),
            Step::Save(which) => self.save(*which),
            Step::ReadArchive(which) => self.read_archive(*which),
            Step::KilledLoad => self.kill_a_load(),
            Step::Lease(what, survives) => self.lease(*what, *survives),
            Step::LoadUnder(lease, n) => self.load_under(*lease, *n),
            Step::LetGo(lease) => self.let_go(*lease),
            Step::Renew(lease) => self.renew(*lease),
            Step::Expire(lease) => self.expire(*lease),
            Step::Release(lease) => self.release(*lease),
        }
    }

    fn load(&mut self, n: u64) {
        let recipe = Recipe::new("machine", n);
        let source = Source::path(recipe.archive(self.dir.path(), n)).expect("an archive");
        let loaded = self.store.load(source, Progress::none()).expect("loaded");
        let image = &loaded[0].image;
        assert_eq!(image.id().to_string(), recipe.id());
        self.sketch.add_image(&recipe.id(), &recipe.plain.name, &chains(image), recipe.files);
    }

    /// A layer upon one that is there, or upon nothing.
    fn apply(&mut self, parent: usize, seed: u64) {
        let layers = self.store.layers().expect("listed");
        let parent = layers.get(parent % (layers.len() + 1));
        let archive = LayerTar::new().file(format!("applied{seed}"), content(seed)).finish();
        let layer = self.store.apply(archive.as_slice(), parent, Progress::none()).expect("applied");
        self.sketch.layers.insert(chain(&layer), parent.map(chain));
    }

    fn create(&mut self, name: &str, which: usize) {
        let images = self.store.images().expect("listed");
        let image = images.get(which % (images.len() + 1));
        let options = ContainerOptions::new().name(name.parse().expect("a name"));
        let created = self.store.create(image.map_or(Parent::Empty, Parent::Image), options);
        if self.sketch.containers.contains_key(name) {
            assert_eq!(created.expect_err("the name is taken").kind(), ErrorKind::Exists);
            return;
        }
        created.expect("created");
        let known = image.map(|image| self.sketch.images[&image.id().to_string()].clone());
        let base = known.as_ref().map(|image| image.files.clone()).unwrap_or_default();
        let held = Held {
            image: image.map(|image| image.id().to_string()),
            parent: known.map(|image| image.top),
            files: base.clone(),
            base,
            ..Held::default()
        };
        self.sketch.containers.insert(name.to_owned(), held);
    }

    /// The container, and what is known of it; the store must agree on whether it is there.
    fn held(&mut self, name: &str) -> Option<(Container, &mut Held)> {
        let found = self.store.container(name);
        match self.sketch.containers.get_mut(name) {
            Some(held) => Some((found.expect("it was created"), held)),
            None => {
                assert_eq!(found.expect_err("there is none").kind(), ErrorKind::NotFound);
                None
            }
        }
    }

    fn mount(&mut self, name: &str) {
        let Some((container, held)) = self.held(name) else { return };
        let mount = container.mount(&MountOptions::new()).expect("mounted");
        assert_eq!(mount.is_maker(), !held.is_mounted);
        mount.keep();
        held.is_mounted = true;
    }

    fn write(&mut self, name: &str, seed: u64) {
        let Some((container, held)) = self.held(name) else { return };
        let mount = container.mount(&MountOptions::new()).expect("mounted");
        fs::create_dir_all(mount.path().join("base")).expect("made");
        for (path, seed) in edits(&held.files, seed) {
            let at = mount.path().join(&path);
            match seed {
                Some(seed) => {
                    fs::write(&at, content(seed)).expect("written");
                    held.files.insert(path.clone(), seed);
                    held.written.insert(path);
                }
                None if held.files.remove(&path).is_some() => fs::remove_file(&at).expect("removed"),
                None => {}
            }
        }
        // A guard that did not make the mount leaves it.
        drop(mount);
    }

    fn unmount(&mut self, name: &str) {
        let Some((container, held)) = self.held(name) else { return };
        container.unmount(Unmount::Plain).expect("nobody is inside");
        held.is_mounted = false;
    }

    fn commit(&mut self, name: &str, image: &str) {
        let Some((container, held)) = self.held(name) else { return };
        let files = held.files.clone();
        let options = CommitOptions::new().name(image.parse().expect("a name"));
        let made = container.commit(options, Progress::none()).expect("committed");
        self.sketch.add_image(&made.id().to_string(), image, &chains(&made), files);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let is_taken = from != to && self.sketch.containers.contains_key(to);
        let Some((container, _)) = self.held(from) else { return };
        let renamed = container.rename(to.parse().expect("a name"));
        if is_taken {
            assert_eq!(renamed.expect_err("the name is taken").kind(), ErrorKind::Exists);
            return;
        }
        renamed.expect("renamed");
        let held = self.sketch.containers.remove(from).expect("it is there");
        self.sketch.containers.insert(to.to_owned(), held);
    }

    fn image(&self, which: usize) -> Option<Image> {
        let images = self.store.images().expect("listed");
        images.get(which % images.len().max(1)).cloned()
    }

    fn tag(&mut self, which: usize, name: &str) {
        let Some(image) = self.image(which) else { return };
        self.store.tag(&image, &name.parse().expect("a name")).expect("tagged");
        self.sketch.name(&image.id().to_string(), name);
    }

    fn untag(&mut self, which: usize) {
        let names: Vec<_> = self.sketch.images.values().flat_map(|image| image.names.iter().cloned()).collect();
        let Some(name) = names.get(which % names.len().max(1)) else { return };
        self.store.untag(&name.parse().expect("a name")).expect("untagged");
        self.sketch.images.values_mut().for_each(|image| image.names.retain(|other| other != name));
    }

    fn remove(&mut self, name: &str, force: bool) {
        let Some((container, held)) = self.held(name) else { return };
        let removed = container.remove(if force { Removal::Force } else { Removal::Unmounted });
        if held.is_mounted && !force {
            assert_eq!(removed.expect_err("it is mounted").kind(), ErrorKind::InUse);
            return;
        }
        removed.expect("removed");
        self.sketch.containers.remove(name);
    }

    fn remove_image(&mut self, which: usize) {
        let Some(image) = self.image(which) else { return };
        let removed = self.store.remove_image(&image);
        let id = image.id().to_string();
        if self.sketch.is_made_of(&id) {
            assert_eq!(removed.expect_err("a container was made of it").kind(), ErrorKind::InUse);
            return;
        }
        removed.expect("removed");
        self.sketch.remove_image(&id);
    }

    /// What is saved comes back as the same image.
    fn save(&mut self, which: usize) {
        let Some(image) = self.image(which) else { return };
        let mut bytes = Vec::new();
        self.store.save(&[&image], Archive::docker(&mut bytes), Progress::none()).expect("saved");
        let loaded = self.store.load(Source::reader(bytes.as_slice()), Progress::none()).expect("loaded again");
        assert_eq!(loaded[0].image.id(), image.id());
    }

    fn read_archive(&self, which: usize) {
        let layers = self.store.layers().expect("listed");
        if let Some(layer) = layers.get(which % layers.len().max(1)) {
            layer.write_archive(io::sink()).expect("the tree is what came in");
        }
    }

    /// Another process dies within a load; the next open takes back what it did.
    fn kill_a_load(&mut self) {
        let verb = serde_json::to_string(&Verb::Half).expect("plain data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plyfs-torture"));
        command.arg("race").arg(self.dir.path()).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut doomed = turn::spawn(&mut command).expect("the program starts");
        io::Write::write_all(doomed.stdin.as_mut().expect("a pipe"), b"g").expect("it reads");
        let mut said = BufReader::new(doomed.stdout.take().expect("a pipe")).lines();
        assert!(said.any(|line| line.expect("text") == "half"), "it stages half a load");
        doomed.kill().expect("killed");
        doomed.wait().expect("dead");
        let staging = self.store.path().join("staging");
        let staged = || {
            let entries = fs::read_dir(&staging).expect("listed").map(|entry| entry.expect("listed").file_name());
            // The files of leases that are held stay.
            entries.filter(|name| !name.to_string_lossy().ends_with(".lease")).count()
        };
        assert_ne!(staged(), 0, "the kill came within the load");
        let _working = turn::work();
        self.store = open(&self.dir);
        assert_eq!(staged(), 0, "nothing is left of it");
    }

    /// Claims that lists and sums are what the model says.
    fn compare(&self) {
        let images: BTreeMap<_, BTreeSet<_>> = (self.store.images().expect("listed").iter())
            .map(|image| (image.id().to_string(), image.names().iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(images, self.sketch.images.iter().map(|(id, image)| (id.clone(), image.names.clone())).collect());
        let layers = self.store.layers().expect("listed");
        assert_eq!(layers.iter().map(chain).collect::<BTreeSet<_>>(), self.sketch.layers.keys().cloned().collect());
        let containers: BTreeMap<_, _> = (self.store.containers().expect("listed").iter())
            .map(|container| {
                let is_mounted = container.mounted_at().expect("asked").is_some();
                (container.name().to_string(), (container.image().map(|id| id.to_string()), is_mounted))
            })
            .collect();
        let held = self.sketch.containers.iter();
        assert_eq!(
            containers,
            held.map(|(name, held)| (name.clone(), (held.image.clone(), held.is_mounted))).collect()
        );
        self.compare_leases(&layers);
        let usage = self.store.usage().expect("added up");
        let (mut stored, mut reclaimable) = (plyfs::Usage::default(), plyfs::Usage::default());
        let needed = self.sketch.needed();
        for layer in &layers {
            stored += layer.usage();
            if !needed.contains(&chain(layer)) {
                reclaimable += layer.usage();
            }
        }
        assert_eq!((usage.stored, usage.reclaimable), (stored, reclaimable));
        let counts = (images.len() as u64, layers.len() as u64, containers.len() as u64);
        assert_eq!((usage.images, usage.layers, usage.containers), counts);
    }

    /// Claims that content is what was written, that nothing else lies around, and that all of it can go.
    fn end(mut self) {
        for (name, held) in &self.sketch.containers {
            let container = self.store.container(name).expect("it is there");
            let changes = container.changes().expect("listed").map(|change| change.expect("read").to_string());
            // Directories are changed by what changes in them.
            let files = changes.filter(|line| line.matches('/').count() == 2).collect::<BTreeSet<_>>();
            assert_eq!(files, held.changes(), "changes of {name}");
            assert_eq!(shown(&container), held.files, "{name}");
        }
        for name in self.sketch.containers.keys().cloned().collect::<Vec<_>>() {
            self.unmount(&name);
        }
        self.store.reap().expect("reaped");
        assert_eq!(self.store.check(CheckOptions::data()).expect("checked"), []);
        assert_eq!(inventory::strays(&self.store).expect("listed"), [""; 0]);
        for name in self.sketch.containers.keys().cloned().collect::<Vec<_>>() {
            self.remove(&name, false);
        }
        while !self.leases.is_empty() {
            self.release(0);
        }
        for _ in 0..self.sketch.images.len() {
            self.remove_image(0);
        }
        self.store.prune(PruneOptions::new()).expect("pruned");
        self.store.reap().expect("reaped");
        let usage = self.store.usage().expect("added up");
        assert_eq!((usage.layers, usage.stored), (0, plyfs::Usage::default()));
        assert_eq!(inventory::strays(&self.store).expect("listed"), [""; 0]);
    }
}

fn open(dir: &TempDir) -> Store {
    Store::options().durability(Durability::None).ensure(dir.join("store")).expect("a store")
}

fn container(number: u64) -> String {
    format!("c{number}")
}

fn chain(layer: &plyfs::Layer) -> String {
    layer.chain_id().expect("it came as an archive").to_string()
}

/// The chains of an image's layers, lowest first.
fn chains(image: &Image) -> Vec<String> {
    let layers = image.layers().expect("they are there");
    layers.iter().rev().map(chain).collect()
}

/// The files a container shows, by the seeds whose content they have.
fn shown(container: &Container) -> Files {
    let mount = container.mount(&MountOptions::new()).expect("mounted");
    let mut files = Files::new();
    for dir in ["base", "own"] {
        let Ok(entries) = fs::read_dir(mount.path().join(dir)) else { continue };
        for entry in entries {
            let path = entry.expect("listed").path();
            let bytes = fs::read(&path).expect("read");
            let line = bytes.split(|&byte| byte == b'\n').next().expect("a first line");
            let seed = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("content "));
            let seed = u64::from_str_radix(seed.expect("content as it is written"), 16).expect("a seed");
            assert_eq!(bytes, content(seed), "{}", path.display());
            files.insert(format!("{dir}/{}", entry_name(&path)), seed);
        }
    }
    files
}

fn entry_name(path: &std::path::Path) -> String {
    path.file_name().expect("an entry has a name").to_string_lossy().into_owned()
}

#[test]
fn root_a_store_is_what_a_model_of_it_says_after_any_sequence_of_verbs() {
    require_root!();
    // Shrinking replays whole sequences with real mounts: a few hundred are enough.
    let config = ProptestConfig { max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        let mut machine = Machine::new();
        for step in &steps {
            // It starts a process.
            let working = (!matches!(step, Step::KilledLoad)).then(turn::work);
            machine.take(step);
            let _working = working.unwrap_or_else(turn::work);
            machine.compare();
        }
        let _working = turn::work();
        machine.end();
    });
}
