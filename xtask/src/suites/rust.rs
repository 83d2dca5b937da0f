//! The suites that cargo runs: format, clippy, tests, documentation.
//!
//! `plyfs-python` is linted and documented with the rest but tested from Python, where its interpreter is.

use std::num::NonZero;
use std::thread;

use anyhow::Result;

use super::Session;
use crate::tally::{Tally, libtest};

/// All crates but the extension module, whose interpreter only maturin brings.
pub(crate) const WORKSPACE: [&str; 4] = ["--workspace", "--exclude", "plyfs-python", "--locked"];

pub(super) fn format(session: &Session, tally: &mut Tally) -> Result<()> {
    session.check("format", tally, &mut session.cargo(&["fmt", "--all", "--check"]))
}

pub(super) fn clippy(session: &Session, tally: &mut Tally) -> Result<()> {
    let mut clippy = session.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    session.check("clippy", tally, &mut clippy)
}

pub(super) fn tests(session: &Session, tally: &mut Tally) -> Result<()> {
    // The tests of the doors run the binary and link the library, and `cargo test` alone builds neither for others.
    session.build("rust")?;
    let threads = format!("--test-threads={}", threads());
    let mut test = session.cargo(&[&["test"], &WORKSPACE[..], &["--no-fail-fast", "--", &threads]].concat());
    session.count("rust", tally, &mut test, libtest)
}

/// As many tests at once as there are cores, few enough that timing holds and the mount table stays small.
fn threads() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 8)
}

pub(super) fn docs(session: &Session, tally: &mut Tally) -> Result<()> {
    let mut doc = session.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    session.check("docs", tally, &mut doc)
}
