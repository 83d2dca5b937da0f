//! Leases: what is being built stays until its lease ends.
//!
//! A layer that was just published has no child, image or container yet, and prune would take it. Under a lease it stays. A
//! lease is a journal record, and a lock file in `staging/` that its holder keeps locked.
//!
//! - *While its holder lives*, in this process or a fork of it, a lease lives, whatever the clock says.
//! - *When its holder is gone*, a lease that was not asked to survive has ended. One that was lives until its expiry by
//!   the wall clock: a clock set back prolongs it, one set forward may end it early.
//!
//! An ended lease protects nothing from the next removal on, which takes its record away first.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use plyfs_journal::{Snapshot, Transaction};
use plyfs_link::{LayerId, LinkId};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::{Mode, OFlags};

use crate::record::LeaseRecord;
use crate::store::now;
use crate::{Digest, Error, ErrorKind, Image, Layer, Result, Store, Subject, User, key, layout};

/// How often a lease's file is tried to lock: others lock it for an instant to see whether it is held.
const ASKED: u32 = 8;

/// The id of a lease: 26 random characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub(crate) LinkId);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|e| Error::link(format!("lease {text:?}"), e))
    }
}

/// How long a lease lasts, and whether it outlives its holder.
#[derive(Clone, Copy, Debug)]
#[must_use = "options do nothing until `lease`"]
pub struct LeaseOptions {
    lasts: Duration,
    survives: bool,
}

impl LeaseOptions {
    /// A lease that ends with its holder.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, survives: false }
    }

    /// Lets it live on until its expiry when its holder is dropped or killed, for whoever opens it again.
    pub fn survives_holder(mut self, survives: bool) -> Self {
        self.survives = survives;
        self
    }
}

impl From<Duration> for LeaseOptions {
    fn from(lasts: Duration) -> Self {
        Self::new(lasts)
    }
}

/// A lease as one state of the store knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// Its id.
    pub id: LeaseId,
    /// When it ends once its holder is gone, in seconds since the epoch.
    pub expires_unix: u64,
    /// Says whether it lives on until then without a holder.
    pub survives_holder: bool,
    /// Says whether somebody holds it now.
    pub is_held: bool,
}

/// A held lease.
///
/// Dropping it ends it, best effort, unless it was asked to survive its holder.
#[derive(Debug)]
#[must_use = "dropping a lease ends it unless it survives its holder"]
pub struct Lease {
    store: Store,
    id: LeaseId,
    record: LeaseRecord,
    /// `None` once it was released.
    lock: Option<Lock>,
}

impl Store {
    /// Takes a lease. Durable on return.
    ///
    /// 1. Its lock file in `staging`, locked: the next open removes one that nobody holds.
    /// 2. One journal record.
    pub fn lease(&self, options: impl Into<LeaseOptions>) -> Result<Lease> {
        let options = options.into();
        self.require_writable()?;
        let id = LeaseId(LinkId::random());
        let record = LeaseRecord::new(expiry(options.lasts), options.survives);
        let lock = self.hold_lease(id)?.ok_or_else(|| Error::taken(format!("lease {id}")))?;
        self.reached("lease 1");
        // Made first, so that a failure takes the lock file with it.
        let lease = Lease { store: self.under(id), id, record, lock: Some(lock) };
        self.commit(|records| {
            records.put(&key::lease(id), &lease.record.encode());
            Ok::<_, Error>(())
        })?;
        self.reached("lease 2");
        Ok(lease)
    }

