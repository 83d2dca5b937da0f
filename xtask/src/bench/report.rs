//! The table of a bench: what was measured, beside what, against which goal.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::harness::Series;
use super::machine::Machine;
use super::unit::{Unit, digits};
use crate::tree;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    fn bound(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(bound) => ("≤", bound),
            Self::AtLeast(bound) => ("≥", bound),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    unit: Unit,
    measured: Series,
    beside: Option<Series>,
    goal: Option<Goal>,
}

impl Row {
    /// What the goal speaks of: the ratio where there is something beside, else the figure.
    fn value(&self) -> f64 {
        let measured = self.measured.median();
        self.beside.as_ref().map_or(measured, |beside| measured / beside.median())
    }

    fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met_by(self.value()))
    }

    fn cells(&self) -> [String; 6] {
        let shown = |series: &Series| format!("{} {}", series.name, self.unit.show(series.median()));
        let goal = self.goal.map(|goal| {
            let (sign, bound) = goal.bound();
            match self.beside {
                Some(_) => format!("{sign} {bound}×"),
                None => format!("{sign} {}", self.unit.show(bound)),
            }
        });
        let met = self.is_met().map(|met| if met { "yes" } else { "NO" }.to_owned());
        [
            self.what.clone(),
            shown(&self.measured),
            self.beside.as_ref().map(shown).unwrap_or_default(),
            self.beside.as_ref().map(|_| format!("{}×", digits(self.value()))).unwrap_or_default(),
            goal.unwrap_or_default(),
            met.unwrap_or_default(),
        ]
    }

    fn json(&self) -> Value {
        let series =
            |series: &Series| json!({ "name": series.name, "median": series.median(), "samples": series.samples });
        json!({
            "what": self.what,
            "unit": self.unit.name(),
            "measured": series(&self.measured),
            "beside": self.beside.as_ref().map(series),
            "value": self.value(),
            "goal": self.goal.map(|goal| { let (sign, bound) = goal.bound(); format!("{sign} {bound}") }),
            "is_met": self.is_met(),
        })
    }
}

/// How one variant of a row spent its time.
#[derive(Debug)]
struct Times {
    what: String,
    wall: Series,
    user: Series,
    system: Series,
}

impl Times {
    fn cells(&self) -> [String; 7] {
        let times = [self.wall.median(), self.wall.least(), self.wall.most(), self.user.median(), self.system.median()];
        let [wall, least, most, user, system] = times.map(|seconds| Unit::Seconds.show(seconds));
        [self.what.clone(), self.wall.name.clone(), wall, least, most, user, system]
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "who": self.wall.name,
            "wall": self.wall.samples,
            "user": self.user.samples,
            "system": self.system.samples,
        })
    }
}

/// A bench's rows, printed and written at the end.
#[derive(Debug)]
#[must_use = "a report is printed by `finish`"]
pub(super) struct Report {
    name: &'static str,
    machine: Machine,
    rows: Vec<Row>,
    times: Vec<Times>,
}

impl Report {
    /// An empty report; `name` is the bench's.
    pub(super) fn new(name: &'static str, machine: Machine) -> Self {
        Self { name, machine, rows: Vec::new(), times: Vec::new() }
    }

    /// A row whose goal speaks of `measured / beside`.
    pub(super) fn ratio(&mut self, what: &str, unit: Unit, measured: &Series, beside: &Series, goal: Option<Goal>) {
        let beside = Some(beside.clone());
        self.rows.push(Row { what: what.to_owned(), unit, measured: measured.clone(), beside, goal });
    }

    /// A row whose goal speaks of the figure itself.
    pub(super) fn figure(&mut self, what: &str, unit: Unit, measured: &Series, goal: Option<Goal>) {
        self.rows.push(Row { what: what.to_owned(), unit, measured: measured.clone(), beside: None, goal });
    }

    /// How the variant named by `wall` spent its time, from the shortest run to the longest and on the processors, in a
    /// table of its own.
    pub(super) fn times(&mut self, what: &str, wall: &Series, user: &Series, system: &Series) {
        let (wall, user, system) = (wall.clone(), user.clone(), system.clone());
        self.times.push(Times { what: what.to_owned(), wall, user, system });
    }

    /// Prints the table and writes the figures with every sample to `target/xtask/bench/NAME.json`.
    pub(super) fn finish(self) -> Result<()> {
        println!("{}", self.table());
        let dir = tree::target().join("xtask/bench");
        let file = dir.join(format!("{}.json", self.name));
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let text = json!({
            "bench": self.name,
            "machine": self.machine.json(),
            "rows": rows,
            "times": self.times.iter().map(Times::json).collect::<Vec<_>>(),
        });
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        fs::write(&file, format!("{text:#}\n")).with_context(|| format!("write {}", file.display()))?;
        let (met, with_goal) = self
            .rows
            .iter()
            .filter_map(Row::is_met)
            .fold((0, 0), |(met, all), is_met| (met + u32::from(is_met), all + 1));
        println!("{met} of {with_goal} goals met; every sample is in {}", file.display());
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = self.machine.lines();
        let head = ["what", "measured", "beside", "ratio", "goal", "met"];
        text.push_str(&aligned(head, self.rows.iter().map(Row::cells)));
        if !self.times.is_empty() {
            text.push('\n');
            let head = ["what", "who", "clock", "least", "most", "user", "system"];
            text.push_str(&aligned(head, self.times.iter().map(Times::cells)));
        }
        text
    }
}

/// Lines of cells below their heads.
fn aligned<const N: usize>(head: [&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let lines: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            // Formatting pads by characters, which is what is wanted with µ and ×.
            let _ = write!(row, "{cell:<width$}  ", width = width(column));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, samples: &[f64]) -> Series {
        Series { name: name.to_owned(), samples: samples.to_vec() }
    }

    #[test]
    fn the_table_says_which_goals_are_met() {
        let mut report = Report::new("test", Machine::of("a machine"));
        let (ours, raw) = (series("plyfs", &[3e-4, 3e-4, 9.0]), series("raw", &[1e-4]));
        report.ratio("create", Unit::Seconds, &ours, &raw, Some(Goal::AtMost(1.5)));
        report.figure("commits", Unit::PerSecond, &series("8 threads", &[4000.0]), Some(Goal::AtLeast(1000.0)));
        report.figure("open", Unit::Seconds, &series("plyfs", &[1.0]), None);
        let expected = "a machine\n\
                        what     measured           beside      ratio  goal       met\n\
                        create   plyfs 300 µs       raw 100 µs  3.00×  ≤ 1.5×     NO\n\
                        commits  8 threads 4000 /s                     ≥ 1000 /s  yes\n\
                        open     plyfs 1.00 s\n";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn times_stand_in_a_table_of_their_own() {
        let mut report = Report::new("test", Machine::of("a machine"));
        report.times("load", &series("plyfs", &[2.0, 1.5, 4.0]), &series("plyfs", &[1.0]), &series("plyfs", &[0.5]));
        let expected = "a machine\n\
                        what  measured  beside  ratio  goal  met\n\n\
                        what  who    clock   least   most    user    system\n\
                        load  plyfs  2.00 s  1.50 s  4.00 s  1.00 s  500 ms\n";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn a_figure_that_was_not_measured_meets_no_goal() {
        for goal in [Goal::AtMost(1.0), Goal::AtLeast(1.0)] {
            assert!(!goal.is_met_by(series("nothing", &[]).median()), "{goal:?}");
        }
    }
}
