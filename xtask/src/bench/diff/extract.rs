//! Apply beside `tar xf`: two programs and one archive, each timed from its start to its end.
//!
//! Left alone, both swing by a multiple, and neither by anything it does itself. What was found to move them, and what is
//! done about it, for both alike:
//!
//! - *Pages that are free and not there.* A virtual machine gives memory that was free for a while back to its host, and the
//!   first touch of such a page costs more than all that is done to it: up to a second for this archive. Large writes
//!   meet it most, since they take pages in large pieces. So every run that counts follows at once upon a run of the same
//!   program that does not, whose tree is gone: its pages are the next to be taken.
//! - *A page cache below the page cache.* The file system lies in a file, whose writes would take as many pages again, others
//!   each time. So they pass it by, and as much memory is free before each run.
//! - *What others left to write.* The file system is the row's own and holds nothing but the archive when a run begins, as
//!   all trees are removed; it alone is synced, for `sync(1)` waits for everybody's disks.
//! - *An archive that left the cache*, as it does where a machine pages out what nobody has read for a while. A run that
//!   read anything from a disk is made anew; where that does not help, as on a machine with other work, a row says so.
//!
//! Who is first changes with every round. The clock says what a user waits for; the processors' time, in a row of its own,
//! does not know of neighbours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::RESIDENT;
use crate::bench::disk::Disk;
use crate::bench::harness::{Series, Taken, sorted, take};
use crate::bench::report::{Goal, Report};
use crate::bench::unit::Unit;
use crate::run::{check, command};

/// How often a run is made, at most, until it finds everything in the cache.
const TRIES: u32 = 3;

/// Times both, and reports time, processor time and our memory.
pub(super) fn run(report: &mut Report, program: &Path, rounds: u32) -> Result<()> {
    let disk = Disk::direct("apply", 4 << 30)?;
    let at = |name: &str| Path::new(disk.path()).join(name);
    let (archive, tree) = (at("tree.tar"), at("tree"));
    check(command("tar").arg("cf").arg(&archive).arg("-C").arg(super::packages()?).arg("."))?;
    let bench = Bench { program, disk: at(""), archive, tree };
    let (mut ours, mut theirs) = (Runs::new("plyfs"), Runs::new("tar xf"));
    let mut resident = Series::new("plyfs");
    let mut cold = 0;
    for round in 0..rounds {
        for is_ours in [round % 2 == 0, round % 2 == 1] {
            let (taken, printed) = bench.warm(&mut bench.command(is_ours))?;
            cold += u32::from(taken.has_read_disk);
            if is_ours {
                resident.samples.extend(&sorted(&printed)?["resident"].samples);
                ours.note(taken);
            } else {
                theirs.note(taken);
            }
        }
    }
    let what = "apply, digest and record";
    report.ratio(what, Unit::Seconds, &ours.wall, &theirs.wall, Some(Goal::AtMost(1.1)));
    report.ratio("apply: processor time", Unit::Seconds, &ours.processor, &theirs.processor, None);
    report.figure("apply: peak memory", Unit::Bytes, &resident, Some(Goal::AtMost(RESIDENT)));
    let cold = Series { name: "both".into(), samples: vec![cold.into()] };
    report.figure("apply: runs that read a disk", Unit::Count, &cold, Some(Goal::AtMost(0.0)));
    for runs in [&ours, &theirs] {
        report.times(what, &runs.wall, &runs.user, &runs.system);
    }
    Ok(())
}

struct Bench<'a> {
    program: &'a Path,
    disk: PathBuf,
    archive: PathBuf,
    /// Where the archive goes, each time into a new directory.
    tree: PathBuf,
}

impl Bench<'_> {
    fn command(&self, is_ours: bool) -> Command {
        let (archive, tree) = (&self.archive, &self.tree);
        let mut command = command(if is_ours { self.program.as_os_str() } else { "tar".as_ref() });
        match is_ours {
            true => command.arg("apply").arg(archive).arg(tree),
            false => command.arg("xf").arg(archive).arg("-C").arg(tree),
        };
        command
    }

    /// Runs it twice in the state that is described above; the second run counts.
    fn warm(&self, command: &mut Command) -> Result<(Taken, String)> {
        let mut tries = TRIES;
        loop {
            self.empty()?;
            take(command)?;
            self.empty()?;
            let (taken, printed) = take(command)?;
            fs::remove_dir_all(&self.tree).with_context(|| format!("remove {}", self.tree.display()))?;
            tries -= 1;
            if tries == 0 || !taken.has_read_disk {
                return Ok((taken, printed));
            }
        }
    }

    /// Makes the tree's directory, which is empty, and writes what is left to write.
    fn empty(&self) -> Result<()> {
        let tree = || format!("make {} anew", self.tree.display());
        if self.tree.exists() {
            fs::remove_dir_all(&self.tree).with_context(tree)?;
        }
        fs::create_dir(&self.tree).with_context(tree)?;
        check(command("sync").arg("--file-system").arg(&self.disk))
    }
}

/// What the runs of one program took.
struct Runs {
    wall: Series,
    user: Series,
    system: Series,
    /// Of each run, both together.
    processor: Series,
}

impl Runs {
    fn new(name: &str) -> Self {
        let series = || Series::new(name);
        Self { wall: series(), user: series(), system: series(), processor: series() }
    }

    fn note(&mut self, taken: Taken) {
        let Taken { wall, user, system, .. } = taken;
        self.wall.samples.push(wall);
        self.user.samples.push(user);
        self.system.samples.push(system);
        self.processor.samples.push(user + system);
    }
}
