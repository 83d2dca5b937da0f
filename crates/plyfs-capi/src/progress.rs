//! Telling C how far long work is, and asking it whether to go on.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use plyfs::{Progress, Step};

use crate::guard::Outcome;
use crate::input::c_text;

/// How far one item of a stage is. The library fills it in; it lives as long as the callback runs.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_step {
    /// The bytes of this structure that the library has filled in.
    pub size: usize,
    /// What is being done: "wait" for another load of the same layers, "receive", "unpack", "publish",
    /// "save", "export", "check".
    pub stage: *const c_char,
    /// What it is done to: a layer's digest, an image's name, a file.
    pub item: *const c_char,
    /// Bytes done.
    pub done: u64,
    /// Bytes expected in all; 0 when that is not known.
    pub expected: u64,
}

/// Told of every step with the pointer given beside it; returns 0 to go on, anything else to cancel.
/// NULL where nobody wants to know.
pub type plyfs_progress = Option<unsafe extern "C" fn(user: *mut c_void, step: *const plyfs_step) -> i32>;

/// A callback and its pointer on their way through threads.
#[derive(Clone, Copy)]
struct Callback {
    call: unsafe extern "C" fn(*mut c_void, *const plyfs_step) -> i32,
    user: *mut c_void,
}

// SAFETY: the header says that a callback may be called from any thread, from several at once.
unsafe impl Sync for Callback {}

impl Callback {
    fn report(&self, step: &Step<'_>) -> ControlFlow<()> {
        let (stage, item) = (c_text(step.stage.to_string()), c_text(step.item));
        let step = plyfs_step {
            size: size_of::<plyfs_step>(),
            stage: stage.as_ptr(),
            item: item.as_ptr(),
            done: step.done,
            expected: step.expected.unwrap_or(0),
        };
        // SAFETY: the header demands a function of this type that may be called with `user` until the call ends.
        match unsafe { (self.call)(self.user, &step) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// Runs long work that reports to C.
pub(crate) fn reporting(
    progress: plyfs_progress,
    user: *mut c_void,
    work: impl FnOnce(Progress<'_>) -> Outcome,
) -> Outcome {
    let Some(call) = progress else { return work(Progress::none()) };
    let callback = Callback { call, user };
    let report = |step: &Step<'_>| callback.report(step);
    work(Progress::new(&report))
}
