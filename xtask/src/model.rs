//! `cargo xtask model`: random edits on real overlay mounts, many more than the tests make.
//!
//! The work is the model test of `plyfs-diff`; this tells it how much.

use anyhow::Result;

use crate::run;

/// Options of `cargo xtask model`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many layers are made, each by 25 edits
    #[arg(long, default_value_t = 2000)]
    sequences: u64,
    /// Where the seeds begin
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Let umoci and podman look at two runs of four layers in so many
    #[arg(long, default_value_t = 50)]
    peers: u64,
}

/// Runs the model test, failing on the first disagreement.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut test = run::cargo();
    test.args(["test", "--quiet", "--locked", "--package", "plyfs-diff", "--test", "it", "--", "model::"]);
    test.env("PLYFS_TEST_SEQUENCES", args.sequences.to_string());
    test.env("PLYFS_TEST_SEED", args.seed.to_string());
    test.env("PLYFS_TEST_PEERS", args.peers.to_string());
    run::check(&mut test)
}
