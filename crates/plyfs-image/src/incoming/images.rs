//! The images of one archive as they are gathered: each once, and each name with one of them.

use std::collections::{BTreeMap, BTreeSet};

use plyfs_store::Reference;

use super::{Incoming, Wanted, check_member};
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::losses::Room;
use crate::members::Members;

/// What was gathered so far.
pub(super) struct Images<'a> {
    members: &'a Members,
    wanted: &'a Wanted,
    /// Without their names.
    all: Vec<Incoming>,
    names: BTreeMap<Reference, Owner>,
    /// How often a name went to an image.
    given: usize,
    room: Room,
    /// How much of an image there was no room to say.
    unsaid: BTreeMap<usize, usize>,
}

/// Which image a name means.
#[derive(Default)]
struct Owner {
    place: usize,
    /// How many names were given before.
    since: usize,
    /// Those that had it too.
    all: BTreeSet<usize>,
}

impl<'a> Images<'a> {
    pub(super) fn new(members: &'a Members, wanted: &'a Wanted) -> Self {
        let (names, unsaid) = (BTreeMap::new(), BTreeMap::new());
        Self { members, wanted, all: Vec::new(), names, given: 0, room: Room::whole(), unsaid }
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
        self.note(place, &notes);
        for name in names {
            let owner = self.names.entry(name).or_default();
            if owner.place != place || owner.all.is_empty() {
                (owner.place, owner.since) = (place, self.given);
                owner.all.insert(place);
                self.given += 1;
            }
        }
    }

    /// Notes what is left out of an image.
    fn note<T: ToString>(&mut self, place: usize, lost: &[T]) {
        let said = self.room.say(lost);
        if said.len() < lost.len() {
            *self.unsaid.entry(place).or_default() += lost.len() - said.len();
        }
        self.all[place].notes.extend(said);
    }

    /// All that was gathered, which is something; each name is with the last image that has it.
    pub(super) fn finish(mut self) -> Result<Vec<Incoming>> {
        let mut given = Vec::with_capacity(self.names.len());
        for (name, owner) in std::mem::take(&mut self.names) {
            for place in owner.all.into_iter().filter(|place| *place != owner.place) {
                self.note(place, &[format_args!("the name {name}: a later image of the archive has it too")]);
            }
            given.push((owner.since, owner.place, name));
        }
        given.sort_unstable_by_key(|(since, ..)| *since);
        for (_, place, name) in given {
            self.all[place].names.push(name);
        }
        for (place, unsaid) in self.unsaid {
            self.all[place].notes.push(format!("{unsaid} more names that it does not get"));
        }
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
