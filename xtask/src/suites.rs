//! The suites of `cargo xtask test`, as a table, and the ground they stand on.
//!
//! All of them share one target directory and the development profile, so each crate is compiled once.

mod c;
mod fire;
mod fuzz;
mod go;
mod python;
mod rust;
mod stage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};

pub(crate) use self::rust::WORKSPACE;
use crate::run::{self, stream};
use crate::tally::Tally;
use crate::{guest, powercut, tidy, tree};

/// Longest run of one command.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Cases a property test tries here; longer runs are asked for by hand.
const PROPERTY_CASES: &str = "64";

/// One thing that can pass or fail.
pub(crate) struct Suite {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// One line on what it shows.
    pub(crate) what: &'static str,
    /// Adds what it counted; an error is one failure more.
    pub(crate) run: fn(&Session, &mut Tally) -> Result<()>,
}

/// Every suite, cheap ones first, those that need libplyfs after the one that builds it.
pub(crate) const SUITES: &[Suite] = &[
    Suite { name: "format", what: "rustfmt changes nothing", run: rust::format },
    Suite { name: "tidy", what: "the tree keeps its own rules", run: tidy_suite },
    Suite { name: "clippy", what: "no warning in any target", run: rust::clippy },
    Suite { name: "rust", what: "unit, integration and documentation tests", run: rust::tests },
    Suite { name: "torture", what: "processes killed at random lose and leave nothing", run: fire::torture },
    Suite { name: "powercut", what: "cuts of real file systems lose nothing acknowledged", run: powercut_suite },
    Suite { name: "faults", what: "a system call that fails does no harm, whichever it is", run: fire::faults },
    Suite { name: "guest", what: "Debian's kernel mounts as this one does, and NFS is refused", run: guest_suite },
    Suite { name: "docs", what: "rustdoc warns of nothing", run: rust::docs },
    Suite { name: "header", what: "the header is current and compiles alone as C11 and C++17", run: c::header },
    Suite { name: "c", what: "the C examples compile without a warning and run", run: c::examples },
    Suite { name: "go", what: "the Go package passes its tests and the example runs", run: go::package },
    Suite { name: "python", what: "the package builds and its tests pass", run: python::tests },
    Suite { name: "fuzz", what: "no reader breaks on what lies near its seeds", run: fuzz::targets },
    Suite { name: "stubs", what: "the stubs agree with the built module", run: python::stubs },
];

fn tidy_suite(_: &Session, tally: &mut Tally) -> Result<()> {
    tidy::run()?;
    *tally += Tally::PASS;
    Ok(())
}

fn powercut_suite(_: &Session, tally: &mut Tally) -> Result<()> {
    powercut::suite(tally)
}

fn guest_suite(session: &Session, tally: &mut Tally) -> Result<()> {
    guest::suite(tally, &session.logs().join("guest"))
}

/// Builds the command `plyfs`, with the features that the tests are built with.
pub(crate) fn build_command() -> Result<()> {
    run::check(run::cargo().args([&["build", "--quiet"], &WORKSPACE[..], &["--bin", "plyfs"]].concat()))
}

/// Builds an example of the workspace's, with the features that the tests are built with.
pub(crate) fn build_example(name: &str) -> Result<()> {
    run::check(run::cargo().args([&["build", "--quiet"], &WORKSPACE[..], &["--example", name]].concat()))
}

/// What all suites of one run share.
#[derive(Debug)]
pub(crate) struct Session {
    /// A skip is a failure.
    pub(crate) in_ci: bool,
}

impl Session {
    pub(crate) fn new(in_ci: bool) -> Self {
        Self { in_ci }
    }

    /// Where the output of each suite is kept.
    pub(crate) fn logs(&self) -> PathBuf {
        tree::target().join("xtask/logs")
    }

