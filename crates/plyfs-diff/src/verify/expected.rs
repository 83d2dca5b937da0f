//! What an archive says a layer's directory is, once all of it was applied.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::inode::is_compared;
use crate::Result;
use crate::apply::{Key, Name, key, may_carry};
use crate::archive::{Entry, Extent, Kind, Limits, Time};
use crate::names;

/// What the paths of a layer have to be; a path is as [`names::clean`] gives it.
#[derive(Default)]
pub(super) struct Expected {
    /// Which inode a path names, by its place in `nodes`.
    pub(super) paths: HashMap<Vec<u8>, usize>,
    /// What the inodes are; `None` where only a lower or AUFS' store tells.
    pub(super) nodes: Vec<Option<Facts>>,
    /// The names that hide what lower layers have.
    pub(super) whiteouts: BTreeSet<Vec<u8>>,
    /// The directories that hide what lower layers have in them.
    pub(super) opaque: BTreeSet<Vec<u8>>,
    /// What hard links name and the archive has not: a lower's, copied up, or AUFS'.
    pub(super) copied: BTreeSet<Vec<u8>>,
    /// An entry is elsewhere than its name says, so there may be directories on the way that nothing names.
    pub(super) has_detours: bool,
    /// Where something other than a directory was replaced: what was marked there before and below went with it, and a
    /// directory in its place is opaque.
    pub(super) replaced: HashSet<Vec<u8>>,
}

/// What an entry says of its inode.
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: Time,
    pub(super) device: (u32, u32),
    pub(super) size: u64,
    pub(super) link: Vec<u8>,
    /// The names of the attributes that are compared, and a key of each value.
    pub(super) xattrs: Vec<(Vec<u8>, Key)>,
    /// The stored stretches of a sparse file and the checksum of what is in them.
    pub(super) stored: Option<(Vec<Extent>, u64)>,
}

impl Expected {
    /// Adds the next entry; `crc` is of the content of a sparse one.
    ///
    /// `place` is where the record says it is in the layer; without one it is nowhere, or something else took its place.
    pub(super) fn add(&mut self, entry: Entry, crc: u64, place: Option<&[u8]>) -> Result<()> {
        let limits = Limits::default();
        let path = names::clean(&entry.path, &limits)?;
        match Name::of(&path)? {
            Name::Aufs => return Ok(()),
            Name::Opaque(dir) => {
                self.opaque.insert(dir.to_vec());
                return Ok(());
            }
            Name::Whiteout(dir, name) => {
                self.whiteouts.insert(names::join(dir, name));
                return Ok(());
            }
            Name::Root | Name::Plain(..) => {}
        }
        if place.is_none() && entry.kind != Kind::Directory {
            self.replaced.insert(path.clone());
        }
        let target = (entry.kind == Kind::HardLink).then(|| names::clean(&entry.link, &limits)).transpose()?;
        let node = target.as_ref().and_then(|target| self.paths.get(target).copied());
        if let (Some(target), None) = (target, node) {
            self.copied.insert(target);
        }
        let Some(place) = place else { return Ok(()) };
        let place = names::clean(place, &limits)?;
        self.has_detours |= place != path;
        if entry.kind == Kind::CharDevice && entry.device == (0, 0) {
            // On disk this is a whiteout, and what comes later treats it as one.
            self.whiteouts.insert(place);
            return Ok(());
        }
        let node = node.unwrap_or_else(|| {
            self.nodes.push(Facts::of(entry, crc));
            self.nodes.len() - 1
        });
        self.paths.insert(place, node);
        Ok(())
    }

    /// The directories that something lies in and nothing describes.
    pub(super) fn implied(&self) -> HashSet<Vec<u8>> {
        let mut implied = HashSet::new();
        let paths = self.paths.keys().chain(&self.whiteouts).chain(&self.copied);
        // A directory that a mark is in need not be there itself; where it is, it may.
        for path in paths.map(|path| names::parent(path)).chain(self.opaque.iter().map(Vec::as_slice)) {
            let mut path = path;
            while !path.is_empty() && !self.paths.contains_key(path) && implied.insert(path.to_vec()) {
                path = names::parent(path);
            }
        }
        implied
    }

    /// Says whether the directory hides what lower layers have in it, if they have one.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        let is_marked = self.opaque.contains(path) || self.whiteouts.contains(path);
        is_marked || self.replaced.contains(path) || self.is_hidden_from_root(path)
    }

    fn is_directory(&self, node: usize) -> bool {
        self.nodes[node].as_ref().is_some_and(|facts| facts.kind == Kind::Directory)
    }

    /// Says whether the name is one of the root's, which hides all of them one by one.
    pub(super) fn is_hidden_from_root(&self, path: &[u8]) -> bool {
        !path.is_empty() && names::parent(path).is_empty() && self.opaque.contains(&[][..])
    }

    /// Says whether something above the path hides all that lower layers have there, be it a file in a directory's place, or did.
    pub(super) fn is_covered(&self, path: &[u8]) -> bool {
        if self.replaced.contains(path) {
            return true;
        }
        let mut path = path;
        while !path.is_empty() {
            path = names::parent(path);
            if self.hides(path) || self.paths.get(path).is_some_and(|&node| !self.is_directory(node)) {
                return true;
            }
        }
        false
    }
}

impl Facts {
    /// What the entry says; nothing where it is a link to what is not known.
    fn of(entry: Entry, crc: u64) -> Option<Self> {
        let xattrs = entry.xattrs.into_iter().filter(|(name, _)| is_compared(name) && may_carry(name, entry.kind));
        (entry.kind != Kind::HardLink).then(|| Self {
            kind: entry.kind,
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: entry.mtime,
            device: entry.device,
            size: entry.size,
            link: entry.link,
            xattrs: xattrs.map(|(name, value)| (name, key(&value))).collect(),
            stored: entry.extents.map(|extents| (extents, crc)),
        })
    }
}
