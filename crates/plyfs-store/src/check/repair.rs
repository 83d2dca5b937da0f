//! Undoing what a check found, one act at a time, each said.
//!
//! Nothing is deleted that cannot be explained: what no record speaks of is moved into `aside/`, where it can be
//! looked at. What holds content nobody else has, a layer's tree say, is never made up again.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use rustix::fs::Mode;

use super::{CheckOptions, Finding, Found, report};
use crate::format::write_all;
use crate::mark::Mark;
use crate::progress::Progress;
use crate::recover::is_blob_used;
use crate::{Container, Digest, Error, Result, Store, kept, key, layout};

/// A directory of the store that is listed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Home,
    Links,
    TarSplit,
    Blobs,
    Staging,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Home => layout::HOME,
            Self::Links => plyfs_link::LINK_DIR,
            Self::TarSplit => layout::TAR_SPLIT,
            Self::Blobs => "blobs/sha256",
            Self::Staging => layout::STAGING,
        }
    }
}

/// One key of the journal and the value it should have.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// What undoes a finding.
#[derive(Debug)]
pub(super) enum Fix {
    /// Writes a file of a layer's directory anew.
    File { layer: LayerId, name: &'static str, content: String },
    /// Makes a short link point to its layer.
    ShortLink { layer: LayerId, link: LinkId },
    /// Leaves Docker's mark.
    Committed(LayerId),
    /// Changes the journal, unless the record that was seen is another by now.
    Records { seen: (Vec<u8>, Option<Vec<u8>>), change: Change },
    /// Takes a kept blob from a layer's record, and what is left of it aside.
    ForgetBlob { layer: LayerId, blob: Digest },
    /// Moves into `aside/` what no record speaks of.
    MoveAside { place: Place, name: OsString },
    /// Has the journal write its runs anew, as long as one of them is not right.
    RewriteRuns,
    /// Does what opening does: takes back what dead operations staged; this one is what it is done for.
    Recover(OsString),
    /// Notes where a container is mounted.
    Mark { container: Box<Container>, path: PathBuf },
}

/// One thing a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Act {
    /// What was wrong.
    pub finding: Finding,
    /// What was done about it.
    pub done: String,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.finding.subject, self.finding.problem, self.done)
    }
}

/// What a repair did and what it left.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// What was done, in order.
    pub acts: Vec<Act>,
    /// What is wrong still, worst first, as a second check found it.
    pub left: Vec<Finding>,
}

impl Store {
    /// Undoes what [`Self::check`] finds as far as that can be done without loss, and checks again. Durable on return.
    ///
    /// Short links, `link` and `lower` files, look-ups and totals are written anew from the records; what no record
    /// speaks of is moved into the store's `aside/`, never deleted. Runs of the journal that do not find what they hold are
    /// written anew. Missing or changed content stays a finding. Other processes may go on working meanwhile.
    pub fn repair(&self, options: &CheckOptions, progress: Progress<'_>) -> Result<Repaired> {
        self.require_root("repairing")?;
        let own = fs::open_dir_at(&self.0.root, ".").map_err(|e| self.explain("make the store durable", e))?;
        let mut acts = Vec::new();
        let mut found = self.find(options, progress)?;
        // While look-ups gave wrong answers, nothing else was looked at.
        if found.iter().any(|found| matches!(found.fix, Some(Fix::RewriteRuns))) {
            self.undo(found, &mut acts);
            found = self.find(options, progress)?;
        }
        self.undo(found, &mut acts);
        self.sync(&own)?;
        // The content was read once and no repair touches it; what was found of it stays true.
        let left = self.find(options, progress)?;
        Ok(Repaired { acts, left: left.into_iter().map(|found| found.finding).collect() })
    }

    fn undo(&self, found: Vec<Found>, acts: &mut Vec<Act>) {
        for Found { finding, fix } in found {
            let Some(fix) = fix else { continue };
            match fix.apply(self) {
                Ok(Some(done)) => acts.push(Act { finding, done }),
                Ok(None) => {}
                Err(error) => acts.push(Act { finding, done: format!("could not be repaired: {}", report(&error)) }),
            }
        }
    }
}

/// Moves a name of one of the store's directories into `aside/` of its root, under the first name that is free there.
pub(crate) fn move_aside(root: &OwnedFd, from: impl AsFd, name: &OsString, label: &str) -> Result<String> {
    let named = |e| Error::call(format!("{}/{label}", layout::ASIDE), e);
    fs::ensure_dir_at(root, layout::ASIDE, Mode::RWXU).map_err(named)?;
    let aside = fs::open_dir_at(root, layout::ASIDE).map_err(named)?;
    for number in 0.. {
        let free = if number == 0 { label.to_owned() } else { format!("{label}.{number}") };
        match fs::rename_new_at(&from, name, &aside, &free) {
            Err(error) if error.kind() == crate::ErrorKind::Exists => {}
            result => return result.map(|()| format!("{}/{free}", layout::ASIDE)).map_err(named),
        }
    }
    unreachable!("numbers do not end")
}

