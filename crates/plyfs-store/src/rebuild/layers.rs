//! Layers from their directories and tar-split records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};

use plyfs_diff::Usage;
use plyfs_diff::tar_split::rebuild;
use plyfs_link::{LayerId, LinkId, Lower};
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::check::report;
use crate::progress::{Progress, Stage};
use crate::publish::put_layer;
use crate::record::LayerRecord;
use crate::{Error, ErrorKind, Result, Store, chain_id, describe, layout};

/// Longer than any `lower` of 500 layers.
const MAX_FILE: u64 = 64 * 1024;

/// Layers written in one record of the journal.
const BATCH: usize = 1000;

/// What the driver home holds.
pub(super) struct Found {
    /// In an order that has parents before children.
    pub(super) layers: Vec<LayerRecord>,
    /// Writable layers, which no tar-split record describes.
    pub(super) uppers: Vec<Upper>,
}

/// A writable layer.
pub(super) struct Upper {
    pub(super) id: LayerId,
    pub(super) link: LinkId,
    pub(super) parent: Option<LayerId>,
}

/// One directory of the driver home, before it is known what it is.
struct Directory {
    link: LinkId,
    parent: Option<LayerId>,
    has_work: bool,
    tar_split: Option<File>,
}

/// Finds every layer and writable layer; what is none of both is listed as lost.
pub(super) fn find(store: &Store, progress: Progress<'_>, lost: &mut Vec<String>) -> Result<Found> {
    let directories = Directories::read(store, lost)?;
    let parents: BTreeSet<_> = directories.0.values().filter_map(|directory| directory.parent).collect();
    let mut found = Found { layers: Vec::new(), uppers: Vec::new() };
    let mut known: BTreeMap<LayerId, LayerRecord> = BTreeMap::new();
    let staged = store.staged_names()?;
    // Operations name them as about to be published.
    let unpublished: BTreeSet<_> =
        staged.iter().filter_map(|name| Some(layout::parse_staged_marker(name)?.0)).collect();
    for id in directories.in_order(lost) {
        let directory = &directories.0[&id];
        progress.report(Stage::Check, &format!("layer {id}"), 0, None)?;
        if directory.tar_split.is_none() && directory.has_work && !parents.contains(&id) {
            found.uppers.push(Upper { id, link: directory.link, parent: directory.parent });
            continue;
        }
        let below = directory.parent.map(|parent| known.get(&parent));
        if let Some(None) = below {
            lost.push(format!("layer {id}: the layer below it"));
            continue;
        }
        let layer = describe_layer(store, id, directory, below.flatten(), lost)?;
        // Placed by an operation that never published it: kept only when nothing of it is missing.
        if unpublished.contains(&id) && store.layer_of(layer.clone()).write_archive(std::io::sink()).is_err() {
            lost.push(format!("layer {id}: it was not whole when its operation ended"));
            continue;
        }
        known.insert(id, layer.clone());
        found.layers.push(layer);
    }
    Ok(found)
}

/// The layer's record: its own description where there is one, else what its tree and tar-split record give.
fn describe_layer(
    store: &Store,
    id: LayerId,
    directory: &Directory,
    below: Option<&LayerRecord>,
    lost: &mut Vec<String>,
) -> Result<LayerRecord> {
    let named = |e: std::io::Error| Error::new(ErrorKind::Io, format!("tar-split record of layer {id}")).because(e);
    let described = directory.tar_split.as_ref().map(|file| describe::read(file, id)).transpose().map_err(named)?;
    let layer = match described.flatten() {
        Some(layer) => layer,
        None => measure(store, id, directory, lost)?,
    };
    let chain = match (below, layer.diff_id) {
        (None, Some(diff_id)) => Some(chain_id(None, &diff_id)),
        (Some(below), Some(diff_id)) => below.chain_id.map(|chain| chain_id(Some(&chain), &diff_id)),
        (_, None) => None,
    };
    Ok(LayerRecord {
        link: directory.link,
        parent: directory.parent,
        chain_id: chain,
        chain: layer.own + below.map(|below| below.chain).unwrap_or_default(),
        depth: 1 + below.map_or(0, |below| below.depth),
        // Which blobs it came as, the manifests tell.
        blobs: Vec::new(),
        ..layer
    })
}

/// Works out what a description would say; everything in the layer is read.
fn measure(store: &Store, id: LayerId, directory: &Directory, lost: &mut Vec<String>) -> Result<LayerRecord> {
    let tree = store.tree(id)?;
    let named = |e| Error::call(format!("layer {id}"), e);
    let changed = fs::stat(&tree).map_err(named)?.st_ctime;
    let mut archive = None;
    if let Some(file) = &directory.tar_split {
        let decoder = file.try_clone().and_then(zstd::Decoder::new);
        match decoder.map(|decoder| rebuild(BufReader::new(decoder), &tree, std::io::sink())) {
            Ok(Ok(exported)) => archive = Some((exported.diff_id, exported.size)),
            Ok(Err(error)) => lost.push(format!("layer {id}: its DiffID: {}", report(&error))),
            Err(error) => lost.push(format!("layer {id}: its DiffID: {error}")),
        }
    } else {
        lost.push(format!("layer {id}: its DiffID: it has no tar-split record"));
    }
    Ok(LayerRecord {
        id,
        link: directory.link,
        parent: directory.parent,
        diff_id: archive.map(|(diff_id, _)| diff_id),
        chain_id: None,
        own: Usage::measure(&tree).map_err(|e| Error::diff(format!("layer {id}"), e))?,
        chain: Usage::default(),
        depth: 0,
        archive_size: archive.map(|(_, size)| size),
        created: u64::try_from(changed).unwrap_or_default(),
        blobs: Vec::new(),
        rest: plyfs_journal::Record::default(),
    })
}

