//! Who may start a program when.
//!
//! A process that starts another forks, and until the fork has become the program it holds whatever another thread has
//! open: a mount would be busy and a lock taken, for no reason of theirs.

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

static TURN: RwLock<()> = RwLock::new(());

/// Keeps programs from being started while a thread works on a store.
pub fn work() -> RwLockReadGuard<'static, ()> {
    TURN.read().unwrap_or_else(PoisonError::into_inner) // of a test that failed
}

/// Starts a program while no thread works on a store; the caller does not either.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _alone = TURN.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}
