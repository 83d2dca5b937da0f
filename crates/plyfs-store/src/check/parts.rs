//! What a store is made of, its directories and some files, where one is missing, something else stands in its place, or others
//! may change it.
//!
//! A store without one of them does not open. Three directories hold nothing that is not elsewhere: what was staged or deleted,
//! and the short links, which follow from the records. They are made anew, empty. What was in the others is lost with them, or
//! lies on a disk that is not mounted: those are named and left to the person. What the format file says follows from the
//! records, since this version writes no features; one of another version is not taken for damaged. What stands in the place of
//! a file of the journal that holds nothing of its own is moved aside; the next writer makes the file. Who owns a part and who may
//! enter it is left to the person.

use std::os::fd::OwnedFd;
use std::path::Path;

use plyfs_journal::PLAIN_FILES;
use plyfs_link::{LINK_DIR, LinkDir};
use plyfs_sys::fs::{self, FileType};
use rustix::fs::{Access, AtFlags, Mode};

use super::repair::move_aside;
use super::{Act, Finding, FindingKind, Severity};
use crate::format::{Format, VERSION};
use crate::records::Records;
use crate::store::open_root;
use crate::{Error, ErrorKind, Result, StoreOptions, ground, key, layout};

const MISSING: &str = "it is missing";

/// The file of the journal that is its content.
const HEAD: &str = "head";

/// A part that does not open.
pub(crate) struct Wrong {
    /// Its path in the store.
    part: String,
    is_missing: bool,
    problem: String,
    kind: FindingKind,
}

impl Wrong {
    pub(crate) fn finding(&self) -> Finding {
        let (subject, problem) = (self.part.clone(), self.problem.clone());
        Finding { severity: Severity::Error, kind: self.kind, subject, problem }
    }

    /// Whether it is missing, and what was in it is elsewhere too or needed no more.
    fn can_be_made(&self) -> bool {
        if self.is_format() || self.is_in_the_way() {
            return true;
        }
        let holds_nothing = [layout::STAGING, layout::TRASH].contains(&&*self.part) || self.is_short_links();
        self.is_missing && holds_nothing
    }

    fn is_short_links(&self) -> bool {
        self.part.split_once('/') == Some((layout::HOME, LINK_DIR))
    }

    fn is_format(&self) -> bool {
        self.part == layout::FORMAT_FILE
    }

    /// Whether it stands where a file of the journal belongs that holds nothing of its own.
    fn is_in_the_way(&self) -> bool {
        let file = self.part.split_once('/').filter(|(part, _)| *part == layout::JOURNAL);
        file.is_some_and(|(_, name)| name != HEAD && PLAIN_FILES.contains(&name))
    }

    /// Makes it anew; what was done.
    fn make(&self, root: &OwnedFd) -> Result<String> {
        let failed = |e| Error::call(&self.part, e);
        if self.is_in_the_way() {
            let (_, name) = self.part.split_once('/').expect("a file of the journal");
            let journal = fs::open_dir_at(root, layout::JOURNAL).map_err(failed)?;
            let kept = move_aside(root, &journal, &name.into(), &self.part.replace('/', "."))?;
            fs::sync(&journal).map_err(failed)?;
            return Ok(format!("moved to {kept}"));
        }
        if self.is_format() {
            return write_format(root);
        }
        if self.is_short_links() {
            let home = fs::open_dir_at(root, layout::HOME).map_err(failed)?;
            LinkDir::ensure(&home).map_err(|e| Error::link(&self.part, e))?;
            fs::sync(&home).map_err(failed)?;
        } else {
            fs::ensure_dir_at(root, &self.part, Mode::RWXU).map_err(failed)?;
        }
        Ok("made anew, empty".to_owned())
    }
}

/// Writes the format file anew; one that is damaged is kept.
fn write_format(root: &OwnedFd) -> Result<String> {
    refuse_other_version(root)?;
    let there = fs::try_stat_at(root, layout::FORMAT_FILE).map_err(|e| Error::call(layout::FORMAT_FILE, e))?;
    let kept = there.map(|_| move_aside(root, root, &layout::FORMAT_FILE.into(), layout::FORMAT_FILE)).transpose()?;
    Format::new().write(root)?;
    let kept = kept.map(|kept| format!("; the damaged one is kept in {kept}")).unwrap_or_default();
    Ok(format!("written anew, for version {VERSION}{kept}"))
}

