//! `cargo xtask torture`: processes work at random on one store and are killed at random instants.
//!
//! The work is done by `plyfs-torture`, a program of its own that links the facade; this builds and starts it.

use std::process::Command;

use anyhow::Result;

use crate::{run, tree};

/// Options of `cargo xtask torture`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the processes work
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Where all random choices begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many processes work at once
    #[arg(long, default_value_t = 8)]
    workers: u64,
    /// Leave the store when something is wrong, and say where
    #[arg(long)]
    keep: bool,
}

/// Builds the program and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = built()?;
    command.arg("kill").args(["--seconds", &(args.minutes * 60).to_string()]);
    command.args(["--seed", &args.seed.to_string(), "--workers", &args.workers.to_string()]);
    command.args(args.keep.then_some("--keep"));
    run::check(&mut command)
}

/// The program, built just now.
pub(crate) fn built() -> Result<Command> {
    run::check(run::cargo().args(["build", "--quiet", "--package", "plyfs-torture", "--locked"]))?;
    Ok(program())
}

/// The program as the last build of the development profile left it.
pub(crate) fn program() -> Command {
    run::command(tree::target().join("debug/plyfs-torture"))
}
