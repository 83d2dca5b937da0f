//! `cargo xtask tidy`: what no compiler checks about the tree.
//!
//! Every rule says file, line and what is wrong; all are looked at before the command fails.

mod code;
mod crates;
mod locked;
mod papers;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::tree;

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    /// Counted from one; zero means the whole file.
    line: usize,
    problem: String,
}

impl Finding {
    fn new(file: impl AsRef<Path>, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.as_ref().to_path_buf(), line, problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.problem),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.problem),
        }
    }
}

/// Looks at every rule and fails when one is broken.
pub(crate) fn run() -> Result<()> {
    let root = tree::root();
    let mut findings = sources::check(&root, &tree::files()?)?;
    findings.extend(crates::check(&root)?);
    findings.extend(locked::check(&root)?);
    findings.extend(papers::check(&root));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 rule of the tree is broken"),
        n => bail!("rules of the tree are broken in {n} places"),
    }
}
