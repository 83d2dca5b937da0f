//! Makes every system call of every operation fail once, and judges what the store is then.

mod calls;
mod fixture;
mod judge;
mod operations;
mod subject;
mod tracer;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use plyfs_testkit::temp::TempDir;

use crate::dice::Dice;
use crate::inventory;
use crate::torture::{own_mounts, program};
use judge::{Expected, Verdict};
use operations::{OPERATIONS, Operation};
pub use subject::run as subject;
use tracer::Fault;

/// How many faults are tried at once.
const LANES: u32 = 2;

/// How many faults pass before it is told how far it got.
const STRIDE: u64 = 500;

/// What a call may answer.
const ERRNOS: [Errno; 5] = [Errno::ENOSPC, Errno::EIO, Errno::EINTR, Errno::EMFILE, Errno::ENOMEM];

/// Which faults are tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of these operations only; of all when there is none.
    pub operations: Vec<String>,
    /// How many of the faults that are possible.
    pub reach: Reach,
    /// Where all random choices begin.
    pub seed: u64,
    /// This fault alone: `openat:17:EIO`.
    pub only: Option<String>,
}

/// How many of an operation's faults are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This many, every kind of call as likely as the others.
    Sample(u64),
    /// Every call once, with an errno that the seed chooses.
    Every,
    /// Every call with every errno.
    All,
}

/// How many faults ended which way, and what was wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults of each operation by how they showed.
    pub verdicts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// How many were tried.
    pub tried: u64,
    /// How many did harm.
    pub wrong: u64,
    /// Calls left alone, how often they were seen, and why.
    pub spared: BTreeMap<String, (u64, &'static str)>,
}

/// Tries the faults, two at a time.
///
/// What is wrong is told at once, and how far it got now and then: all of it takes long.
pub fn run(options: &Options, tell: &(dyn Fn(&str) + Sync)) -> Result<Report> {
    own_mounts()?;
    let dir = TempDir::new();
    let fixtures = dir.dir("fixtures");
    fixture::make(&fixtures).context("make the stores to begin with")?;
    let chosen: Vec<_> = OPERATIONS
        .iter()
        .filter(|o| options.operations.is_empty() || options.operations.iter().any(|name| name == o.name))
        .collect();
    ensure!(!chosen.is_empty(), "no such operation; there are {}", names().join(" "));
    let report = Mutex::new(Report::default());
    let mut faults = Vec::new();
    for operation in chosen {
        let (expected, counts) = baseline(&fixtures, &dir.join("baseline"), operation, &report)?;
        let expected = Arc::new(expected);
        let of_it = choose(options, operation.name, &counts)?;
        faults.extend(of_it.into_iter().map(|fault| (operation, fault, Arc::clone(&expected))));
    }
    let total = faults.len();
    let queue = Mutex::new(faults.into_iter());
    let next = || queue.lock().expect("nobody panics with it").next();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (report, fixtures, next) = (&report, &fixtures, &next);
            let lane = dir.join(format!("lane{lane}"));
            scope.spawn(move || {
                // Copies of one store have containers of one id: their mounts must not be seen by each other.
                own_mounts().expect("the whole process did the same before");
                while let Some((operation, fault, expected)) = next() {
                    let verdict = one(fixtures, &lane, operation, &fault, &expected);
                    let mut report = report.lock().expect("nobody panics with it");
                    if let Some(wrong) = note(&mut report, operation, &fault, verdict) {
                        tell(&wrong);
                    }
                    if report.tried.is_multiple_of(STRIDE) {
                        tell(&format!("{} of {total} faults", report.tried));
                    }
                }
            });
        }
    });
    Ok(report.into_inner().expect("nobody panics with it"))
}

/// The names of all operations.
#[must_use]
pub fn names() -> Vec<&'static str> {
    OPERATIONS.iter().map(|operation| operation.name).collect()
}

/// Runs an operation without a fault: what it calls how often, and the store before and after it.
fn baseline(
    fixtures: &Path,
    lane: &Path,
    operation: &Operation,
    report: &Mutex<Report>,
) -> Result<(Expected, BTreeMap<String, u64>)> {
    let named = || format!("{} without a fault", operation.name);
    begin(fixtures, lane, operation)?;
    subject::prepare_only(lane, operation).with_context(named)?;
    let before = judge::found(lane).with_context(named)?;
    begin(fixtures, lane, operation)?;
    let traced = tracer::run(&mut command(lane, operation)?, None).with_context(named)?;
    let said = judge::said(&traced).with_context(|| format!("{}: {}", named(), traced.stderr))?;
    let answer = said.outcome.map_err(|failed| anyhow::anyhow!("{}: {}", named(), failed.report))?;
    ensure!(said.left_open.is_empty(), "{}: descriptors are left open: {:?}", named(), said.left_open);
    let after = judge::found(lane).with_context(named)?;
    end(lane)?;
    let mut counts = BTreeMap::new();
    for call in traced.calls {
        *counts.entry(call).or_default() += 1;
    }
    let spared = &mut report.lock().expect("nobody panics with it").spared;
    for (call, (count, reason)) in traced.spared {
        spared.entry(call).or_insert((0, reason)).0 += count;
    }
    Ok((Expected { before, after, answer }, counts))
}

