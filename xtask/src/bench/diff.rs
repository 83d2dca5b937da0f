//! `cargo xtask bench diff`: trees to changesets and back, beside tar, find, containerd's differ, docker and podman.
//!
//! The tree is a real `node_modules` that npm installs, kept below `target/xtask/bench`. Programs are timed from outside, ours
//! too; the cache is warm and nothing is synced. The state before each extraction is described in [`extract`].

mod docker;
mod extract;
mod podman;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use docker::Docker;
use podman::Podman;

use super::disk::Disk;
use super::harness::{self, Series, Variant};
use super::machine::Machine;
use super::report::{Goal, Report};
use super::unit::Unit;
use crate::run::{check, command, exists, output};
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
    /// Measure apply alone
    #[arg(long)]
    only_apply: bool,
}

/// What is shown of a comparison with docker's or podman's: five times as fast for changes, three for two trees.
const FIFTH: Goal = Goal::AtMost(0.2);
const THIRD: Goal = Goal::AtMost(0.33);

/// Measures and reports.
pub(super) fn run(args: &Args) -> Result<()> {
    setup::run()?;
    if !exists("npm") {
        setup::also(&["npm"])?;
    }
    let program = harness::build("plyfs-diff", "diff")?;
    let peers: [(&str, &[&str]); 3] =
        [("dockerd", &["--version"]), ("podman", &["--version"]), ("tar", &["--version"])];
    let mut report = Report::new("diff", Machine::now(&peers)?);
    extract::run(&mut report, &program, 2 * args.rounds + 1)?;
    if args.only_apply {
        return report.finish();
    }
    let oracle = oracle()?;
    let disk = Disk::ext4("diff", 12 << 30)?;
    let at = |name: &str| format!("{}/{name}", disk.path());
    let trees = Trees::make(&at)?;
    let bench = Bench { program: &program, rounds: args.rounds };

    let tar = shell(&format!("tar cf - -C {} . | sha256sum >/dev/null", trees.tree));
    let ours = ["export", &trees.tree, &trees.empty];
    bench.beside(&mut report, "export + SHA-256", &ours, vec![("tar | sha256sum", tar, Goal::AtMost(1.2))])?;
    bench.changes(&mut report, &trees, &at)?;
    let podman = Podman::new(Path::new(&at("podman-images")))?;
    podman.image(&trees.tree, "tree", "name")?;
    for (tree, image) in [(&trees.same, "same"), (&trees.changed, "changed")] {
        podman.image(tree, image, "none")?;
    }
    for (what, other, image) in
        [("compare, nothing changed", &trees.same, "same"), ("compare, 1 % changed", &trees.changed, "changed")]
    {
        let (program, from) = (oracle.display(), &trees.tree);
        let theirs = vec![
            ("containerd", shell(&format!("{program} -list {from} {other} >/dev/null")), THIRD),
            ("podman", podman.command(&["diff", "tree", image]), THIRD),
        ];
        bench.beside(&mut report, what, &["compare", from, other], theirs)?;
        let archive = shell(&format!("{program} {from} {other} >/dev/null"));
        let what = format!("{what}, as an archive");
        bench.beside(&mut report, &what, &["between", from, other], vec![("containerd", archive, THIRD)])?;
    }
    report.finish()
}

/// A command line with a redirection in it.
fn shell(line: &str) -> Command {
    let mut shell = command("sh");
    shell.args(["-c", line]);
    shell
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
    /// The archive of the empty directory.
    nothing: String,
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
            nothing: at("nothing.tar"),
        };
        for copy in [&trees.tree, &trees.same, &trees.changed] {
            check(command("cp").arg("-a").arg(&source).arg(copy))?;
        }
        fs::create_dir(&trees.empty).with_context(|| format!("create {}", trees.empty))?;
        check(command("tar").args(["cf", &trees.archive, "-C", &trees.tree, "."]))?;
        check(command("tar").args(["cf", &trees.nothing, "--files-from", "/dev/null"]))?;
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
    /// Our verb and others' commands in turn: a row of times for each other, and one of our memory.
    fn beside(&self, report: &mut Report, what: &str, ours: &[&str], theirs: Vec<(&str, Command, Goal)>) -> Result<()> {
        let mut resident = Series::new("plyfs");
        // Warms the cache, for all of them.
        harness::samples(self.program, ours)?;
        let verb = Variant::timed("plyfs", || {
            resident.samples.extend(&harness::samples(self.program, ours)?["resident"].samples);
            Ok(())
        });
        let goals: Vec<_> = theirs.iter().map(|(.., goal)| *goal).collect();
        let others = theirs
            .into_iter()
            .map(|(name, mut command, _)| Variant::timed(name, move || output(&mut command).map(drop)));
        let series = harness::alternate(self.rounds, std::iter::once(verb).chain(others).collect())?;
        for (other, goal) in series[1..].iter().zip(goals) {
            report.ratio(what, Unit::Seconds, &series[0], other, Some(goal));
        }
        report.figure(&format!("{what}: peak memory"), Unit::Bytes, &resident, Some(Goal::AtMost(RESIDENT)));
        Ok(())
    }

    /// Everything a container has added, as a list.
    fn changes(&self, report: &mut Report, trees: &Trees, at: &impl Fn(&str) -> String) -> Result<()> {
        let find = shell(&format!("find {} -printf '%m %U %G %s %T@ %p\\n' >/dev/null", trees.tree));
        let docker = Docker::start(Path::new(&at("docker")))?;
        let theirs = docker.container(&trees.tree, &trees.nothing)?;
        let podman = Podman::new(Path::new(&at("podman")))?;
        let others = podman.container(&trees.tree, &trees.nothing)?;
        let beside = vec![
            ("find", find, Goal::AtMost(1.2)),
            ("docker", docker.command(&["diff", theirs]), FIFTH),
            ("podman", podman.command(&["diff", others]), FIFTH),
        ];
        self.beside(report, "changes", &["changes", &trees.tree, &trees.empty], beside)?;
        let mut record = Series::new("docker");
        record.samples.push(bytes(docker.record(&trees.archive)?));
        let (layer, mut ours) = (at("layer"), Series::new("plyfs"));
        fs::create_dir(&layer).with_context(|| format!("create {layer}"))?;
        ours.samples.extend(&harness::samples(self.program, &["apply", &trees.archive, &layer])?["record"].samples);
        report.ratio("tar-split record", Unit::Bytes, &ours, &record, Some(Goal::AtMost(1.0)));
        check(command("rm").args(["-rf", &layer]))
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes of records are far below 2^53")]
fn bytes(count: u64) -> f64 {
    count as f64
}

/// A real tree, installed once.
pub(super) fn packages() -> Result<PathBuf> {
    let dir = tree::target().join("xtask/bench/node");
    let modules = dir.join("node_modules");
    if !modules.exists() {
        setup::npm()?;
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
