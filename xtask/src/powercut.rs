//! `cargo xtask powercut`: pulls the plug of real file systems under a working store.
//!
//! A disk that records every write and flush carries ext4, xfs or btrfs while threads of two processes load, create,
//! write, commit, rename, tag, remove and prune. Then the disk is put together as a power cut could have left it:
//! everything before the last flush, and of what came after it whatever the dice say. It is mounted, and the store must hold
//! every acknowledged operation whole and no other in half, have nothing left over, and go on working; and the same
//! again for a cut in the middle of that recovery.

mod beside;
mod cut;
mod device;
mod filesystem;
mod fuse;
mod image;
mod lab;
mod model;
pub(crate) mod peer;
mod record;
mod wire;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use self::filesystem::FileSystem;
use self::lab::{Lab, Sabotage, Tools};
use self::peer::Peer;
use crate::suites::build_command;
use crate::tally::Tally;
use crate::tree;

/// Cuts of each file system in `cargo xtask test`.
const CUTS: usize = 100;

/// Operations of each of the four threads of a workload.
const STEPS: usize = 40;

/// A workload's cuts; more than that ask for another workload.
const CUTS_OF_ONE: usize = 250;

/// What a workload without one of its syncs must be found out by.
const CUTS_TO_FIND_OUT: usize = 60;

/// Findings of one cut that are shown.
const SHOWN: usize = 8;

/// Ways to promise more than is kept; each must be found out on each file system.
const SABOTAGES: [(&str, Sabotage); 3] = [
    ("without any sync", Sabotage::Relaxed),
    ("with syncfs(2) left out", Sabotage::Without("syncfs")),
    ("with fdatasync(2) left out", Sabotage::Without("fdatasync")),
];

/// Options of `cargo xtask powercut`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Cut these file systems only
    #[arg(long, value_name = "NAME", num_args = 1..)]
    fs: Vec<FileSystem>,
    /// Cuts of each file system
    #[arg(long, value_name = "N", default_value_t = CUTS)]
    cuts: usize,
    /// Begin the dice with this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Leave out the syncs one by one instead, and show that the cuts find it out
    #[arg(long, conflicts_with = "peer")]
    sabotage: bool,
    /// Load the same images with these programs too, and say what each has left after its cuts; on ext4 unless told
    #[arg(long, value_name = "NAME", num_args = 0..)]
    peer: Option<Vec<Peer>>,
}

/// Cuts, and fails when anything was wrong.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !geteuid().is_root() {
        bail!("mounting needs root");
    }
    if let Some(peers) = &args.peer {
        return device::apart(|| side_by_side(args, peers));
    }
    let work = if args.sabotage { sabotage } else { cut };
    let tally = device::apart(|| each_file_system(args, work))?;
    println!("{tally}");
    if tally.failed > 0 { bail!("{} of {} cuts", tally.failed, tally.passed + tally.failed) } else { Ok(()) }
}

/// What `cargo xtask test` runs: cuts of each file system, each one a test, and the proof that they find something.
pub(crate) fn suite(tally: &mut Tally) -> Result<()> {
    if !geteuid().is_root() {
        println!("powercut: mounting needs root");
        *tally += Tally { passed: 0, failed: 0, skipped: 1 };
        return Ok(());
    }
    let args = Args { fs: Vec::new(), cuts: CUTS, seed: 1, sabotage: false, peer: None };
    *tally += device::apart(|| each_file_system(&args, cut))?;
    *tally += device::apart(|| each_file_system(&args, sabotage))?;
    Ok(())
}

/// Runs `work` for each file system, all at once: they wait for disks that are not there, and for each other's locks never.
fn each_file_system(args: &Args, work: fn(&Args, FileSystem, &Tools, &Path) -> Result<Tally>) -> Result<Tally> {
    let dir = Scratch::new()?;
    let tools = Tools::new(&dir.0, &[])?;
    let chosen = if args.fs.is_empty() { FileSystem::ALL.to_vec() } else { args.fs.clone() };
    let mut total = Tally::default();
    thread::scope(|scope| {
        let threads: Vec<_> = chosen
            .iter()
            .map(|&fs| {
                let (dir, tools) = (dir.0.join(fs.name()), &tools);
                (fs, scope.spawn(move || work(args, fs, tools, &dir)))
            })
            .collect();
        for (fs, thread) in threads {
            match thread.join() {
                Ok(Ok(tally)) => total += tally,
                Ok(Err(error)) => {
                    println!("{}: {error:#}", fs.name());
                    total += Tally::FAIL;
                }
                Err(_) => total += Tally::FAIL,
            }
        }
    });
    dir.leave(total.failed > 0);
    Ok(total)
}

