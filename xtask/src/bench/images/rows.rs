//! The rows of the bench: what is done, in which state, by whom in turn, and against which goal.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};

use super::Row;
use super::corpus::{Corpus, Form};
use super::cost::{Cost, measure};
use super::keeper::{Keeper, Who};
use super::layout::Packed;
use super::limit::limit;
use super::state::{Cache, settle};
use crate::bench::harness::{Series, Variant, alternate, samples};
use crate::bench::report::{Goal, Report};
use crate::bench::unit::Unit;
use crate::run::{check, command};

/// The most memory a load may have resident.
const RESIDENT: f64 = (64 << 20) as f64;

/// How many containers are made at a time.
const CONTAINERS: usize = 100;

/// What all rows need.
pub(super) struct Bench<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) disk: &'a Path,
    /// The command.
    pub(super) plyfs: &'a Path,
    /// The program that uses the library in its own process.
    pub(super) store: &'a Path,
    /// The program that cancels a load.
    pub(super) cancel: &'a Path,
    pub(super) rounds: u32,
    pub(super) peers: bool,
    /// Those that have been asked so far.
    pub(super) keepers: Vec<Keeper>,
}

/// What every variant of a row took, run by run.
#[derive(Debug, Default)]
struct Ledger(RefCell<BTreeMap<String, Vec<Cost>>>);

impl Ledger {
    /// Notes a run; the answer is its time on the clock.
    fn note(&self, name: &str, cost: Cost) -> f64 {
        self.0.borrow_mut().entry(name.to_owned()).or_default().push(cost);
        cost.wall
    }

    fn series(&self, name: &str, of: impl Fn(&Cost) -> f64) -> Series {
        let costs = self.0.borrow();
        Series { name: name.to_owned(), samples: costs.get(name).into_iter().flatten().map(of).collect() }
    }

    /// Reports the times of all variants beside their row.
    fn report(&self, what: &str, all: &[Series], report: &mut Report) {
        for series in all {
            let (user, system) =
                (self.series(&series.name, |cost| cost.user), self.series(&series.name, |cost| cost.system));
            report.times(what, series, &user, &system);
        }
    }
}

