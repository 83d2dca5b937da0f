//! Every magic name and number of changesets and of overlay directories, in one place.
//!
//! Names are bytes: archives and file systems hold any bytes but NUL and, within one component, `/`.

/// The prefix of a whiteout in an archive: `.wh.name` hides `name` (rule 1).
pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The prefix of AUFS' bookkeeping, which only [`OPAQUE_MARKER`] survives (rule 5).
pub(crate) const WHITEOUT_META_PREFIX: &[u8] = b".wh..wh.";

/// The name that makes the directory it lies in opaque (rule 2).
pub(crate) const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// The value of the opaque attribute that hides what lower layers have below the directory (rule 13).
pub(crate) const OPAQUE_VALUE: &[u8] = b"y";

/// The value of the opaque attribute that says the directory holds whiteouts made of attributes (rule 15).
pub(crate) const XWHITEOUTS_VALUE: &[u8] = b"x";

/// File capabilities (rule 22).
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Under which names XFS shows access lists to the privileged once more, beside those of every file system.
pub(crate) const XFS_ACCESS_LISTS: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// The PAX keyword prefix of an extended attribute.
pub(crate) const PAX_XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The unit of a tar archive.
pub(crate) const BLOCK: usize = 512;

/// How much of a file or an archive is in memory at a time.
pub(crate) const BUFFER: usize = 256 * 1024;

/// How much of an archive is read at a time to be applied.
///
/// Long files are written in pieces of it, which the page cache keeps in fewer and larger ones than pieces of [`BUFFER`], and
/// a processor's own cache still holds all of it from reading over digesting to writing.
pub(crate) const ARCHIVE_BUFFER: usize = 512 * 1024;
