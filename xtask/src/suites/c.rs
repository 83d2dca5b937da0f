//! The C door: the header is current and stands alone, the examples compile without a warning and run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Session;
use super::stage::Stage;
use crate::tally::Tally;
use crate::{header, tree};

/// A compiler, the ending of its sources, and its language as strict as it goes.
const LANGUAGES: [(&str, &str, &str); 2] = [("cc", "c", "-std=c11"), ("c++", "cc", "-std=c++17")];

/// Warnings no user of the header should have to turn off.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The header twice: the second time must be empty, and the first must need nothing before it.
const TWICE: &str = "#include <plyfs.h>\n#include <plyfs.h>\nint main(void) { return 0; }\n";

pub(super) fn header(session: &Session, tally: &mut Tally) -> Result<()> {
    header::run(&header::Args { check: true })?;
    *tally += Tally::PASS;
    let dir = session.scratch("header")?;
    let include = tree::header().parent().expect("the header lies in a directory").to_path_buf();
    for (compiler, ending, language) in LANGUAGES {
        let source = dir.join(format!("twice.{ending}"));
        let program = source.with_extension(format!("{ending}.out"));
        fs::write(&source, TWICE).with_context(|| format!("write {}", source.display()))?;
        let mut compile = session.command(compiler);
        compile.arg(language).args(WARNINGS).arg("-I").arg(&include).arg(&source).arg("-o").arg(&program);
        session.need("header", &mut compile)?;
        session.check("header", tally, &mut session.command(&program))?;
    }
    Ok(())
}

pub(super) fn examples(session: &Session, tally: &mut Tally) -> Result<()> {
    let sources = sources(&tree::root().join("examples/c"))?;
    let stage = Stage::build(session, "c")?;
    stage.is_stripped()?;
    *tally += Tally::PASS;
    let flags = stage.flags()?;
    let dir = session.scratch("c")?;
    for source in sources {
        let name = source.file_stem().expect("a source has a name").to_string_lossy().into_owned();
        let program = dir.join(&name);
        let mut compile = session.command("cc");
        compile.args(["-std=c11", "-g"]).args(WARNINGS).arg(&source).arg("-o").arg(&program).args(&flags);
        session.need("c", &mut compile)?;
        let mut run = session.command(&program);
        stage.show(&mut run);
        session.check("c", tally, run.args(stage.arguments(&name)?))?;
    }
    Ok(())
}

/// The C files in a directory; none is an error.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.retain(|path| path.extension() == Some(OsStr::new("c")));
    found.sort();
    if found.is_empty() {
        bail!("{}: no example", dir.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_an_example_is_an_error() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        fs::write(dir.path().join("README.md"), "").expect("write");
        assert!(sources(dir.path()).expect_err("there is none").to_string().ends_with("no example"));
        fs::write(dir.path().join("task.c"), "").expect("write");
        assert_eq!(sources(dir.path()).expect("there is one"), [dir.path().join("task.c")]);
    }
}
