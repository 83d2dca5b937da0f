//! The process whose call fails: prepares an operation, waits for a byte, does it, and says how it went.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::operations::{OPERATIONS, Operation};

/// What a subject says at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Said {
    /// The operation's answer, or how it failed.
    pub(super) outcome: std::result::Result<String, Failed>,
    /// Descriptors that were open at the end and not at the beginning.
    pub(super) left_open: Vec<String>,
}

/// How an operation failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failed {
    /// The error's kind by name.
    pub(super) kind: String,
    /// The error with its causes.
    pub(super) report: String,
}

/// Does the operation `name` in the store below `dir`.
pub fn run(dir: &Path, name: &str) -> Result<()> {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).context("no such operation")?;
    // The first use of standard input and output is not the operation's.
    let before = descriptors()?;
    let ready = (operation.prepare)(dir)?;
    say("ready");
    std::io::stdin().lock().read_exact(&mut [0])?;
    let outcome = ready();
    say("over");
    let left_open = descriptors()?.difference(&before).cloned().collect();
    let outcome =
        outcome.map_err(|error| Failed { kind: error.kind().name().to_owned(), report: plyfs::report(&error) });
    say(&serde_json::to_string(&Said { outcome, left_open })?);
    Ok(())
}

/// Prepares an operation and leaves it at that: the store as the operation finds it.
pub(super) fn prepare_only(dir: &Path, operation: &Operation) -> Result<()> {
    drop((operation.prepare)(dir)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the tracer listens")]
fn say(line: &str) {
    println!("{line}");
}

fn descriptors() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fd").context("list descriptors")? {
        let path = entry?.path();
        // The descriptor of the listing itself is gone when it is asked for.
        if let Ok(target) = std::fs::read_link(&path)
            && !target.starts_with("/proc")
        {
            found.insert(format!("{} {}", path.display(), target.display()));
        }
    }
    Ok(found)
}