/// The faults of one operation that are tried.
fn choose(options: &Options, operation: &str, counts: &BTreeMap<String, u64>) -> Result<Vec<Fault>> {
    if let Some(only) = &options.only {
        return Ok(vec![parse(only)?]);
    }
    let mut dice =
        Dice::new(operation.bytes().fold(options.seed, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into())));
    let every = counts.iter().flat_map(|(call, count)| (1..=*count).map(move |nth| (call, nth)));
    let fault = |(call, nth): (&String, u64), errno| Fault { call: call.clone(), nth, errno };
    Ok(match options.reach {
        Reach::Sample(size) => sample(&mut dice, counts, size),
        Reach::Every => every.map(|it| fault(it, *dice.pick(&ERRNOS).expect("there are five"))).collect(),
        Reach::All => every.flat_map(|it| ERRNOS.map(|errno| fault(it, errno))).collect(),
    })
}

/// Kinds of calls take turns, so that a rare one such as a sync is as likely as a frequent one.
fn sample(dice: &mut Dice, counts: &BTreeMap<String, u64>, size: u64) -> Vec<Fault> {
    let mut kinds: Vec<_> = counts.iter().collect();
    dice.shuffle(&mut kinds);
    let mut chosen: Vec<Fault> = Vec::new();
    for (call, count) in kinds.into_iter().cycle().take(usize::try_from(size).unwrap_or(usize::MAX)) {
        let errno = *dice.pick(&ERRNOS).expect("there are five");
        let fault = Fault { call: call.clone(), nth: 1 + dice.below(*count), errno };
        if !chosen.contains(&fault) {
            chosen.push(fault);
        }
    }
    chosen
}

/// Tries one fault.
fn one(fixtures: &Path, lane: &Path, operation: &Operation, fault: &Fault, expected: &Expected) -> Result<Verdict> {
    begin(fixtures, lane, operation)?;
    let traced = tracer::run(&mut command(lane, operation)?, Some(fault));
    let verdict = traced.and_then(|traced| judge::judge(lane, &traced, fault, expected));
    end(lane)?;
    verdict
}

/// Lays out the store an operation begins with.
fn begin(fixtures: &Path, lane: &Path, operation: &Operation) -> Result<()> {
    end(lane)?;
    fixture::copy(&fixtures.join(operation.kind.directory()), lane)
}

/// Takes it away, with whatever is mounted in it.
fn end(lane: &Path) -> Result<()> {
    for point in inventory::mounts_below(lane)? {
        nix::mount::umount2(Path::new(&point), nix::mount::MntFlags::MNT_DETACH)?;
    }
    match fs::remove_dir_all(lane) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", lane.display()))
        }
        _ => Ok(()),
    }
}

fn command(lane: &Path, operation: &Operation) -> Result<Command> {
    let mut command = Command::new(program()?);
    // A backtrace of a panic is longer than a pipe.
    command.arg("subject").arg(lane).arg(operation.name).env("RUST_BACKTRACE", "0");
    Ok(command)
}

/// Counts a verdict; a wrong outcome is told with the fault that shows it again.
fn note(report: &mut Report, operation: &Operation, fault: &Fault, verdict: Result<Verdict>) -> Option<String> {
    let Fault { call, nth, errno } = fault;
    let told = match &verdict {
        Ok(Verdict::Missed) => "not reached",
        Ok(Verdict::Survived) => "survived",
        Ok(Verdict::Refused) => "refused",
        Ok(Verdict::Done) => "refused and done",
        Err(_) => "wrong",
    };
    *report.verdicts.entry(operation.name).or_default().entry(told).or_default() += 1;
    report.tried += 1;
    let error = verdict.err()?;
    report.wrong += 1;
    Some(format!("wrong: --op {} --fault {call}:{nth}:{errno:?}: {error:#}", operation.name))
}

/// Reads `openat:17:EIO`.
fn parse(text: &str) -> Result<Fault> {
    let parts: Vec<_> = text.split(':').collect();
    let [call, nth, errno] = parts[..] else { bail!("{text:?} is not CALL:NUMBER:ERRNO") };
    let errno = ERRNOS.into_iter().find(|known| format!("{known:?}") == errno).context("an unknown errno")?;
    Ok(Fault { call: call.to_owned(), nth: nth.parse().context("a number")?, errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_every_kind_of_call_before_it_takes_one_twice() {
        let counts = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1000), ("c".to_owned(), 5)]);
        let chosen = sample(&mut Dice::new(3), &counts, 3);
        let calls: std::collections::BTreeSet<_> = chosen.iter().map(|fault| fault.call.as_str()).collect();
        assert_eq!(calls.len(), 3);
        assert!(chosen.iter().all(|fault| (1..=counts[&fault.call]).contains(&fault.nth)));
    }

    #[test]
    fn a_fault_is_read_as_it_is_told() {
        let fault = parse("openat:17:EIO").expect("well formed");
        assert_eq!(fault, Fault { call: "openat".to_owned(), nth: 17, errno: Errno::EIO });
        assert!(parse("openat:EIO").is_err());
    }
}
