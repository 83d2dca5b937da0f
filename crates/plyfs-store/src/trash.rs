//! Deleting: a record is retracted, its directories are renamed into `trash/`, and `trash/` is emptied later.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use plyfs_diff::Usage;
use plyfs_journal::Transaction;
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::io::Errno;

use crate::{Digest, Error, Result, Store, key, layout, record};

/// Writes that a layer's directories are to go, beside the retraction of its record.
///
/// The removal is a record, not a file: it becomes durable with the retraction, at the price of no sync.
pub(crate) fn retract(records: &mut Transaction<'_>, layer: LayerId, link: LinkId) {
    records.put(&key::removal(layer), &record::encode_removal(link));
}

/// Writes that a blob is to go unless an image or a layer has it again by then.
pub(crate) fn retract_blob(records: &mut Transaction<'_>, blob: &Digest) {
    records.put(&key::blob_removal(blob), &[]);
}

impl Store {
    /// Moves a layer's directory into `trash` and removes its link and tar-split record; missing ones are fine, and
    /// whatever stands in their place goes too.
    pub(crate) fn discard(&self, layer: LayerId, link: LinkId) -> Result<()> {
        let (name, what) = (layer.to_string(), format!("remove layer {layer}"));
        self.0.links.remove(link).map_err(|e| Error::link(&what, e))?;
        let moved = fs::remove_tree(&self.0.tar_split, &name).and_then(|()| self.set_aside(self.home(), &name));
        moved.map_err(|e| Error::call(what, e))
    }

    /// Moves a name into `trash`; a missing one is fine.
    ///
    /// Where that cannot be, it is removed in place: btrfs has space for an unlink when it has none for a rename, and
    /// a crash may have brought back what lies in `trash` by the same name.
    pub(crate) fn set_aside(&self, dir: impl AsFd, name: &str) -> plyfs_sys::Result<()> {
        let dir = dir.as_fd();
        match fs::move_tree(dir, name, &self.0.trash, name) {
            Err(error) if matches!(error.errno(), Errno::NOSPC | Errno::DQUOT | Errno::NOTEMPTY | Errno::EXIST) => {
                fs::remove_tree(dir, name)
            }
            result => result,
        }
    }

    /// Empties `trash`, outside every lock; returns what was freed.
    ///
    /// When another process is at it already, nothing is done. What a crash interrupts, the next call resumes. What
    /// cannot be removed does not stop the rest; the first such thing is the error in the end, and the next call
    /// tries again.
    ///
    /// 1. Everything in `trash` is deleted.
    /// 2. One sync.
    /// 3. The removal records go: until then a crash that brought a directory back leaves its name in the journal. That of a
    ///    blob stays while the blob does, unless somebody has it.
    pub fn reap(&self) -> Result<Usage> {
        self.require_writable()?;
        let failed = |e| Error::call("trash", e);
        let own = fs::open_dir_at(&self.0.root, layout::TRASH).map_err(failed)?;
        let Some(only_reaper) = Lock::try_take(own, Sharing::Exclusive).map_err(failed)? else {
            return Ok(Usage::default());
        };
        let reaped = self.reap_alone(only_reaper.as_file());
        // Others pass by while it is held, also by a fork that is on its way to become another program.
        only_reaper.release();
        reaped
    }

