//! Removing what nothing uses.

use std::ffi::c_char;

use plyfs::prelude::*;
use plyfs::{ImageId, LabelFilter, PruneOptions, Pruned, Subject};

use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard};
use crate::handle::{borrow, optional_output};
use crate::input::{self, only};
use crate::sized::{self, growing};
use crate::store::plyfs_store;
use crate::subjects::plyfs_subjects;
use crate::usage::plyfs_pruned;

/// Prune images without a name that no container was made of, too.
pub const PLYFS_PRUNE_ALL: u64 = 1;
/// Remove nothing: the answer is what would be removed.
pub const PLYFS_PRUNE_DRY_RUN: u64 = 2;
/// Of the images without a name prune only those listed, also when none is listed, and of the layers only those they stood
/// on.
pub const PLYFS_PRUNE_ONLY: u64 = 4;

/// What may be pruned; begin with PLYFS_PRUNE_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_prune_options {
    /// sizeof(plyfs_prune_options), set by the caller.
    pub size: usize,
    /// PLYFS_PRUNE_*.
    pub flags: u64,
    /// Only what came into the store before this time, in seconds since the epoch; 0 for whenever it came.
    pub added_before: u64,
    /// The ids of images, for PLYFS_PRUNE_ONLY; NULL when there are none.
    pub images: *const *const c_char,
    /// How many.
    pub image_count: usize,
    /// Labels, KEY or KEY=VALUE: of the images without a name prune only those that have all of them, and of the layers only
    /// those they stood on; NULL when there are none. Not together with PLYFS_PRUNE_ONLY.
    pub labels: *const *const c_char,
    /// How many.
    pub label_count: usize,
    /// The same for labels that they must not have.
    pub without_labels: *const *const c_char,
    /// How many.
    pub without_label_count: usize,
}
growing!(plyfs_prune_options, "prune options", image_count: usize);

impl plyfs_prune_options {
    /// # Safety
    ///
    /// Behind `images` are as many texts as it says.
    unsafe fn convert(&self) -> Outcome<PruneOptions> {
        only(self.flags, PLYFS_PRUNE_ALL | PLYFS_PRUNE_DRY_RUN | PLYFS_PRUNE_ONLY, "pruning")?;
        let has = |flag| self.flags & flag != 0;
        let mut options = PruneOptions::new().all(has(PLYFS_PRUNE_ALL)).dry_run(has(PLYFS_PRUNE_DRY_RUN));
        if self.added_before != 0 {
            options = options.added_before(self.added_before);
        }
        // SAFETY: the caller promised as many texts.
        let images = unsafe { input::texts(self.images, self.image_count, "id of an image") }?;
        match (has(PLYFS_PRUNE_ONLY), images.is_empty()) {
            (true, _) => {
                let ids = images.into_iter().map(|id| Ok(id.parse::<ImageId>()?)).collect::<Outcome<Vec<_>>>()?;
                Ok(options.only(ids))
            }
            (false, true) => Ok(options),
            (false, false) => Err(Failure::invalid("prune options: images are listed without PLYFS_PRUNE_ONLY")),
        }
    }

    /// # Safety
    ///
    /// Behind `labels` and `without_labels` are as many texts as it says.
    unsafe fn filters(&self) -> Outcome<Vec<LabelFilter>> {
        // SAFETY: the caller promised as many texts.
        let has = unsafe { input::texts(self.labels, self.label_count, "label") }?;
        // SAFETY: the same.
        let lacks = unsafe { input::texts(self.without_labels, self.without_label_count, "label") }?;
        let has_labels = !(has.is_empty() && lacks.is_empty());
        if has_labels && self.flags & PLYFS_PRUNE_ONLY != 0 {
            return Err(Failure::invalid("prune options: labels are given beside PLYFS_PRUNE_ONLY"));
        }
        Ok(has.into_iter().map(LabelFilter::has).chain(lacks.into_iter().map(LabelFilter::lacks)).collect())
    }
}

/// Removes layers that nothing stands on, and what the flags PLYFS_PRUNE_* add, as plyfs_store_prune_with() does. Durable
/// on return; the space comes back with plyfs_store_reap(). `pruned` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_prune(
    store: *const plyfs_store,
    flags: u64,
    pruned: *mut plyfs_pruned,
    err: *mut *mut plyfs_error,
) -> i32 {
    let none = std::ptr::null_mut();
    let size = size_of::<plyfs_prune_options>();
    let options = plyfs_prune_options {
        size,
        flags,
        added_before: 0,
        images: std::ptr::null(),
        image_count: 0,
        labels: std::ptr::null(),
        label_count: 0,
        without_labels: std::ptr::null(),
        without_label_count: 0,
    };
    // SAFETY: the demands of `plyfs_store_prune_with` are the same, and its options are of their size.
    unsafe { plyfs_store_prune_with(store, &options, pruned, none, none, err) }
}

/// Removes what nothing uses and the options, which may be NULL, let go; lists what was removed, images first, and what
/// nothing uses and yet stays, each with its reason. Durable on return; the space comes back with plyfs_store_reap(). Each of
/// the three outputs may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_prune_with(
    store: *const plyfs_store,
    options: *const plyfs_prune_options,
    pruned: *mut plyfs_pruned,
    removed: *mut *mut plyfs_subjects,
    held: *mut *mut plyfs_subjects,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live store, and NULL or structures of their stated sizes.
        let (store, options, place) =
            unsafe { (borrow(store)?, sized::read(options)?, sized::optional_output(pruned)?) };
        // SAFETY: the header demands NULL or writable places.
        let (removed, held) = unsafe { (optional_output(removed), optional_output(held)) };
        let (options, labels) = match options {
            // SAFETY: the header demands of the structure what both ask for.
            Some(options) => unsafe { (options.convert()?, options.filters()?) },
            None => (PruneOptions::new(), Vec::new()),
        };
        let pruned = store.store.prune_labelled(options, &labels)?;
        if let Some(removed) = removed {
            removed.give(self::removed(&pruned))?;
        }
        if let Some(held) = held {
            held.give(pruned.kept.iter().collect())?;
        }
        place.map_or(Ok(()), |place| place.give(&(&pruned).into()))
    })
}

fn removed(pruned: &Pruned) -> plyfs_subjects {
    let images = pruned.images.iter().map(|id| Subject::Image(*id));
    images.chain(pruned.layers.iter().map(|id| Subject::Layer(*id))).collect()
}
