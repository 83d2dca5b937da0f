//! `prune`.

use plyfs::PruneOptions;
use serde::Serialize;

use crate::cli::Prune;
use crate::exit::Result;
use crate::human::{self, count};
use crate::session::Session;
use crate::words;

#[derive(Debug, Serialize)]
struct PrunedShape {
    images: Vec<String>,
    layers: Vec<String>,
    reclaimed_bytes: u64,
    reclaimed_inodes: u64,
    /// Layers that would have gone but are being read.
    held: Vec<String>,
}

/// Removes what nothing uses and prints the bytes reclaimed.
pub(crate) fn prune(session: &mut Session, args: &Prune) -> Result<()> {
    let pruned = session.open()?.prune(PruneOptions::new().all(args.all))?;
    let shape = PrunedShape {
        images: pruned.images.iter().map(ToString::to_string).collect(),
        layers: pruned.layers.iter().map(ToString::to_string).collect(),
        reclaimed_bytes: pruned.reclaimed.allocated,
        reclaimed_inodes: pruned.reclaimed.inodes,
        held: pruned.held.iter().map(ToString::to_string).collect(),
    };
    if !session.out.is_quiet() && !session.out.is_json() {
        let images = count(shape.images.len() as u64, "image");
        let layers = count(shape.layers.len() as u64, "layer");
        words::note(&format!("removed {images} and {layers}, {}", human::bytes(shape.reclaimed_bytes)));
    }
    for layer in &shape.held {
        words::warning(&format!("layer {layer} is being read and stays"));
    }
    session.out.answer(shape.reclaimed_bytes.to_string(), &shape)
}
