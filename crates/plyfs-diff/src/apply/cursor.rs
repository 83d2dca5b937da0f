//! Where the applier stands: one directory of the layer, its ancestors held open, and what the lowers have there.
//!
//! Every name is found from here, component by component, as inside the root of the merged chain: what the layer itself
//! has comes first, then the lowers, and symbolic links of either are followed inside that root (rule 52). A directory
//! that only a lower has is made with that directory's attributes (rule 51). Paths are never handed to the kernel whole,
//! and a directory once entered is worked on through its descriptor.
//!
//! Leaving a directory gives it back its times, so none need be remembered to the end; the innermost comes first (rule 49).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use plyfs_sys::fs::{self, FileType, Stat, Timestamps};
use plyfs_sys::{CallError, xattr};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::acl;
use super::deferred::{Deferred, Question, Questions};
use super::metadata::{self, Owner};
use super::tally::Tally;
use crate::archive::Time;
use crate::chain::{DirMarks, copy_directory_attributes, is_whiteout_device, times_of};
use crate::layout::{OPAQUE_VALUE, WHITEOUT_PREFIX};
use crate::{Chain, Error, Found, Merged, Result, Usage, beneath, names};

/// How many directories are held open at most; those further up are opened again when they are needed.
const HELD: usize = 64;

/// How many symbolic links one name may lead through, as for the kernel.
const MAX_LINKS: usize = 40;

/// The mode of a directory that neither the archive nor a lower describes (rules 51, 53).
const DEFAULT_MODE: u32 = 0o755;

/// The directory the applier stands in.
pub(super) struct Cursor<'a> {
    chain: &'a Chain,
    owner: Owner,
    max_depth: usize,
    /// The root first, then one for each component of `path`.
    levels: Vec<Level>,
    path: Vec<u8>,
    /// What only the chain can say, where it is not known yet.
    questions: Questions,
    tally: Tally,
    /// Some directory of the layer has a default access list: each that is entered is looked at.
    has_default_acls: bool,
}

struct Level {
    /// `None` once more than [`HELD`] directories lie below it.
    fd: Option<OwnedFd>,
    /// Where its path ends in [`Cursor::path`].
    end: usize,
    /// What it gets back when it is left, if its times are decided.
    times: Option<Timestamps>,
    is_touched: bool,
    /// The default access list it gets when it is left.
    default_acl: Option<Vec<u8>>,
    /// What of its own cost is in the tally.
    counted: Usage,
    lower: Lower,
}

/// What of the lowers shows through a directory of the layer.
#[derive(Clone)]
enum Lower {
    /// Nobody has asked yet.
    Unasked,
    /// The lowers cannot be looked at.
    Unknown,
    /// Nothing: it is new, opaque, or below something that is.
    Nothing,
    Directory(Merged),
}

/// Why a directory is entered.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Something is made in it; it is made where it is missing, with this time unless a lower has another.
    Entry(Time),
    /// A name in it is hidden; where nothing could show through, there is nothing to do.
    Whiteout(Time),
}

impl<'a> Cursor<'a> {
    /// Stands in the root of the layer.
    pub(super) fn new(root: OwnedFd, chain: &'a Chain, owner: Owner, max_depth: usize) -> Result<Self> {
        let merged = chain.root()?;
        let lower = match (chain.is_known(), merged.uppermost().is_some()) {
            (false, _) => Lower::Unknown,
            (true, false) => Lower::Nothing,
            (true, true) => Lower::Directory(merged),
        };
        acl::forget(&root).map_err(|error| Error::call("set the attributes of the root", error))?;
        let counted = Usage::default();
        let root = Level { fd: Some(root), end: 0, times: None, is_touched: true, default_acl: None, counted, lower };
        let (path, questions, tally) = (Vec::new(), Questions::default(), Tally::default());
        Ok(Self { chain, owner, max_depth, levels: vec![root], path, questions, tally, has_default_acls: false })
    }

