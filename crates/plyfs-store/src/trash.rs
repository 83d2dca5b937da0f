//! Deleting: a record is retracted, its directories are renamed into `trash/`, and `trash/` is emptied later.

use plyfs_diff::Usage;
use plyfs_journal::Transaction;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};

use crate::recover::remove_if_there;
use crate::{Digest, Error, Result, Store, key, layout, record};

/// Writes that a layer's directories are to go, beside the retraction of its record.
///
/// The removal is a record, not a file: it becomes durable with the retraction, at the price of no sync.
pub(crate) fn retract(records: &mut Transaction<'_>, layer: LayerId, link: LinkId) {
    records.put(&key::removal(layer), &record::encode_removal(link));
}

/// Writes that a blob is to go unless an image has it again by then.
pub(crate) fn retract_blob(records: &mut Transaction<'_>, blob: &Digest) {
    records.put(&key::blob_removal(blob), &[]);
}

impl Store {
    /// Moves a layer's directory into `trash` and removes its link and tar-split record; missing ones are fine.
    pub(crate) fn discard(&self, layer: LayerId, link: LinkId) -> Result<()> {
        let name = layer.to_string();
        self.0.links.remove(link).map_err(|e| Error::link(format!("remove layer {layer}"), e))?;
        remove_if_there(&self.0.tar_split, &name)?;
        match fs::rename_at(self.home(), &name, &self.0.trash, &name) {
            Err(error) if !error.is_not_found() => Err(Error::call(format!("remove layer {layer}"), error)),
            _ => Ok(()),
        }
    }

    /// Empties `trash`, outside every lock; returns what was freed.
    ///
    /// When another process is at it already, nothing is done. What a crash interrupts, the next call resumes.
    ///
    /// 1. Everything in `trash` is deleted.
    /// 2. One sync.
    /// 3. The removal records go: until then a crash that brought a directory back leaves its name in the journal.
    pub fn reap(&self) -> Result<Usage> {
        self.require_writable()?;
        let failed = |e| Error::call("trash", e);
        let own = fs::open_dir_at(&self.0.root, layout::TRASH).map_err(failed)?;
        let Some(_only_reaper) = Lock::try_take(own, Sharing::Exclusive).map_err(failed)? else {
            return Ok(Usage::default());
        };
        let (pending, blobs) = (self.pending_removals()?, self.pending_blob_removals()?);
        let mut freed = Usage::default();
        for entry in fs::read_dir(&self.0.trash).map_err(failed)? {
            if let Ok(directory) = fs::open_dir_at(&self.0.trash, &entry.name) {
                freed += Usage::measure(&directory).map_err(|e| Error::diff("trash", e))?;
            }
            fs::remove_tree(&self.0.trash, &entry.name).map_err(failed)?;
        }
        if pending.is_empty() && blobs.is_empty() {
            return Ok(freed);
        }
        for (layer, link) in &pending {
            // Retracted by someone who has not renamed yet: it stays for the next time.
            self.discard(*layer, *link)?;
        }
        for (layer, _) in &pending {
            fs::remove_tree(&self.0.trash, layer.to_string()).map_err(failed)?;
        }
        for blob in &blobs {
            self.drop_unused_blob(blob)?;
        }
        self.sync()?;
        self.commit(|records| {
            for (layer, _) in &pending {
                records.delete(&key::removal(*layer));
            }
            for blob in &blobs {
                records.delete(&key::blob_removal(blob));
            }
            Ok(())
        })?;
        Ok(freed)
    }
}