    /// Takes hold of a lease that survived its holder; [`ErrorKind::NotFound`] when it ended, [`ErrorKind::InUse`] while
    /// somebody else holds it.
    pub fn open_lease(&self, id: LeaseId) -> Result<Lease> {
        self.require_writable()?;
        let lock = self.hold_lease(id)?;
        let lock = lock.ok_or_else(|| Error::new(ErrorKind::InUse, format!("lease {id} is held")))?;
        // Asked under the journal's lock, after the lock file: whoever ends leases does it the other way round.
        let record = self.commit(|records| {
            let record = records.get(&key::lease(id))?.map(|bytes| LeaseRecord::decode(id, &bytes)).transpose()?;
            record.filter(LeaseRecord::outlives_holder).ok_or_else(|| Error::absent(format!("lease {id}")))
        });
        let record = record.inspect_err(|_| drop(fs::unlink_at(&self.0.staging, layout::lease_lock(id))))?;
        Ok(Lease { store: self.under(id), id, record, lock: Some(lock) })
    }

    /// All leases that have not ended, sorted by id.
    pub fn leases(&self) -> Result<Vec<LeaseInfo>> {
        self.leases_in(&self.snapshot()?)
    }

    pub(crate) fn leases_in(&self, snapshot: &Snapshot) -> Result<Vec<LeaseInfo>> {
        let mut leases = Vec::new();
        for entry in snapshot.scan(key::LEASES) {
            let (key, value) = entry?;
            let id = key::lease_id(&key)?;
            let record = LeaseRecord::decode(id, &value)?;
            let is_held = self.is_lease_held(id)?;
            if is_held || record.outlives_holder() {
                let (expires_unix, survives_holder) = (record.expires, record.survives);
                leases.push(LeaseInfo { id, expires_unix, survives_holder, is_held });
            }
        }
        Ok(leases)
    }

    /// What a lease keeps in one state of the store: images, then layers, each sorted by id.
    ///
    /// Of one that ended this is what still stands recorded: nothing from the next removal on.
    pub fn leased(&self, lease: LeaseId) -> Result<Vec<Subject>> {
        let snapshot = self.snapshot()?;
        let leased = snapshot.scan(&key::leased(lease)).map(|entry| {
            Ok(match key::parse_leased(&entry?.0)?.1 {
                key::Leased::Layer(layer) => Subject::Layer(layer),
                key::Leased::Image(image) => Subject::Image(image),
            })
        });
        leased.collect()
    }

