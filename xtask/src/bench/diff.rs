//! `cargo xtask bench diff`: trees to changesets and back, beside tar, find and containerd's differ.
//!
//! The tree is a real `node_modules` that npm installs, kept below `target/xtask/bench`. Programs are timed from outside, ours
//! too; the cache is warm and nothing is synced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::disk::Disk;
use super::harness::{self, Series, Variant};
use super::machine::Machine;
use super::report::{Goal, Report};
use super::unit::Unit;
use crate::run::{check, command, output};
use crate::{setup, tree};

/// What npm installs: about 22,000 files, 480 MB.
const PACKAGES: [&str; 8] = ["react", "react-dom", "vite", "typescript", "webpack", "eslint", "jest", "next"];

/// The most memory that any verb may hold, whatever it works on.
const RESIDENT: f64 = (64 << 20) as f64;

/// Options of `cargo xtask bench diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: u32,
}

/// Measures and reports.
pub(super) fn run(args: &Args) -> Result<()> {
    setup::run()?;
    let program = harness::build("plyfs-diff", "diff")?;
    let oracle = oracle()?;
    let mut report = Report::new("diff", Machine::now(&[])?);
    let disk = Disk::ext4("diff", 8 << 30)?;
    let at = |name: &str| format!("{}/{name}", disk.path());
    let trees = Trees::make(&at)?;
    let bench = Bench { program: &program, rounds: args.rounds };

    let tar = format!("tar cf - -C {} . | sha256sum >/dev/null", trees.tree);
    let ours = ["export", &trees.tree, &trees.empty];
    bench.beside(
        &mut report,
        "export + SHA-256",
        &ours,
        ("tar | sha256sum", &["sh", "-c", &tar]),
        Goal::AtMost(1.2),
    )?;
    let find = format!("find {} -printf '%m %U %G %s %T@ %p\\n' >/dev/null", trees.tree);
    let ours = ["changes", &trees.tree, &trees.empty];
    bench.beside(&mut report, "changes", &ours, ("find", &["sh", "-c", &find]), Goal::AtMost(1.2))?;
    bench.apply(&mut report, &trees, &at)?;
    for (what, other) in [("compare, nothing changed", &trees.same), ("compare, 1 % changed", &trees.changed)] {
        let (program, from) = (oracle.display(), &trees.tree);
        let listing = format!("{program} -list {from} {other} >/dev/null");
        let theirs = ("containerd", &["sh", "-c", &listing][..]);
        bench.beside(&mut report, what, &["compare", from, other], theirs, Goal::AtMost(0.33))?;
        let archive = format!("{program} {from} {other} >/dev/null");
        let theirs = ("containerd", &["sh", "-c", &archive][..]);
        let what = format!("{what}, as an archive");
        bench.beside(&mut report, &what, &["between", from, other], theirs, Goal::AtMost(0.33))?;
    }
    report.finish()
}

/// The trees that are worked on.
struct Trees {
    tree: String,
    /// A copy with the same times.
    same: String,
    /// A copy in which every hundredth file is another.
    changed: String,
    empty: String,
    archive: String,
}

impl Trees {
    fn make(at: &impl Fn(&str) -> String) -> Result<Self> {
        let source = packages()?;
        let trees = Self {
            tree: at("tree"),
            same: at("same"),
            changed: at("changed"),
            empty: at("empty"),
            archive: at("tree.tar"),
        };
        for copy in [&trees.tree, &trees.same, &trees.changed] {
            check(command("cp").arg("-a").arg(&source).arg(copy))?;
        }
        fs::create_dir(&trees.empty).with_context(|| format!("create {}", trees.empty))?;
        check(command("tar").args(["cf", &trees.archive, "-C", &trees.tree, "."]))?;
        let files = output(command("find").args([&trees.changed, "-type", "f"]))?;
        let mut files: Vec<_> = files.lines().collect();
        files.sort_unstable();
        for file in files.iter().step_by(100) {
            let mut content = fs::read(file).with_context(|| format!("read {file}"))?;
            content.push(b'x');
            fs::write(file, content).with_context(|| format!("write {file}"))?;
        }
        Ok(trees)
    }
}

struct Bench<'a> {
    program: &'a Path,
    rounds: u32,
}

impl Bench<'_> {
    /// Our verb and another's command in turn: a row of their times, and one of our memory.
    fn beside(
        &self,
        report: &mut Report,
        what: &str,
        ours: &[&str],
        (name, theirs): (&str, &[&str]),
        goal: Goal,
    ) -> Result<()> {
        let mut resident = Series::new("plyfs");
        let verb = Variant::timed("plyfs", || {
            resident.samples.extend(&harness::samples(self.program, ours)?["resident"].samples);
            Ok(())
        });
        let other = Variant::timed(name, || output(command(theirs[0]).args(&theirs[1..])).map(drop));
        let series = harness::alternate(self.rounds, vec![verb, other])?;
        report.ratio(what, Unit::Seconds, &series[0], &series[1], Some(goal));
        report.figure(&format!("{what}: peak memory"), Unit::Bytes, &resident, Some(Goal::AtMost(RESIDENT)));
        Ok(())
    }

    /// Extraction, each time into a new directory that is gone before the next.
    fn apply(&self, report: &mut Report, trees: &Trees, at: &impl Fn(&str) -> String) -> Result<()> {
        let (ours, theirs) = (at("ours"), at("theirs"));
        let (mut seconds, mut resident) = (Series::new("plyfs"), Series::new("plyfs"));
        let mut tar = Series::new("tar xf");
        for _ in 0..self.rounds {
            for dir in [&ours, &theirs] {
                check(command("rm").args(["-rf", dir]))?;
                fs::create_dir(dir).with_context(|| format!("create {dir}"))?;
            }
            // What the round before left to write would be written during this one.
            check(&mut command("sync"))?;
            let samples = harness::samples(self.program, &["apply", &trees.archive, &ours])?;
            seconds.samples.extend(&samples["seconds"].samples);
            resident.samples.extend(&samples["resident"].samples);
            check(&mut command("sync"))?;
            let started = std::time::Instant::now();
            check(command("tar").args(["xf", &trees.archive, "-C", &theirs]))?;
            tar.samples.push(started.elapsed().as_secs_f64());
        }
        report.ratio("apply, digest and record", Unit::Seconds, &seconds, &tar, Some(Goal::AtMost(1.1)));
        report.figure("apply: peak memory", Unit::Bytes, &resident, Some(Goal::AtMost(RESIDENT)));
        Ok(())
    }
}

/// A real tree, installed once.
pub(super) fn packages() -> Result<PathBuf> {
    let dir = tree::target().join("xtask/bench/node");
    let modules = dir.join("node_modules");
    if !modules.exists() {
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        check(command("npm").current_dir(&dir).args(["init", "-y"]))?;
        let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        check(command("npm").current_dir(&dir).args(quiet).args(PACKAGES))?;
    }
    Ok(modules)
}

/// Containerd's own differ as a program.
fn oracle() -> Result<PathBuf> {
    let program = tree::target().join("xtask/bench/containerd-differ");
    let source = tree::root().join("crates/plyfs-diff/tests/oracle");
    check(command("go").current_dir(source).args(["build", "-buildvcs=false", "-o"]).arg(&program).arg("."))?;
    Ok(program)
}
