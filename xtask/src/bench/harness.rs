//! Running variants in turn, and what their samples come to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::run::{cargo, output};

/// The samples of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) samples: Vec<f64>,
}

impl Series {
    /// A series without samples.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), samples: Vec::new() }
    }

    /// The same samples under another name.
    pub(super) fn named(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), samples: self.samples.clone() }
    }

    /// The middle of the sorted samples, of an even number the mean of the two in the middle; NaN of none.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[half],
            _ => f64::midpoint(sorted[half - 1], sorted[half]),
        }
    }

    /// The smallest sample; NaN of none.
    pub(super) fn least(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The largest sample; NaN of none.
    pub(super) fn most(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// Something measured: each run gives one sample.
pub(super) struct Variant<'a> {
    series: Series,
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Variant<'a> {
    /// A variant whose runs say themselves what they measured.
    pub(super) fn new(name: impl Into<String>, run: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self { series: Series::new(name), run: Box::new(run) }
    }

    /// A variant whose runs are timed from beginning to end.
    pub(super) fn timed(name: impl Into<String>, mut run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self::new(name, move || {
            let started = Instant::now();
            run()?;
            Ok(started.elapsed().as_secs_f64())
        })
    }
}

/// Runs all variants `rounds` times in turn, A B C A B C, so that what the machine does meanwhile meets all of them.
pub(super) fn alternate(rounds: u32, mut variants: Vec<Variant<'_>>) -> Result<Vec<Series>> {
    for round in 1..=rounds {
        for variant in &mut variants {
            let sample = (variant.run)().with_context(|| format!("{}, round {round}", variant.series.name))?;
            variant.series.samples.push(sample);
        }
    }
    Ok(variants.into_iter().map(|variant| variant.series).collect())
}

/// Builds a bench target of a crate as it would be shipped, and returns its program.
pub(super) fn build(package: &str, bench: &str) -> Result<PathBuf> {
    let built = output(
        cargo()
            .args(["bench", "--quiet", "--locked", "--no-run", "--message-format=json", "-p", package])
            .args(["--bench", bench]),
    )?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let program = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    program.with_context(|| format!("bench {bench} of {package}: cargo names no program"))
}

/// What a program took from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Seconds on the clock.
    pub(super) wall: f64,
    /// Seconds of processors in the program.
    pub(super) user: f64,
    /// Seconds of processors in the kernel on its behalf.
    pub(super) system: f64,
    /// Something was read from a disk, and not from the page cache.
    pub(super) has_read_disk: bool,
}

/// Runs a program; the answer is what it took and what it printed. Nothing else may be waited for meanwhile.
pub(super) fn take(command: &mut Command) -> Result<(Taken, String)> {
    let children = || getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage");
    let (before, started) = (children()?, Instant::now());
    let text = output(command)?;
    let (wall, after) = (started.elapsed().as_secs_f64(), children()?);
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let taken = Taken {
        wall,
        user: seconds(after.user_time() - before.user_time()),
        system: seconds(after.system_time() - before.system_time()),
        has_read_disk: after.block_reads() > before.block_reads(),
    };
    Ok((taken, text))
}

/// Runs a program of ours that prints its samples as `name<TAB>value` lines, and sorts them into series.
pub(super) fn samples(program: &Path, arguments: &[&str]) -> Result<BTreeMap<String, Series>> {
    let text = output(crate::run::command(program).args(arguments))?;
    sorted(&text).with_context(|| program.display().to_string())
}

/// Sorts lines `name<TAB>value` into series.
pub(super) fn sorted(text: &str) -> Result<BTreeMap<String, Series>> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('\t').and_then(|(name, value)| Some((name, value.parse().ok()?)))
        else {
            bail!("{line:?} is no sample");
        };
        let series = all.entry(name.to_owned()).or_insert_with(|| Series::new(name));
        series.samples.push(value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn variants_run_in_turn() {
        let order = RefCell::new(String::new());
        let variant = |name: &'static str| {
            let order = &order;
            Variant::new(name, move || {
                order.borrow_mut().push_str(name);
                Ok(1.0)
            })
        };
        let series = alternate(2, vec![variant("a"), variant("b")]).expect("nothing fails");
        assert_eq!(order.into_inner(), "abab");
        assert_eq!(series[1], Series { name: "b".into(), samples: vec![1.0, 1.0] });
    }

    #[test]
    fn the_median_does_not_depend_on_order() {
        let median = |samples: &[f64]| Series { name: String::new(), samples: samples.to_vec() }.median();
        assert!((median(&[9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan(), "nothing was measured");
    }

    #[test]
    fn the_spread_is_from_the_least_to_the_most() {
        let series = |samples: &[f64]| Series { name: String::new(), samples: samples.to_vec() };
        let spread = |samples: &[f64]| (series(samples).least(), series(samples).most());
        assert_eq!(spread(&[2.0, 1.0, 9.0]), (1.0, 9.0));
        assert!(spread(&[]).0.is_nan() && spread(&[]).1.is_nan(), "nothing was measured");
    }

    #[test]
    fn a_program_that_sleeps_takes_time_and_one_that_counts_takes_a_processor() {
        let sh = |line: &str| take(crate::run::command("sh").args(["-c", line])).expect("it runs");
        let (slept, text) = sh("sleep 0.2; echo done");
        assert_eq!(text.trim(), "done");
        assert!(slept.wall >= 0.2 && slept.user + slept.system < slept.wall, "{slept:?}");
        let (counted, _) = sh("i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done");
        assert!(counted.user > slept.user, "{counted:?}");
    }

    #[test]
    fn a_failing_variant_is_named_with_its_round() {
        let error = alternate(1, vec![Variant::timed("mount", || bail!("no"))]).expect_err("it fails");
        assert_eq!(format!("{error:#}"), "mount, round 1: no");
    }

    #[test]
    fn printed_samples_become_series_and_anything_else_an_error() {
        let sh = Path::new("/bin/sh");
        let all = samples(sh, &["-c", "printf 'open\\t0.5\\nopen\\t1.5\\nmount\\t2\\n'"]).expect("samples");
        assert!((all["open"].median() - 1.0).abs() < 1e-9, "{all:?}");
        assert_eq!(all.len(), 2);
        assert!(samples(sh, &["-c", "echo warming up"]).is_err(), "a stray line is no sample");
    }
}
