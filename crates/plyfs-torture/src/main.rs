//! `plyfs-torture`: workers on one store, killed and restarted while the store is watched.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to the person who started it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use plyfs_torture::faults::{self, Reach};
use plyfs_torture::torture::{self, Options, Report};
use plyfs_torture::verb;
use plyfs_torture::worker::Worker;

/// A store under fire
#[derive(Debug, Parser)]
#[command(name = "plyfs-torture")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let processes work on one store, kill them at random instants, and judge what is left
    Kill {
        /// How long they work
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Where all random choices begin
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many processes work at once
        #[arg(long, default_value_t = 8)]
        workers: u64,
        /// Leave the store where it is when something is wrong, and say where
        #[arg(long)]
        keep: bool,
    },
    /// Make system calls of operations fail, one a run, and judge what is left
    Fault {
        /// Operations, all without it
        #[arg(long, num_args = 1..)]
        op: Vec<String>,
        /// Every call with every errno, not a sample
        #[arg(long, conflicts_with = "every")]
        all: bool,
        /// Every call once, with an errno that the seed chooses
        #[arg(long)]
        every: bool,
        /// How many faults of each operation a sample has
        #[arg(long, default_value_t = 14)]
        sample: u64,
        /// Where all random choices begin
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One fault alone, as a report names it: openat:17:EIO
        #[arg(long)]
        fault: Option<String>,
    },
    /// Be a process that works until it is killed
    #[command(hide = true)]
    Worker { dir: PathBuf, slot: u64, seed: u64 },
    /// Be one of two processes that race
    #[command(hide = true)]
    Race { dir: PathBuf, verb: String },
    /// Be a process whose call fails
    #[command(hide = true)]
    Subject { dir: PathBuf, op: String },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the environment says about backtraces.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Kill { seconds, seed, workers, keep } => {
            let report = torture::run(&Options { time: Duration::from_secs(seconds), seed, workers, keep })?;
            print(&report, seconds);
            Ok(())
        }
        Command::Fault { op, all, every, sample, seed, fault } => {
            let reach = match (all, every) {
                (true, _) => Reach::All,
                (_, true) => Reach::Every,
                _ => Reach::Sample(sample),
            };
            let options = faults::Options { operations: op, reach, seed, only: fault };
            tell(&faults::run(&options, &|line| println!("{line}"))?)
        }
        Command::Race { dir, verb } => verb::process(&dir, &verb),
        Command::Subject { dir, op } => faults::subject(&dir, &op),
        Command::Worker { dir, slot, seed } => Worker::start(&dir, slot, seed)?.work(),
    }
}

fn print(report: &Report, seconds: u64) {
    let notes = &report.notes;
    let done: u64 = notes.done.values().sum();
    for (verb, count) in &notes.done {
        println!("{verb:<20} {count}");
    }
    for (verb, count) in notes.refused.iter().filter(|(verb, _)| verb.contains(char::is_uppercase)) {
        println!("refused: {verb:<20} {count}");
    }
    println!(
        "{seconds} s: {done} operations, {} kills, {} within an operation, of which {} were found done; {} looks, nothing lost, nothing left",
        report.kills, notes.interrupted, notes.finished, report.looks
    );
}

/// Prints what was tried; anything wrong is an error.
fn tell(report: &faults::Report) -> Result<()> {
    for (operation, verdicts) in &report.verdicts {
        let counts: Vec<_> = verdicts.iter().map(|(told, count)| format!("{count} {told}")).collect();
        println!("{operation:<16} {}", counts.join(", "));
    }
    println!("left alone:");
    for (call, (count, reason)) in &report.spared {
        println!("  {call:<16} {count:>5} calls: {reason}");
    }
    if report.wrong > 0 {
        bail!("{} of {} faults did harm", report.wrong, report.tried);
    }
    println!("{} faults over {} operations, none did harm", report.tried, report.verdicts.len());
    Ok(())
}
