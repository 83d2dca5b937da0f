//! `cargo xtask fuzz`: the targets of `plyfs-fuzz` driven by libFuzzer, on stable Rust.
//!
//! Coverage comes from LLVM's own pass, which `-C` flags of a stable compiler turn on. The flags go with an explicit
//! `--target`, so that build scripts and macros are built without them, and into a target directory of their own, so that
//! nothing else is built anew. What the fuzzer learns is kept below it; what it breaks lies there too and is run with
//!
//! ```text
//! cargo xtask fuzz TARGET --input target/fuzz/broken/TARGET-crash-…
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run::{self, stream};
use crate::tree;

/// What the pass counts, and what it tells the fuzzer of comparisons.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Targets that read archives, whose seeds are the hostile archives as well.
const READ_ARCHIVES: [&str; 3] = ["apply", "archive", "members"];

/// Targets that run at once.
const AT_ONCE: usize = 2;

/// What one target may take for one input: memory in MiB, and seconds.
const MEMORY: u32 = 512;
const PATIENCE: u32 = 20;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fuzz this target only
    target: Option<String>,
    /// Fuzz each target this long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run one input and stop
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

/// Builds the targets and fuzzes them; an input that breaks one is an error that names it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&str> = match &args.target {
        Some(name) if !targets.contains(name) => bail!("no target is named {name}; there are {}", targets.join(", ")),
        Some(name) => vec![name],
        None => targets.iter().map(String::as_str).collect(),
    };
    let binary = build()?;
    if let (Some(input), Some(target)) = (&args.input, &args.target) {
        return run::check(command(&binary, target)?.arg(input));
    }
    let outcomes = fuzz(&binary, &chosen, args.seconds)?;
    let broken: Vec<_> = outcomes.iter().filter(|it| it.is_broken).map(|it| it.target.as_str()).collect();
    match broken.as_slice() {
        [] => Ok(()),
        broken => bail!("broken: {}; the inputs are in {}", broken.join(", "), home().join("broken").display()),
    }
}

/// The names of the targets: each has its directory of seeds.
pub(crate) fn targets() -> Result<Vec<String>> {
    let dir = tree::root().join("crates/plyfs-fuzz/seeds");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The command that builds the targets.
pub(crate) fn build_command() -> Result<Command> {
    let mut cargo = run::cargo();
    cargo.args(["build", "--locked", "--profile", "fuzz", "--package", "plyfs-fuzz", "--features", "libfuzzer"]);
    cargo.args(["--bin", "plyfs-fuzz", "--target", &host()?]).arg("--target-dir").arg(home());
    cargo.env("RUSTFLAGS", FLAGS.join(" "));
    Ok(cargo)
}

fn build() -> Result<PathBuf> {
    run::check(&mut build_command()?)?;
    binary()
}

/// Where the build puts the fuzzer.
pub(crate) fn binary() -> Result<PathBuf> {
    Ok(home().join(host()?).join("fuzz/plyfs-fuzz"))
}

fn home() -> PathBuf {
    tree::target().join("fuzz")
}

/// The triple this machine compiles for.
fn host() -> Result<String> {
    let version = run::output(run::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// What came of fuzzing one target.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) executions: u64,
    pub(crate) is_broken: bool,
}

/// Fuzzes each of `targets` for so many seconds, two at a time; the outcomes are sorted by name.
pub(crate) fn fuzz(binary: &Path, targets: &[&str], seconds: u64) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcomes.push(fuzz_one(binary, target, seconds)?);
        }
        Ok(outcomes)
    };
    let mut outcomes = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            outcomes.extend(worker.join().expect("a worker does not panic")?);
        }
        Ok(())
    })?;
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    for Outcome { target, executions, .. } in &outcomes {
        println!("{target:<10} {executions} executions");
    }
    Ok(outcomes)
}

fn fuzz_one(binary: &Path, target: &str, seconds: u64) -> Result<Outcome> {
    let learnt = home().join("learnt").join(target);
    fs::create_dir_all(&learnt).with_context(|| format!("create {}", learnt.display()))?;
    let mut command = command(binary, target)?;
    command.arg(format!("-max_total_time={seconds}")).args(["-print_final_stats=1", "-verbosity=0"]);
    command.arg(&learnt).arg(seeds(target));
    if READ_ARCHIVES.contains(&target) {
        command.arg(tree::root().join("crates/plyfs-diff/tests/corpus"));
    }
    let executions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let each = move |line: &str| {
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            counted.store(number.trim().parse().unwrap_or(0), Ordering::Relaxed);
        }
    };
    let log = tree::target().join("xtask/logs").join(format!("fuzz-{target}"));
    let limit = Duration::from_secs(seconds * 2 + 120);
    let status = stream(&mut command, &log, limit, each)?;
    let executions = executions.load(Ordering::Relaxed);
    Ok(Outcome { target: target.to_owned(), executions, is_broken: !status.success() })
}

/// The fuzzer of one target, held to its bounds.
fn command(binary: &Path, target: &str) -> Result<Command> {
    let broken = home().join("broken");
    fs::create_dir_all(&broken).with_context(|| format!("create {}", broken.display()))?;
    let mut command = run::command(binary);
    command.env("PLYFS_FUZZ", target).env("RUST_BACKTRACE", "1");
    command.arg(format!("-artifact_prefix={}/{target}-", broken.display()));
    command.args([format!("-rss_limit_mb={MEMORY}"), format!("-timeout={PATIENCE}")]);
    Ok(command)
}

fn seeds(target: &str) -> PathBuf {
    tree::root().join("crates/plyfs-fuzz/seeds").join(target)
}
