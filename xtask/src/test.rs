//! `cargo xtask test`: installs what is missing, runs every suite, ends with one line of counts.
//!
//! A failing suite does not stop the others. The last line sums what the tools themselves counted, and the exit code
//! is zero only when nothing failed and something passed.

use std::env;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::setup;
use crate::suites::{SUITES, Session, Suite};
use crate::tally::Tally;

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run these suites only, in the usual order
    #[arg(long, value_name = "SUITE", num_args = 1.., value_parser = suite_names())]
    only: Vec<String>,
    /// Take the machine as it is and install nothing
    #[arg(long)]
    no_setup: bool,
}

fn suite_names() -> clap::builder::PossibleValuesParser {
    SUITES.iter().map(|suite| clap::builder::PossibleValue::new(suite.name).help(suite.what)).collect::<Vec<_>>().into()
}

/// Runs the suites; does not return when one failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let session = Session::new(in_ci());
    let _ = fs::remove_dir_all(session.logs());
    fs::create_dir_all(session.logs()).with_context(|| format!("create {}", session.logs().display()))?;
    let mut report = Vec::new();
    if let Err(error) = if args.no_setup { Ok(()) } else { setup::run() } {
        println!("setup: {error:#}");
        report.push(("setup", Tally::FAIL, 0));
    }
    for suite in SUITES.iter().filter(|suite| args.only.is_empty() || args.only.iter().any(|name| name == suite.name)) {
        let started = Instant::now();
        let tally = run_suite(suite, &session);
        report.push((suite.name, tally, started.elapsed().as_secs()));
    }
    let total = summarize(&report);
    println!("{total}");
    if total.failed > 0 || total.passed == 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// Whether a machine is watching: then everything must run.
fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "1" || ci == "true")
}

fn run_suite(suite: &Suite, session: &Session) -> Tally {
    println!("\n==> {}: {}", suite.name, suite.what);
    let mut tally = Tally::default();
    if let Err(error) = (suite.run)(session, &mut tally) {
        println!("{}: {error:#}", suite.name);
        tally += Tally::FAIL;
    }
    if tally.is_empty() {
        println!("{}: ran no test", suite.name);
        tally += Tally::FAIL;
    }
    if session.in_ci { tally.with_skips_failed() } else { tally }
}

/// Prints a line for each suite and adds them up.
fn summarize(report: &[(&str, Tally, u64)]) -> Tally {
    let mut total = Tally::default();
    println!();
    for (name, tally, seconds) in report {
        let skipped = if tally.skipped > 0 { format!(", {} skipped", tally.skipped) } else { String::new() };
        println!("{name:<8} {tally}{skipped} ({seconds} s)");
        total += *tally;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(run: fn(&Session, &mut Tally) -> Result<()>) -> Suite {
        Suite { name: "it", what: "a suite of these tests", run }
    }

    #[test]
    fn a_suite_that_breaks_off_keeps_what_it_counted_and_fails_once() {
        let breaks = suite(|_, tally| {
            *tally += Tally { passed: 3, failed: 1, skipped: 0 };
            anyhow::bail!("the compiler went away")
        });
        assert_eq!(run_suite(&breaks, &Session::new(false)), Tally { passed: 3, failed: 2, skipped: 0 });
    }

    #[test]
    fn a_suite_without_a_test_fails() {
        assert_eq!(run_suite(&suite(|_, _| Ok(())), &Session::new(false)), Tally::FAIL);
    }

    #[test]
    fn a_skip_fails_in_ci_and_is_told_elsewhere() {
        let skips = suite(|_, tally| {
            *tally += Tally { passed: 2, failed: 0, skipped: 1 };
            Ok(())
        });
        assert_eq!(run_suite(&skips, &Session::new(true)).failed, 1);
        let tally = run_suite(&skips, &Session::new(false));
        assert_eq!((tally.failed, tally.skipped), (0, 1));
    }

    #[test]
    fn the_sum_is_over_all_suites() {
        let a = Tally { passed: 2, failed: 0, skipped: 0 };
        let b = Tally { passed: 1, failed: 4, skipped: 0 };
        assert_eq!(summarize(&[("a", a, 1), ("b", b, 2)]).to_string(), "3 passed, 4 failed");
    }
}