impl Bench<'_> {
    /// Measures one row and reports it.
    pub(super) fn row(&mut self, row: Row, report: &mut Report) -> Result<()> {
        use Who::{Containerd, Docker, Plyfs, Podman, Umoci};
        match row {
            Row::LoadGzip => {
                let who = [Plyfs, Docker, Containerd, Podman, Umoci];
                self.load("load OCI archive, gzip", Form::Gzip, Some(Packed::Gzip), &who, (1.25, Some(4.5)), report)
            }
            Row::LoadPlain => {
                let who = [Plyfs, Docker, Podman];
                self.load("load docker-archive, plain", Form::Docker, None, &who, (1.3, Some(6.0)), report)
            }
            Row::LoadZstd => {
                let who = [Plyfs, Containerd, Podman];
                self.load("load OCI archive, zstd", Form::Zstd, Some(Packed::Zstd), &who, (1.3, None), report)
            }
            Row::LoadAgain => self.load_again(report),
            Row::LoadTop => self.load_top(report),
            Row::SaveDocker => self.save_docker(report),
            Row::SaveGzip => self.save_gzip(report),
            Row::Commit => self.commit(report),
            Row::Cancel => self.cancel(report),
            Row::Containers => self.containers(report),
        }
    }

    /// Those of `who` that take part, started where they were not.
    fn ask(&mut self, who: &[Who]) -> Result<Vec<&Keeper>> {
        let who: Vec<Who> = who.iter().copied().filter(|who| self.peers || *who == Who::Plyfs).collect();
        for &who in &who {
            if self.keepers.iter().all(|keeper| keeper.who != who) {
                self.keepers.push(Keeper::start(who, self.disk, self.plyfs)?);
            }
        }
        let keeper = |who: Who| self.keepers.iter().find(|keeper| keeper.who == who);
        who.into_iter().map(|who| keeper(who).context("it was started")).collect()
    }

    /// The image into empty stores, beside the limit.
    fn load(
        &mut self,
        what: &str,
        form: Form,
        packed: Option<Packed>,
        who: &[Who],
        (of_limit, of_docker): (f64, Option<f64>),
        report: &mut Report,
    ) -> Result<()> {
        announce(what);
        let (corpus, disk, rounds) = (self.corpus, self.disk, self.rounds);
        let ledger = Ledger::default();
        let mut variants = Vec::new();
        for keeper in self.ask(who)? {
            let ledger = &ledger;
            variants.push(Variant::new(keeper.who.name(), move || {
                keeper.drop_images(None)?;
                let (archive, layout) = (corpus.archive(form), corpus.layout(packed.unwrap_or(Packed::Gzip)));
                settle(disk, Cache::Dropped, &[if keeper.who == Who::Umoci { &layout } else { &archive }])?;
                let cost = measure(&keeper.daemons(), || keeper.load(form, &archive, &layout))?;
                if keeper.who == Who::Umoci {
                    keeper.drop_images(None)?;
                }
                Ok(ledger.note(keeper.who.name(), cost))
            }));
        }
        variants.push(Variant::new("limit", || {
            let mut inputs = packed.map_or_else(|| Ok(Vec::new()), |packed| corpus.blobs(packed))?;
            inputs.extend(corpus.plain());
            settle(disk, Cache::Dropped, &inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
            Ok(ledger.note("limit", limit(corpus, packed, disk)?))
        }));
        let mut series = alternate(rounds, variants)?;
        let limit = series.pop().context("the limit was measured")?;
        report.ratio(what, Unit::Seconds, &series[0], &limit, Some(Goal::AtMost(of_limit)));
        for other in &series[1..] {
            let goal = of_docker.filter(|_| other.name == Who::Docker.name()).map(Goal::AtLeast);
            report.ratio(what, Unit::Seconds, other, &series[0], goal);
        }
        ledger.report(what, &[series.as_slice(), &[limit]].concat(), report);
        if form == Form::Gzip {
            self.resources(what, &ledger, &series, report);
        }
        Ok(())
    }

    /// What a load took beside time.
    fn resources(&self, what: &str, ledger: &Ledger, all: &[Series], report: &mut Report) {
        let threads = 2.0 + available_parallelism().map_or(1, NonZero::get) as f64;
        for (name, of, unit, most) in [
            ("peak memory", (|cost: &Cost| cost.resident) as fn(&Cost) -> f64, Unit::Bytes, RESIDENT),
            ("threads", |cost: &Cost| cost.threads, Unit::Count, threads),
        ] {
            for series in all {
                let goal = (series.name == Who::Plyfs.name()).then_some(Goal::AtMost(most));
                report.figure(&format!("{what}: {name}"), unit, &ledger.series(&series.name, of), goal);
            }
        }
    }

    /// The image into stores that have it.
    fn load_again(&mut self, report: &mut Report) -> Result<()> {
        let what = "load again, all present";
        announce(what);
        let (corpus, disk, rounds) = (self.corpus, self.disk, self.rounds);
        let (archive, layout) = (corpus.archive(Form::Gzip), corpus.layout(Packed::Gzip));
        let keepers = self.ask(&[Who::Plyfs, Who::Docker, Who::Podman, Who::Containerd])?;
        keepers.iter().try_for_each(|keeper| keeper.load(Form::Gzip, &archive, &layout))?;
        beside(what, rounds, &keepers, 10.0, report, |keeper| {
            settle(disk, Cache::Kept, &[&archive])?;
            measure(&keeper.daemons(), || keeper.load(Form::Gzip, &archive, &layout))
        })
        .map(drop)
    }

    /// The image into stores that lack its uppermost layer alone.
    fn load_top(&mut self, report: &mut Report) -> Result<()> {
        let what = "load, all layers but one present";
        announce(what);
        let (corpus, disk, rounds) = (self.corpus, self.disk, self.rounds);
        let (archive, layout) = (corpus.archive(Form::Gzip), corpus.layout(Packed::Gzip));
        let keepers = self.ask(&[Who::Plyfs, Who::Docker, Who::Podman, Who::Containerd])?;
        for keeper in &keepers {
            keeper.load(Form::Gzip, &archive, &layout)?;
            keeper.load(Form::Lower, &corpus.archive(Form::Lower), &layout)?;
        }
        beside(what, rounds, &keepers, None, report, |keeper| {
            keeper.drop_images(Some("svc:lower"))?;
            settle(disk, Cache::Kept, &[&archive])?;
            measure(&keeper.daemons(), || keeper.load(Form::Gzip, &archive, &layout))
        })
        .map(drop)
    }

    /// A docker-archive out.
    fn save_docker(&mut self, report: &mut Report) -> Result<()> {
        let what = "save docker-archive, plain";
        announce(what);
        let (disk, rounds, file) = (self.disk, self.rounds, self.disk.join("saved"));
        let keepers = self.loaded(&[Who::Plyfs, Who::Docker, Who::Podman])?;
        beside(what, rounds, &keepers, 3.0, report, |keeper| {
            gone(&file)?;
            settle(disk, Cache::Dropped, &[&keeper.data()])?;
            measure(&keeper.daemons(), || keeper.save("docker-archive", &file))
        })?;
        gone(&file)
    }

    /// An OCI archive out, beside compressing the layers alone.
    fn save_gzip(&mut self, report: &mut Report) -> Result<()> {
        let what = "save OCI archive, gzip";
        announce(what);
        let (disk, rounds, file, plain) = (self.disk, self.rounds, self.disk.join("saved"), self.corpus.plain());
        let plyfs = self.loaded(&[Who::Plyfs])?;
        let ledger = Ledger::default();
        let ours = Variant::new("plyfs", || {
            gone(&file)?;
            settle(disk, Cache::Dropped, &[&plyfs[0].data()])?;
            Ok(ledger.note("plyfs", measure(&[], || plyfs[0].save("oci-archive", &file))?))
        });
        let pigz = Variant::new("pigz", || {
            gone(&file)?;
            settle(disk, Cache::Dropped, &plain.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
            let output = || fs::File::create(&file).with_context(|| format!("create {}", file.display()));
            let cost = measure(&[], || check(command("pigz").arg("--stdout").args(&plain).stdout(output()?)))?;
            Ok(ledger.note("pigz", cost))
        });
        let series = alternate(rounds, vec![ours, pigz])?;
        report.ratio(what, Unit::Seconds, &series[1], &series[0], Some(Goal::AtLeast(1.0)));
        ledger.report(what, &series, report);
        gone(&file)
    }

    /// A container with the files of one layer becomes an image.
    fn commit(&mut self, report: &mut Report) -> Result<()> {
        let what = "commit of a container of 22,000 files";
        announce(what);
        let (disk, rounds, tree) = (self.disk, self.rounds, self.disk.join("tree"));
        fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
        check(command("tar").arg("xf").arg(self.corpus.fullest()?).arg("-C").arg(&tree))?;
        let keepers = self.loaded(&[Who::Plyfs, Who::Docker, Who::Podman])?;
        let uppers = keepers.iter().map(|keeper| Ok((keeper.who.name(), keeper.fill("filled", &tree)?)));
        let uppers = uppers.collect::<Result<BTreeMap<_, _>>>()?;
        beside(what, rounds, &keepers, 5.0, report, |keeper| {
            settle(disk, Cache::Dropped, &[&uppers[keeper.who.name()]])?;
            let cost = measure(&keeper.daemons(), || keeper.commit("filled"))?;
            keeper.drop_commit().map(|()| cost)
        })?;
        keepers.iter().try_for_each(|keeper| keeper.remove(&["filled".to_owned()]))?;
        check(command("rm").args(["-rf", "--"]).arg(&tree))
    }

    /// Loads that are asked to stop when this much of them in per cent was read, and when all was unpacked; and one in the
    /// middle of what a few bytes hold.
    fn cancel(&self, report: &mut Report) -> Result<()> {
        announce("load cancelled");
        for (form, name) in [(Form::Gzip, "gzip"), (Form::Docker, "plain")] {
            for percent in ["10", "50", "90", "99", "100"] {
                let what = format!("load, {name}, cancelled at {percent} %: time to return");
                self.cancel_at(&what, &self.corpus.archive(form), &[percent], report)?;
            }
        }
        let hollow = self.disk.join("hollow.tar");
        check(command(self.cancel).arg("hollow").arg(&hollow))?;
        let what = "load of 2 GiB of zeros in zstd, cancelled in the middle: time to return";
        self.cancel_at(what, &hollow, &["50", "500"], report)?;
        gone(&hollow)
    }

    fn cancel_at(&self, what: &str, archive: &Path, moment: &[&str], report: &mut Report) -> Result<()> {
        let data = self.disk.join("cancelled");
        let text = |path: &'_ Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
        let (dir, file) = (text(&data)?, text(archive)?);
        let arguments = [&[dir.as_str(), &file], moment].concat();
        let mut took = Series::new("plyfs");
        for _ in 0..self.rounds {
            settle(self.disk, Cache::Dropped, &[archive])?;
            let all = samples(self.cancel, &arguments)?;
            took.samples.extend(all.get("returned").context("no sample of its return")?.samples.iter());
            let staged = all.get("left in staging").context("no count of what is left")?;
            ensure!(staged.samples == [0.0], "{what}: something is left in staging");
            check(command("rm").args(["-rf", "--"]).arg(&data))?;
        }
        report.figure(what, Unit::Seconds, &took, Some(Goal::AtMost(0.1)));
        Ok(())
    }

    /// Containers of the image: in process, by one command, and by one command each as the others have it.
    fn containers(&mut self, report: &mut Report) -> Result<()> {
        let what = format!("{CONTAINERS} containers");
        announce(&what);
        let (disk, rounds, store) = (self.disk, self.rounds, self.store);
        let keepers = self.loaded(&[Who::Plyfs, Who::Docker, Who::Podman, Who::Containerd])?;
        let names: Vec<String> = (0..CONTAINERS).map(|number| format!("c{number}")).collect();
        let parents = keepers.iter().map(|keeper| Ok((keeper.who.name(), keeper.parent()?)));
        let parents = parents.collect::<Result<BTreeMap<_, _>>>()?;
        let own = keepers[0];
        let data = own.data();
        let in_process = |sample: &'static str| {
            let data = &data;
            move || {
                settle(disk, Cache::Kept, &[])?;
                let data = data.to_str().context("a path that is not UTF-8")?;
                let all = samples(store, &["containers", data, "1", &CONTAINERS.to_string()])?;
                all.get(sample).map(Series::median).context("no sample of containers")
            }
        };
        let ours = vec![
            Variant::new("plyfs, in process, one by one", in_process("one by one")),
            Variant::new("plyfs, in process, in one call", in_process("in one call")),
            Variant::new("plyfs, by one command", || {
                settle(disk, Cache::Kept, &[])?;
                let cost = measure(&[], || own.create_all(&parents[own.who.name()], &names))?;
                own.remove(&names).map(|()| cost.wall)
            }),
        ];
        let ours = alternate(rounds, ours)?;
        let by_command = format!("{what}, by {CONTAINERS} commands");
        let series = beside(&by_command, rounds, &keepers, None, report, |keeper| {
            settle(disk, Cache::Kept, &[])?;
            let parent = &parents[keeper.who.name()];
            let cost = measure(&keeper.daemons(), || names.iter().try_for_each(|name| keeper.create(parent, name)))?;
            keeper.remove(&names).map(|()| cost)
        })?;
        // The goal is put at what there is for who wants many at once.
        let goals = [None, Some(Goal::AtLeast(20.0)), Some(Goal::AtLeast(20.0))];
        for (ours, goal) in ours.iter().zip(goals) {
            match fastest_first(&series[1..]).first() {
                Some(other) => report.ratio(&what, Unit::Seconds, other, ours, goal),
                None => report.figure(&what, Unit::Seconds, ours, None),
            }
        }
        Ok(())
    }

    /// Those of `who` that take part, with the image loaded.
    fn loaded(&mut self, who: &[Who]) -> Result<Vec<&Keeper>> {
        let (archive, layout) = (self.corpus.archive(Form::Gzip), self.corpus.layout(Packed::Gzip));
        let keepers = self.ask(who)?;
        keepers.iter().try_for_each(|keeper| keeper.load(Form::Gzip, &archive, &layout))?;
        Ok(keepers)
    }
}

