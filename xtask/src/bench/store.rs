//! `cargo xtask bench store`: what the store takes for its own work, beside the bare system calls.
//!
//! The program that is measured is the bench target `store` of plyfs-store, which times in process.

use anyhow::{Context, Result};

use super::disk::Disk;
use super::harness::{self, Series};
use super::machine::Machine;
use super::report::{Goal, Report};
use super::unit::Unit;
use crate::setup;

/// Options of `cargo xtask bench store`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: u32,
}

/// Measures and reports.
pub(super) fn run(args: &Args) -> Result<()> {
    setup::run()?;
    let program = harness::build("plyfs-store", "store")?;
    let mut report = Report::new("store", Machine::now(&[])?);
    let disk = Disk::ext4("store", 4 << 30)?;
    let samples = harness::samples(&program, &["life", disk.path(), &args.rounds.to_string()])?;
    let of = |name: &str| -> Result<&Series> { samples.get(name).with_context(|| format!("no sample of {name}")) };
    for (what, verb) in [("create + mount", "create+mount"), ("unmount + remove", "unmount+remove")] {
        let (plyfs, raw) = (of(&format!("plyfs {verb}"))?, of(&format!("raw {verb}"))?);
        report.ratio(what, Unit::Seconds, &plyfs.named("plyfs"), &raw.named("raw"), Some(Goal::AtMost(1.5)));
    }
    report.finish()
}