    /// The root of the layer.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.levels[0].fd.as_ref().expect("the root is always held").as_fd()
    }

    /// The path of the current directory; empty in the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of a name in the current directory.
    pub(super) fn path_of(&self, name: &OsStr) -> Vec<u8> {
        names::join(&self.path, name.as_bytes())
    }

    /// The current directory.
    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.top().fd.as_ref().expect("the innermost directory is always held").as_fd()
    }

    /// Says that names in the current directory were changed, so that it gets its times back.
    pub(super) fn touch(&mut self) {
        self.top_mut().is_touched = true;
    }

    /// Counts `name`, which was made in the current directory and will not change; directories are counted when they are left.
    pub(super) fn count(&mut self, name: &OsStr) -> Result<()> {
        let stat = fs::stat_at(self.dir(), name).map_err(self.failed("look at", name))?;
        self.tally.add(Usage::of(&stat));
        Ok(())
    }

    /// Counts what was made in the current directory and has this status for good.
    pub(super) fn count_as(&mut self, stat: &Stat) {
        self.tally.add(Usage::of(stat));
    }

    /// Says that `stat` is about to be removed from the layer.
    pub(super) fn uncount(&mut self, stat: &Stat) {
        self.tally.remove(stat);
    }

    /// Decides the times of the current directory.
    pub(super) fn set_times(&mut self, times: Timestamps) {
        let top = self.top_mut();
        top.times = Some(times);
        top.is_touched = true;
    }

    /// Says that the current directory was described anew, without a default access list.
    pub(super) fn drop_default_acl(&mut self) {
        self.top_mut().default_acl = None;
    }

    /// Sets the default access list of the current directory aside until it is left.
    pub(super) fn set_default_acl_aside(&mut self) -> Result<(), CallError> {
        let list = acl::set_aside(self.dir())?;
        self.has_default_acls |= list.is_some();
        let top = self.top_mut();
        top.is_touched |= list.is_some();
        top.default_acl = list;
        Ok(())
    }

    /// Goes to the directory a clean path names, making what is missing; `false` where a whiteout has nothing to hide, or
    /// where only the chain can say what is there and it is not known yet.
    pub(super) fn enter(&mut self, path: &[u8], purpose: Purpose) -> Result<bool> {
        if path == self.path {
            return Ok(true);
        }
        let common = self.common(path);
        self.leave_to(common)?;
        let rest = path.get(self.path.len()..).unwrap_or_default();
        let mut ahead: VecDeque<OsString> = components(rest).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            match name.as_bytes() {
                b"." => {}
                // Only links say this: clean paths have no such component. The root is its own parent.
                b".." => self.leave_to(self.levels.len().saturating_sub(2))?,
                _ => match self.step(&name, purpose)? {
                    Step::Entered => {}
                    Step::NothingToHide | Step::ChainDecides => return Ok(false),
                    Step::Link(target) => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(names::invalid(path, "leads through too many symbolic links"));
                        }
                        if target.as_bytes().starts_with(b"/") {
                            self.leave_to(0)?;
                        }
                        components(target.as_bytes()).rev().for_each(|name| ahead.push_front(name));
                    }
                },
            }
        }
        Ok(true)
    }

    /// Makes the directory `name` in the current one and goes there.
    ///
    /// With `hid_lower` something was there that was no directory: the new one is opaque, or what that hid would show (rule 7).
    pub(super) fn make_dir(&mut self, name: &OsStr, mode: Mode, hid_lower: bool) -> Result<()> {
        match self.try_make_dir(name, mode, hid_lower)? {
            true => Ok(()),
            false => Err(self.failed("make the directory", name)(CallError::new("mkdirat", name, Errno::EXIST))),
        }
    }

    /// The same where nothing has the name; `false` where something has.
    pub(super) fn try_make_dir(&mut self, name: &OsStr, mode: Mode, hid_lower: bool) -> Result<bool> {
        let failed = self.failed("make the directory", name);
        match rustix::fs::mkdirat(self.dir(), name, mode) {
            Err(Errno::EXIST) => return Ok(false),
            made => made.map_err(|errno| failed(CallError::new("mkdirat", name, errno)))?,
        }
        self.touch();
        let fd = fs::open_dir_at(self.dir(), name).map_err(&failed)?;
        let lower = if hid_lower { Lower::Nothing } else { Lower::Unasked };
        if hid_lower {
            self.mark_opaque_fd(fd.as_fd()).map_err(&failed)?;
            if self.is_chain_asked()? {
                self.questions.ask(Question::OpaqueAnew, &self.path_of(name));
            }
        }
        self.push(name, fd, Before { times: None, is_touched: true, cost: Usage::default() }, lower)?;
        Ok(true)
    }

    /// Goes to the directory `name`, which the layer has.
    pub(super) fn enter_existing(&mut self, name: &OsStr) -> Result<()> {
        let failed = self.failed("open", name);
        let fd = fs::open_dir_at(self.dir(), name).map_err(&failed)?;
        let stat = fs::stat(&fd).map_err(&failed)?;
        self.push_existing(name, fd, &stat)
    }

    /// What the lowers have for `name` in the current directory; `None` too where they cannot be looked at.
    pub(super) fn below(&mut self, name: &OsStr) -> Result<Option<Found>> {
        match self.lower(self.levels.len() - 1)? {
            Lower::Directory(merged) => merged.lookup(name),
            Lower::Unasked | Lower::Unknown | Lower::Nothing => Ok(None),
        }
    }

    /// Says whether the lowers have `name` in the current directory, or may have it, for all that is known.
    pub(super) fn may_be_below(&mut self, name: &OsStr) -> Result<bool> {
        Ok(self.below(name)?.is_some() || matches!(self.top().lower, Lower::Unknown))
    }

    /// What the lowers have in their root, when that is the current directory and they can be looked at.
    pub(super) fn names_below_root(&self) -> Result<Option<Vec<OsString>>> {
        match &self.levels[0].lower {
            Lower::Directory(merged) if self.levels.len() == 1 => merged.read_dir().map(Some),
            _ => Ok(None),
        }
    }

    /// Hides what the lowers have in the current directory, if they may have anything (rule 2).
    pub(super) fn make_opaque(&mut self) -> Result<()> {
        match self.lower(self.levels.len() - 1)? {
            Lower::Nothing => return Ok(()),
            Lower::Unknown => self.questions.ask(Question::Opaque, &self.path),
            Lower::Unasked | Lower::Directory(_) => {}
        }
        let failed = self.failed("make opaque", OsStr::new(""));
        self.mark_opaque_fd(self.dir()).map_err(&failed)?;
        // In an opaque directory whiteouts have nothing to hide and would show as devices (rule 11).
        if remove_whiteouts(self.dir(), 0).map_err(&failed)? {
            self.tally.forget();
        }
        self.touch();
        self.top_mut().lower = Lower::Nothing;
        Ok(())
    }

    /// Notes that a whiteout was made whose use only the chain knows.
    pub(super) fn ask_whiteout(&mut self, name: &OsStr) -> Result<()> {
        if self.is_chain_asked()? {
            self.questions.ask(Question::Whiteout, &self.path_of(name));
        }
        Ok(())
    }

    /// Notes that nothing describes the root.
    pub(super) fn ask_root(&mut self) {
        if !self.chain.is_known() {
            self.questions.ask(Question::Root, b"");
        }
    }

    /// Notes that an entry describes the directory `path`.
    pub(super) fn describe(&mut self, path: &[u8]) {
        self.questions.describe(path);
    }

    /// Notes that the layer is to be applied anew once the chain is known; `false` when it is known.
    pub(super) fn rebuild_if_unknown(&mut self) -> bool {
        if !self.chain.is_known() {
            self.questions.rebuild();
        }
        !self.chain.is_known()
    }

    /// Says whether only a chain that is not known yet can tell what shows through the current directory.
    fn is_chain_asked(&mut self) -> Result<bool> {
        Ok(matches!(self.lower(self.levels.len() - 1)?, Lower::Unknown))
    }

    /// Goes back to the root, giving every directory its times back; returns what waits for the chain, and what the layer
    /// costs, where that is known.
    pub(super) fn finish(mut self) -> Result<(Deferred, Option<Usage>)> {
        self.leave_to(0)?;
        settle(&mut self.levels[0], &mut self.tally)
            .map_err(|error| Error::call("set the times of the root", error))?;
        Ok((self.questions.finish(), self.tally.finish()))
    }

    /// The directory whose attributes the root takes from the lowers; `None` for a base layer.
    pub(super) fn root_below(&mut self) -> Option<Merged> {
        match &self.levels[0].lower {
            Lower::Directory(merged) => Some(merged.clone()),
            _ => None,
        }
    }

    fn step(&mut self, name: &OsStr, purpose: Purpose) -> Result<Step> {
        // Clean paths have no such component: a link leads here.
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return Err(names::invalid(&self.path_of(name), "would mean a deletion, yet a link leads through it"));
        }
        let failed = self.failed("open", name);
        match fs::open_dir_at(self.dir(), name) {
            Ok(fd) => {
                let stat = fs::stat(&fd).map_err(&failed)?;
                self.push_existing(name, fd, &stat)?;
                Ok(Step::Entered)
            }
            Err(error) if error.is_not_found() => self.step_below(name, purpose),
            Err(error) if matches!(error.errno(), Errno::NOTDIR | Errno::LOOP) => self.step_over(name, purpose),
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes a step where the layer has nothing of that name.
    fn step_below(&mut self, name: &OsStr, purpose: Purpose) -> Result<Step> {
        let (implied, is_entry) = match purpose {
            Purpose::Entry(time) => (time, true),
            Purpose::Whiteout(time) => (time, false),
        };
        let below = self.below(name)?;
        if matches!(self.top().lower, Lower::Unknown) {
            let question = if is_entry { Question::Implied } else { Question::ImpliedToHide };
            self.questions.ask(question, &self.path_of(name));
        }
        match below {
            Some(Found::Symlink(link)) => return link.read_link().map(Step::Link),
            Some(Found::Directory(merged)) => self.copy_dir(name, merged)?,
            // A file of a lower is in the way of a directory as little as it is in the way of an entry.
            _ if is_entry || matches!(self.top().lower, Lower::Unknown) => self.default_dir(name, false, implied)?,
            _ => return Ok(Step::NothingToHide),
        }
        Ok(Step::Entered)
    }

    /// Takes a step where the layer has something that is not a directory.
    fn step_over(&mut self, name: &OsStr, purpose: Purpose) -> Result<Step> {
        let failed = self.failed("open", name);
        let stat = fs::stat_at(self.dir(), name).map_err(&failed)?;
        match (FileType::from_raw_mode(stat.st_mode), purpose) {
            (FileType::Symlink, _) => fs::read_link_at(self.dir(), name).map(Step::Link).map_err(failed),
            (_, Purpose::Whiteout(_)) => Ok(Step::NothingToHide), // rule 9
            (_, Purpose::Entry(implied)) if is_whiteout_device(&stat) => {
                self.uncount(&stat);
                fs::unlink_at(self.dir(), name).map_err(failed)?;
                self.default_dir(name, true, implied)?; // rule 10
                Ok(Step::Entered)
            }
            _ if self.rebuild_if_unknown() => Ok(Step::ChainDecides),
            _ => Err(names::invalid(&self.path_of(name), "is not a directory, yet entries lie below it")),
        }
    }

    /// Makes a directory like the one the lowers show (rule 51) and goes there.
    fn copy_dir(&mut self, name: &OsStr, merged: Merged) -> Result<()> {
        self.make_dir(name, Mode::RWXU, false)?;
        let from = merged.uppermost().expect("a merged directory was found");
        let failed = self.failed("copy the attributes of", OsStr::new(""));
        let times = copy_directory_attributes(from, self.dir()).map_err(&failed)?;
        self.set_times(times);
        self.set_default_acl_aside().map_err(failed)?;
        self.top_mut().lower = Lower::Directory(merged);
        Ok(())
    }

    /// Makes a directory that nothing describes, and goes there.
    fn default_dir(&mut self, name: &OsStr, hid_lower: bool, time: Time) -> Result<()> {
        self.make_dir(name, Mode::RWXU, hid_lower)?;
        let failed = self.failed("set the attributes of", OsStr::new(""));
        metadata::own(self.dir(), self.owner).map_err(&failed)?;
        metadata::set_mode(self.dir(), DEFAULT_MODE).map_err(&failed)?;
        self.set_times(metadata::at(time));
        Ok(())
    }

    fn mark_opaque_fd(&self, fd: BorrowedFd<'_>) -> Result<(), CallError> {
        xattr::set(fd, self.chain.dialect().opaque(), OPAQUE_VALUE)
    }

    /// What of the lowers shows through level `at`, found out when it is first asked for.
    fn lower(&mut self, at: usize) -> Result<&Lower> {
        // From the outermost that is not known yet inwards, without recursion: trees may be deep.
        let known = (0..=at).rev().find(|&at| !matches!(self.levels[at].lower, Lower::Unasked));
        let known = known.expect("the root is asked at the start");
        for at in known + 1..=at {
            self.levels[at].lower = self.ask(at)?;
        }
        Ok(&self.levels[at].lower)
    }

    fn ask(&self, at: usize) -> Result<Lower> {
        let parent = &self.levels[at - 1];
        let name = OsStr::from_bytes(&self.path[parent.end + usize::from(at > 1)..self.levels[at].end]);
        let found = match &parent.lower {
            Lower::Nothing | Lower::Unasked => return Ok(Lower::Nothing),
            Lower::Unknown => Lower::Unknown,
            Lower::Directory(merged) => match merged.lookup(name)? {
                Some(Found::Directory(merged)) => Lower::Directory(merged),
                _ => return Ok(Lower::Nothing),
            },
        };
        let reopened;
        let fd = match &self.levels[at].fd {
            Some(fd) => fd,
            None => {
                reopened = self.open_level(at)?;
                &reopened
            }
        };
        let marks = DirMarks::read(fd, self.chain.dialect());
        let marks = marks.map_err(|error| Error::call(format!("look at {}", names::quoted(&self.path)), error))?;
        Ok(if marks.is_opaque { Lower::Nothing } else { found })
    }

    fn push_existing(&mut self, name: &OsStr, fd: OwnedFd, stat: &Stat) -> Result<()> {
        self.push(name, fd, Before::of(stat), Lower::Unasked)?;
        if self.has_default_acls {
            let failed = self.failed("set the attributes of", OsStr::new(""));
            self.set_default_acl_aside().map_err(failed)?;
        }
        Ok(())
    }

    fn push(&mut self, name: &OsStr, fd: OwnedFd, before: Before, lower: Lower) -> Result<()> {
        if let Some(at) = self.levels.len().checked_sub(HELD).filter(|&at| at > 0) {
            self.let_go(at)?;
        }
        let path = names::join(&self.path, name.as_bytes());
        if self.levels.len() > self.max_depth {
            return Err(names::too_deep(&path, self.max_depth));
        }
        self.path = path;
        let Before { times, is_touched, cost } = before;
        let (end, default_acl) = (self.path.len(), None);
        self.levels.push(Level { fd: Some(fd), end, times, is_touched, default_acl, counted: cost, lower });
        Ok(())
    }

    /// Closes a directory that is still an ancestor; it has its times back.
    fn let_go(&mut self, at: usize) -> Result<()> {
        let level = &mut self.levels[at];
        settle(level, &mut self.tally).map_err(|error| {
            Error::call(format!("set the times of {}", names::quoted(&self.path[..level.end])), error)
        })?;
        level.fd = None;
        Ok(())
    }

    /// Leaves directories until `depth` components are left.
    fn leave_to(&mut self, depth: usize) -> Result<()> {
        while self.levels.len() > depth + 1 {
            if self.top().fd.is_some() {
                self.let_go(self.levels.len() - 1)?;
            }
            self.levels.pop();
            self.path.truncate(self.top().end);
        }
        if self.top().fd.is_none() {
            let fd = self.open_level(depth)?;
            self.top_mut().fd = Some(fd);
            if self.top().default_acl.is_some() {
                let failed = self.failed("set the attributes of", OsStr::new(""));
                self.set_default_acl_aside().map_err(failed)?;
            }
        }
        Ok(())
    }

    fn open_level(&self, at: usize) -> Result<OwnedFd> {
        let path = &self.path[..self.levels[at].end];
        beneath::open_dir(self.root(), path)
            .map_err(|error| Error::call(format!("open {}", names::quoted(path)), error))
    }

    /// How many components `path` shares with the current directory's.
    fn common(&self, path: &[u8]) -> usize {
        let same = path.iter().zip(&self.path).take_while(|(a, b)| a == b).count();
        let is_shared = |level: &&Level| level.end <= same && matches!(path.get(level.end), None | Some(b'/'));
        self.levels[1..].iter().take_while(is_shared).count()
    }

    fn top(&self) -> &Level {
        self.levels.last().expect("the root is never left")
    }

    fn top_mut(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the root is never left")
    }

    fn failed(&self, what: &'static str, name: &OsStr) -> impl Fn(CallError) -> Error + use<> {
        let path = if name.is_empty() { self.path.clone() } else { self.path_of(name) };
        move |error| Error::call(format!("{what} {}", names::quoted(&path)), error)
    }
}

