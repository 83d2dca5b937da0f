//! A process that works on a store at random and can be killed at any instant.
//!
//! Before each operation it writes down what it is about to do, after it what it has done; both survive it. The next
//! life of the worker finds every acknowledged operation in the store, and an unfinished one done or not begun.

mod act;
mod choose;
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use plyfs::{Durability, Store};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::model::{Model, Op};

/// What a worker writes down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Notes {
    /// Everything acknowledged.
    pub model: Model,
    /// What was begun and not acknowledged.
    pub pending: Option<Op>,
    /// How many operations of each verb were done.
    pub done: BTreeMap<String, u64>,
    /// How many ended in a refusal that the work of others explains.
    pub refused: BTreeMap<String, u64>,
    /// How many lives ended within an operation.
    pub interrupted: u64,
    /// How many of those operations the store had done.
    pub finished: u64,
}

impl Notes {
    /// Reads the notes of a worker; those of one that never ran are empty.
    pub fn read(dir: &Path, slot: u64) -> Result<Self> {
        let path = path(dir, slot);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            bytes => Ok(serde_json::from_slice(&bytes?).with_context(|| format!("read {}", path.display()))?),
        }
    }

    /// Renamed into place, so that a kill leaves the notes before or after.
    fn write(&self, dir: &Path, slot: u64) -> Result<()> {
        let (path, aside) = (path(dir, slot), dir.join(format!("notes.{slot}.new")));
        fs::write(&aside, serde_json::to_vec(self)?).with_context(|| format!("write {}", aside.display()))?;
        fs::rename(&aside, &path).with_context(|| format!("rename {}", aside.display()))
    }
}

fn path(dir: &Path, slot: u64) -> PathBuf {
    dir.join(format!("notes.{slot}"))
}

/// One life of a worker.
#[derive(Debug)]
pub struct Worker {
    dir: PathBuf,
    slot: u64,
    /// The beginning of its names.
    owner: String,
    store: Store,
    dice: Dice,
    notes: Notes,
}

impl Worker {
    /// Opens the store below `dir` and settles what the last life left unfinished.
    ///
    /// Workers of even slots wait for the disk, the others do not.
    pub fn start(dir: &Path, slot: u64, seed: u64) -> Result<Self> {
        Self::with(open(dir, slot)?, dir, slot, seed)
    }

    /// Takes an open store, shared with others of this process.
    pub fn with(store: Store, dir: &Path, slot: u64, seed: u64) -> Result<Self> {
        let notes = Notes::read(dir, slot)?;
        let (dir, owner) = (dir.to_owned(), format!("w{slot}"));
        let mut worker = Self { dir, slot, owner, store, dice: Dice::new(seed), notes };
        worker.settle()?;
        Ok(worker)
    }

    /// Does this many operations.
    pub fn steps(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let op = choose::next(&mut self.dice, &self.owner, &self.notes.model);
            self.step(op)?;
        }
        Ok(())
    }

    /// Works until it is killed or something is wrong.
    pub fn work(&mut self) -> Result<()> {
        loop {
            self.steps(1)?;
        }
    }

    /// Claims that the store holds everything acknowledged, with its content.
    pub fn verify(&self) -> Result<()> {
        verify::all(&self.store, &self.owner, &self.notes.model)
    }

    fn step(&mut self, op: Op) -> Result<()> {
        self.notes.pending = Some(op.clone());
        self.write()?;
        let outcome = act::act(self, &op).with_context(|| format!("worker {}: {op:?}", self.slot))?;
        let count = match outcome {
            act::Outcome::Done(made) => {
                self.notes.model = self.notes.model.after(&self.owner, &op, made.as_deref());
                &mut self.notes.done
            }
            act::Outcome::Refused(kind) => {
                *self.notes.refused.entry(format!("{} {kind}", op.verb())).or_default() += 1;
                &mut self.notes.refused
            }
        };
        *count.entry(op.verb()).or_default() += 1;
        self.notes.pending = None;
        self.write()
    }

    /// Finds out whether the operation that was cut was done, and brings what it left into a known state.
    fn settle(&mut self) -> Result<()> {
        let Some(op) = self.notes.pending.take() else { return Ok(()) };
        self.notes.interrupted += 1;
        let seen = verify::Seen::of(&self.store, &self.owner, &self.notes.model)?;
        let before = self.notes.model.clone();
        let made = match &op {
            // The image the name meant before is not the one this commit was to make.
            Op::Commit { name, .. } => {
                seen.names.get(name).filter(|id| before.names.get(name) != Some(id)).map(String::as_str)
            }
            _ => None,
        };
        let after = before.after(&self.owner, &op, made);
        if seen.agrees(&after) {
            self.notes.finished += u64::from(after != before);
            self.notes.model = after;
        } else if !seen.agrees(&before) {
            bail!(
                "worker {}: after a kill within {op:?} the store is neither before nor after it\nseen: {seen:?}\nbefore: {before:?}\nafter: {after:?}",
                self.slot
            );
        }
        act::mend(self, &op, &before).with_context(|| format!("worker {}: mending after {op:?}", self.slot))?;
        self.write()
    }

    fn write(&self) -> Result<()> {
        self.notes.write(&self.dir, self.slot)
    }
}

fn open(dir: &Path, slot: u64) -> Result<Store> {
    let durability = if slot.is_multiple_of(2) { Durability::FileSystem } else { Durability::None };
    Ok(Store::options().durability(durability).open(dir.join("store"))?)
}
