//! Several layers unpacked at once, each by one thread, before any of them knows its parent.
//!
//! A thread reads, decompresses, hashes and writes one layer by itself: nothing is handed from thread to thread, and no
//! two write into one directory. The largest layer begins first, so that the threads end at about the same time. A thread
//! that finds no layer left makes room for one that decompresses or digests for a layer that is still unpacked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use plyfs_store::{Operation, UnpackedLayer};

use crate::error::{Error, ErrorKind, Result};
use crate::handover::Helpers;

/// Unpacks the layers of these sizes with as many threads as the store has free; gives them in the order they came in.
///
/// `unpack` gets the number of a layer and the threads that become free, and asks `stop` meanwhile: the first failure stops all
/// others, and is the one that is returned.
pub(crate) fn unpack_at_once<'e>(
    operation: &Operation,
    sizes: &[u64],
    stop: &Stop,
    unpack: &(dyn Fn(usize, &Helpers<'e>) -> Result<UnpackedLayer> + Sync),
) -> Result<Vec<UnpackedLayer>> {
    let workers = operation.store().workers(sizes.len());
    let order = largest_first(sizes);
    let (next, helpers) = (AtomicUsize::new(0), Helpers::default());
    let (done, failure) = (Mutex::new(Vec::with_capacity(sizes.len())), Mutex::new(None));
    let work = || {
        while let Some(&layer) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            match unpack(layer, &helpers) {
                Ok(unpacked) => done.lock().unwrap_or_else(PoisonError::into_inner).push((layer, unpacked)),
                Err(error) => {
                    if stop.say() {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.count() {
            let thread = std::thread::Builder::new().name("plyfs-layer".into());
            let working = helpers.begin();
            let work = move || {
                let _working = working;
                work();
            };
            // Without another thread the work is done all the same, by those that are there.
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
        helpers.rest();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(layer, _)| *layer);
    Ok(done.into_iter().map(|(_, unpacked)| unpacked).collect())
}

/// The layers by size, the largest first; of the same size as they came.
fn largest_first(sizes: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&layer| std::cmp::Reverse(sizes[layer]));
    order
}

/// Ends the reading of all once one has failed.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// Says that one has failed; whether it is the first.
    pub(crate) fn say(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Fails once one has.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Cancelled, "another layer failed")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_begins_first() {
        assert_eq!(largest_first(&[3, 9, 3, 5]), [1, 3, 0, 2]);
    }

    #[test]
    fn the_first_failure_stops_all_and_is_told_from_the_others() {
        let stop = Stop::default();
        stop.check().expect("nothing failed yet");
        assert!(stop.say() && !stop.say(), "only one is the first");
        assert_eq!(stop.check().expect_err("stopped").kind(), ErrorKind::Cancelled);
    }
}
