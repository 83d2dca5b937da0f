//! Leases: what no removal takes while they last.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::time::Duration;

use plyfs::{Lease, LeaseInfo, LeaseOptions};

use crate::error::plyfs_error;
use crate::guard::{guard, shield};
use crate::handle::{Handle, borrow, borrow_mut, free, look, output, take};
use crate::image::plyfs_image;
use crate::input::{self, c_text, only};
use crate::layer::plyfs_layer;
use crate::store::plyfs_store;
use crate::subjects::plyfs_subjects;

/// Let the lease live on until its expiry when its holder frees its handle or dies, for whoever opens it again.
pub const PLYFS_LEASE_SURVIVES: u64 = 1;

/// A held lease. What ends one is plyfs_lease_release(); plyfs_lease_free() does too, best effort, unless it was made with
/// PLYFS_LEASE_SURVIVES.
#[derive(Debug)]
pub struct plyfs_lease {
    lease: Lease,
    id: CString,
}

impl Handle for plyfs_lease {
    const NAME: &'static str = "lease";
}

impl From<Lease> for plyfs_lease {
    fn from(lease: Lease) -> Self {
        Self { id: c_text(lease.id().to_string()), lease }
    }
}

/// All leases that had not ended in one state of the store, sorted by id.
#[derive(Debug)]
pub struct plyfs_leases(Vec<(LeaseInfo, CString)>);

impl Handle for plyfs_leases {
    const NAME: &'static str = "list of leases";
}

/// Takes a lease, as the flags PLYFS_LEASE_* say. While it is held it lasts; `seconds` from now on is when it ends once
/// nobody holds it. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_lease(
    store: *const plyfs_store,
    seconds: u64,
    flags: u64,
    lease: *mut *mut plyfs_lease,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        only(flags, PLYFS_LEASE_SURVIVES, "taking a lease")?;
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(lease)?) };
        let options = LeaseOptions::new(Duration::from_secs(seconds));
        place.give(store.store.lease(options.survives_holder(flags & PLYFS_LEASE_SURVIVES != 0))?.into())
    })
}

/// Takes hold of a lease that survived its holder. PLYFS_ERR_NOT_FOUND when it ended, PLYFS_ERR_IN_USE while somebody holds
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_open_lease(
    store: *const plyfs_store,
    id: *const c_char,
    lease: *mut *mut plyfs_lease,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated id and a writable place.
        let (store, id, place) = unsafe { (borrow(store)?, input::text(id, "id of the lease")?, output(lease)?) };
        place.give(store.store.open_lease(id.parse()?)?.into())
    })
}

/// Lists the leases that have not ended, sorted by id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_leases(
    store: *const plyfs_store,
    leases: *mut *mut plyfs_leases,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(leases)?) };
        let found = store.store.leases()?.into_iter();
        place.give(plyfs_leases(found.map(|lease| (lease, c_text(lease.id.to_string()))).collect()))
    })
}

/// Lists what a lease keeps: images, then layers, each sorted by id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_leased(
    store: *const plyfs_store,
    id: *const c_char,
    leased: *mut *mut plyfs_subjects,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, a NUL-terminated id and a writable place.
        let (store, id, place) = unsafe { (borrow(store)?, input::text(id, "id of the lease")?, output(leased)?) };
        place.give(store.store.leased(id.parse()?)?.into_iter().collect())
    })
}

/// The id of a lease, by which it can be opened again; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_id(lease: *const plyfs_lease) -> *const c_char {
    // SAFETY: the header demands NULL or a live lease.
    shield(null(), || unsafe { look(lease) }.map_or(null(), |lease| lease.id.as_ptr()))
}

/// When a lease ends once nobody holds it, in seconds since the epoch; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_expires(lease: *const plyfs_lease) -> u64 {
    // SAFETY: the header demands NULL or a live lease.
    shield(0, || unsafe { look(lease) }.map_or(0, |lease| lease.lease.expires_unix()))
}

/// Gives a handle of the store whose operations are under this lease: what they publish, and what they found there
/// already, stays while the lease lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_store(
    lease: *const plyfs_lease,
    store: *mut *mut plyfs_store,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live lease and a writable place.
        let (lease, place) = unsafe { (borrow(lease)?, output(store)?) };
        place.give(lease.lease.store().clone().into())
    })
}

/// Keeps a layer and so all below it. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_hold(
    lease: *const plyfs_lease,
    layer: *const plyfs_layer,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live lease and layer.
        let (lease, layer) = unsafe { (borrow(lease)?, borrow(layer)?) };
        Ok(lease.lease.hold(&layer.layer)?)
    })
}

/// Keeps an image, which no prune takes then for want of a name, and its layers also when it is removed. Durable on
/// return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_hold_image(
    lease: *const plyfs_lease,
    image: *const plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live lease and image.
        let (lease, image) = unsafe { (borrow(lease)?, borrow(image)?) };
        Ok(lease.lease.hold_image(&image.image)?)
    })
}

/// Lets a lease last `seconds` from now on. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_renew(lease: *mut plyfs_lease, seconds: u64, err: *mut *mut plyfs_error) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live lease that no other thread uses.
        Ok(unsafe { borrow_mut(lease) }?.lease.renew(Duration::from_secs(seconds))?)
    })
}

/// Ends a lease and frees the handle, whatever the answer. Durable on return; what it kept goes with the next prune unless
/// something else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_release(lease: *mut plyfs_lease, err: *mut *mut plyfs_error) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a lease that the caller owns and uses no more.
        Ok(unsafe { take(lease) }?.lease.release()?)
    })
}

/// Frees a lease's handle. It ends the lease, best effort, unless that was made to survive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_lease_free(lease: *mut plyfs_lease) {
    // SAFETY: the header demands NULL or a lease that the caller owns.
    unsafe { free(lease) }
}

/// How many leases a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_count(leases: *const plyfs_leases) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(leases) }.map_or(0, |leases| leases.0.len()))
}

/// What a list says of the lease at `index`, or `otherwise`.
///
/// # Safety
///
/// As for [`look`].
unsafe fn listed<T: Copy>(
    leases: *const plyfs_leases,
    index: usize,
    otherwise: T,
    of: impl FnOnce(&(LeaseInfo, CString)) -> T,
) -> T {
    // SAFETY: the caller's promise is the one asked for.
    let one = || unsafe { look(leases) }.and_then(|leases| leases.0.get(index));
    shield(otherwise, || one().map_or(otherwise, of))
}

/// The id of the lease at `index`; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_id(leases: *const plyfs_leases, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { listed(leases, index, null(), |(_, id)| id.as_ptr()) }
}

/// When the lease at `index` ends once nobody holds it, in seconds since the epoch; 0 where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_expires(leases: *const plyfs_leases, index: usize) -> u64 {
    // SAFETY: the header demands NULL or a live list.
    unsafe { listed(leases, index, 0, |(lease, _)| lease.expires_unix) }
}

/// Says whether the lease at `index` lives on without a holder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_survives(leases: *const plyfs_leases, index: usize) -> bool {
    // SAFETY: the header demands NULL or a live list.
    unsafe { listed(leases, index, false, |(lease, _)| lease.survives_holder) }
}

/// Says whether somebody held the lease at `index` when the list was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_is_held(leases: *const plyfs_leases, index: usize) -> bool {
    // SAFETY: the header demands NULL or a live list.
    unsafe { listed(leases, index, false, |(lease, _)| lease.is_held) }
}

/// Frees a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_leases_free(leases: *mut plyfs_leases) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(leases) }
}
