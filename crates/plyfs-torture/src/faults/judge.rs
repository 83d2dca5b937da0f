//! What must be true after a call failed: the store is as before or the operation is done, and nothing is left.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use plyfs::{CheckOptions, ContainerOptions, Durability, MountOptions, Removal, Store, Unmount};

use super::calls::is_sync;
use super::subject::{Failed, Said};
use super::tracer::{End, Fault, Traced};
use crate::{inventory, state, turn};

/// The store before the operation and after it, and the operation's answer.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Lines of [`state::lines`].
    pub(super) before: Vec<String>,
    /// The same after the operation.
    pub(super) after: Vec<String>,
    /// What the operation answers.
    pub(super) answer: String,
}

/// How a fault that did no harm showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The call was not reached.
    Missed,
    /// The operation was done all the same.
    Survived,
    /// An error, and the store as before.
    Refused,
    /// An error, and the operation done: what failed came after the moment it exists.
    Done,
}

/// Judges one run; an error says what is wrong.
pub(super) fn judge(dir: &Path, traced: &Traced, fault: &Fault, expected: &Expected) -> Result<Verdict> {
    ensure!(traced.end == End::Code(0), "it ended by {:?}: {}", traced.end, traced.stderr.trim());
    let said = said(traced)?;
    let _working = turn::work();
    ensure!(said.left_open.is_empty(), "descriptors are left open: {:?}", said.left_open);
    let found = found(dir)?;
    at_rest(dir)?;
    if !traced.injected {
        return Ok(Verdict::Missed);
    }
    let is_done = found == expected.after;
    // A prune that cannot have a layer keeps it, names it, and does the rest.
    if said.outcome.as_ref().is_ok_and(|answer| answer.starts_with("kept: ") && *answer != expected.answer) {
        return Ok(Verdict::Survived);
    }
    if !is_done && found != expected.before && (said.outcome.is_ok() || found != unmounted(&expected.before)) {
        bail!("{}; half done: {:#?}", told(&said), state::difference(&expected.before, &found));
    }
    match &said.outcome {
        Ok(answer) => {
            ensure!(is_done, "it says it is done, and the store is as before");
            // A check that cannot read a thing finds it.
            let is_right = *answer == expected.answer || answer.starts_with("finding: ");
            ensure!(is_right, "it answers {answer:?}, not {:?}", expected.answer);
            Ok(Verdict::Survived)
        }
        Err(failed) => {
            named(failed, fault)?;
            let is_same = expected.before == expected.after;
            Ok(if is_done && !is_same { Verdict::Done } else { Verdict::Refused })
        }
    }
}

/// The state once containers are unmounted: what is removed by force loses its mount first, and no failure later
/// brings that back.
fn unmounted(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.replace("mounted true", "mounted false")).collect()
}

/// What the subject said last.
pub(super) fn said(traced: &Traced) -> Result<Said> {
    let line = traced.stdout.lines().last().context("it said nothing")?;
    serde_json::from_str(line).with_context(|| format!("it said {line:?}"))
}

fn told(said: &Said) -> String {
    match &said.outcome {
        Ok(_) => "it says it is done".to_owned(),
        Err(failed) => format!("it says {}: {}", failed.kind, failed.report),
    }
}

/// Opens the store anew, which reclaims what was left, and describes it.
pub(super) fn found(dir: &Path) -> Result<Vec<String>> {
    let store = reopened(dir)?;
    store.reap().context("reap after the fault")?;
    for container in store.containers()? {
        // A crash may take a container's directories: the next use makes them anew.
        if container.mounted_at()?.is_none() {
            container.mount(&MountOptions::new()).and_then(plyfs::Mount::unmount).context("use after the fault")?;
        }
    }
    let lines = state::lines(&store).context("describe the store after the fault")?;
    let mut lines: Vec<_> = lines.into_iter().map(without_time).collect();
    lines.sort();
    Ok(lines)
}

/// An imported image says when: two runs make two ids.
fn without_time(line: String) -> String {
    match line.split_once(" [Reference(fault/imported") {
        Some((_, rest)) => format!("image: [Reference(fault/imported{rest}"),
        None => line,
    }
}

fn reopened(dir: &Path) -> Result<Store> {
    Ok(Store::options().durability(Durability::None).open(dir.join("store"))?)
}

/// Claims that nothing is left of the operation and that the store can be used.
fn at_rest(dir: &Path) -> Result<()> {
    let store = reopened(dir)?;
    for container in store.containers()? {
        container.unmount(Unmount::Plain).context("unmount after the fault")?;
    }
    store.reap()?;
    let findings = store.check(CheckOptions::data())?;
    ensure!(findings.is_empty(), "check finds {findings:?}");
    let strays = inventory::strays(&store)?;
    ensure!(strays.is_empty(), "not accounted for: {strays:?}");
    let name = "probe".parse()?;
    let probe = store.create(plyfs::Parent::Empty, ContainerOptions::new().name(name)).context("create afterwards")?;
    probe.remove(Removal::Unmounted).context("remove afterwards")?;
    store.reap()?;
    Ok(())
}

/// Claims that an error says what failed, and is of the kind that its errno means.
fn named(failed: &Failed, fault: &Fault) -> Result<()> {
    let Failed { kind, report } = failed;
    // A path, something quoted, an id, or else the call.
    let is_id = |word: &str| word.len() >= 26 && word.chars().all(|c| c.is_ascii_alphanumeric());
    let is_named = report.contains(['/', '"'])
        || report.split(|c: char| !c.is_ascii_alphanumeric()).any(is_id)
        || report.contains(&fault.call)
        || report.contains("start a thread");
    ensure!(is_named, "its error names nothing: {report}");
    let words = match fault.call.as_str() {
        // pthread_create(3) has one word for all that is short.
        "clone" | "clone3" if fault.errno == Errno::ENOMEM => "resource temporarily unavailable",
        _ => words(fault.errno),
    };
    ensure!(report.to_lowercase().contains(words), "its error does not say {words:?}: {report}");
    let is_fitting = match fault.errno {
        Errno::ENOSPC if fault.call.contains("read") => matches!(kind.as_str(), "NoSpace" | "NoInodes" | "Io"),
        Errno::ENOSPC => matches!(kind.as_str(), "NoSpace" | "NoInodes"),
        // What is short when a thread is started may not be a moment later.
        Errno::ENOMEM if fault.call.starts_with("clone") => matches!(kind.as_str(), "Io" | "Busy"),
        _ => kind == "Io",
    };
    ensure!(is_fitting || (is_sync(&fault.call) && kind == "Poisoned"), "its error is of kind {kind}: {report}");
    Ok(())
}

/// How the errors of the store say an errno.
fn words(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC => "no space left on device",
        Errno::EIO => "input/output error",
        Errno::EINTR => "interrupted",
        Errno::EMFILE => "too many open files",
        _ => "cannot allocate memory",
    }
}
