//! Stores of any number of layers, their records written straight into the journal.
//!
//! Unpacking a hundred thousand layers would take hours and measure the disk. What is measured here depends on records
//! alone, so those are written, in commits of a thousand layers, as ARCHITECTURE.md lays them out; the chain that
//! containers stand on is real. Chains are five layers deep, and every second one is an image with a name.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Journal, Options, Record};
use plyfs_store::{Digest, Layer, LayerId, LinkId, NewImage, Store, chain_id};

use crate::{Result, life};

/// Layers of one chain.
const DEPTH: usize = 5;

/// Layers of one commit, a multiple of [`DEPTH`].
const BATCH: usize = 1000;

/// A store with that many layers in all, and the real ones that containers stand on.
pub(crate) struct Many {
    pub(crate) store: Store,
    pub(crate) top: Layer,
}

impl Many {
    pub(crate) fn new(dir: &Path, layers: usize) -> Result<Self> {
        Self::with(dir, layers, |_| Ok(()))
    }

    /// One in which every record has the directories and files it speaks of, as far as a quick check looks.
    pub(crate) fn whole(dir: &Path, layers: usize) -> Result<Self> {
        Self::with(dir, layers, |chain| make_directories(dir, chain))
    }

    fn with(dir: &Path, layers: usize, made: impl Fn(&[(LayerId, LinkId, Digest)]) -> Result<()>) -> Result<Self> {
        let store = Store::ensure(dir)?;
        let top = life::chain(&store, DEPTH)?;
        name(&store, &top)?;
        let disk = plyfs_sys::fs::open_dir(dir.join("journal"))?;
        let journal = Journal::open(Arc::new(DirDisk::new(disk)), Options::default())?;
        let mut left = layers.saturating_sub(DEPTH);
        while left > 0 {
            let count = left.min(BATCH);
            let chains = journal.write(|records| {
                let firsts = (0..count).step_by(DEPTH);
                Ok::<_, plyfs_journal::Error>(
                    firsts.map(|first| put_chain(records, DEPTH.min(count - first))).collect(),
                )
            });
            let chains: Vec<_> = chains?;
            chains.iter().try_for_each(|chain| made(chain))?;
            left -= count;
        }
        Ok(Self { store: Store::open(dir)?, top })
    }
}

/// Makes an image of a real layer, which containers can be made of.
fn name(store: &Store, top: &Layer) -> Result<()> {
    let mut operation = store.operation()?;
    let id = operation.blob(b"{}")?;
    let names = vec!["bench:1".parse()?];
    operation.image(NewImage {
        id,
        top: Some(top.id()),
        manifest: None,
        names,
        built: None,
        architecture: None,
        os: None,
    });
    Ok(operation.publish()?)
}

/// Makes what the records of one chain, lowest first, speak of.
fn make_directories(dir: &Path, chain: &[(LayerId, LinkId, Digest)]) -> Result<()> {
    let (home, mut lower) = (dir.join("overlay2"), String::new());
    for (number, (id, link, _)) in chain.iter().enumerate() {
        let layer = home.join(id.to_string());
        fs::create_dir_all(layer.join("diff"))?;
        fs::write(layer.join("link"), link.as_str())?;
        if number > 0 {
            fs::create_dir(layer.join("work"))?;
            fs::write(layer.join("lower"), &lower)?;
        }
        if number + 1 < chain.len() {
            fs::write(layer.join("committed"), "")?;
        }
        std::os::unix::fs::symlink(format!("../{id}/diff"), home.join("l").join(link.as_str()))?;
        fs::write(dir.join("tarsplit").join(id.to_string()), "")?;
        let above = if lower.is_empty() { String::new() } else { format!(":{lower}") };
        lower = format!("l/{link}{above}");
    }
    let top = chain.last().map(|(_, _, chain)| *chain).filter(is_image);
    let Some(config) = top else { return Ok(()) };
    Ok(fs::write(dir.join("blobs/sha256").join(Digest::of(config.as_bytes()).hex()), config.as_bytes())?)
}

/// Says whether the chain is an image's: every second one is.
fn is_image(chain: &Digest) -> bool {
    chain.as_bytes()[0] & 1 == 0
}

/// Writes the records of one chain; the answer is its layers, lowest first.
fn put_chain(records: &mut plyfs_journal::Transaction<'_>, depth: usize) -> Vec<(LayerId, LinkId, Digest)> {
    let mut layers = Vec::new();
    let mut below: Option<(LayerId, Digest)> = None;
    let mut total = [0_u64; 3];
    for number in 1..=depth {
        let (id, diff_id) = (LayerId::random(), Digest::of(LayerId::random().as_bytes()));
        let chain = chain_id(below.as_ref().map(|(_, chain)| chain), &diff_id);
        let own = [4096, 8192, 2];
        total = std::array::from_fn(|at| total[at] + own[at]);
        let mut record = Record::default();
        let link = LinkId::random();
        record.set_text(1, link.as_str());
        if let Some((parent, _)) = &below {
            record.set_bytes(2, parent.as_bytes());
            records.put(&[&b"u"[..], parent.as_bytes(), b"l", id.as_bytes()].concat(), &[]);
        }
        record.set_bytes(3, diff_id.as_bytes());
        record.set_bytes(4, chain.as_bytes());
        record.set_bytes(5, &own.map(u64::to_le_bytes).concat());
        record.set_bytes(6, &total.map(u64::to_le_bytes).concat());
        record.set_u64(7, number as u64);
        record.set_u64(8, 10_240);
        record.set_u64(9, 1_700_000_000);
        records.put(&[&b"l"[..], id.as_bytes()].concat(), &record.encode());
        records.put(&[&b"c"[..], chain.as_bytes()].concat(), id.as_bytes());
        layers.push((id, link, chain));
        below = Some((id, chain));
    }
    if let Some((top, chain)) = below.filter(|(_, chain)| is_image(chain)) {
        put_image(records, top, &chain);
    }
    layers
}

fn put_image(records: &mut plyfs_journal::Transaction<'_>, top: LayerId, chain: &Digest) {
    let id = Digest::of(chain.as_bytes());
    let name = format!("registry.example/{}:1", &id.hex()[..12]);
    let mut record = Record::default();
    record.set_u64(9, 1_700_000_000);
    record.set_bytes(10, top.as_bytes());
    record.set_text(17, "amd64");
    record.set_text(18, "linux");
    records.put(&[&b"i"[..], id.as_bytes()].concat(), &record.encode());
    records.put(&[&b"u"[..], top.as_bytes(), b"i", id.as_bytes()].concat(), &[]);
    records.put(&[&b"t"[..], name.as_bytes()].concat(), id.as_bytes());
    records.put(&[&b"i"[..], id.as_bytes(), name.as_bytes()].concat(), &[]);
}
