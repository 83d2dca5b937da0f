//! What an archive says of one path, with every extension applied, and the limits it is held to.

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name as the archive gives it, unchecked.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The target of a symbolic or hard link as the archive gives it; empty otherwise.
    pub link: Vec<u8>,
    /// Permission, set-id and sticky bits; nothing else.
    pub mode: u32,
    /// The owner by number.
    pub uid: u32,
    /// The group by number.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// When it was last read, if the archive says so.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The length of the file, holes included.
    pub size: u64,
    /// How many bytes of content follow in the archive; less than [`Entry::size`] in a sparse file.
    pub stored: u64,
    /// Where the stored bytes of a sparse file belong, ascending; `None` in any other.
    pub extents: Option<Vec<Extent>>,
    /// Where its last header starts in the archive.
    pub position: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file, sparse or not.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that came before, in this archive or a lower layer.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A type that a layer cannot hold, by its type flag (rule 43).
    Other(u8),
}

/// A stretch of a sparse file that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// A point in time since 1970, before or after, as exact as the archive states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// What is missing to the exact time, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What a reader accepts before it refuses an archive; a refusal names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of extension headers before one entry: long names, PAX records, and defaults for all entries with the blocks
    /// they lie in; 1 MiB by default.
    pub metadata: u64,
    /// Stored stretches of one sparse file; 10,000 by default (rule 42).
    pub extents: usize,
    /// Directories a path may lead through, symbolic links followed; 512 by default, so that whoever walks the layer later
    /// needs no more descriptors than processes usually have.
    pub depth: usize,
    /// Paths that a later entry replaces or describes anew, where a record is kept: each is remembered to the end, by 32 bytes
    /// and by 24 more while it has another name; 250,000 by default (rule 46).
    pub replaced: usize,
    /// Bytes of names and attributes of the files of AUFS' store, which links may name until the end; 4 MiB by default
    /// (rule 5).
    pub aufs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { metadata: 1 << 20, extents: 10_000, depth: 512, replaced: 250_000, aufs: 4 << 20 }
    }
}

impl Entry {
    /// The same without names and map, for when its metadata is all that is needed any more.
    pub(crate) fn without_names(&self) -> Self {
        Self { path: Vec::new(), link: Vec::new(), xattrs: self.xattrs.clone(), extents: None, ..*self }
    }
}

impl Kind {
    /// Says whether content follows the header: the size field of anything else is noise (rule 44).
    pub(super) fn has_content(self) -> bool {
        matches!(self, Self::File | Self::Other(_))
    }
}
