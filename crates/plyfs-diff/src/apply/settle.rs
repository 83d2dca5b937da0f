//! A layer that was applied before its parent was known, put onto it.

use std::ffi::OsStr;
use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use plyfs_sys::fs::{self, Stat};
use plyfs_sys::{CallError, xattr};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::applier::{self, failed};
use super::deferred::{Deferred, Question};
use super::{Applied, ApplyOptions, metadata};
use crate::chain::{copy_directory_attributes, is_whiteout_device, times_of};
use crate::tar_split::Archive;
use crate::{Chain, Error, ErrorKind, Found, Merged, Result, Usage, beneath, digested, names};

/// Where the layer is read from while it is applied anew: a name that nothing in an archive is ever made under (rule 5).
const ASIDE: &str = ".wh..wh.plyfs-unsettled";

/// A layer that stands on its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settled {
    /// What was applied, as if over the chain from the beginning.
    pub applied: Applied,
    /// The layer was applied anew: its record is the one that was written now.
    pub is_rebuilt: bool,
}

/// Finishes a layer that was applied over [`Chain::unknown`], now that the chain below it is known.
///
/// The result is what [`apply`](crate::apply()) over `chain` gives: directory, usage and record. Mostly some attributes
/// are copied and some marks taken away, in place. Where a name leads through a symbolic link of a lower, or a hard link
/// to a file of one, the layer is applied anew: `record`, which the first pass wrote, is read, and another is written to
/// `tar_split`; else neither is touched. `applied` is what the first pass returned.
///
/// Nothing is synced. After an error the directory is to be removed (rule 56).
pub fn settle(
    layer: impl AsFd,
    chain: &Chain,
    applied: &Applied,
    options: &ApplyOptions,
    record: impl BufRead,
    tar_split: &mut dyn Write,
) -> Result<Settled> {
    if !chain.is_known() {
        return Err(Error::new(ErrorKind::InvalidInput, "a layer can only be settled on lowers that are known"));
    }
    let root = fs::open_dir_at(layer, ".").map_err(|error| Error::call("open the layer", error))?;
    if applied.deferred.needs_rebuild || !can_be_settled(&applied.deferred, chain)? {
        let mut record = record;
        // One copy serves every kind of reader.
        let record: &mut dyn BufRead = &mut record;
        let applied = rebuild(&root, chain, applied, options, record, tar_split)?;
        return Ok(Settled { applied, is_rebuilt: true });
    }
    let mut layer = Layer { root, chain, usage: applied.usage };
    layer.answer(&applied.deferred)?;
    let applied = Applied { usage: layer.usage, deferred: Deferred::default(), ..applied.clone() };
    Ok(Settled { applied, is_rebuilt: false })
}

