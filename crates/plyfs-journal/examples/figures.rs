//! Measures a journal in a directory of its own: `figures DIRECTORY [ENTRIES]`.
//!
//! Durable commits of one thread and of eight; then ENTRIES small entries, as a store of a hundred thousand layers
//! has, with the longest commit while they come, opening, look-ups, a scan, and what merging all of it takes.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plyfs_journal::{DirDisk, Error, Journal, Options, Result};

type Any<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Any<()> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().ok_or("figures DIRECTORY [ENTRIES]")?;
    let entries: u64 = arguments.next().map_or(Ok(500_000), |text| text.to_string_lossy().parse())?;
    let open = |durable| -> Any<Journal> {
        let disk = Arc::new(DirDisk::new(plyfs_sys::fs::open_dir(&directory)?));
        let options = Options::default().durable(durable);
        Ok(Journal::create(disk.clone(), options).or_else(|_| Journal::open(disk, options))?)
    };
    commits(&open(true)?)?;
    large(&open, entries)?;
    Ok(())
}

fn put(journal: &Journal, number: u64) -> Result<()> {
    journal.write(|changes| {
        changes.put(&key(number), &[7; 64]);
        Ok::<_, Error>(())
    })
}

/// Keys as a store has them: a letter and 32 random bytes.
fn key(number: u64) -> [u8; 33] {
    let mut key = [b'l'; 33];
    let mut mixed = number;
    for part in key[1..].chunks_mut(8) {
        mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number);
        part.copy_from_slice(&mixed.to_le_bytes());
    }
    key
}

fn commits(journal: &Journal) -> Result<()> {
    let rate = |threads: u64| -> Result<f64> {
        let began = Instant::now();
        let counts: Vec<Result<u64>> = std::thread::scope(|scope| {
            let work = |thread: u64| {
                move || {
                    let mut count = 0;
                    while began.elapsed() < Duration::from_secs(4) {
                        put(journal, (threads << 40) + (thread << 32) + count)?;
                        count += 1;
                    }
                    Ok(count)
                }
            };
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(work(thread))).collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let total: u64 = counts.into_iter().sum::<Result<u64>>()?;
        #[allow(clippy::cast_precision_loss)]
        Ok(total as f64 / began.elapsed().as_secs_f64())
    };
    let (one, eight) = (rate(1)?, rate(8)?);
    println!("durable commits a second: {one:.0} by one thread, {eight:.0} by eight: {:.1} times", eight / one);
    Ok(())
}

fn large(open: &impl Fn(bool) -> Any<Journal>, entries: u64) -> Any<()> {
    let (journal, other) = (open(false)?, open(false)?);
    let began = Instant::now();
    let is_done = AtomicBool::new(false);
    let (longest, mut others) = std::thread::scope(|scope| {
        let work = || {
            let mut stalls = Vec::new();
            let mut number = 1 << 60;
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                let start = Instant::now();
                put(&other, number)?;
                stalls.push(start.elapsed());
                number += 1;
            }
            Ok(stalls)
        };
        let running = scope.spawn(work);
        let mut longest = Duration::ZERO;
        let mut load = || -> Result<()> {
            for first in (0..entries).step_by(8) {
                let start = Instant::now();
                journal.write(|changes| {
                    (first..(first + 8).min(entries)).for_each(|number| changes.put(&key(number), &[7; 64]));
                    Ok::<_, Error>(())
                })?;
                longest = longest.max(start.elapsed());
            }
            Ok(())
        };
        let loaded = load();
        is_done.store(true, Ordering::Relaxed);
        let stalls: Result<Vec<Duration>> = running.join().expect("no panic");
        loaded.and(stalls).map(|stalls| (longest, stalls))
    })?;
    println!("{entries} entries in {:.1?}; longest commit, of who also merges: {longest:.1?}", began.elapsed());
    others.sort();
    let at = |part: usize| others[(others.len() - 1) * part / 1000];
    println!("a commit beside it: median {:.1?}, 99.9 % {:.1?}, longest {:.1?}", at(500), at(999), at(1000));
    let start = Instant::now();
    let journal = open(true)?;
    println!("opened in {:.0?}", start.elapsed());
    let snapshot = journal.snapshot()?;
    println!("look-up: {:.2?}", best(20_000, |n| snapshot.contains(&key(n * 7_919 % entries)).map(drop))?);
    println!("snapshot: {:.2?}", best(20_000, |_| journal.snapshot().map(drop))?);
    let start = Instant::now();
    let count = snapshot.scan(b"l").count();
    println!("scan of {count}: {:.1?}", start.elapsed());
    let one = |n| snapshot.scan(&key(n % entries)[..20]).next().transpose().map(drop);
    println!("scan of one: {:.2?}", best(10_000, one)?);
    drop(snapshot);
    // From here on the peak is that of what follows.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, start) = (memory("VmRSS:")?, Instant::now());
    journal.rewrite_runs()?;
    let (took, more) = (start.elapsed(), memory("VmHWM:")? - before);
    println!("all runs written anew as one in {took:.1?}, {} bytes of memory an entry", more * 1024 / entries);
    Ok(())
}

/// So many KiB, as proc(5) has it in `status`.
fn memory(field: &str) -> Any<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What one call takes in the best of many rounds: the machine does other things as well.
fn best(calls: u64, mut call: impl FnMut(u64) -> Result<()>) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for round in 0..30 {
        let start = Instant::now();
        (round * calls..(round + 1) * calls).try_for_each(&mut call)?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest / u32::try_from(calls).unwrap_or(u32::MAX))
}
