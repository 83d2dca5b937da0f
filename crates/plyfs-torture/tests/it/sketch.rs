//! What a store holds, as a few maps: the model that the machine is held to.
//!
//! Layers are known by their chains, images by their ids, both of which content alone decides.

use std::collections::{BTreeMap, BTreeSet};

use plyfs_torture::recipe::Files;

/// Images, layers and containers of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sketch {
    /// Each layer's parent, by chain.
    pub(crate) layers: BTreeMap<String, Option<String>>,
    pub(crate) images: BTreeMap<String, Picture>,
    pub(crate) containers: BTreeMap<String, Held>,
    /// Those that live, by id.
    pub(crate) leases: BTreeMap<String, Leased>,
}

/// What a lease keeps: chains of layers, ids of images.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leased {
    pub(crate) layers: BTreeSet<String>,
    pub(crate) images: BTreeSet<String>,
}

/// An image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) names: BTreeSet<String>,
    /// The chain of its uppermost layer.
    pub(crate) top: String,
    /// What a container of it shows at first.
    pub(crate) files: Files,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) image: Option<String>,
    pub(crate) parent: Option<String>,
    /// What it began with, and what it shows.
    pub(crate) base: Files,
    pub(crate) files: Files,
    /// What was written since.
    pub(crate) written: BTreeSet<String>,
    pub(crate) is_mounted: bool,
}

impl Held {
    /// The changes of its files, as they are listed.
    pub(crate) fn changes(&self) -> BTreeSet<String> {
        let gone = self.base.keys().filter(|path| !self.files.contains_key(*path)).map(|path| format!("D /{path}"));
        let there = self.files.keys().filter(|path| self.written.contains(*path));
        let there = there.map(|path| format!("{} /{path}", if self.base.contains_key(path) { "C" } else { "A" }));
        gone.chain(there).collect()
    }
}

impl Sketch {
    /// Adds an image; its names mean it and no other from now on.
    pub(crate) fn add_image(&mut self, id: &str, name: &str, chains: &[String], files: Files) {
        let mut parent = None;
        for chain in chains {
            self.layers.insert(chain.clone(), parent.replace(chain.clone()));
        }
        let top = parent.expect("an image of these tests has layers");
        self.images.entry(id.to_owned()).or_insert_with(|| Picture { names: BTreeSet::new(), top, files });
        self.name(id, name);
    }

    /// Makes a name mean an image.
    pub(crate) fn name(&mut self, id: &str, name: &str) {
        self.images.values_mut().for_each(|image| image.names.retain(|other| other != name));
        self.images.get_mut(id).expect("the image is there").names.insert(name.to_owned());
    }

    /// Says whether a layer, an image or a container stands on the layer.
    pub(crate) fn is_used(&self, chain: &str) -> bool {
        self.layers.values().any(|parent| parent.as_deref() == Some(chain))
            || self.images.values().any(|image| image.top == chain)
            || self.containers.values().any(|held| held.parent.as_deref() == Some(chain))
    }

    /// Says whether a container was made of the image.
    pub(crate) fn is_made_of(&self, id: &str) -> bool {
        self.containers.values().any(|held| held.image.as_deref() == Some(id))
    }

    /// A layer's chain, from itself down.
    pub(crate) fn chains(&self, top: &str) -> Vec<String> {
        std::iter::successors(Some(top.to_owned()), |chain| self.layers[chain].clone()).collect()
    }

    /// Says whether a lease keeps the layer itself.
    pub(crate) fn is_leased(&self, chain: &str) -> bool {
        self.leases.values().any(|lease| lease.layers.contains(chain))
    }

    /// Says whether a lease keeps the image.
    pub(crate) fn is_leased_image(&self, id: &str) -> bool {
        self.leases.values().any(|lease| lease.images.contains(id))
    }

    /// Removes an image, and its layers from the uppermost down as long as nothing stands on them.
    pub(crate) fn remove_image(&mut self, id: &str) {
        let image = self.images.remove(id).expect("the image is there");
        for lease in self.leases.values_mut() {
            lease.images.remove(id);
        }
        self.remove_chain(image.top);
    }

    fn remove_chain(&mut self, top: String) {
        let mut next = Some(top);
        while let Some(chain) = next.filter(|chain| !self.is_used(chain) && !self.is_leased(chain)) {
            next = self.layers.remove(&chain).flatten();
        }
    }

    /// Removes layers that nothing stands on, images without a name and without a container first; what is left for a
    /// lease alone is the answer.
    pub(crate) fn prune(&mut self, all: bool) -> BTreeSet<String> {
        let loose = self.images.iter().filter(|(id, image)| all && image.names.is_empty() && !self.is_made_of(id));
        let mut kept = BTreeSet::new();
        for id in loose.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if self.is_leased_image(&id) {
                kept.insert(id);
            } else {
                self.remove_image(&id);
            }
        }
        for chain in self.layers.keys().cloned().collect::<Vec<_>>() {
            if self.layers.contains_key(&chain) {
                self.remove_chain(chain);
            }
        }
        kept.extend(self.layers.keys().filter(|chain| !self.is_used(chain)).cloned());
        kept
    }

    /// The layers that images and containers stand on or leases keep, themselves or through others.
    pub(crate) fn needed(&self) -> BTreeSet<String> {
        let images = self.images.values().map(|image| Some(image.top.clone()));
        let containers = self.containers.values().map(|held| held.parent.clone());
        let leases = self.leases.values().flat_map(|lease| lease.layers.iter().cloned().map(Some));
        let mut needed = BTreeSet::new();
        for mut next in images.chain(containers).chain(leases) {
            while let Some(chain) = next {
                next = self.layers.get(&chain).cloned().flatten();
                needed.insert(chain);
            }
        }
        needed
    }
}
