//! A thread of our own, for calls that mean the current directory.
//!
//! `mount(2)` resolves relative layer names in the caller's current directory. That belongs to the program this library
//! lives in, so the call is made by a thread that gave up sharing it: nobody else's directory, umask or root changes.

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use plyfs_sys::CallError;
use rustix::io::Errno;

use crate::error::from_nix;

/// Runs `work` in a new thread whose current directory is `dir`, and waits for it.
pub(crate) fn within<T: Send>(
    dir: impl AsFd + Sync,
    work: impl FnOnce() -> Result<T, CallError> + Send,
) -> Result<T, CallError> {
    std::thread::scope(|scope| {
        let body = || enter(&dir).and_then(|()| work());
        let thread = std::thread::Builder::new().name("plyfs-mount".into()).spawn_scoped(scope, body);
        let thread = thread.map_err(|error| {
            CallError::new("clone", "plyfs-mount", Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn enter(dir: impl AsFd) -> Result<(), CallError> {
    // The program's signal handlers expect the program's directory: let other threads run them.
    SigSet::all().thread_block().map_err(|errno| CallError::new("sigprocmask", "all", from_nix(errno)))?;
    let unshared = nix::sched::unshare(CloneFlags::CLONE_FS);
    unshared.map_err(|errno| CallError::new("unshare", "CLONE_FS", from_nix(errno)))?;
    rustix::process::fchdir(dir).map_err(|errno| CallError::new("fchdir", "home", errno))
}

/// Where the calling thread finds its descriptors by number.
///
/// Not `/proc/self`, which is empty once the program's first thread has ended while others go on.
pub(crate) const DESCRIPTORS: &str = "/proc/thread-self/fd";

/// The path of an open file for calls that take only paths.
pub(crate) fn magic_path(fd: impl AsFd) -> PathBuf {
    format!("{DESCRIPTORS}/{}", fd.as_fd().as_raw_fd()).into()
}
