//! Every fuzz target, briefly: enough to notice a reader that breaks on what lies near its seeds.

use anyhow::{Result, bail};

use super::Session;
use crate::fuzz::{self, Outcome};
use crate::tally::Tally;

/// How long each target runs.
const SECONDS: u64 = 10;

/// Fewer than this and the target does not run at all, it only starts.
const EXECUTIONS_LEAST: u64 = 100;

pub(super) fn targets(session: &Session, tally: &mut Tally) -> Result<()> {
    session.need("fuzz", &mut fuzz::build_command()?)?;
    let targets = fuzz::targets()?;
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    for Outcome { target, executions, is_broken } in fuzz::fuzz(&fuzz::binary()?, &names, SECONDS)? {
        if executions < EXECUTIONS_LEAST && !is_broken {
            bail!("{target} ran {executions} times only");
        }
        *tally += if is_broken { Tally::FAIL } else { Tally::PASS };
    }
    Ok(())
}