/// Where one component led.
enum Step {
    Entered,
    NothingToHide,
    /// Without the chain it would be an error; with it the name may lead elsewhere.
    ChainDecides,
    Link(OsString),
}

/// What a directory is when it is entered.
struct Before {
    times: Option<Timestamps>,
    is_touched: bool,
    cost: Usage,
}

impl Before {
    /// One that was there, and was left before as it is.
    fn of(stat: &Stat) -> Self {
        Self { times: Some(times_of(stat)), is_touched: false, cost: Usage::of(stat) }
    }
}

/// Gives a directory its times back and counts what it costs now, if anything in it was changed.
fn settle(level: &mut Level, tally: &mut Tally) -> Result<(), CallError> {
    let Some(fd) = level.fd.as_ref().filter(|_| level.is_touched) else { return Ok(()) };
    if let Some(list) = &level.default_acl {
        acl::set(fd, list)?;
    }
    if let Some(times) = &level.times {
        metadata::set_times(fd, times)?;
    }
    let cost = Usage::of(&fs::stat(fd)?);
    tally.replace(level.counted, cost);
    (level.counted, level.is_touched) = (cost, false);
    Ok(())
}

/// Removes the whiteouts at and below an open directory; says whether there were any.
fn remove_whiteouts(dir: BorrowedFd<'_>, depth: usize) -> Result<bool, CallError> {
    if depth > fs::MAX_DEPTH {
        return Err(CallError::new("openat", ".", Errno::LOOP));
    }
    let mut has_removed = false;
    let listing = fs::Listing::read_own(fs::open_dir_at(dir, ".")?)?;
    for (index, name) in listing.names().enumerate() {
        let is_whiteout = |stat: Stat| is_whiteout_device(&stat);
        match listing.kind(index) {
            FileType::Directory => {
                let inner = fs::open_dir_at(dir, name)?;
                let times = times_of(&fs::stat(&inner)?);
                has_removed |= remove_whiteouts(inner.as_fd(), depth + 1)?;
                metadata::set_times(&inner, &times)?;
            }
            FileType::CharacterDevice | FileType::Unknown if is_whiteout(fs::stat_at(dir, name)?) => {
                fs::unlink_at(dir, name)?;
                has_removed = true;
            }
            _ => {}
        }
    }
    Ok(has_removed)
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = OsString> {
    let parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
    parts.map(|part| OsString::from_vec(part.to_vec()))
}
