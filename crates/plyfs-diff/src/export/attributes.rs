//! Which extended attributes leave in a changeset.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_sys::{fs, xattr};

use super::header::Header;
use crate::layout::{CAPABILITY, XFS_ACCESS_LISTS};
use crate::upper::{changed, failed};
use crate::{Dialect, Losses, Result, SkipReason};

/// Mode, owner and group of a root that no layer says anything about (rule 53).
const PLAIN_ROOT: (u32, u32, u32) = (0o755, 0, 0);

/// Names and values of attributes, as an archive has them.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of an open file that a changeset carries; others that would be missed are reported.
pub(crate) fn carried(fd: impl AsFd, path: &Path, dialect: Dialect, skipped: &mut Losses) -> Result<Attributes> {
    carried_and_metacopy(fd, path, dialect, skipped).map(|(kept, _)| kept)
}

/// The same, and whether the file was copied up without its content (rule 25), which the list of its attributes tells.
pub(crate) fn carried_and_metacopy(
    fd: impl AsFd,
    path: &Path,
    dialect: Dialect,
    skipped: &mut Losses,
) -> Result<(Attributes, bool)> {
    let fd = fd.as_fd();
    let (mut kept, mut is_metacopy) = (Vec::new(), false);
    for name in xattr::list(fd).map_err(|error| failed(path, error))? {
        is_metacopy |= name == dialect.metacopy();
        match fate(name.as_bytes(), dialect) {
            Fate::Stays => {}
            Fate::Missed => skipped.report(path, SkipReason::Attribute(name)),
            Fate::Carried => {
                let value = xattr::get(fd, &name).map_err(|error| failed(path, error))?;
                kept.push((name.as_bytes().to_vec(), value.ok_or_else(|| changed(path))?));
            }
        }
    }
    Ok((kept, is_metacopy))
}

/// Reports the attributes of an inode that is neither directory nor regular file: a changeset carries none of those.
pub(crate) fn missed(dir: BorrowedFd<'_>, path: &Path, dialect: Dialect, skipped: &mut Losses) -> Result<()> {
    let name = path.file_name().expect("only entries below the root have a name");
    let names = xattr::list_at(dir, name).map_err(|error| failed(path, error))?;
    let missed = names.into_iter().filter(|name| fate(name.as_bytes(), dialect) != Fate::Stays);
    missed.for_each(|name| skipped.report(path, SkipReason::Attribute(name)));
    Ok(())
}

/// Says whether a root differs from the one below it, or from what it is where no layer says anything (rule 53).
///
/// Its times do not count: they move whenever something is made in the root.
pub(crate) fn root_differs(root: &Header, lower: Option<BorrowedFd<'_>>, dialect: Dialect) -> Result<bool> {
    let facts = (root.mode, root.uid, root.gid);
    let Some(lower) = lower else { return Ok(facts != PLAIN_ROOT || !root.xattrs.is_empty()) };
    let dot = Path::new(".");
    let stat = fs::stat(lower).map_err(|error| failed(dot, error))?;
    let xattrs = carried(lower, dot, dialect, &mut Losses::default())?;
    Ok(facts != (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) || root.xattrs != xattrs)
}

/// What becomes of an attribute on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is in the archive.
    Carried,
    /// It is of this store or this machine, and nobody misses it.
    Stays,
    /// It belongs to the tree and no changeset may or can hold it.
    Missed,
}

fn fate(name: &[u8], dialect: Dialect) -> Fate {
    if Dialect::owns(name) {
        // An escaped mark is what a mount shows as content (rule 20). It would act as a mark in a store whose tool does
        // not escape, so it does not leave either (rule 19).
        let is_escaped =
            name.strip_prefix(dialect.prefix().as_bytes()).is_some_and(|rest| rest.starts_with(b"overlay."));
        return if is_escaped { Fate::Missed } else { Fate::Stays };
    }
    if name == CAPABILITY || name.starts_with(b"user.") {
        // A PAX keyword ends at its first equals sign (rule 24).
        return if name.contains(&b'=') { Fate::Missed } else { Fate::Carried };
    }
    let is_told_elsewhere = XFS_ACCESS_LISTS.contains(&name);
    if is_told_elsewhere || name.starts_with(b"security.") { Fate::Stays } else { Fate::Missed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_19_to_24_say_which_attributes_leave() {
        for (name, trusted, user) in [
            ("user.color", Fate::Carried, Fate::Carried),
            ("security.capability", Fate::Carried, Fate::Carried),
            ("security.selinux", Fate::Stays, Fate::Stays),
            ("trusted.overlay.opaque", Fate::Stays, Fate::Stays),
            ("user.overlay.origin", Fate::Stays, Fate::Stays),
            ("trusted.overlay.overlay.opaque", Fate::Missed, Fate::Stays),
            ("user.overlay.overlay.opaque", Fate::Stays, Fate::Missed),
            ("user.a=b", Fate::Missed, Fate::Missed),
            ("system.posix_acl_access", Fate::Missed, Fate::Missed),
            ("trusted.SGI_ACL_FILE", Fate::Stays, Fate::Stays),
            ("trusted.SGI_ACL_DEFAULT", Fate::Stays, Fate::Stays),
            ("trusted.other", Fate::Missed, Fate::Missed),
        ] {
            assert_eq!(fate(name.as_bytes(), Dialect::Trusted), trusted, "{name} in a trusted store");
            assert_eq!(fate(name.as_bytes(), Dialect::User), user, "{name} in a user store");
        }
    }
}