impl Fix {
    /// Does it; what was done, or `None` where it is needed no more.
    fn apply(&self, store: &Store) -> Result<Option<String>> {
        match self {
            Self::File { layer, name, content } => {
                rewrite(store, *layer, name, content)?;
                Ok(Some(format!("wrote {name} anew")))
            }
            Self::ShortLink { layer, link } => point_link(store, *layer, *link),
            Self::Committed(layer) => {
                store.mark_committed(*layer)?;
                Ok(Some("marked again".to_owned()))
            }
            Self::Records { seen, change } => change.apply(store, seen),
            Self::ForgetBlob { layer, blob } => forget_blob(store, *layer, blob),
            Self::MoveAside { place, name } => move_stray(store, *place, name),
            Self::RewriteRuns => {
                if !store.snapshot()?.misleading().is_empty() {
                    store.rewrite_runs()?;
                }
                Ok(Some("its runs were written anew".to_owned()))
            }
            Self::Recover(name) => {
                let stuck = store.recover()?.into_iter().find(|stuck| *name == *stuck.operation);
                stuck.map_or_else(|| Ok(Some("taken back".to_owned())), |stuck| Err(stuck.error))
            }
            Self::Mark { container, path } => {
                let directory = container.directory()?;
                // Without an id, since another mount may lie over it; the mount table is asked then.
                Mark::about_to_mount(&directory, Some(path))?.write(&directory)?;
                Ok(Some("marked as mounted".to_owned()))
            }
        }
    }
}

impl Change {
    fn apply(&self, store: &Store, (owner, seen): &(Vec<u8>, Option<Vec<u8>>)) -> Result<Option<String>> {
        store.commit(|records| {
            if records.get(owner)? != *seen {
                return Ok(None);
            }
            match &self.value {
                Some(value) => records.put(&self.key, value),
                None => records.delete(&self.key),
            }
            Ok(Some(if self.value.is_some() { "written" } else { "taken out" }.to_owned()))
        })
    }
}

/// Makes a short link anew; under the journal's lock, since for a layer that was removed meanwhile it would be a stray.
fn point_link(store: &Store, layer: LayerId, link: LinkId) -> Result<Option<String>> {
    store.commit(|records| {
        if !records.contains(&key::layer(layer))? && !records.contains(&key::container_directory(layer))? {
            return Ok(None);
        }
        let links = &store.0.links;
        links.remove(link).and_then(|()| links.ensure_link(link, layer)).map_err(|e| Error::link("repair", e))?;
        Ok(Some(format!("made l/{link} point to its layer")))
    })
}

/// Takes a blob from a layer's record; with the last one it goes aside, unless it is gone.
fn forget_blob(store: &Store, layer: LayerId, blob: &Digest) -> Result<Option<String>> {
    store.commit(|records| {
        if !kept::forget(records, layer, blob)? {
            return Ok(None);
        }
        let (place, name) = (Place::Blobs, OsString::from(blob.hex()));
        let is_there = fs::try_stat_at(&store.0.blobs, &name).is_ok_and(|stat| stat.is_some());
        if is_blob_used(records, blob)? || !is_there {
            return Ok(Some("forgotten: the layer is compressed anew when it is saved".to_owned()));
        }
        let label = format!("{}.{}", place.name().replace('/', "."), blob.hex());
        let moved = move_aside(&store.0.root, place.directory(store), &name, &label)?;
        Ok(Some(format!("forgotten, and moved to {moved}: the layer is compressed anew when it is saved")))
    })
}

/// Moves a stray aside; asked again and done under the journal's lock, so that no record can come to speak of it in
/// between.
fn move_stray(store: &Store, place: Place, name: &OsString) -> Result<Option<String>> {
    let text = name.to_string_lossy();
    store.commit(|records| {
        if place.is_accounted(store, records, &text)? {
            return Ok(None);
        }
        let label = format!("{}.{text}", place.name().replace('/', "."));
        Ok(Some(format!("moved to {}", move_aside(&store.0.root, place.directory(store), name, &label)?)))
    })
}

/// Puts a file with this content in the place of whatever is there.
fn rewrite(store: &Store, layer: LayerId, name: &str, content: &str) -> Result<()> {
    let mode = Mode::from_raw_mode(0o644);
    let write = || -> plyfs_sys::Result<()> {
        let directory = fs::open_dir_at(store.home(), layer.to_string())?;
        let aside = format!("{name}.new");
        fs::remove_tree(&directory, &aside)?;
        let file = fs::create_file_at(&directory, &aside, mode)?;
        write_all(&file, &aside, content.as_bytes())?;
        fs::chmod_at(&directory, &aside, mode)?;
        // A directory in its place would refuse the rename.
        if fs::open_dir_at(&directory, name).is_ok() {
            fs::remove_dir_at(&directory, name)?;
        }
        fs::rename_at(&directory, &aside, &directory, name)
    };
    write().map_err(|e| store.explain(&format!("layer {layer}"), e))
}
