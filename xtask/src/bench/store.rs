//! `cargo xtask bench store`: what the store takes for its own work, beside the bare system calls and the peers.
//!
//! The program that is measured is the bench target `store` of plyfs-store, which times in process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::disk::Disk;
use super::harness::{self, Series};
use super::machine::Machine;
use super::peers;
use super::report::{Goal, Report};
use super::unit::Unit;
use crate::run::{cargo, check, command};
use crate::{setup, tree};

/// Options of `cargo xtask bench store`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: u32,
    /// How many layers are many
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    layers: usize,
    /// Ask the peers at these numbers of layers, 0 for never; they take about a minute to make a thousand
    #[arg(long, value_name = "N", default_value = "100", value_delimiter = ',')]
    peers: Vec<usize>,
}

/// The resident memory that listing and adding up may take.
const MEMORY: f64 = 32e6;

/// Measures and reports.
pub(super) fn run(args: &Args) -> Result<()> {
    setup::run()?;
    setup::also(&["containers-storage", "containerd", "e2fsprogs"])?;
    let program = harness::build("plyfs-store", "store")?;
    check(cargo().args(["build", "--quiet", "--release", "--locked", "-p", "plyfs-cli"]))?;
    let mut report = Report::new(
        "store",
        Machine::now(&[("ctr", &["--version"]), ("dpkg-query", &["--show", "containers-storage"])])?,
    );
    let disk = Disk::ext4("store", 8 << 30)?;
    let (rounds, layers) = (args.rounds.to_string(), args.layers.to_string());
    let life = harness::samples(&program, &["life", disk.path(), &rounds, &layers])?;
    lives(&mut report, &life)?;
    let scale = harness::samples(&program, &["scale", disk.path(), &rounds, &layers])?;
    scales(&mut report, &scale, args.layers)?;
    commits(&mut report, &own_disk(&program)?, "this machine's disk")?;
    let memory = harness::samples(&program, &["memory", disk.path(), &rounds, &layers])?;
    let peak = of(&memory, "memory peak", "plyfs")?;
    let what = format!("resident memory, open + images + df at {}, peak", args.layers);
    report.figure(&what, Unit::Bytes, &peak, Some(Goal::AtMost(MEMORY)));
    for verb in ["images", "df"] {
        report.figure(&format!("{verb} at {}", args.layers), Unit::Seconds, &of(&memory, verb, "plyfs")?, None);
    }
    let plyfs = tree::target().join("release/plyfs");
    for &layers in args.peers.iter().filter(|layers| **layers > 0) {
        let series = peers::containers(&plyfs, &program, Path::new(disk.path()), layers, args.rounds)?;
        if let [own, others @ ..] = series.as_slice() {
            for other in others {
                report.ratio(&format!("one container by command at {layers}"), Unit::Seconds, own, other, None);
            }
        }
    }
    report.finish()
}

type Samples = BTreeMap<String, Series>;

/// A series under the name it has in its row.
fn of(samples: &Samples, name: &str, shown: &str) -> Result<Series> {
    samples.get(name).map(|series| series.named(shown)).with_context(|| format!("no sample of {name}"))
}

/// One container's life beside the bare calls.
fn lives(report: &mut Report, samples: &Samples) -> Result<()> {
    for verb in ["create+mount", "unmount+remove"] {
        let (plyfs, raw) =
            (of(samples, &format!("plyfs {verb}"), "plyfs")?, of(samples, &format!("raw {verb}"), "raw")?);
        report.ratio(verb, Unit::Seconds, &plyfs, &raw, Some(Goal::AtMost(1.5)));
    }
    report.figure("reap after it", Unit::Seconds, &of(samples, "plyfs reap", "plyfs")?, None);
    Ok(())
}

/// The same work at many layers and at few, and what only many layers could make slow.
fn scales(report: &mut Report, samples: &Samples, layers: usize) -> Result<()> {
    let many = layers.to_string();
    report.figure(
        &format!("open at {many}"),
        Unit::Seconds,
        &of(samples, "open many", "plyfs")?,
        Some(Goal::AtMost(2e-3)),
    );
    for (what, verb, goal) in [
        ("open", "open", Some(1.2)),
        ("create+mount", "create+mount", Some(1.1)),
        ("unmount+remove", "unmount+remove", None),
    ] {
        let (at_many, at_few) =
            (of(samples, &format!("{verb} many"), &many)?, of(samples, &format!("{verb} few"), "100")?);
        report.ratio(&format!("{what}, many layers and few"), Unit::Seconds, &at_many, &at_few, goal.map(Goal::AtMost));
    }
    for by in ["name", "id", "chain"] {
        let look_up = of(samples, &format!("look-up {by}"), "plyfs")?;
        report.figure(&format!("look-up by {by} at {many}"), Unit::Seconds, &look_up, Some(Goal::AtMost(2e-6)));
    }
    commits(report, samples, "a loop device")
}

/// Durable commits, and the bare sync they are made of: how many share one decides, and that depends on what it takes.
fn commits(report: &mut Report, samples: &Samples, disk: &str) -> Result<()> {
    let (threads, thread) =
        (of(samples, "commits 8 threads", "8 threads")?, of(samples, "commits 1 threads", "1 thread")?);
    report.figure(&format!("one sync on {disk}"), Unit::Seconds, &of(samples, "sync", "bare")?, None);
    let what = format!("durable commits on {disk}");
    report.ratio(&what, Unit::PerSecond, &threads, &thread, Some(Goal::AtLeast(4.0)));
    Ok(())
}

/// Commits on the disk the source tree lies on, which is like the one stores lie on.
fn own_disk(program: &Path) -> Result<Samples> {
    let dir = tree::target().join("xtask/bench/store-own-disk");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.to_str().with_context(|| format!("{}: not UTF-8", dir.display()))?;
    check(command(program).args(["prepare", path, "1", "100"]))?;
    // What is still to be written of all that was measured before takes processors of the eight threads.
    check(&mut command("sync"))?;
    let samples = harness::samples(program, &["commit", path, "5", "100"])?;
    fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    Ok(samples)
}