/// The same by each in turn: one line for each of the others, the goal with the fastest.
fn beside(
    what: &str,
    rounds: u32,
    keepers: &[&Keeper],
    goal: impl Into<Option<f64>>,
    report: &mut Report,
    run: impl Fn(&Keeper) -> Result<Cost>,
) -> Result<Vec<Series>> {
    let ledger = Ledger::default();
    let mut variants = Vec::new();
    for &keeper in keepers {
        let (ledger, run) = (&ledger, &run);
        variants.push(Variant::new(keeper.who.name(), move || Ok(ledger.note(keeper.who.name(), run(keeper)?))));
    }
    let series = alternate(rounds, variants)?;
    let goal = goal.into().map(Goal::AtLeast);
    for (place, other) in fastest_first(&series[1..]).into_iter().enumerate() {
        report.ratio(what, Unit::Seconds, other, &series[0], goal.filter(|_| place == 0));
    }
    ledger.report(what, &series, report);
    Ok(series)
}

fn fastest_first(series: &[Series]) -> Vec<&Series> {
    let mut sorted: Vec<&Series> = series.iter().collect();
    sorted.sort_by(|a, b| a.median().total_cmp(&b.median()));
    sorted
}

/// Says what comes: a row takes minutes.
fn announce(what: &str) {
    println!("{what}");
}

fn gone(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("delete {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_is_the_one_with_the_least_median() {
        let series = |name: &str, samples: &[f64]| Series { name: name.into(), samples: samples.to_vec() };
        let all = [series("a", &[2.0, 9.0, 2.0]), series("b", &[1.0, 5.0, 6.0]), series("c", &[1.0])];
        let names: Vec<_> = fastest_first(&all).into_iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn a_ledger_keeps_runs_apart_by_name() {
        let ledger = Ledger::default();
        for (name, wall) in [("a", 1.0), ("b", 2.0), ("a", 3.0)] {
            ledger.note(name, Cost { wall, ..Cost::default() });
        }
        assert_eq!(ledger.series("a", |cost| cost.wall).samples, [1.0, 3.0]);
        assert!(ledger.series("c", |cost| cost.wall).samples.is_empty());
    }
}
