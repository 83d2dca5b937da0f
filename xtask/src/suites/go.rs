//! The C door from Go: the example is built by cgo over the committed header and run.

use std::path::Path;

use anyhow::{Result, bail};

use super::Session;
use super::stage::Stage;
use crate::tally::Tally;
use crate::tree;

pub(super) fn examples(session: &Session, tally: &mut Tally) -> Result<()> {
    let dir = tree::root().join("examples/go");
    if !dir.join("go.mod").is_file() {
        bail!("{}: no go.mod", dir.display());
    }
    let stage = Stage::build(session, "go")?;
    let program = session.scratch("go")?.join("example");
    go(session, &stage, &dir, &["vet", "."])?;
    go(session, &stage, &dir, &["build", "-o", &program.to_string_lossy(), "."])?;
    let mut run = session.command(&program);
    stage.show(&mut run);
    // The checks of cgo on pointers that cross are part of what the example shows.
    session.check("go", tally, run.env("GODEBUG", "cgocheck=1").args(stage.arguments("go")?))
}

fn go(session: &Session, stage: &Stage, dir: &Path, arguments: &[&str]) -> Result<()> {
    let mut go = session.command("go");
    go.current_dir(dir).args(arguments).env("CGO_ENABLED", "1").env("GOCACHE", tree::target().join("xtask/go-cache"));
    // Only the toolchain and the modules that are here: the example depends on nothing else.
    go.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod -buildvcs=false");
    stage.show(&mut go);
    session.need("go", &mut go)
}