    /// Locks a lease's file, making it where it is missing; `None` when somebody holds it.
    fn hold_lease(&self, id: LeaseId) -> Result<Option<Lock>> {
        let failed = |e| self.explain(&format!("lease {id}"), e);
        // Recovery holds this exclusively: it never sees a lock file that is made and not yet locked.
        let _beginning = self.begin()?;
        for _ in 0..ASKED {
            let flags = OFlags::RDWR | OFlags::CREATE;
            let file = fs::open_at(&self.0.staging, layout::lease_lock(id), flags, Mode::RUSR | Mode::WUSR);
            let lock = Lock::try_take(file.map_err(failed)?, Sharing::Exclusive).map_err(failed)?;
            match lock {
                Some(lock) if lock.is_linked_as(&self.0.staging, layout::lease_lock(id)).map_err(failed)? => {
                    return Ok(Some(lock));
                }
                // Released this moment, or somebody asked whether it is held.
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Ok(None)
    }

    fn is_lease_held(&self, id: LeaseId) -> Result<bool> {
        let failed = |e| Error::call(format!("lease {id}"), e);
        let file = match fs::open_at(&self.0.staging, layout::lease_lock(id), OFlags::RDONLY, Mode::empty()) {
            Err(error) if error.is_not_found() => return Ok(false),
            file => file.map_err(failed)?,
        };
        // Shared, so that two who ask do not take each other for the holder.
        Ok(Lock::try_take(file, Sharing::Shared).map_err(failed)?.is_none())
    }

    /// Takes away the records of leases that ended; the first step of every removal, under the journal's lock.
    pub(crate) fn end_leases(&self, records: &mut Transaction<'_>) -> Result<()> {
        let leases = records.scan(key::LEASES).collect::<plyfs_journal::Result<Vec<_>>>()?;
        for (key, value) in leases {
            let id = key::lease_id(&key)?;
            if !self.is_lease_held(id)? && !LeaseRecord::decode(id, &value)?.outlives_holder() {
                retract_lease(records, id)?;
            }
        }
        Ok(())
    }
}

impl Lease {
    /// Its id, by which it can be opened again.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// When it ends once its holder is gone, in seconds since the epoch.
    #[must_use]
    pub fn expires_unix(&self) -> u64 {
        self.record.expires
    }

    /// The store, whose operations are under this lease: what they publish, and what they found there already, stays.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps a published layer, and so all below it. Durable on return.
    pub fn hold(&self, layer: &Layer) -> Result<()> {
        self.store.commit(|records| hold(records, self.id, [layer.id()], []))
    }

    /// Keeps an image, which no prune takes then for want of a name, and its layers also when the image is removed.
    /// Durable on return.
    pub fn hold_image(&self, image: &Image) -> Result<()> {
        self.store.commit(|records| {
            if records.get(&key::image(&image.id()))?.is_none() {
                return Err(Error::absent(format!("image {}", image.id())));
            }
            hold(records, self.id, image.top(), [image.id()])
        })
    }

    /// Lets it last this long from now on. Durable on return.
    pub fn renew(&mut self, lasts: Duration) -> Result<()> {
        let record = LeaseRecord { expires: expiry(lasts), ..self.record.clone() };
        self.store.commit(|records| {
            records.put(&key::lease(self.id), &record.encode());
            Ok::<_, Error>(())
        })?;
        self.record = record;
        Ok(())
    }

    /// Ends it. Durable on return; what it protected goes with the next prune unless something else uses it.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        self.store.commit(|records| retract_lease(records, self.id))?;
        self.store.reached("release 1");
        let unlinked = fs::unlink_at(&self.store.0.staging, layout::lease_lock(self.id));
        drop(lock);
        self.store.reached("release 2");
        unlinked.map_err(|e| Error::call(format!("lease {}", self.id), e))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.record.survives {
            let _ = self.end();
        }
    }
}

impl LeaseRecord {
    /// Says whether it lives on without a holder.
    fn outlives_holder(&self) -> bool {
        self.survives && now() < self.expires
    }
}

fn expiry(lasts: Duration) -> u64 {
    now().saturating_add(lasts.as_secs())
}

/// Writes that a lease keeps these layers and images; [`ErrorKind::NotFound`] when it ended.
pub(crate) fn hold(
    records: &mut Transaction<'_>,
    lease: LeaseId,
    layers: impl IntoIterator<Item = LayerId>,
    images: impl IntoIterator<Item = Digest>,
) -> Result<()> {
    if records.get(&key::lease(lease))?.is_none() {
        return Err(Error::absent(format!("lease {lease}")));
    }
    for layer in layers {
        if records.get(&key::layer(layer))?.is_none() {
            return Err(Error::absent(format!("layer {layer}")));
        }
        records.put(&key::user(layer, &User::Lease(lease)), &[]);
        records.put(&key::leased_layer(lease, layer), &[]);
    }
    for image in images {
        records.put(&key::image_lease(&image, lease), &[]);
        records.put(&key::leased_image(lease, &image), &[]);
    }
    Ok(())
}

/// Takes a lease's record away, and all that says what it keeps.
pub(crate) fn retract_lease(records: &mut Transaction<'_>, lease: LeaseId) -> Result<()> {
    let held = records.scan(&key::leased(lease)).collect::<plyfs_journal::Result<Vec<_>>>()?;
    for (held, _) in held {
        match key::parse_leased(&held)?.1 {
            key::Leased::Layer(layer) => records.delete(&key::user(layer, &User::Lease(lease))),
            key::Leased::Image(image) => records.delete(&key::image_lease(&image, lease)),
        }
        records.delete(&held);
    }
    records.delete(&key::lease(lease));
    Ok(())
}
