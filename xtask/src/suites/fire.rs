//! The suites that put a store under fire, by the program of `plyfs-torture`.

use anyhow::Result;

use super::Session;
use crate::tally::Tally;
use crate::torture;

pub(super) fn torture(session: &Session, tally: &mut Tally) -> Result<()> {
    session.build("torture")?;
    session.check("torture", tally, torture::program().args(["kill", "--seconds", "60"]))
}

pub(super) fn faults(session: &Session, tally: &mut Tally) -> Result<()> {
    session.build("faults")?;
    session.check("faults", tally, torture::program().arg("fault"))
}
