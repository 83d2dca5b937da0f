//! The layers that an operation has staged, found by what they are called.

use std::collections::HashMap;

use plyfs_link::LayerId;

use crate::ChainId;
use crate::record::LayerRecord;

/// Staged layers, each behind the one it stands on. An archive may bring thousands, of which each is asked for by all above it.
#[derive(Debug, Default)]
pub(crate) struct StagedLayers {
    records: Vec<LayerRecord>,
    by_id: HashMap<LayerId, usize>,
    by_chain: HashMap<ChainId, usize>,
}

impl StagedLayers {
    /// Adds a layer; of two with one chain the first is found by that.
    pub(crate) fn push(&mut self, record: LayerRecord) {
        let place = self.records.len();
        self.by_id.insert(record.id, place);
        if let Some(chain) = record.chain_id {
            self.by_chain.entry(chain).or_insert(place);
        }
        self.records.push(record);
    }

    /// The layer of this id.
    pub(crate) fn get(&self, id: LayerId) -> Option<&LayerRecord> {
        self.by_id.get(&id).map(|&place| &self.records[place])
    }

    /// The layer that is this chain.
    pub(crate) fn of_chain(&self, chain: &ChainId) -> Option<&LayerRecord> {
        self.by_chain.get(chain).map(|&place| &self.records[place])
    }

    /// All, in the order they were added.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, LayerRecord> {
        self.records.iter()
    }
}
