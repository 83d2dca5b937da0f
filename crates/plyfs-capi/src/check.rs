//! Comparing a store's records with its directories, and putting right what differs.

use std::ffi::{CString, c_char, c_void};
use std::ptr::null;

use plyfs::{Act, CheckOptions, Finding, Severity};

use crate::error::plyfs_error;
use crate::guard::{Outcome, guard, shield};
use crate::handle::{Handle, borrow, free, look, output};
use crate::input::{c_text, only};
use crate::progress::{plyfs_progress, reporting};
use crate::store::plyfs_store;

/// Compare every layer with the archive it came from, too.
pub const PLYFS_CHECK_DATA: u64 = 1;

/// What a power cut may leave by design: nothing is lost, and the next use makes it whole.
pub const PLYFS_SEVERITY_NOTE: i32 = 1;
/// Space that no record speaks of, or something that repeats a record and differs from it.
pub const PLYFS_SEVERITY_WARNING: i32 = 2;
/// Something recorded is missing or has other content.
pub const PLYFS_SEVERITY_ERROR: i32 = 3;

/// Things that are not as a store's records say.
#[derive(Debug)]
pub struct plyfs_findings(Vec<Found>);

impl Handle for plyfs_findings {
    const NAME: &'static str = "list of findings";
}

#[derive(Debug)]
struct Found {
    severity: i32,
    kind: CString,
    subject: CString,
    problem: CString,
    done: Option<CString>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        let severity = match finding.severity {
            Severity::Note => PLYFS_SEVERITY_NOTE,
            Severity::Warning => PLYFS_SEVERITY_WARNING,
            // What a later version calls worse is no less.
            _ => PLYFS_SEVERITY_ERROR,
        };
        let (kind, subject) = (c_text(finding.kind.name()), c_text(finding.subject));
        Self { severity, kind, subject, problem: c_text(finding.problem), done: None }
    }
}

impl From<Act> for Found {
    fn from(act: Act) -> Self {
        Self { done: Some(c_text(act.done)), ..act.finding.into() }
    }
}

impl<T: Into<Found>> FromIterator<T> for plyfs_findings {
    fn from_iter<I: IntoIterator<Item = T>>(findings: I) -> Self {
        Self(findings.into_iter().map(T::into).collect())
    }
}

pub(crate) fn options(flags: u64) -> Outcome<CheckOptions> {
    only(flags, PLYFS_CHECK_DATA, "checking")?;
    Ok(if flags & PLYFS_CHECK_DATA == 0 { CheckOptions::quick() } else { CheckOptions::data() })
}

/// Compares a store's records with its directories, as the flags PLYFS_CHECK_* say, and lists what differs, worst first.
/// Nothing is changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_check(
    store: *const plyfs_store,
    flags: u64,
    progress: plyfs_progress,
    user: *mut c_void,
    findings: *mut *mut plyfs_findings,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        let options = options(flags)?;
        // SAFETY: the header demands a live store and a writable place.
        let (store, place) = unsafe { (borrow(store)?, output(findings)?) };
        reporting(progress, user, |progress| {
            place.give(store.store.check_with(options, progress)?.into_iter().collect())
        })
    })
}

/// Checks, puts right what can be without loss, and checks again: `acts` lists what was done, `left` what is wrong still.
/// Nothing is deleted: what no record speaks of is moved into the store's `aside/`. Durable on return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_store_repair(
    store: *const plyfs_store,
    flags: u64,
    progress: plyfs_progress,
    user: *mut c_void,
    acts: *mut *mut plyfs_findings,
    left: *mut *mut plyfs_findings,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        let options = options(flags)?;
        // SAFETY: the header demands a live store and writable places.
        let (store, acts, left) = unsafe { (borrow(store)?, output(acts)?, output(left)?) };
        reporting(progress, user, |progress| {
            let repaired = store.store.repair(&options, progress)?;
            acts.give(repaired.acts.into_iter().collect())?;
            left.give(repaired.left.into_iter().collect())
        })
    })
}

/// How many findings a list has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_count(findings: *const plyfs_findings) -> usize {
    // SAFETY: the header demands NULL or a live list.
    shield(0, || unsafe { look(findings) }.map_or(0, |findings| findings.0.len()))
}

/// How bad the finding at `index` is, PLYFS_SEVERITY_*; 0 where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_severity(findings: *const plyfs_findings, index: usize) -> i32 {
    // SAFETY: the header demands NULL or a live list.
    let found = || unsafe { look(findings) }.and_then(|findings| findings.0.get(index));
    shield(0, || found().map_or(0, |found| found.severity))
}

/// A text of the finding at `index`, or NULL.
///
/// # Safety
///
/// As for [`look`].
unsafe fn text(
    findings: *const plyfs_findings,
    index: usize,
    of: impl FnOnce(&Found) -> Option<&CString>,
) -> *const c_char {
    // SAFETY: the caller's promise is the one asked for.
    let found = || unsafe { look(findings) }.and_then(|findings| findings.0.get(index));
    shield(null(), || found().and_then(of).map_or(null(), |text| text.as_ptr()))
}

/// What kind of thing the finding at `index` is, such as "directory-missing"; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_kind(findings: *const plyfs_findings, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(findings, index, |found| Some(&found.kind)) }
}

/// What the finding at `index` is about: "layer …", "container …"; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_subject(findings: *const plyfs_findings, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(findings, index, |found| Some(&found.subject)) }
}

/// What is wrong with it, in words; NULL after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_problem(findings: *const plyfs_findings, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(findings, index, |found| Some(&found.problem)) }
}

/// What a repair did about it, in words; NULL in the other lists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_done(findings: *const plyfs_findings, index: usize) -> *const c_char {
    // SAFETY: the header demands NULL or a live list.
    unsafe { text(findings, index, |found| found.done.as_ref()) }
}

/// Frees a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_findings_free(findings: *mut plyfs_findings) {
    // SAFETY: the header demands NULL or a list that the caller owns.
    unsafe { free(findings) }
}
