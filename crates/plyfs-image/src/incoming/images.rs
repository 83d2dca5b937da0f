//! The images of one archive as they are gathered: each once, and each name with one of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use plyfs_store::Reference;

use super::{Incoming, Wanted, check_member};
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::members::Members;

/// What was gathered so far.
pub(super) struct Images<'a> {
    members: &'a Members,
    wanted: &'a Wanted,
    all: Vec<Incoming>,
    /// Which image a name means.
    names: BTreeMap<Reference, usize>,
}

impl<'a> Images<'a> {
    pub(super) fn new(members: &'a Members, wanted: &'a Wanted) -> Self {
        Self { members, wanted, all: Vec::new(), names: BTreeMap::new() }
    }

    /// Takes an image in once it is checked; where it is.
    ///
    /// One that is there already only gets further names. A name that another one has is taken from that one, as if one
    /// archive had been loaded after the other.
    pub(super) fn take(&mut self, mut image: Incoming) -> Result<usize> {
        let label = image.label();
        self.check(&image).map_err(|error| Error::wrap(label, error))?;
        let (names, notes) = (std::mem::take(&mut image.names), std::mem::take(&mut image.notes));
        let known = self.all.iter().position(|known| known.id == image.id);
        let place = known.unwrap_or(self.all.len());
        if known.is_none() {
            self.all.push(image);
        }
        self.name(place, names, notes);
        Ok(place)
    }

    /// Gives an image that is there further names.
    pub(super) fn name(&mut self, place: usize, names: Vec<Reference>, notes: Vec<String>) {
        self.all[place].notes.extend(notes);
        for name in names {
            match self.names.entry(name.clone()) {
                Entry::Occupied(same) if *same.get() == place => continue,
                Entry::Occupied(mut other) => {
                    let before = &mut self.all[other.insert(place)];
                    before.names.retain(|known| *known != name);
                    before.notes.push(format!("the name {name}: a later image of the archive has it too"));
                }
                Entry::Vacant(new) => drop(new.insert(place)),
            }
            self.all[place].names.push(name);
        }
    }

    /// All that was gathered, which is something.
    pub(super) fn finish(self) -> Result<Vec<Incoming>> {
        match self.all.is_empty() {
            true => Err(Error::new(ErrorKind::InvalidInput, "no image in the archive")),
            false => Ok(self.all),
        }
    }

    fn check(&self, image: &Incoming) -> Result<()> {
        self.wanted.check(image)?;
        config::check(&image.config)?;
        for layer in &image.layers {
            let checked = check_member(self.members, layer);
            checked.map_err(|error| Error::wrap(format!("layer {}", layer.diff_id), error))?;
        }
        Ok(())
    }
}