/// Says whether the chain's answers change single inodes only.
fn can_be_settled(deferred: &Deferred, chain: &Chain) -> Result<bool> {
    let mut below = Below::new(chain)?;
    for (question, path) in deferred.iter() {
        let fits = match question {
            Question::Implied => !matches!(below.lookup(path)?, Some(Found::Symlink(_))),
            Question::ImpliedToHide => matches!(below.lookup(path)?, Some(Found::Directory(_))),
            // What an opaque root hides is hidden name by name.
            Question::Opaque if path.is_empty() => chain.root()?.read_dir()?.is_empty(),
            _ => true,
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Applies the archive that the record and the layer are once more, over the chain.
fn rebuild(
    root: &OwnedFd,
    chain: &Chain,
    applied: &Applied,
    options: &ApplyOptions,
    record: &mut dyn BufRead,
    tar_split: &mut dyn Write,
) -> Result<Applied> {
    let moving = |error| Error::call("set the layer aside", error);
    let aside = set_aside(root, chain).map_err(moving)?;
    let mut archive = Archive::new(record, &aside)?;
    let source: &mut dyn Read = &mut archive;
    let (again, _) = applier::apply(&mut digested(source), root, chain, options, Some(tar_split))?;
    if (again.diff_id, again.archive_size) != (applied.diff_id, applied.archive_size) {
        return Err(Error::new(ErrorKind::Corrupt, "the record is not of the archive that was applied"));
    }
    let clean = || {
        let times = times_of(&fs::stat(root)?);
        fs::remove_tree(root, ASIDE)?;
        metadata::set_times(root, &times)
    };
    clean().map_err(moving)?;
    Ok(Applied { usage: Usage::measure(root)?, ..again })
}

fn set_aside(root: &OwnedFd, chain: &Chain) -> Result<OwnedFd, CallError> {
    xattr::remove(root, chain.dialect().opaque())?;
    fs::make_dir_at(root, ASIDE, Mode::RWXU)?;
    let aside = fs::open_dir_at(root, ASIDE)?;
    for entry in fs::read_dir(root)? {
        if entry.name != ASIDE {
            fs::rename_at(root, &entry.name, &aside, &entry.name)?;
        }
    }
    Ok(aside)
}

/// A layer whose questions are answered in place.
struct Layer<'a> {
    root: OwnedFd,
    chain: &'a Chain,
    usage: Usage,
}

impl Layer<'_> {
    fn answer(&mut self, deferred: &Deferred) -> Result<()> {
        let described: std::collections::HashSet<&[u8]> =
            deferred.iter().filter_map(|(question, path)| (question == Question::Described).then_some(path)).collect();
        let mut below = Below::new(self.chain)?;
        for (question, path) in deferred.iter() {
            let settling = |error| failed("settle", path, error);
            match question {
                Question::Described => {}
                Question::Root => {
                    if let Some(from) = below.root().uppermost() {
                        self.copy(from, path).map_err(settling)?;
                    }
                }
                Question::Implied | Question::ImpliedToHide if described.contains(path) => {}
                Question::Implied | Question::ImpliedToHide => {
                    if let Some(Found::Directory(merged)) = below.lookup(path)? {
                        let from = merged.uppermost().expect("a directory that was found");
                        self.copy(from, path).map_err(settling)?;
                    }
                }
                Question::Whiteout if below.lookup(path)?.is_none() => self.unhide(path).map_err(settling)?,
                Question::OpaqueAnew if below.lookup(path)?.is_none() => self.unmark(path).map_err(settling)?,
                Question::Opaque if path.is_empty() => self.unmark(path).map_err(settling)?,
                Question::Opaque if !matches!(below.lookup(path)?, Some(Found::Directory(_))) => {
                    self.unmark(path).map_err(settling)?;
                }
                Question::Whiteout | Question::OpaqueAnew | Question::Opaque => {}
            }
        }
        Ok(())
    }

    /// Gives a directory what the lowers show for it (rules 51, 53).
    fn copy(&mut self, from: BorrowedFd<'_>, path: &[u8]) -> Result<(), CallError> {
        let Some(dir) = self.open(path)? else { return Ok(()) };
        let before = fs::stat(&dir)?;
        let times = copy_directory_attributes(from, &dir)?;
        metadata::set_times(&dir, &times)?;
        self.account(&before, &fs::stat(&dir)?);
        Ok(())
    }

    /// Takes away a whiteout that hides nothing (rule 11).
    fn unhide(&mut self, path: &[u8]) -> Result<(), CallError> {
        let (parent, name) = names::split(path);
        let Some(dir) = self.open(parent)? else { return Ok(()) };
        let name = OsStr::from_bytes(name);
        let Some(there) = fs::try_stat_at(&dir, name)?.filter(is_whiteout_device) else { return Ok(()) };
        let before = fs::stat(&dir)?;
        fs::unlink_at(&dir, name)?;
        metadata::set_times(&dir, &times_of(&before))?;
        self.usage -= Usage::of(&there);
        self.account(&before, &fs::stat(&dir)?);
        Ok(())
    }

    /// Takes away the mark of an opaque directory that hides nothing.
    fn unmark(&mut self, path: &[u8]) -> Result<(), CallError> {
        let Some(dir) = self.open(path)? else { return Ok(()) };
        let before = fs::stat(&dir)?;
        xattr::remove(&dir, self.chain.dialect().opaque())?;
        self.account(&before, &fs::stat(&dir)?);
        Ok(())
    }

    /// The directory of the layer at `path`, unless a later entry put something else there.
    fn open(&self, path: &[u8]) -> Result<Option<OwnedFd>, CallError> {
        match beneath::open_dir(&self.root, path) {
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            result => result.map(Some),
        }
    }

    fn account(&mut self, before: &Stat, after: &Stat) {
        self.usage += Usage::of(after);
        self.usage -= Usage::of(before);
    }
}

/// What the lowers show at a path; paths that follow one another share what they have in common.
struct Below {
    /// The root first, then one directory for each component of `path`.
    levels: Vec<Merged>,
    path: Vec<u8>,
}

impl Below {
    fn new(chain: &Chain) -> Result<Self> {
        Ok(Self { levels: vec![chain.root()?], path: Vec::new() })
    }

    fn root(&self) -> &Merged {
        &self.levels[0]
    }

    /// `None` too for what leads through anything but directories.
    fn lookup(&mut self, path: &[u8]) -> Result<Option<Found>> {
        let (parent, name) = names::split(path);
        if name.is_empty() {
            return Ok(Some(Found::Directory(self.root().clone())));
        }
        if !self.enter(parent)? {
            return Ok(None);
        }
        self.levels[self.levels.len() - 1].lookup(OsStr::from_bytes(name))
    }

    fn enter(&mut self, path: &[u8]) -> Result<bool> {
        let components = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let (wanted, held) = (components(path), components(&self.path));
        let shared = wanted.iter().zip(&held).take_while(|(a, b)| a == b).count();
        self.levels.truncate(shared + 1);
        self.path = wanted[..shared].join(&b'/');
        for name in &wanted[shared..] {
            let found = self.levels[self.levels.len() - 1].lookup(OsStr::from_bytes(name))?;
            let Some(Found::Directory(merged)) = found else { return Ok(false) };
            self.levels.push(merged);
            self.path = names::join(&self.path, name);
        }
        Ok(true)
    }
}
