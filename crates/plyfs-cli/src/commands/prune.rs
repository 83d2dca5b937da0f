//! `prune`.

use plyfs::{Kept, PruneOptions, Subject};
use serde::Serialize;

use crate::cli::Prune;
use crate::exit::Result;
use crate::filter::PruneFilter;
use crate::human::{self, count};
use crate::session::Session;
use crate::words;

#[derive(Debug, Serialize)]
struct PrunedShape {
    /// Whether it only would be so.
    dry_run: bool,
    images: Vec<String>,
    layers: Vec<String>,
    reclaimed_bytes: u64,
    reclaimed_inodes: u64,
    /// What nothing uses and yet stays.
    kept: Vec<KeptShape>,
}

#[derive(Debug, Serialize)]
struct KeptShape {
    kind: &'static str,
    id: String,
    reason: String,
}

impl From<&Kept> for KeptShape {
    fn from(kept: &Kept) -> Self {
        let (kind, id) = match &kept.subject {
            Subject::Layer(id) => ("layer", id.to_string()),
            Subject::Image(id) => ("image", id.to_string()),
            other => ("other", other.to_string()),
        };
        Self { kind, id, reason: kept.reason.to_string() }
    }
}

/// Removes what nothing uses and prints the bytes reclaimed.
pub(crate) fn prune(session: &mut Session, args: &Prune) -> Result<()> {
    let store = session.open()?;
    let filter = PruneFilter::new(&args.filters)?;
    let pruned = filter.prune(&store, PruneOptions::new().all(args.all).dry_run(args.dry_run))?;
    let shape = PrunedShape {
        dry_run: args.dry_run,
        images: pruned.images.iter().map(ToString::to_string).collect(),
        layers: pruned.layers.iter().map(ToString::to_string).collect(),
        reclaimed_bytes: pruned.reclaimed.allocated,
        reclaimed_inodes: pruned.reclaimed.inodes,
        kept: pruned.kept.iter().map(KeptShape::from).collect(),
    };
    if !session.out.is_quiet() && !session.out.is_json() {
        let images = count(shape.images.len() as u64, "image");
        let layers = count(shape.layers.len() as u64, "layer");
        let done = if shape.dry_run { "would remove" } else { "removed" };
        words::note(&format!("{done} {images} and {layers}, {}", human::bytes(shape.reclaimed_bytes)));
    }
    for kept in &pruned.kept {
        words::warning(&kept.to_string());
    }
    session.out.answer(shape.reclaimed_bytes.to_string(), &shape)
}
