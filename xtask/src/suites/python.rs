//! The Python door: built by maturin into the virtual environment, tested by pytest, its stubs compared by stubtest.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Session;
use crate::tally::{Tally, pytest};
use crate::tree;

fn package() -> PathBuf {
    tree::root().join("bindings/python")
}

pub(super) fn tests(session: &Session, tally: &mut Tally) -> Result<()> {
    build(session, "python")?;
    // Doors are compared with each other, so the command must be as new as the module.
    session.build("python")?;
    let mut run = session.command(tree::venv().join("bin/python"));
    run.args(["-m", "pytest", "-p", "no:cacheprovider", "-ra"]).arg(package().join("tests"));
    run.env("PLYFS_COMMAND", tree::target().join("debug/plyfs"));
    session.count("python", tally, &mut run, pytest)
}

pub(super) fn stubs(session: &Session, tally: &mut Tally) -> Result<()> {
    build(session, "stubs")?;
    let mut run = session.command(tree::venv().join("bin/python"));
    run.args(["-m", "mypy.stubtest", "plyfs"]);
    session.check("stubs", tally, &mut run)
}

/// Builds the extension module in the development profile and links the package into the environment.
fn build(session: &Session, log: &str) -> Result<()> {
    if !package().join("pyproject.toml").is_file() {
        bail!("{}: no pyproject.toml", package().display());
    }
    let mut maturin = session.command(tree::venv().join("bin/maturin"));
    maturin.args(["develop", "--locked"]).current_dir(package()).env("VIRTUAL_ENV", tree::venv());
    session.need(log, &mut maturin)
}
