//! How an image came to be: the instructions its config tells of, each with the layer it made.

use plyfs_store::{Image, Layer, Usage};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::json::{or_default, parse_stored};

/// One instruction of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// When, as the config says it.
    pub created: Option<String>,
    /// By what instruction or command.
    pub created_by: Option<String>,
    /// By whom.
    pub author: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// The layer it made; an instruction that only changed the config made none.
    pub layer: Option<plyfs_store::LayerId>,
    /// What that layer takes, nothing without one.
    pub usage: Usage,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    history: Vec<Option<Told>>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct Told {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    empty_layer: bool,
}

/// The history of an image, newest first.
///
/// Configs may tell of fewer layers than there are, or of none: each layer has an entry all the same, and one that is
/// told of without being there has no layer.
pub fn history(image: &Image) -> Result<Vec<HistoryEntry>> {
    let named = |error| Error::store(format!("image {}", image.id()), error);
    let document: Document = parse_stored(&image.config().map_err(named)?, &format!("image {}: config", image.id()))?;
    let layers = image.layers().map_err(named)?;
    let mut layers = layers.iter().rev();
    let told = document.history.into_iter().map(Option::unwrap_or_default).map(|told| {
        let layer = if told.empty_layer { None } else { layers.next() };
        entry(told, layer)
    });
    let mut all: Vec<_> = told.collect();
    all.extend(layers.map(|layer| entry(Told::default(), Some(layer))));
    all.reverse();
    Ok(all)
}

fn entry(told: Told, layer: Option<&Layer>) -> HistoryEntry {
    HistoryEntry {
        created: told.created,
        created_by: told.created_by,
        author: told.author,
        comment: told.comment,
        layer: layer.map(Layer::id),
        usage: layer.map(Layer::usage).unwrap_or_default(),
    }
}
