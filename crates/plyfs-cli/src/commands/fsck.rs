//! `fsck`, with the exit codes of fsck(8).

use plyfs::{CheckOptions, Finding, Severity};
use serde::Serialize;

use crate::exit::Result;
use crate::session::Session;

/// Errors were found and left as they are.
const ERRORS_LEFT: u8 = 4;

/// The check itself failed.
pub(crate) const OPERATIONAL_ERROR: u8 = 8;

#[derive(Debug, Serialize)]
struct FindingShape {
    severity: String,
    subject: String,
    problem: String,
}

impl From<&Finding> for FindingShape {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.to_string(),
            subject: finding.subject.clone(),
            problem: finding.problem.clone(),
        }
    }
}

/// Prints what is not as the records say.
pub(crate) fn fsck(session: &mut Session) -> Result<u8> {
    let findings = session.open()?.check(CheckOptions::quick())?;
    if session.out.is_json() {
        let shapes: Vec<_> = findings.iter().map(FindingShape::from).collect();
        session.out.json(&shapes)?;
    } else {
        let line = |finding: &Finding| session.out.line(crate::human::one_line(&finding.to_string()));
        findings.iter().try_for_each(line)?;
    }
    let has_errors = findings.iter().any(|finding| finding.severity >= Severity::Error);
    Ok(if has_errors { ERRORS_LEFT } else { 0 })
}
