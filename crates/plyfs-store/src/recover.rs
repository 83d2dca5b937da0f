//! Reclaiming what a crash left, found in `staging/`, in the journal's removal records and nowhere else.

use std::os::fd::OwnedFd;

use plyfs_journal::{Snapshot, Transaction};
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};

use crate::layout::InStaging;
use crate::{Digest, Error, Result, Store, key, layout, record};

/// A dead operation of which something cannot be taken back.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub(crate) operation: String,
    pub(crate) error: Error,
}

impl Store {
    /// Takes back what dead operations put into place and finishes removals that were cut short.
    ///
    /// Nothing here waits but for one append: an operation whose lock is held is alive and left alone, and when another process
    /// is about to begin one, the next open looks again. Content is moved into `trash`, not yet deleted.
    ///
    /// What cannot be taken back locks nobody out: its operation stays in `staging`, is in the answer, and the next open tries
    /// again.
    pub(crate) fn recover(&self) -> Result<Vec<Stuck>> {
        // A record whose sync failed is decided by whoever writes next: best now, since all else goes by it. On a full
        // disk it may have to wait, and the store opens all the same.
        let _ = self.commit(|_| Ok(()));
        let stuck = self.recover_staging()?;
        // One removal that cannot be finished locks nobody out: `reap` tries it again and says why.
        for (layer, link) in self.pending_removals()? {
            let _ = self.discard(layer, link);
        }
        for blob in self.pending_blob_removals()? {
            let _ = self.drop_unused_blob(&blob);
        }
        Ok(stuck)
    }

    fn recover_staging(&self) -> Result<Vec<Stuck>> {
        let failed = |e| Error::call("staging", e);
        if fs::read_dir(&self.0.staging).map_err(failed)?.is_empty() {
            return Ok(Vec::new());
        }
        let own = fs::open_dir_at(&self.0.root, layout::STAGING).map_err(failed)?;
        // Held shared by whoever makes an operation's directory, until that directory is locked itself.
        let Some(nobody_begins) = Lock::try_take(own, Sharing::Exclusive).map_err(failed)? else {
            return Ok(Vec::new());
        };
        let recovered = self.recover_alone();
        // Others pass by while it is held, also by a fork that is on its way to become another program.
        nobody_begins.release();
        recovered
    }

    fn recover_alone(&self) -> Result<Vec<Stuck>> {
        let failed = |e| Error::call("staging", e);
        let (mut has_ended, mut stuck) = (false, Vec::new());
        for entry in fs::read_dir(&self.0.staging).map_err(failed)? {
            let Some(name) = entry.name.to_str() else { continue };
            match InStaging::of(&entry) {
                Some(InStaging::Claims) => self.drop_claims()?,
                Some(InStaging::Lease) => has_ended |= self.drop_lock_file(name)?,
                Some(InStaging::Operation) => {
                    let failed = self.recover_operation(name).err();
                    stuck.extend(failed.map(|error| Stuck { operation: name.to_owned(), error }));
                }
                // Nobody knows what it is, so it stays, and locks nobody out: a check names it, a repair moves it aside.
                None => {}
            }
        }
        if has_ended {
            self.commit(|records| self.end_leases(records))?;
        }
        Ok(stuck)
    }

    /// Removes the lock file of a lease that nobody holds; says whether it did.
    fn drop_lock_file(&self, name: &str) -> Result<bool> {
        let failed = |e| Error::call("staging", e);
        let file = match fs::open_at(&self.0.staging, name, rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()) {
            Err(error) if error.is_not_found() => return Ok(false),
            result => result.map_err(failed)?,
        };
        let Some(_unused) = Lock::try_take(file, Sharing::Exclusive).map_err(failed)? else { return Ok(false) };
        fs::remove_tree(&self.0.staging, name).map(|()| true).map_err(failed)
    }

    fn recover_operation(&self, name: &str) -> Result<()> {
        let failed = |e| Error::call(format!("staging/{name}"), e);
        let directory = match fs::open_dir_at(&self.0.staging, name) {
            Err(error) if error.is_not_found() => return Ok(()),
            result => result.map_err(failed)?,
        };
        match Lock::try_take(directory, Sharing::Exclusive).map_err(failed)? {
            None => Ok(()),
            Some(dead) => self.take_back(dead.as_file(), name),
        }
    }

