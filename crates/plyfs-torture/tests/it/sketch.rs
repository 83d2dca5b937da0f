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

    /// Removes an image, and its layers from the uppermost down as long as nothing stands on them.
    pub(crate) fn remove_image(&mut self, id: &str) {
        let image = self.images.remove(id).expect("the image is there");
        self.remove_chain(image.top);
    }

    fn remove_chain(&mut self, top: String) {
        let mut next = Some(top);
        while let Some(chain) = next.filter(|chain| !self.is_used(chain)) {
            next = self.layers.remove(&chain).flatten();
        }
    }

    /// Removes layers that nothing stands on; images without a name and without a container first.
    pub(crate) fn prune(&mut self, all: bool) {
        let loose = self.images.iter().filter(|(id, image)| all && image.names.is_empty() && !self.is_made_of(id));
        for id in loose.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove_image(&id);
        }
        for chain in self.layers.keys().cloned().collect::<Vec<_>>() {
            if self.layers.contains_key(&chain) {
                self.remove_chain(chain);
            }
        }
    }

    /// The layers that images and containers stand on, themselves or through others.
    pub(crate) fn needed(&self) -> BTreeSet<String> {
        let images = self.images.values().map(|image| Some(image.top.clone()));
        let containers = self.containers.values().map(|held| held.parent.clone());
        let mut needed = BTreeSet::new();
        for mut next in images.chain(containers) {
            while let Some(chain) = next {
                next = self.layers.get(&chain).cloned().flatten();
                needed.insert(chain);
            }
        }
        needed
    }
}
