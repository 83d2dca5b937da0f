//! What one worker's part of a store must hold: names and containers that nobody else touches.
//!
//! An operation takes the model from one state to the next; a worker that is killed in the middle finds the store in
//! one of both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::recipe::{Files, Recipe};

/// How many images of its own a worker loads.
pub const IMAGES: u64 = 5;

/// One step of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the verb of the facade, its fields the names it is given")]
pub enum Op {
    Load { n: u64 },
    Create { container: String, image: String },
    Write { container: String, seed: u64 },
    Keep { container: String },
    Unmount { container: String },
    Commit { container: String, name: String },
    Rename { from: String, to: String },
    Tag { image: String, name: String },
    Untag { name: String },
    RemoveImage { image: String },
    Remove { container: String },
    Save { image: String },
    Prune { all: bool },
    Reap,
    Check,
    Usage,
    Apply { seed: u64 },
    Lease { seed: u64 },
    Renew { lease: String },
    Expire { lease: String },
    Release { lease: String },
    Reopen,
    Verify,
    Shared(Shared),
}

/// One step on names that all workers use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as for the worker's own")]
pub enum Shared {
    Load { n: u64 },
    Create { container: String, image: String },
    Write { container: String, seed: u64 },
    Commit { container: String, name: String },
    Rename { from: String, to: String },
    Tag { image: String, name: String },
    Untag { name: String },
    RemoveImage { image: String },
    Remove { container: String },
    Save { image: String },
}

impl Op {
    /// The verb alone, for counting.
    #[must_use]
    pub fn verb(&self) -> String {
        let text = format!("{self:?}").to_lowercase();
        let words: Vec<_> = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()).collect();
        let count = if words.first() == Some(&"shared") { 2 } else { 1 };
        words[..count].join(" ")
    }
}

/// A container as its worker knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The image it was made of.
    pub image: String,
    /// What it shows when it is mounted.
    pub files: Files,
}

/// A worker's part of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Image names and the ids they mean.
    pub names: BTreeMap<String, String>,
    /// What a container of an image shows at first.
    pub images: BTreeMap<String, Files>,
    /// Containers by name.
    pub containers: BTreeMap<String, Held>,
    /// Leases that live, and the layer each keeps.
    pub leases: BTreeMap<String, String>,
}

impl Model {
    /// The state after an operation of `owner` that was done; `made` is the id of the image a commit made, or of a lease
    /// and the layer it keeps.
    #[must_use]
    pub fn after(&self, owner: &str, op: &Op, made: Option<&str>) -> Self {
        let mut next = self.clone();
        match op {
            Op::Load { n } => {
                let recipe = Recipe::new(owner, *n);
                next.names.insert(recipe.plain.name.clone(), recipe.id());
                next.images.insert(recipe.id(), recipe.files);
            }
            Op::Create { container, image } => {
                let files = self.images.get(image).cloned().unwrap_or_default();
                next.containers.insert(container.clone(), Held { image: image.clone(), files });
            }
            Op::Write { container, seed } => {
                if let Some(held) = next.containers.get_mut(container) {
                    edit(&mut held.files, *seed);
                }
            }
            Op::Commit { container, name } => {
                if let (Some(id), Some(held)) = (made, self.containers.get(container)) {
                    next.names.insert(name.clone(), id.to_owned());
                    next.images.insert(id.to_owned(), held.files.clone());
                }
            }
            Op::Rename { from, to } => {
                if let Some(held) = next.containers.remove(from) {
                    next.containers.insert(to.clone(), held);
                }
            }
            Op::Tag { image, name } => drop(next.names.insert(name.clone(), image.clone())),
            Op::Untag { name } => drop(next.names.remove(name)),
            Op::RemoveImage { image } => next.names.retain(|_, id| id != image),
            Op::Remove { container } => drop(next.containers.remove(container)),
            Op::Lease { .. } => next.leases.extend(
                made.and_then(|made| made.split_once(' ')).map(|(lease, layer)| (lease.to_owned(), layer.to_owned())),
            ),
            Op::Expire { lease } | Op::Release { lease } => drop(next.leases.remove(lease)),
            _ => {}
        }
        let (names, containers) = (&next.names, &next.containers);
        // Without a name and without a container anybody may prune it.
        next.images.retain(|id, _| names.values().any(|n| n == id) || containers.values().any(|c| c.image == *id));
        next
    }
}

/// What a write of this seed does to what a container shows: each path with its new content, or without one.
#[must_use]
pub fn edits(files: &Files, seed: u64) -> Vec<(String, Option<u64>)> {
    let mut dice = Dice::new(seed);
    let known: Vec<_> = files.keys().cloned().collect();
    let mut edits = Vec::new();
    for _ in 0..=dice.below(3) {
        let fresh = format!("base/w{}", dice.below(6));
        let path = if dice.one_in(2) { fresh } else { dice.pick(&known).cloned().unwrap_or(fresh) };
        edits.push((path, Some(dice.roll() >> 8)));
    }
    if dice.one_in(3)
        && let Some(path) = dice.pick(&known)
    {
        edits.push((path.clone(), None));
    }
    edits
}

fn edit(files: &mut Files, seed: u64) {
    for (path, content) in edits(files, seed) {
        match content {
            Some(content) => drop(files.insert(path, content)),
            None => drop(files.remove(&path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_of_the_shared_part_is_told_apart() {
        assert_eq!(Op::RemoveImage { image: "x".into() }.verb(), "removeimage");
        assert_eq!(Op::Shared(Shared::Load { n: 1 }).verb(), "shared load");
        assert_eq!(Op::Reap.verb(), "reap");
    }

    #[test]
    fn an_image_stays_known_while_a_name_or_a_container_needs_it() {
        let loaded = Model::default().after("w", &Op::Load { n: 0 }, None);
        let id = Recipe::new("w", 0).id();
        let create = Op::Create { container: "c".into(), image: id.clone() };
        let used = loaded.after("w", &create, None).after("w", &Op::RemoveImage { image: id.clone() }, None);
        assert!(used.names.is_empty() && used.images.contains_key(&id));
        let gone = used.after("w", &Op::Remove { container: "c".into() }, None);
        assert_eq!(gone, Model::default());
    }
}
