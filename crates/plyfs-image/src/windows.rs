//! Wide windows in turn: a zstd stream's decoder keeps as much as the stream asks for, and layers are unpacked at once.
//!
//! Most streams ask for 8 MiB at most, as levels of zstd(1) up to 19 do. Those that ask for more wait for each other, so that
//! what a load takes does not grow with its threads. What counts is what the first frame says.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::asked::Asked;
use crate::compression::WindowLog;
use crate::error::{Error, Result};

/// What every stream may ask for at any time, in bytes.
const NARROW: u64 = 8 << 20;
/// How long a wait goes on before it is asked whether to.
const SLICE: Duration = Duration::from_millis(20);

/// How large the windows of streams may be, and who has a wide one.
#[derive(Debug)]
pub(crate) struct Windows {
    /// The largest that is read.
    pub(crate) most: WindowLog,
    is_taken: Mutex<bool>,
    ended: Condvar,
}

impl Windows {
    /// Nobody has a wide one.
    pub(crate) fn up_to(most: WindowLog) -> Self {
        Self { most, is_taken: Mutex::default(), ended: Condvar::new() }
    }

    /// Waits until nobody else has a wide window, where `window` is one, and has it until what is returned is dropped.
    pub(crate) fn wait(&self, window: u64, asked: &Asked<'_>) -> Result<Option<Turn<'_>>> {
        if window <= NARROW {
            return Ok(None);
        }
        let mut is_taken = self.lock();
        while *is_taken {
            let waited = self.ended.wait_timeout(is_taken, SLICE).unwrap_or_else(PoisonError::into_inner);
            drop(waited.0); // never asked while it is locked
            asked.ask().map_err(|error| Error::io("wait for another layer's window", error))?;
            is_taken = self.lock();
        }
        *is_taken = true;
        Ok(Some(Turn(self)))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wide window is had.
#[derive(Debug)]
#[must_use = "dropping it lets the next have one"]
pub(crate) struct Turn<'a>(&'a Windows);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use plyfs_store::{Progress, Stage};

    use super::*;
    use crate::at_once::Stop;
    use crate::error::ErrorKind;

    #[test]
    fn one_has_a_wide_window_at_a_time_and_a_narrow_one_waits_for_nobody() {
        let (windows, having) = (Windows::up_to(WindowLog::MOST), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let turn = windows.wait(NARROW + 1, &Asked::nobody()).expect("nobody stops it");
                        assert_eq!(having.fetch_add(1, Ordering::AcqRel), 0);
                        assert!(windows.wait(NARROW, &Asked::nobody()).expect("nobody is asked").is_none());
                        having.fetch_sub(1, Ordering::AcqRel);
                        drop(turn);
                    }
                });
            }
        });
    }

    #[test]
    fn who_waits_is_stopped_with_the_others() {
        let (windows, stop) = (Windows::up_to(WindowLog::MOST), Stop::default());
        let _turn = windows.wait(u64::MAX, &Asked::nobody()).expect("the first");
        stop.say();
        let asked = Asked::new(Progress::none(), Stage::Unpack, "layer", None, Some(&stop));
        assert_eq!(windows.wait(u64::MAX, &asked).expect_err("stopped").kind(), ErrorKind::Cancelled);
    }
}