/// Cuts one file system as often as asked for.
fn cut(args: &Args, fs: FileSystem, tools: &Tools, dir: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut seed = args.seed;
    let mut left = args.cuts;
    while left > 0 {
        let started = Instant::now();
        let now = left.min(CUTS_OF_ONE);
        let mut lab = Lab::record(tools, fs, &dir.join(seed.to_string()), seed, STEPS, Sabotage::None)?;
        println!("{}", lab.describe());
        lab.cut(now, |name, wrong| {
            tally += if wrong.is_empty() { Tally::PASS } else { Tally::FAIL };
            if !wrong.is_empty() {
                println!("{}: seed {seed}, {name}:\n  {}", fs.name(), shorten(wrong).join("\n  "));
            }
            true
        })?;
        println!("{}: {now} cuts of seed {seed}: {tally} ({} s)", fs.name(), started.elapsed().as_secs());
        (left, seed) = (left - now, seed + 1);
    }
    Ok(tally)
}

/// Leaves out one sync after another; a workload that no cut finds out is a failure.
fn sabotage(args: &Args, fs: FileSystem, tools: &Tools, dir: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    for (n, (name, sabotage)) in SABOTAGES.into_iter().enumerate() {
        let mut lab = Lab::record(tools, fs, &dir.join(format!("without-{n}")), args.seed, STEPS / 2, sabotage)?;
        let mut found = None;
        let mut cuts = 0;
        lab.cut(CUTS_TO_FIND_OUT, |_, wrong| {
            cuts += 1;
            found = wrong.first().cloned();
            found.is_none()
        })?;
        match &found {
            Some(what) => println!("{}: a store {name} is found out by cut {cuts}: {what}", fs.name()),
            None => println!("{}: a store {name} is not found out by {cuts} cuts", fs.name()),
        }
        tally += if found.is_some() { Tally::PASS } else { Tally::FAIL };
    }
    Ok(tally)
}

/// Cuts a row of loads by each program, and prints what each has left.
fn side_by_side(args: &Args, peers: &[Peer]) -> Result<()> {
    let filesystem = args.fs.first().copied().unwrap_or(FileSystem::Ext4);
    let peers = if peers.is_empty() { Peer::ALL.to_vec() } else { peers.to_vec() };
    let dir = Scratch::new()?;
    build_command()?;
    // docker reads no other format.
    let tools = Tools::new(&dir.0, &["docker"])?;
    let mut table = Vec::new();
    for peer in peers {
        let started = Instant::now();
        let outcome = beside::cut(peer, filesystem, &tools, &dir.0.join(peer.verb().replace(' ', "-")), args.cuts)?;
        println!("{}: {} cuts in {} s", peer.verb(), outcome.cuts, started.elapsed().as_secs());
        table.push(format!(
            "| `{}` {} | {} of {} | {} | {} | {} | {} |",
            peer.verb(),
            peer.version()?,
            outcome.unkept,
            outcome.cuts,
            outcome.lost,
            outcome.damaged,
            outcome.dead,
            outcome.half
        ));
    }
    println!("\n{}:\n", filesystem.name());
    println!("| loaded by | cuts that lose an acknowledged image | gone | damaged | no start | others in half |");
    println!("|---|---|---|---|---|---|");
    table.iter().for_each(|line| println!("{line}"));
    dir.leave(false);
    Ok(())
}

/// The first of many lines, and the last.
fn shorten(lines: &[String]) -> Vec<String> {
    match lines {
        [head @ .., last] if head.len() > SHOWN => {
            let more = format!("and {} more", head.len() - SHOWN);
            head[..SHOWN].iter().chain([&more, last]).cloned().collect()
        }
        _ => lines.to_vec(),
    }
}

/// A directory for one run, below the target directory.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let above = tree::target().join("xtask");
        std::fs::create_dir_all(&above).with_context(|| format!("create {}", above.display()))?;
        for entry in std::fs::read_dir(&above).context("list earlier runs")? {
            let entry = entry.context("list earlier runs")?;
            let name = entry.file_name();
            let run = name.to_str().and_then(|name| name.strip_prefix("powercut-"));
            if run.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                device::clear(&entry.path())?;
            }
        }
        let dir = above.join(format!("powercut-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// Removes it, unless it holds disks that somebody will want to look at.
    fn leave(self, keep: bool) {
        if !keep {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
