//! `fsck`, with the exit codes of fsck(8).

use plyfs::prelude::Rebuild;
use plyfs::{Act, CheckOptions, ErrorKind, Finding, FindingKind, Progress, Rebuilt, Repaired, Severity, Store};
use serde::Serialize;

use crate::cli::Fsck;
use crate::exit::{Failure, Hinted, Result};
use crate::human::one_line;
use crate::progress::with_bar;
use crate::session::Session;
use crate::words;

/// Errors were found, and none is left.
const ERRORS_REPAIRED: u8 = 1;
/// Errors were found and left as they are.
const ERRORS_LEFT: u8 = 4;
/// The check itself failed.
const OPERATIONAL_ERROR: u8 = 8;
/// A wrong command line.
pub(crate) const USAGE: u8 = 16;
/// It was interrupted.
const CANCELLED: u8 = 32;

/// Where the store may be if it is not here.
const ELSEWHERE: &str = "--root and PLYFS_ROOT name another store";

/// What helps without a loss where the journal is sound.
const LOSSLESS: &str = "`plyfs fsck --repair` puts right what is wrong elsewhere, and no name is lost";

/// The exit code of a failure of the check itself.
pub(crate) fn code_of(failure: &Failure) -> u8 {
    match failure.kind() {
        Some(ErrorKind::Cancelled) => CANCELLED,
        _ => OPERATIONAL_ERROR,
    }
}

#[derive(Debug, Serialize)]
struct FindingShape {
    severity: String,
    kind: &'static str,
    subject: String,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<String>,
}

impl From<&Finding> for FindingShape {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.to_string(),
            kind: finding.kind.name(),
            subject: finding.subject.clone(),
            problem: finding.problem.clone(),
            done: None,
        }
    }
}

impl From<&Act> for FindingShape {
    fn from(act: &Act) -> Self {
        Self { done: Some(act.done.clone()), ..Self::from(&act.finding) }
    }
}

/// Prints what is not as the records say, and what was done about it.
pub(crate) fn fsck(session: &mut Session, args: &Fsck) -> Result<u8> {
    let repaired = with_bar(session.out.is_quiet(), |progress| look(session, args, progress))?;
    print(session, &repaired)?;
    let is_error = |finding: &Finding| finding.severity >= Severity::Error;
    if repaired.left.iter().any(is_error) {
        return Ok(ERRORS_LEFT);
    }
    let was_broken = args.rebuild || repaired.acts.iter().any(|act| is_error(&act.finding));
    Ok(if was_broken { ERRORS_REPAIRED } else { 0 })
}

fn look(session: &Session, args: &Fsck, progress: Progress<'_>) -> Result<Repaired> {
    let options = if args.data { CheckOptions::data() } else { CheckOptions::quick() };
    let mut repaired = Repaired::default();
    if args.rebuild {
        let rebuilt = Store::options().rebuild(session.root()?, progress);
        let rebuilt = rebuilt.hint_on(ErrorKind::InvalidInput, LOSSLESS)?;
        tell(&rebuilt);
        repaired = rebuilt.repaired;
    }
    if args.repair {
        let made = Store::options().restore_parts(session.root()?);
        repaired.acts.extend(made.hint_on(ErrorKind::NotFound, ELSEWHERE)?);
    }
    if args.repair && opens(session)? {
        let more = session.open()?.repair(&options, progress)?;
        repaired.acts.extend(more.acts);
        repaired.left = more.left;
    } else {
        let findings = Store::options().check(session.root()?, options, progress);
        repaired.left = findings.hint_on(ErrorKind::NotFound, ELSEWHERE)?;
    }
    let is_left = |kind| repaired.left.iter().any(|finding| finding.kind == kind);
    if is_left(FindingKind::JournalDamaged) {
        words::warning(
            "the journal is not repaired: `plyfs fsck --rebuild` makes it anew from the directories and keeps the old one aside",
        );
    }
    if is_left(FindingKind::PartMissing) {
        words::warning(match args.repair {
            true => "the store does not open without what is missing: put it back, or mount the disk it is on",
            false => {
                "the store does not open: `plyfs fsck --repair` makes anew plyfs.toml, staging, trash and overlay2/l alone"
            }
        });
    }
    Ok(repaired)
}

/// Says whether the store can be opened whole, as a repair needs it; what is wrong with its journal is found otherwise.
fn opens(session: &Session) -> Result<bool> {
    match Store::options().read_only(true).open(session.root()?) {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(false),
        opened => Ok(opened.map(|_| true)?),
    }
}

fn print(session: &mut Session, repaired: &Repaired) -> Result<()> {
    if session.out.is_json() {
        let shapes = repaired.acts.iter().map(FindingShape::from).chain(repaired.left.iter().map(FindingShape::from));
        return session.out.json(&shapes.collect::<Vec<_>>());
    }
    for act in &repaired.acts {
        session.out.line(one_line(&act.to_string()))?;
    }
    repaired.left.iter().try_for_each(|finding| session.out.line(one_line(&finding.to_string())))
}

/// Says what a rebuild found and lost, on standard error: it is no listing of findings.
fn tell(rebuilt: &Rebuilt) {
    let (layers, images, containers) = (rebuilt.layers.len(), rebuilt.images.len(), rebuilt.containers.len());
    words::note(&format!("rebuilt {layers} layers, {images} images and {containers} containers"));
    if let Some(kept) = &rebuilt.kept {
        words::note(&format!("the old journal is kept in {kept}"));
    }
    for lost in &rebuilt.lost {
        words::note(&format!("lost: {lost}"));
    }
}
