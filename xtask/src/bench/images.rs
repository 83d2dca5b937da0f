//! `cargo xtask bench images`: images in, out and committed, beside those who do the same and beside the machine's limit.
//!
//! The image is of real software, about 1 GB in five layers, built once. Everyone is asked by the own command, ours too; the
//! daemons have data of their own on a file system of the bench, in a file, and end with it. plyfs alone has everything on
//! the disk when it answers.

mod build;
mod corpus;
mod cost;
mod keeper;
mod layout;
mod limit;
mod rows;
mod state;

use std::path::PathBuf;

use anyhow::Result;

use self::corpus::Corpus;
use self::rows::Bench;
use super::disk::Disk;
use super::harness;
use super::machine::Machine;
use super::report::Report;
use crate::run::{cargo, check};
use crate::{setup, tree};

/// Programs that are measured, or measured with.
const PACKAGES: [&str; 10] =
    ["containerd", "docker.io", "e2fsprogs", "isal", "openssl", "pigz", "podman", "umoci", "util-linux", "zstd"];

/// Room for the image once for each of them, and for what they save.
const ROOM: u64 = 40 << 30;

/// Options of `cargo xtask bench images`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
    /// Measure these rows alone
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<Row>,
    /// Measure beside the limit alone, not beside others
    #[arg(long)]
    no_peers: bool,
    /// Take the image of this OCI layout instead of building one
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Row {
    LoadGzip,
    LoadPlain,
    LoadZstd,
    LoadAgain,
    LoadTop,
    SaveDocker,
    SaveGzip,
    Commit,
    Cancel,
    Containers,
}

impl Row {
    const ALL: [Self; 10] = [
        Self::LoadGzip,
        Self::LoadPlain,
        Self::LoadZstd,
        Self::LoadAgain,
        Self::LoadTop,
        Self::SaveDocker,
        Self::SaveGzip,
        Self::Commit,
        Self::Cancel,
        Self::Containers,
    ];
}

/// Measures and reports.
pub(super) fn run(args: &Args) -> Result<()> {
    setup::run()?;
    setup::also(&PACKAGES)?;
    let store = harness::build("plyfs-store", "store")?;
    let cancel = harness::build("plyfs-image", "cancel")?;
    check(cargo().args(["build", "--quiet", "--release", "--locked", "-p", "plyfs-cli"]))?;
    let corpus = Corpus::ensure(args.corpus.as_deref())?;
    let versions: [(&str, &[&str]); 7] = [
        ("dockerd", &["--version"]),
        ("containerd", &["--version"]),
        ("podman", &["--version"]),
        ("umoci", &["--version"]),
        ("igzip", &["--version"]),
        ("zstd", &["--version"]),
        ("dpkg-query", &["--show", "pigz"]),
    ];
    let mut report = Report::new("images", Machine::now(&versions)?);
    let disk = Disk::direct("images", ROOM)?;
    let plyfs = tree::target().join("release/plyfs");
    let mut bench = Bench {
        corpus: &corpus,
        disk: disk.path().as_ref(),
        plyfs: &plyfs,
        store: &store,
        cancel: &cancel,
        rounds: args.rounds,
        peers: !args.no_peers,
        keepers: Vec::new(),
    };
    for row in Row::ALL.into_iter().filter(|row| args.only.is_empty() || args.only.contains(row)) {
        bench.row(row, &mut report)?;
    }
    // Daemons end before their disk goes.
    drop(bench);
    report.finish()
}