    /// Takes back everything the operation `name` put into place without publishing it.
    ///
    /// What cannot be taken back does not stop the rest; the first such thing is the error in the end, and the operation's
    /// directory stays for the next try, since the names in it are what speaks of the thing. The caller holds the operation's
    /// lock, so nobody else acts for it.
    pub(crate) fn take_back(&self, operation: &OwnedFd, name: &str) -> Result<()> {
        let failed = |e| Error::call(format!("staging/{name}"), e);
        let names = fs::read_dir(operation).map_err(failed)?;
        let names: Vec<_> = names.iter().filter_map(|entry| entry.name.to_str()).collect();
        // Asked under the journal's lock: a record that is written but not yet seen by readers counts.
        let unpublished = self.commit(|records| {
            let mut layers = Vec::new();
            for (layer, link) in names.iter().copied().filter_map(layout::parse_staged_marker) {
                if records.get(&key::layer(layer))?.is_none() {
                    layers.push((layer, link));
                }
            }
            Ok(layers)
        })?;
        let mut failure = None;
        for (layer, link) in unpublished {
            failure = failure.or(self.discard(layer, link).err());
        }
        for hex in names.iter().copied().filter_map(layout::parse_staged_blob) {
            if let Ok(blob) = format!("sha256:{hex}").parse() {
                failure = failure.or(self.drop_unused_blob(&blob).err());
            }
        }
        failure.map_or_else(|| self.set_aside(&self.0.staging, name).map_err(failed), Err)
    }

    /// Removes a blob that no image's and no layer's record names; asked and done under the journal's lock, so that none
    /// gains the blob in between.
    ///
    /// The state under the lock may not be durable yet. An image or layer whose removal could still be undone keeps its blob:
    /// whoever removed it drops the blob once the removal is durable. The answer is whether the blob is gone.
    pub(crate) fn drop_unused_blob(&self, blob: &Digest) -> Result<bool> {
        self.commit(|records| {
            let durable = self.snapshot()?;
            let is_used = is_blob_used(records, blob)? || is_blob_known(&durable, blob)?;
            if is_used {
                return Ok(false);
            }
            // Whatever stands in its place goes, and whatever forbids that it goes.
            let removed = fs::remove_tree(&self.0.blobs, blob.hex());
            removed.map(|()| true).map_err(|e| Error::call(format!("remove blob {blob}"), e))
        })
    }

    /// Says whether the removal of a blob is done with: somebody has it, or it `was_gone` and did not come back.
    pub(crate) fn is_removal_done(&self, records: &Transaction<'_>, blob: &Digest, was_gone: bool) -> Result<bool> {
        let is_there = || fs::try_stat_at(&self.0.blobs, blob.hex()).map(|there| there.is_some());
        let is_gone = || is_there().map(|is_there| !is_there).map_err(|e| Error::call(format!("blob {blob}"), e));
        Ok(is_blob_used(records, blob)? || (was_gone && is_gone()?))
    }

    pub(crate) fn pending_blob_removals(&self) -> Result<Vec<Digest>> {
        let snapshot = self.snapshot()?;
        snapshot.scan(key::BLOB_REMOVALS).map(|entry| Ok(Digest::from_bytes(key::id(&entry?.0)?))).collect()
    }

    /// The layers whose records are gone and whose directories may not be.
    pub(crate) fn pending_removals(&self) -> Result<Vec<(LayerId, LinkId)>> {
        let snapshot = self.snapshot()?;
        let removals = snapshot.scan(key::REMOVALS).map(|entry| {
            let (key, value) = entry?;
            let layer = LayerId::from_bytes(key::id(&key)?);
            Ok((layer, record::decode_removal(layer, &value)?))
        });
        removals.collect()
    }
}

/// Says whether an image's config or manifest has this digest, or a layer came as this blob.
pub(crate) fn is_blob_used(records: &Transaction<'_>, digest: &Digest) -> Result<bool> {
    if records.get(&key::image(digest))?.is_some() {
        return Ok(true);
    }
    for users in [key::manifest_images(digest), key::blob_layers(digest)] {
        if records.scan(&users).next().transpose()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same of a state that is durable.
pub(crate) fn is_blob_known(state: &Snapshot, digest: &Digest) -> Result<bool> {
    Ok(state.contains(&key::image(digest))?
        || state.scan(&key::manifest_images(digest)).next().transpose()?.is_some()
        || state.scan(&key::blob_layers(digest)).next().transpose()?.is_some())
}
