//! The process that watches the demo and cleans up however it ends: finished, failed, killed or interrupted.
//!
//! Signals are blocked here and waited for, so no handler runs and nothing interrupts the cleaning.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, kill_process_group, set_parent_process_death_signal};

use super::scratch::Scratch;
use crate::run::command;
use crate::tree;

/// How long the demo may take to end when asked to.
const GRACE: Duration = Duration::from_secs(3);

/// What the watcher waits for.
enum Event {
    Ended(std::io::Result<ExitStatus>),
    Signal(Signal),
}

/// Makes this the process that is watched: signals pass again, since a process inherits its mask, and it does not
/// outlive its watcher, whose lock says that nobody plays.
pub(super) fn be_watched() -> Result<()> {
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).context("tie to the watcher")?;
    interruptions().thread_unblock().context("unblock the signals")
}

/// Plays the demo in a process of its own; when this returns or exits, nothing of it is left.
pub(super) fn watch(scratch: &Scratch) -> Result<()> {
    let _alone = lock()?;
    // Threads made from here on, and the demo itself, inherit this.
    interruptions().thread_block().context("block the signals")?;
    if scratch.clear()? {
        println!("cleared what an earlier run left");
    }
    let events = start()?;
    let end = wait(&events);
    scratch.clear()?;
    println!("\nnothing is left: no mount and no directory below {}", scratch.path().display());
    match end {
        Event::Ended(status) => {
            let status = status.context("wait for the demo")?;
            if !status.success() {
                bail!("the demo failed: {status}");
            }
            Ok(())
        }
        Event::Signal(signal) => std::process::exit(128 + signal as i32),
    }
}

fn interruptions() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// One demo at a time: they share the scratch directory. The lock ends with this process.
fn lock() -> Result<File> {
    let path = tree::target().join("xtask/demo.lock");
    fs::create_dir_all(tree::target().join("xtask")).context("create the directory of the lock")?;
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{}: another demo is running", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Starts the demo, and the two threads that wait for its end and for a signal.
fn start() -> Result<Watched> {
    let this = std::env::current_exe().context("find this program")?;
    let mut demo = command(this);
    demo.args(std::env::args_os().skip(1)).arg("--watched").process_group(0);
    let mut child = demo.spawn().context("start the demo")?;
    let group = group_of(&child);
    let (tell, events) = mpsc::channel();
    let ended = tell.clone();
    thread::spawn(move || ended.send(Event::Ended(child.wait())));
    thread::spawn(move || {
        while let Ok(signal) = interruptions().wait() {
            if tell.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(Watched { events, group })
}

/// A demo that runs.
struct Watched {
    events: Receiver<Event>,
    group: Pid,
}

fn group_of(child: &Child) -> Pid {
    let id = i32::try_from(child.id()).expect("process ids are positive and small");
    Pid::from_raw(id).expect("no child has the id zero")
}

/// Waits for the end; a signal ends the whole group, in the containers too, kindly first.
fn wait(demo: &Watched) -> Event {
    let first = demo.events.recv().expect("the threads outlive this");
    if let Event::Signal(signal) = first {
        println!("\n{signal}: cleaning up");
        let _ = kill_process_group(demo.group, rustix::process::Signal::TERM);
        let ended = |limit| match demo.events.recv_timeout(limit) {
            Ok(Event::Signal(_)) => false,
            Ok(Event::Ended(_)) | Err(_) => true,
        };
        while !ended(GRACE) {}
    }
    // Whatever of the group is still there, a program in a container say, holds a mount.
    let _ = kill_process_group(demo.group, rustix::process::Signal::KILL);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_blocked_can_be_waited_for() {
        // In a thread of its own: the mask of the test runner's threads stays as it is.
        thread::spawn(|| {
            interruptions().thread_block().expect("block");
            nix::sys::signal::raise(Signal::SIGHUP).expect("raise");
            assert_eq!(interruptions().wait().expect("wait"), Signal::SIGHUP);
            interruptions().thread_unblock().expect("unblock");
        })
        .join()
        .expect("it ends");
    }
}
