//! Containers from the writable layers: what was written to one is never lost with its record.

use std::collections::BTreeMap;

use plyfs_link::LayerId;
use plyfs_sys::fs;

use super::Rebuilt;
use super::layers::{Found, Upper};
use crate::create::put_container;
use crate::record::ContainerRecord;
use crate::{ContainerName, Error, Image, ImageId, Result, Store, layout};

/// Makes a container of each writable layer whose chain is there.
pub(super) fn find(store: &Store, found: &Found, rebuilt: &mut Rebuilt) -> Result<()> {
    let mut images: BTreeMap<LayerId, Vec<ImageId>> = BTreeMap::new();
    for image in store.images()? {
        if let Some(top) = image.top() {
            images.entry(top).or_default().push(Image::id(&image));
        }
    }
    for upper in &found.uppers {
        if let Some(parent) = upper.parent.filter(|parent| found.layers.iter().all(|layer| layer.id != *parent)) {
            rebuilt.lost.push(format!("container in overlay2/{}: the layer {parent} it stood on", upper.id));
            continue;
        }
        let image = match upper.parent.and_then(|parent| images.get(&parent)).map(Vec::as_slice) {
            Some([only]) => Some(*only),
            _ => None,
        };
        let record = record(store, upper, image)?;
        store.commit(|records| put_container(records, &record))?;
        rebuilt
            .lost
            .push(format!("container in overlay2/{}: its name, labels and options; now {}", upper.id, record.name));
        rebuilt.containers.push(record.name);
    }
    Ok(())
}

fn record(store: &Store, upper: &Upper, image: Option<ImageId>) -> Result<ContainerRecord> {
    let changed = fs::stat_at(store.home(), upper.id.to_string()).map_err(|e| Error::call(layout::HOME, e))?.st_ctime;
    Ok(ContainerRecord {
        name: ContainerName::rebuilt(upper.id),
        layer: upper.id,
        link: upper.link,
        parent: upper.parent,
        image,
        image_name: None,
        read_only: false,
        labels: BTreeMap::new(),
        created: u64::try_from(changed).unwrap_or_default(),
        rest: plyfs_journal::Record::default(),
    })
}
