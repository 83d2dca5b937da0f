//! The Go door: the package is vetted and tested over the committed header, and the example that uses it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::Session;
use super::stage::Stage;
use crate::tally::{Tally, gotest};
use crate::tree;

pub(super) fn package(session: &Session, tally: &mut Tally) -> Result<()> {
    let stage = Stage::build(session, "go")?;
    let package = module("bindings/go")?;
    session.need("go", &mut go(session, &stage, &package, &["vet", "."]))?;
    // The checks of cgo on pointers that cross are part of what the tests show.
    let mut test = go(session, &stage, &package, &["test", "-count=1", "-timeout=2m", "-v", "."]);
    session.count("go", tally, test.env("GODEBUG", "cgocheck=1"), gotest)?;
    example(session, &stage, tally)
}

fn example(session: &Session, stage: &Stage, tally: &mut Tally) -> Result<()> {
    let example = module("examples/go")?;
    let program = session.scratch("go")?.join("example");
    session.need("go", &mut go(session, stage, &example, &["vet", "."]))?;
    session.need("go", &mut go(session, stage, &example, &["build", "-o", &program.to_string_lossy(), "."]))?;
    let mut run = session.command(&program);
    stage.show(&mut run);
    session.check("go", tally, run.env("GODEBUG", "cgocheck=1").args(stage.arguments("go")?))
}

fn module(path: &str) -> Result<PathBuf> {
    let dir = tree::root().join(path);
    if !dir.join("go.mod").is_file() {
        bail!("{}: no go.mod", dir.display());
    }
    Ok(dir)
}

fn go(session: &Session, stage: &Stage, dir: &Path, arguments: &[&str]) -> Command {
    let mut go = session.command("go");
    go.current_dir(dir).args(arguments).env("CGO_ENABLED", "1").env("GOCACHE", tree::target().join("xtask/go-cache"));
    // Only the toolchain and the modules that are here: neither depends on anything else.
    go.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod -buildvcs=false");
    stage.show(&mut go);
    go
}