/// Refuses a store whose records are not those of this version. A journal that is lost tells nothing, nor does the damaged part
/// of one.
fn refuse_other_version(root: &OwnedFd) -> Result<()> {
    let Ok(directory) = fs::open_dir_at(root, layout::JOURNAL) else { return Ok(()) };
    let options = plyfs_journal::Options::default().read_only(true);
    let records = match Records::open(directory, options, true) {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => return Ok(()),
        records => records?.snapshot()?,
    };
    let mut foreign = records.scan(b"").filter_map(Result::ok).map(|(key, _)| key);
    match foreign.find(|key| key.first().is_some_and(|letter| !key::LETTERS.contains(letter))) {
        None => Ok(()),
        Some(key) => {
            let message =
                format!("the journal has keys like \"{}\", which version {VERSION} has not", key.escape_ascii());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

/// Each part that does not open, and why; of the journal there are findings of its own.
pub(crate) fn wrong(root: &OwnedFd) -> Vec<Wrong> {
    let mut found = Vec::new();
    if let Err(error) = Format::read(root) {
        let (part, problem) = (layout::FORMAT_FILE.to_owned(), super::report(&error));
        let is_missing = matches!(fs::try_stat_at(root, &part), Ok(None));
        let problem = problem.strip_prefix(&format!("{part}: ")).unwrap_or(&problem).to_owned();
        let problem = if is_missing { MISSING.to_owned() } else { problem };
        found.push(Wrong { part, is_missing, problem, kind: FindingKind::PartMissing });
    }
    for part in [layout::HOME, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH] {
        let below = match part {
            layout::HOME => Some(LINK_DIR),
            layout::BLOBS => Some(layout::SHA256),
            _ => None,
        };
        let opened = look(root, part, part, &mut found);
        if let (Some(opened), Some(below)) = (opened, below) {
            look(&opened, below, &format!("{part}/{below}"), &mut found);
        }
    }
    found
}

fn look(above: &OwnedFd, name: &str, part: &str, found: &mut Vec<Wrong>) -> Option<OwnedFd> {
    ground::open_part(above, name, false)
        .inspect_err(|error| {
            let is_missing = matches!(fs::try_stat_at(above, name), Ok(None));
            let problem = if is_missing { MISSING.to_owned() } else { super::report(error) };
            found.push(Wrong { part: part.to_owned(), is_missing, problem, kind: FindingKind::PartMissing });
        })
        .ok()
}

/// What keeps the store from being opened for writing by who could write it, though it may be read.
pub(crate) fn unfit(root: &OwnedFd) -> Vec<Wrong> {
    let mut found = Vec::new();
    let mut is_unfit = |part: &str, problem: String| {
        found.push(Wrong { part: part.to_owned(), is_missing: false, problem, kind: FindingKind::PartUnfit });
    };
    if rustix::fs::accessat(root, layout::JOURNAL, Access::WRITE_OK, AtFlags::empty()).is_ok() {
        if let Err(error) = ground::check_root(root) {
            is_unfit("root", super::report(&error));
        }
        let parts = [layout::HOME, layout::JOURNAL, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH];
        for part in parts.into_iter().filter(|part| ground::open_part(root, part, false).is_ok()) {
            if let Err(error) = ground::open_part(root, part, true) {
                is_unfit(part, super::report(&error));
            }
        }
    }
    let Ok(journal) = fs::open_dir_at(root, layout::JOURNAL) else { return found };
    for name in PLAIN_FILES {
        let Ok(Some(there)) = fs::try_stat_at(&journal, name) else { continue };
        let problem = match FileType::from_raw_mode(there.st_mode) {
            FileType::RegularFile => continue,
            FileType::Directory => "it is a directory, not a file",
            FileType::Symlink => "it is a symbolic link, not a file",
            _ => "it is a device, not a file",
        };
        is_unfit(&format!("{}/{name}", layout::JOURNAL), problem.to_owned());
    }
    found
}

impl StoreOptions {
    /// Makes the directories `staging`, `trash` and `overlay2/l` of the store at `path` anew where they are missing, and
    /// `plyfs.toml` where it is damaged as well; durable on return. Without them it does not open, and nothing is lost with
    /// them: [`Store::repair`](crate::Store::repair) then makes the short links again.
    ///
    /// What stands in the place of a file of the journal that holds nothing of its own is moved into `aside/`.
    ///
    /// A store of another version is [`ErrorKind::Unsupported`], by its format file or, where that is lost, by its records.
    pub fn restore_parts(self, path: impl AsRef<Path>) -> Result<Vec<Act>> {
        let path = path.as_ref();
        let root = open_root(path)?;
        refuse_unless_lost(&root)?;
        let parts: Vec<_> = wrong(&root).into_iter().chain(unfit(&root)).filter(Wrong::can_be_made).collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        ground::require_root("repairing", path)?;
        let act = |part: &Wrong| Ok(Act { finding: part.finding(), done: part.make(&root)? });
        let acts = parts.iter().map(act).collect::<Result<_>>()?;
        fs::sync(&root).map_err(|e| Error::call("its root", e))?;
        Ok(acts)
    }
}

/// Refuses what is no store, or one of another version; a format file that was lost or damaged is found as a part.
pub(crate) fn refuse_unless_lost(root: &OwnedFd) -> Result<()> {
    match Format::read(root) {
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
        _ => Ok(()),
    }
}

/// Writes the format file of a store that is rebuilt anew, if it has to be.
pub(crate) fn restore_format(root: &OwnedFd) -> Result<Option<Act>> {
    refuse_unless_lost(root)?;
    let format = wrong(root).into_iter().find(Wrong::is_format);
    format.map(|part| Ok(Act { done: part.make(root)?, finding: part.finding() })).transpose()
}
