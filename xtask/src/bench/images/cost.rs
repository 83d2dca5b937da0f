//! What a piece of work takes: time on the clock and on the processors, memory and threads.
//!
//! Daemons work for those who ask them, so what they take meanwhile is counted too.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

/// How often memory and threads are looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// What proc_pid_stat(5) counts processor time in: 1/100 s on all that Linux runs on by now.
const TICKS: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Seconds on the clock.
    pub(super) wall: f64,
    /// Seconds of processors in programs.
    pub(super) user: f64,
    /// Seconds of processors in the kernel on behalf of programs.
    pub(super) system: f64,
    /// The most bytes that all processes at work had resident at once.
    pub(super) resident: f64,
    /// The most threads they had at once.
    pub(super) threads: f64,
}

/// Works, and says what the programs took that the work started, with the daemons it asks.
pub(super) fn measure(daemons: &[u32], work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    for daemon in daemons {
        // The peak counts from here (proc_pid_clear_refs(5)).
        let file = format!("/proc/{daemon}/clear_refs");
        fs::write(&file, "5").with_context(|| format!("write {file}"))?;
    }
    let resting = children(std::process::id());
    let (user, system) = processor(daemons)?;
    let stop = AtomicBool::new(false);
    let (wall, peak) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(daemons, &resting, &stop));
        let started = Instant::now();
        let done = work();
        let wall = started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Release);
        let peak = watch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map(|()| (wall, peak))
    })?;
    let (user_after, system_after) = processor(daemons)?;
    let (resident, threads) = peak;
    Ok(Cost { wall, user: user_after - user, system: system_after - system, resident, threads })
}

/// Processor seconds of all that has been waited for and of the daemons: in programs, and in the kernel.
pub(super) fn processor(daemons: &[u32]) -> Result<(f64, f64)> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let mut sum = (seconds(usage.user_time()), seconds(usage.system_time()));
    for daemon in daemons {
        let file = format!("/proc/{daemon}/stat");
        let stat = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        let (user, system) = times_in(&stat).with_context(|| format!("{file}: no times"))?;
        sum = (sum.0 + user, sum.1 + system);
    }
    Ok(sum)
}

/// The times of a process and of the children it waited for, in the text of proc_pid_stat(5).
fn times_in(stat: &str) -> Option<(f64, f64)> {
    let times: Vec<f64> =
        stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).filter_map(|time| time.parse().ok()).collect();
    let [user, system, user_below, system_below] = times[..] else { return None };
    Some(((user + user_below) / TICKS, (system + system_below) / TICKS))
}

/// The most memory and threads that the daemons and our new children, with all below, have until told to stop.
fn watch(daemons: &[u32], resting: &[u32], stop: &AtomicBool) -> (f64, f64) {
    let mut peak = (0.0, 0.0);
    loop {
        let last = stop.load(Ordering::Acquire);
        let new = children(std::process::id()).into_iter().filter(|child| !resting.contains(child));
        let mut all: Vec<u32> = daemons.iter().copied().chain(new).collect();
        let mut next = 0;
        while let Some(&process) = all.get(next) {
            all.extend(children(process).into_iter().filter(|child| !daemons.contains(child)));
            next += 1;
        }
        let now = all.iter().filter_map(|process| resident_and_threads(*process)).fold((0.0, 0.0), add);
        peak = (f64::max(peak.0, now.0), f64::max(peak.1, now.1));
        if last {
            return peak;
        }
        thread::sleep(INTERVAL);
    }
}

fn add(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

/// Processes that the threads of one have started.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")) else { return vec![] };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The peak of resident bytes and the threads of a process, unless it has ended.
fn resident_and_threads(process: u32) -> Option<(f64, f64)> {
    counts_in(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn counts_in(status: &str) -> Option<(f64, f64)> {
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((field("VmHWM")? * 1024.0, field("Threads")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{check, command};

    #[test]
    fn a_program_that_works_is_seen_with_what_it_starts() {
        let work = || check(command("sh").args(["-c", "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; sleep 0.2"]));
        let cost = measure(&[], work).expect("it runs");
        assert!(cost.wall >= 0.2, "{cost:?}");
        assert!(cost.user > 0.0, "{cost:?}");
        assert!(cost.resident > 100_000.0, "{cost:?}");
        assert!(cost.threads >= 1.0, "{cost:?}");
    }

    #[test]
    fn texts_of_the_kernel_are_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 200 0 0 250 50 100 25 20 0 1 0 5";
        assert_eq!(times_in(stat), Some((3.5, 0.75)));
        assert_eq!(times_in("7 (cut"), None);
        assert_eq!(counts_in("Name:\tx\nVmHWM:\t   12 kB\nThreads:\t3\n"), Some((12288.0, 3.0)));
        assert_eq!(counts_in("Name:\tzombie\nThreads:\t1\n"), None);
    }
}