    /// A scratch directory of this name, empty.
    fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = tree::target().join("xtask").join(name);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => bail!("empty {}: {error}", dir.display()),
            _ => std::fs::create_dir_all(&dir)?,
        }
        Ok(dir)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = run::cargo();
        cargo.args(arguments);
        self.settle(&mut cargo);
        cargo
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = run::command(program);
        command.current_dir(tree::root());
        self.settle(&mut command);
        command
    }

    /// States what tests would else take from the person's environment.
    fn settle(&self, command: &mut Command) {
        command.env("INSTA_UPDATE", "no").env("RUST_BACKTRACE", "1").env("PROPTEST_CASES", PROPERTY_CASES);
        command.env_remove("INSTA_FORCE_PASS").env_remove("PLYFS_ROOT");
        if let Some(path) = with_go() {
            command.env("PATH", path);
        }
        // One interpreter for all builds of the extension module: a change of it compiles pyo3 anew.
        command.env("PYO3_PYTHON", tree::venv().join("bin/python"));
    }

    /// Builds the command and the library, with the same features everywhere so that nothing is compiled twice.
    fn build(&self, log: &str) -> Result<()> {
        self.need(log, &mut self.cargo(&[&["build"], &WORKSPACE[..]].concat()))
    }

    /// One command that passes or fails as a whole.
    fn check(&self, log: &str, tally: &mut Tally, command: &mut Command) -> Result<()> {
        let status = stream(command, &self.logs().join(log), LIMIT, |_| ())?;
        if status.success() {
            *tally += Tally::PASS;
        } else {
            println!("failed: {status}");
            *tally += Tally::FAIL;
        }
        Ok(())
    }

    /// One command that the next steps of its suite need and that counts for nothing by itself.
    fn need(&self, log: &str, command: &mut Command) -> Result<()> {
        let status = stream(command, &self.logs().join(log), LIMIT, |_| ())?;
        if !status.success() {
            bail!("{status}");
        }
        Ok(())
    }

    /// One command that counts its tests itself, on lines that `closing` reads.
    fn count(
        &self,
        log: &str,
        tally: &mut Tally,
        command: &mut Command,
        closing: fn(&str) -> Option<Tally>,
    ) -> Result<()> {
        let counted = Arc::new(Mutex::new(Tally::default()));
        let sum = Arc::clone(&counted);
        let each = move |line: &str| {
            if let Some(more) = closing(line) {
                *sum.lock().unwrap_or_else(PoisonError::into_inner) += more;
            }
        };
        let status = stream(command, &self.logs().join(log), LIMIT, each);
        let counted = *counted.lock().unwrap_or_else(PoisonError::into_inner);
        *tally += counted;
        let status = status?;
        // What failed before it could be counted: a crate that does not compile, a test binary that was killed.
        if !status.success() && counted.failed == 0 {
            bail!("{status}");
        }
        Ok(())
    }
}

/// Where programs are looked for when Go was put beside the build.
fn with_go() -> Option<OsString> {
    let bin = tree::go().join("bin");
    let path = std::env::var_os("PATH")?;
    let all = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
    bin.is_dir().then(|| std::env::join_paths(all).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::libtest;

    fn counted(script: &str) -> (Tally, bool) {
        let session = Session::new(false);
        let mut tally = Tally::default();
        let ok = session.count("self-test", &mut tally, session.command("sh").args(["-c", script]), libtest).is_ok();
        (tally, ok)
    }

    #[test]
    fn counts_are_summed_over_all_closing_lines() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'
                      echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored'; exit 101";
        assert_eq!(counted(script), (Tally { passed: 5, failed: 1, skipped: 0 }, true));
    }

    #[test]
    fn an_end_that_no_counted_failure_explains_is_a_failure() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101";
        assert_eq!(counted(script), (Tally { passed: 2, failed: 0, skipped: 0 }, false));
    }

    #[test]
    fn no_two_suites_share_a_name() {
        for (i, suite) in SUITES.iter().enumerate() {
            assert!(SUITES[..i].iter().all(|other| other.name != suite.name), "{}", suite.name);
        }
    }
}
