//! Walking down and up a tree of any depth with a bounded number of descriptors.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{CallError, Result, fs};

/// How many of the innermost directories stay open; those above them are opened anew on the way up.
const OPEN: usize = 32;

/// A path of directories from a root down to the one that is looked at.
///
/// Only the innermost are open, so a tree may be deeper than the process may have descriptors. The way up leads
/// through `..`, and what is found there has to be the directory that was left: a tree that is moved while it is
/// walked is `ESTALE`, never a walk through another tree. What is mounted inside is not entered.
#[derive(Debug)]
pub struct Descent {
    /// Never empty; the last one is open.
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    dir: Option<OwnedFd>,
    identity: (u64, u64),
}

impl Level {
    fn new(dir: OwnedFd) -> Result<Self> {
        let identity = identity(&dir)?;
        Ok(Self { dir: Some(dir), identity })
    }
}

fn identity(dir: impl AsFd) -> Result<(u64, u64)> {
    fs::stat(dir).map(|stat| (stat.st_dev, stat.st_ino))
}

impl Descent {
    /// Begins at an open directory.
    pub fn new(root: OwnedFd) -> Result<Self> {
        Ok(Self { levels: vec![Level::new(root)?] })
    }

    /// The directory that is looked at.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        let innermost = self.levels.last().and_then(|level| level.dir.as_ref());
        innermost.expect("the innermost level is there and open").as_fd()
    }

    /// How many directories below the root it is.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.len() - 1
    }

    /// Goes into the directory `name`; a symbolic link is refused, and a mount point with `EXDEV`.
    pub fn enter(&mut self, name: impl AsRef<OsStr>) -> Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
        let inner = fs::open_beneath(self.dir(), name, flags, ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS)?;
        self.levels.push(Level::new(inner)?);
        if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[above].dir = None;
        }
        Ok(())
    }

    /// Goes back to the directory above; the root has none.
    pub fn leave(&mut self) -> Result<()> {
        assert!(self.levels.len() > 1, "the root of a descent is never left");
        let left = self.levels.pop().and_then(|level| level.dir).expect("the innermost level is open");
        let above = self.levels.last_mut().expect("the root stays");
        if above.dir.is_none() {
            let dir = fs::open_dir_at(&left, "..")?;
            if identity(&dir)? != above.identity {
                return Err(CallError::new("openat", "..", Errno::STALE));
            }
            above.dir = Some(dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;

    use super::*;

    fn descend(descent: &mut Descent, levels: usize) {
        for _ in 0..levels {
            fs::make_dir_at(descent.dir(), "d", Mode::RWXU).expect("made");
            descent.enter("d").expect("entered");
        }
    }

    #[test]
    fn four_thousand_levels_take_a_few_descriptors_there_and_back() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let root = fs::open_dir(temp.path()).expect("open");
        let start = identity(&root).expect("stat");
        let mut descent = Descent::new(root).expect("begun");

        descend(&mut descent, 4200);
        assert_eq!(descent.depth(), 4200);
        assert_eq!(descent.levels.iter().filter(|level| level.dir.is_some()).count(), OPEN);
        (0..4200).for_each(|_| descent.leave().expect("the way back"));

        assert_eq!(identity(descent.dir()).expect("stat"), start);
        fs::remove_tree(fs::open_dir(temp.path()).expect("open"), "d").expect("as deep as it is, it goes");
        assert!(!temp.path().join("d").exists());
    }

    #[test]
    fn a_tree_that_was_moved_meanwhile_is_not_walked_on() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut descent = Descent::new(fs::open_dir(temp.path()).expect("open")).expect("begun");
        descend(&mut descent, OPEN + 8);
        std::fs::create_dir(temp.path().join("elsewhere")).expect("made");
        // The sixth directory, which is closed by now, is where the seventh will no longer be.
        std::fs::rename(temp.path().join("d/d/d/d/d/d/d"), temp.path().join("elsewhere/d")).expect("moved");

        let error = (0..OPEN + 8).find_map(|_| descent.leave().err()).expect("noticed");

        assert_eq!(error.errno(), Errno::STALE);
    }
}
