//! `cargo xtask soak`: what needs hours, part by part.
//!
//! Each part is a command of `cargo xtask`, or a set of tests, with what makes it long. A failing part does not stop the
//! others; the last line sums up, and the exit code is zero only when all passed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, command, stream};
use crate::tree;

/// One thing that takes long.
struct Part {
    /// What `--only` takes.
    name: &'static str,
    /// One line on what it shows.
    what: &'static str,
    /// How it is run.
    run: Run,
}

/// How a part is run.
enum Run {
    /// By `cargo xtask` with these arguments, given how many minutes a part without an end of its own may take.
    Xtask(fn(minutes: u64) -> Vec<String>),
    /// By the tests of this package that this filter names, with a variable set that makes them long.
    Tests { package: &'static str, filter: &'static str, variable: (&'static str, &'static str) },
}

/// Every part; to add one, add a line.
const PARTS: &[Part] = &[
    Part {
        name: "faults",
        what: "every system call of every operation fails once with every errno, and does no harm",
        run: Run::Xtask(|_| words(&["faults", "--all"])),
    },
    Part {
        name: "torture",
        what: "processes killed at random instants lose and leave nothing",
        run: Run::Xtask(|minutes| words(&["torture", "--minutes", &minutes.to_string(), "--seed", "11"])),
    },
    Part {
        name: "model",
        what: "10,000 layers of random edits read everywhere as the kernel shows them",
        run: Run::Xtask(|_| words(&["model", "--sequences", "10000", "--seed", "1000"])),
    },
    Part {
        name: "powercut",
        what: "1,000 cuts of each file system lose nothing acknowledged",
        run: Run::Xtask(|_| words(&["powercut", "--cuts", "1000", "--seed", "100"])),
    },
    Part {
        name: "guest",
        what: "all tests of mounts and of the store pass under Debian's kernel",
        run: Run::Xtask(|_| words(&["guest"])),
    },
    Part {
        name: "fuzz",
        what: "no reader of foreign bytes breaks, each fuzzed for a share of the time",
        // Ten targets, two at a time.
        run: Run::Xtask(|minutes| words(&["fuzz", "--seconds", &(minutes * 60 / 5).to_string()])),
    },
    Part {
        name: "histories",
        what: "long histories of two writers, a reader, cuts, kills and failing syncs lose no commit of the journal",
        run: Run::Tests { package: "plyfs-journal", filter: "interleaved", variable: ("PLYFS_TEST_HISTORIES", "2000") },
    },
    Part {
        name: "bombs",
        what: "archives as large as they can be made cost bounded memory",
        run: Run::Tests { package: "plyfs-diff", filter: "bombs", variable: ("PLYFS_TEST_GIANT", "1") },
    },
];

/// Longest run of one part.
const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Options of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long a part runs that has no end of its own
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// Run these parts only, in the usual order
    #[arg(long, value_name = "PART", num_args = 1.., value_parser = part_names())]
    only: Vec<String>,
}

fn part_names() -> clap::builder::PossibleValuesParser {
    PARTS.iter().map(|part| clap::builder::PossibleValue::new(part.name).help(part.what)).collect::<Vec<_>>().into()
}

/// Runs the parts, prints a line for each and one for all.
pub(crate) fn run(args: &Args) -> Result<()> {
    let minutes = (args.hours * 60.0).clamp(1.0, 60_000.0).round() as u64;
    let mut lines = Vec::new();
    for part in PARTS.iter().filter(|part| args.only.is_empty() || args.only.iter().any(|name| name == part.name)) {
        println!("\n==> {}: {}", part.name, part.what);
        let started = Instant::now();
        let outcome = run_part(part, minutes);
        lines.push((part.name, outcome, started.elapsed()));
    }
    let failed = lines.iter().filter(|(_, outcome, _)| outcome.is_err()).count();
    println!();
    for (name, outcome, took) in &lines {
        let told = outcome.as_ref().map_or_else(|error| format!("FAILED: {error:#}"), Clone::clone);
        println!("{name:<10} {:>6} s  {told}", took.as_secs());
    }
    println!("soak: {} parts passed, {failed} failed", lines.len() - failed);
    if failed > 0 {
        bail!("{failed} parts failed");
    }
    Ok(())
}

/// Runs one part; what it said last is its result.
fn run_part(part: &Part, minutes: u64) -> Result<String> {
    let mut it = match &part.run {
        Run::Xtask(arguments) => {
            let mut xtask = command(std::env::current_exe().context("the path of this program")?);
            xtask.args(arguments(minutes));
            xtask
        }
        Run::Tests { package, filter, variable } => {
            let mut tests = cargo();
            // The last line that is not empty is then the result.
            tests.args(["test", "--quiet", "--package", package, "--test", "it", filter]).env(variable.0, variable.1);
            tests
        }
    };
    let last = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&last);
    let each = move |line: &str| {
        if !line.is_empty() {
            line.clone_into(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
        }
    };
    let status = stream(&mut it, &tree::target().join("xtask/logs/soak").join(part.name), LIMIT, each)?;
    let last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !status.success() {
        bail!("{last}");
    }
    Ok(last)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_a_command_line_that_parses() {
        for part in PARTS {
            let Run::Xtask(arguments) = &part.run else { continue };
            let line = std::iter::once("cargo xtask".to_owned()).chain(arguments(60));
            <crate::Cli as clap::Parser>::try_parse_from(line).unwrap_or_else(|e| panic!("{}: {e}", part.name));
        }
    }

    #[test]
    fn no_two_parts_share_a_name() {
        for (i, part) in PARTS.iter().enumerate() {
            assert!(PARTS[..i].iter().all(|other| other.name != part.name), "{}", part.name);
        }
    }
}
