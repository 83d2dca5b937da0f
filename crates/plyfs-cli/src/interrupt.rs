//! Signals that ask the program to end: noted while long work runs, so that it takes back what it began.
//!
//! The first one ends the work at its next step, and the program then ends by that signal, as its shell expects. The second
//! one, or [`GRACE`] without an end (somebody does not read what is written), ends it at once; what that leaves the next
//! command takes back. Whoever started the program with a signal ignored (nohup(1), a shell's `&`) has it stay so.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};

/// What Ctrl-C, a service manager and a terminal that goes away send.
const ASKING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How long work may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// The signal that asked, or 0.
static NOTED: AtomicI32 = AtomicI32::new(0);

/// Notes from now on what asks the program to end, instead of ending at once.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let ignored = ignored();
        let signals: SigSet = ASKING.into_iter().filter(|signal| ignored & bit(*signal) == 0).collect();
        // Blocked here, before any other thread is: all inherit it, and only the one below takes them.
        if signals.thread_block().is_ok() && thread::Builder::new().spawn(move || note(&signals)).is_err() {
            let _ = signals.thread_unblock();
        }
    });
}

/// Says whether the program was asked to end.
pub(crate) fn is_asked() -> bool {
    NOTED.load(Ordering::Relaxed) != 0
}

/// A writer that takes nothing more once the program was asked to end.
#[derive(Debug)]
pub(crate) struct Ending<W>(pub(crate) W);

impl<W: Write> Write for Ending<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_asked() { Err(rustix::io::Errno::CANCELED.into()) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Ends the program by the signal that asked for it, if one did.
pub(crate) fn end_if_asked() {
    if let Ok(signal) = Signal::try_from(NOTED.load(Ordering::Relaxed)) {
        end_by(signal);
    }
}

fn note(signals: &SigSet) {
    while let Ok(signal) = signals.wait() {
        if NOTED.swap(signal as i32, Ordering::Relaxed) != 0 {
            end_by(signal);
        }
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(GRACE);
            end_by(signal);
        });
    }
}

fn end_by(signal: Signal) {
    // Unblocked in this thread it meets its default action, which is to end the process.
    if SigSet::from(signal).thread_unblock().is_ok() {
        let _ = raise(signal);
    }
}

/// The signals the program was started to ignore, as bits; one that is blocked would be taken all the same.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}
