//! `cargo xtask bench NAME`: what this machine takes for something, beside what others take for the same.
//!
//! A report and no test: a goal that is missed is printed as missed, and only what breaks is an error. Everything is
//! measured in one run, variants in turn, with release builds; the table goes to standard output and the figures to
//! `target/xtask/bench/NAME.json`.

mod diff;
mod disk;
mod harness;
mod images;
mod machine;
mod peers;
mod report;
mod short;
mod store;
mod unit;

use anyhow::{Result, bail};
use rustix::process::geteuid;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Opening, looking up, creating, mounting, removing and committing, at few layers and at many
    Store(store::Args),
    /// Exporting, listing, applying and comparing a real tree of 22,000 files, beside tar, find, containerd, docker and podman
    Diff(diff::Args),
    /// Images in, out and committed, beside docker, containerd, podman, umoci and what the machine can do
    Images(images::Args),
}

/// Runs one bench.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !geteuid().is_root() {
        bail!("not root: the bench mounts file systems; run it as root");
    }
    match &args.bench {
        Bench::Store(args) => store::run(args),
        Bench::Diff(args) => diff::run(args),
        Bench::Images(args) => images::run(args),
    }
}