struct Directories(BTreeMap<LayerId, Directory>);

impl Directories {
    fn read(store: &Store, lost: &mut Vec<String>) -> Result<Self> {
        let links = Links::read(store)?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(store.home()).map_err(|e| Error::call(layout::HOME, e))? {
            let Some(id) = entry.name.to_str().and_then(|name| name.parse::<LayerId>().ok()) else { continue };
            match links.directory(store, id) {
                Ok(directory) => drop(all.insert(id, directory)),
                Err(error) => lost.push(format!("overlay2/{id}: {}", report(&error))),
            }
        }
        Ok(Self(all))
    }

    /// Every directory after the one below it; what stands in a circle is lost.
    fn in_order(&self, lost: &mut Vec<String>) -> Vec<LayerId> {
        let mut order = Vec::with_capacity(self.0.len());
        let mut placed = BTreeSet::new();
        for &id in self.0.keys() {
            let mut path = Vec::new();
            let mut next = Some(id);
            while let Some(id) = next.filter(|id| !placed.contains(id)) {
                if path.contains(&id) {
                    lost.push(format!("layer {id}: it stands on itself"));
                    placed.extend(path.drain(..));
                    break;
                }
                path.push(id);
                next =
                    self.0.get(&id).and_then(|directory| directory.parent).filter(|below| self.0.contains_key(below));
            }
            placed.extend(path.iter().copied());
            order.extend(path.into_iter().rev());
        }
        order
    }
}

/// Which short link means which layer, from `l/` and from the layers' own `link` files.
struct Links {
    layers: BTreeMap<LinkId, LayerId>,
    links: BTreeMap<LayerId, LinkId>,
}

impl Links {
    fn read(store: &Store) -> Result<Self> {
        let mut all = Self { layers: BTreeMap::new(), links: BTreeMap::new() };
        for name in store.0.links.names().map_err(|e| Error::link("short links", e))? {
            let Some(link) = name.to_str().and_then(|name| name.parse::<LinkId>().ok()) else { continue };
            if let Ok(Some(layer)) = store.0.links.layer(link) {
                all.layers.insert(link, layer);
                all.links.insert(layer, link);
            }
        }
        for entry in fs::read_dir(store.home()).map_err(|e| Error::call(layout::HOME, e))? {
            let Some(id) = entry.name.to_str().and_then(|name| name.parse::<LayerId>().ok()) else { continue };
            if let Some(link) = read_text(store, id, plyfs_link::LINK).and_then(|text| text.parse().ok()) {
                all.layers.insert(link, id);
                all.links.insert(id, link);
            }
        }
        Ok(all)
    }

    fn directory(&self, store: &Store, id: LayerId) -> Result<Directory> {
        store.tree(id)?;
        let named = |e| Error::call(format!("layer {id}"), e);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let tar_split = match fs::open_at(&store.0.tar_split, id.to_string(), flags, Mode::empty()) {
            Err(error) if error.is_not_found() => None,
            file => Some(File::from(file.map_err(named)?)),
        };
        let described = tar_split.as_ref().and_then(|file| describe::read(file, id).ok().flatten());
        let lower = read_text(store, id, plyfs_link::LOWER).and_then(|text| text.parse::<Lower>().ok());
        let below = lower.and_then(|lower| self.layers.get(lower.links().first()?).copied());
        let home = fs::open_dir_at(store.home(), id.to_string()).map_err(named)?;
        Ok(Directory {
            link: match &described {
                Some(layer) => layer.link,
                None => self.links.get(&id).copied().unwrap_or_else(LinkId::random),
            },
            parent: described.map_or(below, |layer| layer.parent),
            has_work: fs::try_stat_at(&home, plyfs_link::WORK).map_err(named)?.is_some(),
            tar_split,
        })
    }
}

/// A small file of a layer's directory, where there is a sound one.
fn read_text(store: &Store, id: LayerId, name: &str) -> Option<String> {
    let directory = fs::open_dir_at(store.home(), id.to_string()).ok()?;
    let file = fs::open_at(directory, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).ok()?;
    let mut text = String::new();
    File::from(file).take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

impl Store {
    pub(super) fn put_layers(&self, layers: &[LayerRecord]) -> Result<()> {
        for batch in layers.chunks(BATCH) {
            self.commit(|records| batch.iter().try_for_each(|layer| put_layer(records, layer)))?;
        }
        Ok(())
    }
}
