//! `cargo xtask faults`: each system call of each operation fails once, and the store is judged afterwards.
//!
//! The work is done by `plyfs-torture`, which traces a process of its own with ptrace(2); this builds and starts it.

use anyhow::Result;

use crate::{run, torture};

/// Options of `cargo xtask faults`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// These operations only
    #[arg(long, value_name = "NAME", num_args = 1..)]
    op: Vec<String>,
    /// Every call with every errno, not a sample
    #[arg(long)]
    all: bool,
    /// Every call once, with an errno that the seed chooses
    #[arg(long, conflicts_with = "all")]
    every: bool,
    /// How many faults of each operation a sample has
    #[arg(long, default_value_t = 14)]
    sample: u64,
    /// Where all random choices begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One fault alone, as a report names it: openat:17:EIO
    #[arg(long, conflicts_with = "all")]
    fault: Option<String>,
}

/// Builds the program and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = torture::built()?;
    command.arg("fault").args(["--sample", &args.sample.to_string(), "--seed", &args.seed.to_string()]);
    if !args.op.is_empty() {
        command.arg("--op").args(&args.op);
    }
    command.args(args.all.then_some("--all")).args(args.every.then_some("--every"));
    if let Some(fault) = &args.fault {
        command.args(["--fault", fault]);
    }
    run::check(&mut command)
}