    fn reap_alone(&self, own: impl AsFd) -> Result<Usage> {
        let failed = |e| Error::call("trash", e);
        let (layers, blobs) = (self.pending_removals()?, self.pending_blob_removals()?);
        let mut reaper = Reaper { store: self, freed: Usage::default(), failure: None };
        for entry in fs::read_dir(&self.0.trash).map_err(failed)? {
            reaper.delete(&entry.name);
        }
        // Retracted by someone who has not renamed yet, or who could not.
        let layers: Vec<_> = layers.into_iter().filter(|(layer, link)| reaper.finish(*layer, *link)).collect();
        let blobs: Vec<_> = blobs.into_iter().map(|blob| (blob, reaper.drop_blob(&blob))).collect();
        self.reached("reap 1");
        if !(layers.is_empty() && blobs.is_empty()) {
            self.sync(own)?;
            self.reached("reap 2");
            self.commit(|records| {
                layers.iter().for_each(|(layer, _)| records.delete(&key::removal(*layer)));
                for (blob, was_gone) in &blobs {
                    // One that somebody had, and whose removal was not durable or came after that, is dropped by the next.
                    if self.is_removal_done(records, blob, *was_gone)? {
                        records.delete(&key::blob_removal(blob));
                    }
                }
                Ok(())
            })?;
        }
        self.reached("reap 3");
        reaper.failure.map_or(Ok(reaper.freed), Err)
    }
}

impl Store {
    /// Deletes these names in `trash`, for as long as it is told; what is left then, or because another process is at it, waits
    /// for the next [`Self::reap`], as all does that others have put there.
    pub(crate) fn delete_aside(&self, names: &[String], patience: Duration) -> plyfs_sys::Result<()> {
        let own = fs::open_dir_at(&self.0.root, layout::TRASH)?;
        let Some(only_reaper) = Lock::try_take(own, Sharing::Exclusive)? else { return Ok(()) };
        let begun = Instant::now();
        for name in names {
            // What cannot be removed is the next reaping's to tell.
            let _ = fs::remove_tree_while(&self.0.trash, name, || begun.elapsed() < patience);
        }
        only_reaper.release();
        Ok(())
    }
}

/// Deletes what it can and remembers the first thing it could not.
struct Reaper<'a> {
    store: &'a Store,
    freed: Usage,
    failure: Option<Error>,
}

impl Reaper<'_> {
    /// Deletes one entry of `trash`.
    fn delete(&mut self, name: &OsStr) {
        let trash = &self.store.0.trash;
        // What cannot be measured is deleted all the same.
        let usage = fs::open_dir_at(trash, name).ok().and_then(|dir| Usage::measure(dir).ok());
        match fs::remove_tree(trash, name) {
            Ok(()) => self.freed += usage.unwrap_or_default(),
            Err(error) => self.fail(Error::call(format!("trash/{}", name.display()), error)),
        }
    }

    /// Says whether nothing of a retracted layer is left.
    fn finish(&mut self, layer: LayerId, link: LinkId) -> bool {
        let name = layer.to_string();
        let discarded = self.store.discard(layer, link).and_then(|()| {
            let deleted = fs::remove_tree(&self.store.0.trash, &name);
            deleted.map_err(|e| Error::call(format!("trash/{name}"), e))
        });
        discarded.map_err(|e| self.fail(e)).is_ok()
    }

    /// Removes a blob nobody has; says whether it is gone.
    fn drop_blob(&mut self, blob: &Digest) -> bool {
        self.store.drop_unused_blob(blob).map_err(|e| self.fail(e)).unwrap_or_default()
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_no_time_for_and_what_is_anothers_stays_until_the_next_time() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let store = Store::ensure(temp.path().join("store")).expect("a store");
        let trash = store.path().join("trash");
        for name in ["a", "other"] {
            std::fs::create_dir_all(trash.join(name).join("b")).expect("made");
            std::fs::write(trash.join(name).join("b/c"), "gone").expect("written");
        }

        let own = ["missing".to_owned(), "a".to_owned()];
        store.delete_aside(&own, Duration::ZERO).expect("nothing is in the way");
        assert!(trash.join("a/b/c").exists(), "there was no time");
        store.delete_aside(&own, Duration::MAX).expect("nothing is in the way");
        assert!(!trash.join("a").exists() && trash.join("other/b/c").exists());
        store.reap().expect("reaped");
        assert_eq!(std::fs::read_dir(&trash).expect("listed").count(), 0);
    }
}
